"""Which of the options comes first or last: told by the times of rows, as models sort even true rows wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..text.likeness import HOLDS, likeness, spelt
from ..types import Draft, Passage, Task
from .support import not_said

_AS_LIKE = 0.1
"""Rows whose likeness differs by less hold an option equally well."""


def ordered(task: Task) -> Draft | None:
    """The first or last of the options by when their rows are shown or said; None where not asked or not known."""
    if task.order not in ("first", "last") or not task.options:
        return None
    silent = not_said(task.options)
    alone = [p for p in task.passages if p.link == "alone"]
    found = _by_time(task, alone, silent)
    known = len(task.options) - (silent is not None)
    if len(found) < max(2, known - 1):
        return None
    at, _, _ = found[0 if task.order == "first" else -1]
    ids = tuple(dict.fromkeys(i for _, j, _ in found for i in alone[j].ids))
    sure = min(s for _, _, s in found) * len(found) / known
    return Draft(text=task.options[at], choice=at, citations=ids, confidence=sure)


def _by_time(task: Task, alone: Sequence[Passage], silent: int | None) -> list[tuple[int, int, float]]:
    """The options with their rows, in the order of time: of all rows that hold an option the first, or the last."""
    place = {v: i for i, v in enumerate(dict.fromkeys(e.video for e in task.evidence))}
    like = likeness([spelt(o) for o in task.options], [spelt(p.answer) for p in alone])
    end = min if task.order == "first" else max

    def when(at: int) -> tuple[int, float]:
        return place[alone[at].video], alone[at].start

    found = []
    for i, row in enumerate(like):
        if i != silent and row.size and row.max() >= HOLDS:
            near = [int(j) for j in np.flatnonzero(row >= max(HOLDS, row.max() - _AS_LIKE))]
            at = end(near, key=when)
            found.append((i, at, float(row[at])))
    return sorted(found, key=lambda h: when(h[1]))
