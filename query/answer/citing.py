"""How far a row bears out an option, by the words they share."""

from __future__ import annotations

from collections.abc import Sequence

from ...store.records import Evidence
from ..text.words import sought, terms
from ..types import Task
from .support import claimed, covered

TRUST = 0.3
"""How much of a row's word for an option counts although the row bears out nothing of the question."""


def support(task: Task, row: Evidence, asked: Sequence[str], wanted: Sequence[str]) -> float:
    """How far ``row`` bears out an option with the terms ``wanted``, 0..1.

    What it says of the option is trusted as far as it fits the question with the terms ``asked``.
    """
    has = terms(row.text)
    said = covered(wanted, has, task.weight)
    if row.kind in ("frame", "detection"):
        return said if task.visual else TRUST * said
    fits = covered(asked, has, task.weight)
    return said * (TRUST + (1 - TRUST) * fits)


def supporting(task: Task, text: str, most: int = 3, near: float = 0.6) -> tuple[str, ...]:
    """Ids of the rows that bear out an option or an answer best, best first: those with at least ``near`` of the best
    one's support.  Empty where no row holds a word of it.
    """
    asked = sought(task.question)
    wanted = claimed(text, asked)
    ranked = sorted(((support(task, e, asked, wanted), -e.rank, e.id) for e in task.evidence), reverse=True)
    best = ranked[0][0] if ranked else 0.0
    return tuple(i for s, _, i in ranked[:most] if s > 0 and s >= near * best)
