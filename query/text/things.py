"""How well pictures fit words: counted from how well they fit the names of everyday things, the same for every encoder.

Cosines of one encoder lie around .1, those of another around .4, and some pictures fit any words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import ImageTextEncoder
from ...store.encoders.coco import NAMES
from ...store.vectors import Vectors
from .known_vectors import remembered

_CAPTIONS = [f"a photo of {name}" for name in NAMES]
_things: dict[str, Vectors] = {}
FITS = 2.2
"""From here on a picture shows what is asked for."""


def fit(encoder: ImageTextEncoder, queries: Vectors, pictures: Vectors) -> NDArray[np.float32]:
    """How well each of ``pictures`` ``(n, dim)`` fits each of ``queries`` ``(m, dim)``, float32 ``(m, n)``: the inner
    product less its mean over eighty things, in standard deviations.
    """
    space = encoder.spec.space
    things = _things.get(space)
    if things is None:
        things = _things[space] = remembered(space, "\n".join(_CAPTIONS), lambda: encoder.queries(_CAPTIONS))
    near = pictures @ things.T
    found: NDArray[np.float32] = (queries @ pictures.T - near.mean(1)) / np.maximum(near.std(1), 1e-6)
    return found
