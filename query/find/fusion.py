"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def fused(rankings: Iterable[Sequence[T]], k: int = 60) -> dict[T, float]:
    """The score of everything that is ranked: the sum of ``1 / (k + rank)`` over the rankings, best rank 1.

    ``k``: how little the first ranks stand out.
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (k + rank)
    return scores
