"""Many things of one kind in a picture, counted without knowing what they are: coins on a cloth, cells, pills, seeds.

They are told from an even ground by a threshold that follows the light (the local mean), and counted where nearly all
that stands out is of one size and shape.  A picture that is not of that kind gives no count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import Picture
from ...store.records import Box, Detection

_SIDE = 480
"""Pixels of the longer side at which a picture is looked at."""
_LEAST, _SMALLEST, _COVER = 4, 0.0008, 0.04
"""Fewer things are not counted; the least share of the picture of one thing, and of all."""
_SOLID, _SIZE, _SHAPE = 0.85, 3.5, 1.8
"""Share of its convex hull that a thing fills; how many times larger, or longer for its width, another may be."""
_ALIKE = 0.85
"""Share of what stands out that must be of one kind."""
_BAR = 10
"""How far a channel may be from the colour of an even bar at the edge, of 255."""
_GROUND = (0.25, 0.4, 0.6)
"""Shares of the shorter side over which the local mean is taken."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """Something that stands out: ``box`` is x, y, width, height in pixels; ``whole``: it touches no edge."""

    area: float
    solid: float
    box: tuple[int, int, int, int]
    whole: bool

    @property
    def long(self) -> float:
        _, _, w, h = self.box
        return max(w / h, h / w)


def counted(picture: Picture) -> tuple[Detection, ...]:
    """Each of the things alike as a detection labelled ``thing``; empty where there are fewer than four, or where other
    things stand out as well.  ``score`` is the share of what stands out that is alike.
    """
    import cv2

    left, top, right, bottom = _trimmed(picture)
    part = np.ascontiguousarray(picture[top:bottom, left:right])
    scale = _SIDE / max(part.shape[:2])
    width, height = (max(1, round(n * scale)) for n in (right - left, bottom - top))
    if min(width, height) < 32:
        return ()
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    channels = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), 1.5)
    share, best = 0.0, list[_Spot]()
    for channel in np.moveaxis(channels, -1, 0):
        if (spread := float(channel.std())) < 4:
            continue
        for block in (int(min(width, height) * g) | 1 for g in _GROUND):
            above = channel - cv2.blur(channel, (block, block))
            for side in (above, -above):
                spots = _spots(side > max(2.0, 0.2 * spread))
                same, others = _of_one_kind(spots)
                if len(same) < _LEAST or sum(s.area for s in same) < _COVER * width * height:
                    continue
                if (now := len(same) / (len(same) + others)) > share:
                    share, best = now, same
    if share < _ALIKE:
        return ()
    tall, wide = picture.shape[:2]

    def placed(spot: _Spot) -> Box:
        x, y, w, h = (n / scale for n in spot.box)
        return (left + x) / wide, (top + y) / tall, (left + x + w) / wide, (top + y + h) / tall

    return tuple(Detection("thing", round(share, 4), placed(s)) for s in best)


def _spots(stands_out: NDArray[np.bool_]) -> list[_Spot]:
    import cv2

    mask = cv2.morphologyEx(stands_out.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    height, width = mask.shape
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for line in outlines:
        area = float(cv2.contourArea(line))
        if area >= _SMALLEST * width * height:
            x, y, w, h = cv2.boundingRect(line)
            whole = x > 1 and y > 1 and x + w < width - 1 and y + h < height - 1
            found.append(_Spot(area, area / float(cv2.contourArea(cv2.convexHull(line))), (x, y, w, h), whole))
    return found


def _of_one_kind(spots: list[_Spot]) -> tuple[list[_Spot], int]:
    """Whole, solid spots of about one size and shape, and how many other things there are that are not much smaller."""
    good = [s for s in spots if s.whole and s.solid > _SOLID]
    if len(good) < _LEAST:
        return [], len(spots)
    size, shape = float(np.median([s.area for s in good])), float(np.median([s.long for s in good]))
    same = [s for s in good if size / _SIZE <= s.area <= size * _SIZE and s.long <= shape * _SHAPE]
    ground = [s for s in spots if not s.whole and s.area > size * _SIZE]  # where the light is stronger
    return same, sum(s.area > size / _SIZE for s in spots) - len(same) - len(ground)


def _trimmed(picture: Picture) -> tuple[int, int, int, int]:
    """The picture without even bars at its edges: left, top, right, bottom in pixels."""
    pixels = picture.astype(np.int16)
    height, width = picture.shape[:2]

    def inside(lines: NDArray[np.int16]) -> tuple[int, int]:
        off = np.abs(lines - np.median(lines, 1, keepdims=True)).max(2)
        busy = np.flatnonzero((off > _BAR).mean(1) > 0.02)
        return (int(busy[0]), int(busy[-1]) + 1) if len(busy) else (0, len(lines))

    left, right = inside(np.moveaxis(pixels, 1, 0))
    top, bottom = inside(pixels[:, left:right])
    if (right - left) * (bottom - top) <= 0.2 * height * width:
        return 0, 0, width, height
    return left, top, right, bottom
