"""Which of the options comes first or last: told by the times of rows, as models sort even true rows wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..text.likeness import Spelt, likeness, spelt
from .models import Draft, Task
from .passages import Passage
from .support import not_said

SURE = 0.6
"""Likeness from which on a row is taken for the one that an option names."""
_AS_LIKE = 0.1
"""Rows whose likeness differs by less hold an option equally well."""


def holders(options: Sequence[str], texts: Sequence[Spelt]) -> list[tuple[int, int, float]]:
    """For each option that one of ``texts`` holds: the option, the text that holds it best, and how surely."""
    like = likeness([spelt(o) for o in options], texts)
    if not like.size:
        return []
    best = like.argmax(1)
    sure = like[np.arange(len(options)), best]
    return [(i, int(best[i]), float(sure[i])) for i in range(len(options)) if sure[i] >= SURE]


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
    return Draft(task.options[at], at, ids, confidence=sure)


def _by_time(task: Task, alone: Sequence[Passage], silent: int | None) -> list[tuple[int, int, float]]:
    """The options with their rows, in the order of time: of all rows that hold an option the first, or the last."""
    place = {v: i for i, v in enumerate(dict.fromkeys(e.video for e in task.evidence))}
    like = likeness([spelt(o) for o in task.options], [spelt(p.answer) for p in alone])
    end = min if task.order == "first" else max

    def when(at: int) -> tuple[int, float]:
        return place[alone[at].video], alone[at].start

    found = []
    for i, row in enumerate(like):
        if i != silent and row.size and row.max() >= SURE:
            near = [int(j) for j in np.flatnonzero(row >= max(SURE, row.max() - _AS_LIKE))]
            at = end(near, key=when)
            found.append((i, at, float(row[at])))
    return sorted(found, key=lambda h: when(h[1]))
