"""How far a row bears out an option, by the words they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rapidfuzz import fuzz

from ...store.records import Evidence
from ..words import sought, terms
from . import Task

TRUST = 0.3
"""How much of a row's word for an option counts although the row bears out nothing of the question."""


def support(task: Task, row: Evidence, asked: Sequence[str], wanted: Sequence[str], trust: float = TRUST) -> float:
    """How far ``row`` bears out an option with the terms ``wanted``, 0..1.

    What it says of the option is trusted as far as it fits the question with the terms ``asked``.
    """
    has = terms(row.text)
    said = covered(wanted, has, task.weight)
    if row.kind in ("frame", "detection"):
        return said if task.visual else trust * said
    fits = covered(asked, has, task.weight)
    return said * (trust + (1 - trust) * fits)


def covered(wanted: Sequence[str], has: Sequence[str], weight: Mapping[str, float]) -> float:
    """Share of ``wanted`` terms found in ``has``, weighted by rarity; near misses of longer words count in part."""
    if not wanted:
        return 0.0
    total = found = 0.0
    for term in wanted:
        w = weight.get(term, 1.0)
        total += w
        if term in has:
            found += w
        elif len(term) > 4 and not term.isdigit():
            like = max((fuzz.ratio(term, h) for h in has if len(h) > 3), default=0.0)
            found += w * 0.7 if like >= 80 else 0.0
    return found / total if total else 0.0


def claimed(text: str, asked: Sequence[str]) -> list[str]:
    """What a row must say for an option or an answer: its terms that the question does not hold, else all of them."""
    found = terms(text)
    return [t for t in found if t not in asked] or found


def supporting(task: Task, text: str, most: int = 3, near: float = 0.6) -> tuple[str, ...]:
    """Ids of the rows that bear out an option or an answer best, best first: those with at least ``near`` of the best
    one's support.  Empty where no row holds a word of it.
    """
    asked = sought(task.question)
    wanted = claimed(text, asked)
    ranked = sorted(((support(task, e, asked, wanted), -e.rank, e.id) for e in task.evidence), reverse=True)
    best = ranked[0][0] if ranked else 0.0
    return tuple(i for s, _, i in ranked[:most] if s > 0 and s >= near * best)
