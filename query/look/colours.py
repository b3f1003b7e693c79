"""What colours a picture shows: names for its pixels, what stands in the middle before what surrounds it."""

from __future__ import annotations

import numpy as np

from ...store.encoders import Picture

_HUES = ((8, "red"), (20, "orange"), (33, "yellow"), (85, "green"), (100, "turquoise"), (130, "blue"), (150, "purple"))
"""Upper ends of hue as OpenCV counts it, 0..179."""
_LEAST = 0.06


def colours(picture: Picture, most: int = 3) -> list[str]:
    """The names of the colours that stand out in the middle of ``picture``, the most telling first."""
    named = _named(picture, 64)
    rows, columns = named.shape
    middle = named[rows // 5 : rows - rows // 5, columns // 5 : columns - columns // 5]
    inside = {n: float((middle == n).mean()) for n in np.unique(middle)}
    rim = np.concatenate([named[: rows // 8].ravel(), named[-rows // 8 :].ravel(), named[:, :4].ravel()])
    telling = {n: share - float((rim == n).mean()) for n, share in inside.items() if share >= _LEAST}
    return [str(n) for n in sorted(telling, key=lambda n: -telling[n])[:most]]


def _named(picture: Picture, across: int) -> np.ndarray:
    """A colour's name for each pixel of the picture, made so many pixels wide."""
    import cv2

    height, width = picture.shape[:2]
    small = cv2.resize(picture, (across, max(8, across * height // width)), interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    hue, saturation, value = (hsv[..., i].astype(int) for i in range(3))
    out = np.full(hue.shape, "red", dtype="<U9")
    for end, name in reversed(_HUES):
        out[hue < end] = name
    out[(hue >= 150) & (hue < 170)] = "pink"
    dull_warm = (hue >= 4) & (hue < 25) & (value < 170)
    out[dull_warm] = "brown"
    out[((hue < 8) | (hue >= 165)) & (saturation < 140) & (value > 150)] = "pink"
    plain = (saturation < 45) | (value < 40)
    out[plain & (value < 60)] = "black"
    out[plain & (value >= 60)] = "grey"
    out[plain & (value > 190)] = "white"
    return out
