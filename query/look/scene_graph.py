"""Detections of one frame as sentences: what is there, how many, where, and how things lie to each other.

The three kinds are Video-RAG's (arXiv 2411.13093); :func:`published` has its wording, :func:`sentences` ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from ...store.encoders.nouns import plural
from ...store.records import Box, Detection
from ..types import Relation

_MOST = 12


def sentences(detections: Sequence[Detection], kinds: Sequence[Relation]) -> list[str]:
    """One sentence for each kind asked; what is there where no kind is asked."""
    found = sorted(detections, key=lambda d: (d.label, d.box[0]))[:_MOST]
    if not found:
        return []
    names = _numbered(found)
    out = [number(detections)] if "number" in kinds or not kinds else []
    if "location" in kinds:
        out.append("; ".join(f"{n} is {_where(d.box)}" for n, d in zip(names, found, strict=True)))
    if "relation" in kinds:
        told = [
            f"{a} is {_relation(x.box, y.box)} {b}"
            for (a, x), (b, y) in combinations(zip(names, found, strict=True), 2)
        ]
        out.append("; ".join(told[:_MOST]) if told else f"only {names[0]} is there")
    return out


def number(detections: Sequence[Detection]) -> str:
    """``3 bottles, 1 cup``."""
    counts = Counter(d.label for d in detections)
    return ", ".join(f"{c} {n if c == 1 else plural(n)}" for n, c in sorted(counts.items()))


def _numbered(found: Sequence[Detection]) -> list[str]:
    """``the cup`` where there is one, ``bottle 1``, ``bottle 2`` from left to right where there are several."""
    counts, seen = Counter(d.label for d in found), Counter[str]()
    names = []
    for d in found:
        seen[d.label] += 1
        names.append(f"{d.label} {seen[d.label]}" if counts[d.label] > 1 else f"the {d.label}")
    return names


def _where(box: Box) -> str:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    across = "left" if x < 0.38 else "right" if x > 0.62 else "centre"
    along = "top" if y < 0.33 else "bottom" if y > 0.67 else "middle"
    size = (box[2] - box[0]) * (box[3] - box[1])
    place = {("middle", "centre"): "in the centre"}.get((along, across), f"at the {along} {across}")
    return f"{place} ({size:.0%} of the picture)"


def _relation(a: Box, b: Box) -> str:
    """How ``a`` lies to ``b``: overlap first, then the axis on which they are further apart."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width > 0 and height > 0:
        smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
        if width * height > 0.5 * max(smaller, 1e-9):
            return "overlapping"
    dx = (b[0] + b[2] - a[0] - a[2]) / 2
    dy = (b[1] + b[3] - a[1] - a[3]) / 2
    if abs(dx) >= abs(dy):
        return "left of" if dx > 0 else "right of"
    return "above" if dy > 0 else "below"


def published(detections: Sequence[Detection], kinds: Sequence[Relation], width: int, height: int) -> list[str]:
    """Sentences on where things are (pixels), how they lie to each other, and how many of each there are, in the
    published form: boxes that overlap at all do, others lie along the axis on which their centres are further apart.
    """
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


def _pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    return round(box[0] * width), round(box[1] * height), round(box[2] * width), round(box[3] * height)


def _lies(a: Box, b: Box) -> str:
    if min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1]):
        return "overlaps"
    across, along = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    if abs(across) >= abs(along):
        return "is left of" if across < 0 else "is right of"
    return "is above" if along < 0 else "is below"
