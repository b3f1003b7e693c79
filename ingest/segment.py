"""Where the topic of a sequence changes: kernel temporal segmentation (Potapov et al., "Category-Specific Video
Summarization", ECCV 2014) with the linear kernel, whose dynamic programme finds the best of all divisions.

Each boundary costs a penalty, as in penalised least squares (Lavielle, "Using penalized contrasts for the change-point
problem", 2005), scaled by how much neighbours differ anyway (half the mean squared difference, von Neumann 1941), so
that the same options suit calm and restless material.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..store.vectors import Vectors

Reals = NDArray[np.float64]


def held(starts: Reals, ends: Reals, vectors: Vectors, edges: Reals) -> Reals:
    """The integral over time of rows shown in ``[starts, ends)``, between each two of ``edges``.

    ``vectors`` ``(rows, dim)``; ``edges`` ascending seconds ``(blocks + 1,)``; returns ``(blocks, dim)``.  Rows may
    overlap; the work grows with rows plus blocks, not with their product.
    """
    total = np.zeros((len(edges), vectors.shape[1]))
    for sign, at in ((1.0, starts), (-1.0, ends)):
        place = np.searchsorted(edges, at, "left")
        order = np.argsort(place, kind="stable")
        groups, first = np.unique(place[order], return_index=True)
        for power in (0, 1):
            summed = np.zeros((len(edges) + 1, vectors.shape[1]))
            if len(order):
                summed[groups] = np.add.reduceat(vectors[order] * (at[order, None] ** power), first, axis=0)
            so_far = np.cumsum(summed, axis=0)[:-1]
            total += sign * (so_far * edges[:, None] if power == 0 else -so_far)
    found: Reals = np.diff(total, axis=0)
    return found


@dataclass(frozen=True, slots=True)
class Limits:
    """``shortest``: the fewest seconds of a part.  ``longest``: seconds from which on a part costs one penalty more for
    each such length.  ``most`` parts there are.
    """

    shortest: float
    longest: float
    most: int


def boundaries(edges: Reals, features: Reals, price: Reals, limits: Limits, penalty: float) -> list[int]:
    """The blocks that begin a part; the first is always 0.

    Block ``i`` lies in ``[edges[i], edges[i + 1])`` and has the row ``features[i]``, ``(blocks, dim)``.  ``price``
    ``(blocks,)`` multiplies the penalty of a boundary before a block.
    """
    count = len(features)
    if count < 2 or edges[-1] - edges[0] < 2 * limits.shortest:
        return [0]
    weight = np.diff(edges)
    scatter = _Scatter(features, weight)
    base = penalty * unrest(features) * float(np.mean(weight)) * math.log(count)
    found = _best(edges, scatter, price * base, limits, base / limits.longest)
    if len(found) > limits.most:
        found = _best_few(edges, scatter, price * base, limits, base / limits.longest)
    return found


def unrest(features: Reals) -> float:
    """How much neighbours differ anyway: half their mean squared difference.  ``features`` ``(blocks, dim)``."""
    return 0.5 * float(np.mean(np.sum(np.square(np.diff(features, axis=0)), axis=1))) if len(features) > 1 else 0.0


class _Scatter:
    """The sum of squared distances to their mean of the blocks of a stretch, weighted by seconds."""

    def __init__(self, features: Reals, weight: Reals) -> None:
        centred = features - np.average(features, axis=0, weights=weight)
        sums = np.zeros((len(features) + 1, features.shape[1]))
        np.cumsum(centred * weight[:, None], axis=0, out=sums[1:])
        self._gram = sums @ sums.T
        self._own = np.diag(self._gram).copy()
        self._seconds = np.concatenate([[0.0], np.cumsum(weight)])
        self._squares = np.concatenate([[0.0], np.cumsum(np.sum(centred**2, axis=1) * weight)])

    def before(self, end: int, stop: int) -> Reals:
        """Of the stretches that begin with block 0, 1, ... ``stop`` - 1 and end before block ``end``."""
        apart = self._own[end] + self._own[:stop] - 2 * self._gram[end, :stop]
        seconds = self._seconds[end] - self._seconds[:stop]
        out: Reals = np.maximum(self._squares[end] - self._squares[:stop] - apart / seconds, 0.0)
        return out


def _best(edges: Reals, scatter: _Scatter, price: Reals, limits: Limits, surcharge: float) -> list[int]:
    """The division of least scatter and price, the earliest where several are equal.  ``surcharge``: for each second
    beyond the longest.
    """
    count = len(price)
    cost, came = np.full(count + 1, np.inf), np.zeros(count + 1, np.int64)
    cost[0] = 0.0
    for end, last in _parts(edges, scatter, price, limits, surcharge):
        total = cost[: len(last)] + last
        came[end] = int(np.argmin(total))
        cost[end] = total[came[end]]
    found, at = list[int](), count
    while at:
        at = int(came[at])
        found.append(at)
    return found[::-1]


def _best_few(edges: Reals, scatter: _Scatter, price: Reals, limits: Limits, surcharge: float) -> list[int]:
    """The same among divisions into at most ``limits.most`` parts."""
    count, most = len(price), limits.most
    cost, came = np.full((most + 1, count + 1), np.inf), np.zeros((most + 1, count + 1), np.int64)
    cost[0, 0] = 0.0
    for end, last in _parts(edges, scatter, price, limits, surcharge):
        total = cost[:-1, : len(last)] + last
        came[1:, end] = np.argmin(total, axis=1)
        cost[1:, end] = np.min(total, axis=1)
    found, at, left = list[int](), count, int(np.argmin(cost[:, count]))
    while at:
        at, left = int(came[left, at]), left - 1
        found.append(at)
    return found[::-1]


def _parts(
    edges: Reals, scatter: _Scatter, price: Reals, limits: Limits, surcharge: float
) -> Iterator[tuple[int, Reals]]:
    """For each block that a part may end before: what the part costs if it begins with block 0, 1, ..."""
    due = price.copy()
    due[0] = 0.0
    # how many blocks may begin a part which ends there
    stops = np.searchsorted(edges, edges - limits.shortest + 1e-9, "right")
    for end in range(1, len(edges)):
        if stop := min(int(stops[end]), end):
            over = np.maximum(edges[end] - edges[:stop] - limits.longest, 0.0)
            yield end, due[:stop] + scatter.before(end, stop) + surcharge * over
