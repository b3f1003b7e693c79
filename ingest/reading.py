"""Reads the text of frame after frame, recognising only what changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..store.encoders import Picture
from ..store.options import Options
from ..store.records import Box, TextLine, iou
from .ocr import Quads, TextRecogniser

_HEIGHT = 16  # of the small grey picture of a line; its width is in proportion, up to 64 times that


class ReadingOptions(Options):
    """``min_confidence``: lines read with less are dropped.  ``same_box``: overlap (IoU) from which two boxes of
    successive frames may be the same line.  ``same_pixels``: grey difference (0..1) of any stretch of the line as
    wide as it is high up to which its text is taken over unread.
    """

    min_confidence: float = Field(0.6, ge=0, le=1)
    same_box: float = Field(0.75, ge=0, le=1)
    same_pixels: float = Field(0.05, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class _Read:
    box: Box
    pixels: NDArray[np.float32]
    text: str
    confidence: float


class Reader:
    """Lines of text, frame by frame; ``recognised`` of ``found`` boxes had to be read, the others were unchanged."""

    def __init__(self, engine: TextRecogniser, options: ReadingOptions) -> None:
        self.engine, self.options = engine, options
        self.found = self.recognised = 0
        self._before: list[_Read] = []

    def lines(self, picture: Picture) -> list[TextLine]:
        quads = self.engine.detect(picture)
        boxes = [_box(q) for q in quads]
        pixels = [_pixels(picture, b) for b in boxes]
        known = [self._same(b, p) for b, p in zip(boxes, pixels, strict=True)]
        fresh = [i for i, k in enumerate(known) if k is None]
        new: Quads = quads[fresh] if fresh else np.zeros((0, 4, 2), np.float32)
        read = dict(zip(fresh, self.engine.recognise(picture, new), strict=True)) if fresh else {}
        self.found += len(boxes)
        self.recognised += len(fresh)
        self._before = []
        for i, (box, look) in enumerate(zip(boxes, pixels, strict=True)):
            old = known[i]
            if old:  # keeps the pixels that were read, or a slow fade would creep past
                self._before.append(_Read(box, old.pixels, old.text, old.confidence))
            else:
                self._before.append(_Read(box, look, *read[i]))
        return [
            TextLine(r.text, r.confidence, r.box)
            for r in self._before
            if r.confidence >= self.options.min_confidence and any(c.isalnum() for c in r.text)
        ]

    def _same(self, box: Box, pixels: NDArray[np.float32]) -> _Read | None:
        for old in self._before:
            if (
                iou(box, old.box) >= self.options.same_box
                and _difference(pixels, old.pixels) <= self.options.same_pixels
            ):
                return old
        return None


def _difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The mean grey difference of the stretch that differs most; 1 where the lines differ too much in length."""
    import cv2

    if not 0.8 < a.shape[1] / b.shape[1] < 1.25:
        return 1.0
    if a.shape != b.shape:
        b = cv2.resize(b, a.shape[::-1], interpolation=cv2.INTER_AREA)
    stretches = np.abs(a - b).mean(0).reshape(-1, _HEIGHT // 2).mean(1)
    return float(stretches.max())


def _box(quad: NDArray[np.float32]) -> Box:
    (x0, y0), (x1, y1) = quad.min(0).tolist(), quad.max(0).tolist()
    return x0, y0, x1, y1


def _pixels(picture: Picture, box: Box) -> NDArray[np.float32]:
    import cv2

    h, w = picture.shape[:2]
    x0, y0 = int(box[0] * w), int(box[1] * h)
    crop = picture[y0 : max(y0 + 1, int(box[3] * h)), x0 : max(x0 + 1, int(box[2] * w))]
    if not crop.size:
        return np.zeros((_HEIGHT, _HEIGHT), np.float32)
    width = _HEIGHT * min(64, max(1, round(crop.shape[1] / crop.shape[0])))
    small = cv2.resize(crop, (width, _HEIGHT), interpolation=cv2.INTER_AREA)
    grey: NDArray[np.float32] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    return grey
