"""Video-RAG's query algorithm as published (Luo et al., 2025, arXiv 2411.13093), in plain Python over our records.

Written from the paper's description and formulas.  Nothing here is fast: it is what the methods of this package are
compared with, by tests and by ``vidrag bench query``.  Vectors are sequences of floats.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ...store.records import Box, Detection, Evidence
from ..types import Relation

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


def scene_graph(detections: Sequence[Detection], kinds: Sequence[Relation], width: int, height: int) -> list[str]:
    """Sentences on where things are (pixels), how they lie to each other, and how many of each there are."""
    out = []
    if "location" in kinds:
        for number, d in enumerate(detections, 1):
            left, top, right, bottom = _pixels(d.box, width, height)
            out.append(
                f"Object {number} is a {d.label} at [{left}, {top}], {right - left} wide and {bottom - top} high."
            )
    if "relation" in kinds:
        for i, a in enumerate(detections, 1):
            for j, b in enumerate(detections[i:], i + 1):
                out.append(f"Object {i} ({a.label}) {_lies(a.box, b.box)} object {j} ({b.label}).")
    if "number" in kinds:
        counts = Counter(d.label for d in detections)
        out.append("; ".join(f"{label}: {count}" for label, count in counts.items()))
    return out


def in_time_order(rows: Sequence[Evidence]) -> list[Evidence]:
    """All kinds of evidence merged by when they begin."""
    return sorted(rows, key=lambda r: r.start)


def _pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    return round(box[0] * width), round(box[1] * height), round(box[2] * width), round(box[3] * height)


def _lies(a: Box, b: Box) -> str:
    if min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1]):
        return "overlaps"
    across, along = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    if abs(across) >= abs(along):
        return "is left of" if across < 0 else "is right of"
    return "is above" if along < 0 else "is below"
