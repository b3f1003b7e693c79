"""Pictures within a picture: contact sheets, galleries, slides with several photographs.

Panels are found by a recursive X-Y cut (Nagy and Seth, 1984) along gutters of the background's colour, grouped by how
alike they look, and a group is named by the image-text encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import ImageTextEncoder, Picture
from ...store.records import Box, Detection
from .colours import coloured, tint

_NEAR = 14
"""How far a channel may be from the background's colour, of 255."""
_GUTTER = 0.97
_LEAST = 4
_SEVERAL = 0.08
"""Leaning towards larger groups, times the logarithm of their size: who asks how many expects several."""
_TINT = 0.1
"""What it is worth that a panel shows the colours that the thing is named with."""
_ALIKE = 16.0
"""Mean difference of two panels of 16 x 16 pixels below which they show the same, of 255."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of several: ``x0, y0, x1, y1`` in pixels."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def area(self) -> int:
        return (self.x1 - self.x0) * (self.y1 - self.y0)


def panels(picture: Picture) -> list[Panel]:
    """Pictures of about one size on a plain background, in reading order; empty where there are fewer than four."""
    height, width = picture.shape[:2]
    ground = _background(picture)
    if ground is None:
        return []
    found = [
        Panel(x0, y0, x1, y1)
        for y0, y1 in _runs(ground, 1, height // 12)
        for x0, x1 in _runs(ground[y0:y1], 0, width // 16)
    ]
    if len(found) < _LEAST:
        return []
    middle = float(np.median([p.area for p in found]))
    alike = [p for p in found if 0.7 * middle <= p.area <= 1.4 * middle]
    return alike if len(alike) >= _LEAST and middle * len(alike) > 0.2 * height * width else []


def _background(picture: Picture) -> NDArray[np.bool_] | None:
    """Which pixels have the colour of the frame's edge; None where the edge has no one colour."""
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]).astype(np.int16)
    colour = np.median(edge, 0)
    if float((np.abs(edge - colour).max(1) <= _NEAR).mean()) < 0.9:
        return None
    near: NDArray[np.bool_] = np.abs(picture.astype(np.int16) - colour).max(2) <= _NEAR
    return near


def _runs(ground: NDArray[np.bool_], axis: int, least: int) -> list[tuple[int, int]]:
    """Stretches between gutters along an axis, ``[start, end)``, at least ``least`` pixels long."""
    busy = np.concatenate([[False], ground.mean(axis) < _GUTTER, [False]])
    edges = np.flatnonzero(busy[1:] != busy[:-1])
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= least]


def groups(picture: Picture, found: Sequence[Panel]) -> list[list[int]]:
    """Panels that show the same, largest group first."""
    import cv2

    small = [
        cv2.resize(picture[p.y0 : p.y1, p.x0 : p.x1], (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
        for p in found
    ]
    out: list[list[int]] = []
    for i, one in enumerate(small):
        near = next((g for g in out if float(np.abs(small[g[0]] - one).mean()) < _ALIKE), None)
        if near is None:
            out.append([i])
        else:
            near.append(i)
    return sorted(out, key=len, reverse=True)


def showing(picture: Picture, thing: str, encoder: ImageTextEncoder) -> tuple[Detection, ...]:
    """Every panel as a detection: labelled ``thing`` in the group that fits it best, ``other`` in the rest.

    Empty where the picture is no grid of pictures.  ``score`` is the inner product with "a photo of <thing>".
    """
    found = panels(picture)
    if not found:
        return ()
    sorts = groups(picture, found)
    firsts = [found[g[0]] for g in sorts]
    crops = [np.ascontiguousarray(picture[p.y0 : p.y1, p.x0 : p.x1]) for p in firsts]
    seen = encoder.images(crops).vectors
    fits = seen @ encoder.queries([f"a photo of {thing}"])[0]
    tints = [tint(p, told)[0] if (told := coloured([thing])) else 0.0 for p in crops]
    best = int((fits + _TINT * np.array(tints) + _SEVERAL * np.log([len(g) for g in sorts])).argmax())
    height, width = picture.shape[:2]
    group_of = {i: k for k, g in enumerate(sorts) for i in g}
    out = []
    for i, p in enumerate(found):
        box: Box = (p.x0 / width, p.y0 / height, p.x1 / width, p.y1 / height)
        out.append(Detection(thing if group_of[i] == best else "other", float(fits[group_of[i]]), box))
    return tuple(out)
