"""Lines of text cut out of a picture and laid flat: what recognisers read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import Picture
from . import Quads

_FLAT = 2  # pixels; a line lower or shorter than this is unreadable
_UPRIGHT = 1.5  # a crop this much higher than wide is text that runs downwards


def crops(picture: Picture, quads: Quads) -> dict[int, Picture]:
    """The readable ones of ``quads`` (``(n, 4, 2)``, 0..1) by number, as uint8 ``(h, w, 3)`` in the picture's order
    of colours.
    """
    h, w = picture.shape[:2]
    found = ((i, _crop(picture, q * np.array([w, h], np.float32))) for i, q in enumerate(quads))
    return {i: c for i, c in found if c is not None}


def shrunk(picture: Picture, side: int) -> Picture:
    """``picture`` with its shorter side at most ``side`` pixels, no side below 32."""
    import cv2

    h, w = picture.shape[:2]
    scale = min(1.0, side / min(h, w))
    size = (max(32, round(w * scale)), max(32, round(h * scale)))
    small: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small


def _crop(picture: Picture, corners: NDArray[np.float32]) -> Picture | None:
    import cv2

    corners = corners.astype(np.float32)
    top, right, bottom, left = (float(np.linalg.norm(corners[i] - corners[(i + 1) % 4])) for i in range(4))
    width, height = int(max(top, bottom)), int(max(left, right))
    if min(width, height) < _FLAT:
        return None
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, flat)
    cut: Picture = cv2.warpPerspective(
        picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
    )
    return np.ascontiguousarray(np.rot90(cut)) if height > _UPRIGHT * width else cut
