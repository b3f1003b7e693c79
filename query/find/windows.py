"""Windows over rows that follow each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
WINDOW = 60
"""Words of a window; each begins in the middle of the one before."""


@dataclass(frozen=True, slots=True)
class Windows:
    """``first`` and ``last`` ``(n_windows,)``: the rows ``[first, last)`` of each; ``of`` ``(k, n_rows)``: the windows
    that a row stands in, repeated to fill its column.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    of: NDArray[np.int64]

    def best(self, scores: Scores) -> Scores:
        """For each row the best of its windows' ``scores`` ``(n_windows,)``."""
        found: Scores = scores[self.of].max(0)
        return found


def windows(words: Scores, runs: Iterable[tuple[int, int]]) -> Windows:
    """Windows of :data:`WINDOW` words.  ``words`` ``(n_rows + 1,)``: those before each row; ``runs``: rows
    ``[begin, end)`` that follow each other, all of them together every row.
    """
    first, last = list[int](), list[int]()
    of: list[list[int]] = [[] for _ in words[1:]]
    for begin, end in runs:
        at = begin
        while at < end:
            stop = int(np.searchsorted(words, words[at] + WINDOW, "left"))
            stop = min(max(stop, at + 1), end)
            for row in range(at, stop):
                of[row].append(len(first))
            first.append(at)
            last.append(stop)
            if stop == end:
                break
            half = int(np.searchsorted(words, words[at] + WINDOW / 2, "left"))
            at = min(max(half, at + 1), stop)
    most = max(map(len, of), default=1)
    filled = np.array([w + w[-1:] * (most - len(w)) for w in of], np.int64).reshape(-1, most)
    return Windows(np.array(first, np.int64), np.array(last, np.int64), np.ascontiguousarray(filled.T))
