"""Rows that answer together: what one of them is about, another tells or shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...store.records import Evidence, EvidenceKind

LINES = " / "
"""Between the lines of a slide, where rows that share their time become one."""
Link = Literal["alone", "chain", "during", "next", "previous"]


@dataclass(frozen=True, slots=True)
class Passage:
    """One row, or two that belong together.

    ``ids``: evidence ids, the landmark first, the row that holds the answer last; ``about``: the text that must fit the
    question; ``answer``: the text that holds the answer; ``kind``: of the row that holds it; ``rank``: 1 for the row
    found first; ``dense``: inner product of the landmark with the question; ``shown``: inner products of the picture
    with each option, ``tints``: how far it shows the colours that each names (empty for rows that are no picture).
    """

    ids: tuple[str, ...]
    link: Link
    kind: EvidenceKind
    video: str
    start: float
    about: str
    answer: str
    rank: int
    dense: float = 0.0
    shown: tuple[float, ...] = ()
    tints: tuple[float, ...] = ()


def alone(evidence: Sequence[Evidence]) -> tuple[Passage, ...]:
    """Each row as a passage of its own, the row found first first."""
    rows = sorted(evidence, key=lambda e: e.rank)
    return tuple(Passage((e.id,), "alone", e.kind, e.video, e.start, e.searched, e.text, e.rank) for e in rows)
