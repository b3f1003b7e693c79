"""Text recognisers: the protocol.

Finding text and reading it are two calls, so that only boxes whose pixels changed need to be read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import Picture

Quads = NDArray[np.float32]
"""float32 ``(n, 4, 2)``: the corners of n lines of text, clockwise from the top left, as fractions of the picture."""


@runtime_checkable
class TextRecogniser(Protocol):
    """Pictures to lines of text."""

    def detect(self, picture: Picture) -> Quads:
        """Where lines of text are; ``(0, 4, 2)`` where there are none."""
        ...

    def recognise(self, picture: Picture, quads: Quads) -> Sequence[tuple[str, float]]:
        """Text and confidence (0..1) of each of ``quads``, in their order; ``("", 0.0)`` for unreadable ones."""
        ...
