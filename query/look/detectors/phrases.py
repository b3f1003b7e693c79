"""What is asked of detectors that take any words, and what is made of the boxes that they give."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ....store.encoders.nouns import singular
from ....store.errors import OptionError
from ....store.records import Box, Detection, iou

MOST_WORDS = 8
LEAST_SIDE = 4
"""Pixels; in a picture with a shorter side nothing is to be seen."""
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_BEFORE = frozenset("a an the some any every each all this that these those his her its their our my your".split())


def phrase(entity: str) -> str | None:
    """``entity`` as a noun phrase: lower case, singular, without article or punctuation; None where it has no letters.

    ``phrase(phrase(x)) == phrase(x)``.
    """
    found = _WORD.findall(entity.lower())
    first = next((i for i, word in enumerate(found) if word not in _BEFORE), len(found))
    found = found[first : first + MOST_WORDS]
    if not any(c.isalpha() for w in found for c in w):
        return None
    return singular(" ".join(found))


def phrases(entities: Iterable[str]) -> list[str]:
    """The phrases of ``entities``, each once, in alphabetical order: what is found does not depend on theirs."""
    return sorted({p for e in entities if (p := phrase(e))})


def check_prompt(prompt: str, engine: str) -> None:
    """Raises :class:`OptionError` for a prompt without the one place of the phrase."""
    if prompt.count("{}") != 1:
        raise OptionError(f"detector={engine}.prompt: holds no {{}} for the phrase (given: {prompt!r})")


def box_within(corners: Sequence[float]) -> Box | None:
    """``(x0, y0, x1, y1)`` clipped into 0..1; None where a number is none or nothing is left of it."""
    if not all(math.isfinite(c) for c in corners):
        return None
    x0, y0, x1, y1 = (min(1.0, max(0.0, float(c))) for c in corners)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def corners(centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes ``(..., 4)`` of centre, width and height as xyxy."""
    middle, half = centres[..., :2], centres[..., 2:] / 2
    found: NDArray[np.float32] = np.concatenate([middle - half, middle + half], -1)
    return found


def out_of_square(boxes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Boxes ``(n, 4)`` told of a square as those of the picture that lies at its top left."""
    side = max(height, width)
    return boxes * np.array([side / width, side / height] * 2, np.float32)


def detections(
    scores: NDArray[np.float32], boxes: NDArray[np.float32], wanted: Sequence[str], least: float
) -> list[Detection]:
    """Each box, corners ``(n_boxes, 4)`` in 0..1, as what it fits best of ``wanted``, where its score passes.

    ``scores``: ``(n_boxes, n_wanted)``.
    """
    out = []
    for row, thing in enumerate(scores.argmax(1).tolist()):
        score = float(scores[row, thing])
        if score > 0 and score >= least and (box := box_within(boxes[row].tolist())):  # not a number passes nowhere
            out.append(Detection(wanted[thing], min(1.0, score), box))
    return out


def best_first(found: Iterable[Detection], overlap: float = 1.0, within: float = 1.0) -> tuple[Detection, ...]:
    """``found`` by score; of two with one label that overlap by more than ``overlap`` (intersection over union), or of
    which more than ``within`` of the smaller lies in the other, only the better stays (greedy non-maximum suppression).
    """

    def same(one: Box, other: Box) -> bool:
        return iou(one, other) > overlap or (within < 1 and _held(one, other) > within)

    kept: list[Detection] = []
    for d in sorted(found, key=lambda d: (-d.score, d.label, d.box)):
        if all(k.label != d.label or not same(k.box, d.box) for k in kept):
            kept.append(d)
    return tuple(kept)


def _held(one: Box, other: Box) -> float:
    """Share of the smaller of two boxes that lies in the other."""
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return width * height / smaller if min(width, height) > 0 else 0.0
