"""Speech recognisers: the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...store.records import Segment, Span


@dataclass(frozen=True, slots=True)
class Transcript:
    """Segments in order, seconds from the start of the audio given; ``confidence`` is that of ``language``, 0..1.

    ``voiced``: where there is a voice at all, found without regard to words; None where the engine cannot tell.
    """

    segments: tuple[Segment, ...]
    language: str | None
    confidence: float
    voiced: tuple[Span, ...] | None = None


@runtime_checkable
class SpeechRecogniser(Protocol):
    """Sound to text."""

    def transcribe(self, audio: NDArray[np.float32], language: str | None, fallback: str | None = None) -> Transcript:
        """Recognises mono float32 ``(n,)`` at 16 kHz.

        ``language`` is an ISO 639-1 code, or None to guess; a doubtful guess gives way to ``fallback``.  Silence gives
        no segments.  Words carry times where the engine has them.
        """
        ...
