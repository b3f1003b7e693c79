"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def fused(rankings: Iterable[Sequence[T]], weights: Sequence[float] = (), k: int = 60) -> dict[T, float]:
    """The score of everything that is ranked: the sum of ``weight / (k + rank)`` over the rankings, best rank 1.

    ``weights``: of the rankings; 1 each where none are given.  ``k``: how little the first ranks stand out.
    """
    scores: dict[T, float] = {}
    for number, ranking in enumerate(rankings):
        weight = weights[number] if weights else 1.0
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return scores
