"""What colours a picture shows: names for its pixels, what stands in the middle before what surrounds it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...store.encoders import Picture
from ..text.words import words

_HUES = ((8, "red"), (20, "orange"), (33, "yellow"), (85, "green"), (100, "turquoise"), (130, "blue"), (150, "purple"))
"""Upper ends of hue as OpenCV counts it, 0..179."""
_LEAST = 0.06
_WORDS = {
    "crimson": "red",
    "cyan": "turquoise",
    "gold": "yellow",
    "golden": "yellow",
    "magenta": "pink",
    "navy": "blue",
    "scarlet": "red",
    "teal": "turquoise",
    "violet": "purple",
}
_TELLING = frozenset([n for _, n in _HUES] + ["pink"])
"""Colours that say something: black, white, grey and brown are in most pictures."""
_HALF = 0.02
"""Share of a picture at which a colour is as likely there by what the text means as by chance."""


def colours(picture: Picture, most: int = 3) -> list[str]:
    """The names of the colours that stand out in the middle of ``picture``, the most telling first."""
    named = _named(picture, 64)
    rows, columns = named.shape
    middle = named[rows // 5 : rows - rows // 5, columns // 5 : columns - columns // 5]
    inside = {n: float((middle == n).mean()) for n in np.unique(middle)}
    rim = np.concatenate([named[: rows // 8].ravel(), named[-rows // 8 :].ravel(), named[:, :4].ravel()])
    telling = {n: share - float((rim == n).mean()) for n, share in inside.items() if share >= _LEAST}
    return [str(n) for n in sorted(telling, key=lambda n: -telling[n])[:most]]


def coloured(texts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The telling colours that each text names, as :func:`colours` calls them; empty where none names any."""
    found = tuple(tuple(dict.fromkeys(n for w in words(t) if (n := _WORDS.get(w, w)) in _TELLING)) for t in texts)
    return found if any(found) else ()


def tint(picture: Picture, wanted: Sequence[Sequence[str]]) -> tuple[float, ...]:
    """How far a picture shows each group of colours: -1 where one of them is nowhere, nearly 1 where there is much of
    each, 0 for a group of none.
    """
    names, counts = np.unique(_named(picture, 96), return_counts=True)
    share = dict(zip(names.tolist(), (counts / counts.sum()).tolist(), strict=True))
    fits = {n: 2 * share.get(n, 0.0) / (share.get(n, 0.0) + _HALF) - 1 for group in wanted for n in group}
    return tuple(min((fits[n] for n in group), default=0.0) for group in wanted)


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
