"""Video-RAG's query algorithm as published (Luo et al., 2025, arXiv 2411.13093), in plain Python over our records.

Written from the paper's description and formulas.  Nothing here is fast: the methods of this package are held against
it.  Vectors are sequences of floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vidrag.store.records import Evidence

THRESHOLD = 0.3
"""What a text's inner product with the query must exceed, and a frame's share of the similarities."""
BETA = 3.0
"""Of the key-frame rule: ``alpha = BETA * n / 16`` for ``n`` frames."""
Vector = Sequence[float]


def mean_query(question: Vector, requests: Sequence[Vector]) -> list[float]:
    """The normalised mean of the question's vector and those of what is asked for: speech, or each entity."""
    columns = zip(question, *requests, strict=True)
    mean = [sum(values) / (1 + len(requests)) for values in columns]
    norm = math.sqrt(sum(x * x for x in mean))
    return [x / norm for x in mean] if norm else mean


def range_search(query: Vector, documents: Sequence[Vector], threshold: float = THRESHOLD) -> list[int]:
    """The places of all documents whose inner product with the query exceeds the threshold, in their order."""
    return [at for at, d in enumerate(documents) if sum(a * b for a, b in zip(query, d, strict=True)) > threshold]


def key_frames(similarities: Sequence[float], threshold: float = THRESHOLD, beta: float = BETA) -> list[int]:
    """The places of the frames ``i`` with ``s[i] * alpha / sum(s) > threshold``, in their order.

    With the published values that is "more than 1.6 times the mean", however many frames there are.
    """
    total = sum(similarities)
    if total <= 0:
        return []
    alpha = beta * len(similarities) / 16
    return [at for at, s in enumerate(similarities) if s * alpha / total > threshold]


def in_time_order(rows: Sequence[Evidence]) -> list[Evidence]:
    """All kinds of evidence merged by when they begin."""
    return sorted(rows, key=lambda r: r.start)
