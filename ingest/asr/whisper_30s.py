"""Whisper over blind chunks of 30 s, as published Video-RAG systems use it (Luo et al., 2024): for comparison.

No voice activity detection, no word times: whatever is said in a chunk is one row from the chunk's start to its end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...store.engines import EngineOptions
from ...store.records import Segment
from . import Transcript
from .ctranslate import RATE, guessed, whisper

_SILENT = 1e-4  # a peak below this is digital silence


class Whisper30sOptions(EngineOptions):
    """``model``: a weights reference, a folder, or ``hf:Systran/faster-whisper-large-v3`` and the like.  ``beam_size``:
    wider is better and slower.  ``compute_type``: CTranslate2's number format.  ``chunk_s``: seconds in a chunk.
    ``trust_language``: a guessed language less probable than this gives way to that of the sound before.
    """

    model: str = "whisper-base-ct2"
    compute_type: str = "int8"
    beam_size: int = Field(5, ge=1, le=20)
    chunk_s: float = Field(30, ge=1, le=30)
    trust_language: float = Field(0.7, ge=0, le=1)


class Whisper30s:
    """faster-whisper on chunk after chunk; sound is chunked within each piece that is given."""

    Options = Whisper30sOptions
    requires = ("faster_whisper", "ctranslate2", "onnxruntime")
    extra = "ingest"

    @staticmethod
    def weights(options: Whisper30sOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: Whisper30sOptions) -> None:
        self.options = options
        self._model = whisper(options.model, options.compute_type, options.threads)

    def transcribe(self, audio: NDArray[np.float32], language: str | None, fallback: str | None = None) -> Transcript:
        step = int(self.options.chunk_s * RATE)
        chunks = [(at, audio[at : at + step]) for at in range(0, len(audio), step)]
        sounding = [(at, c) for at, c in chunks if np.any(np.abs(c) > _SILENT)]
        if not sounding:
            return Transcript((), None, 0.0)
        sure = 1.0
        if language is None:
            language, sure = guessed(self._model, sounding[0][1], fallback, self.options.trust_language)
        rows = [self._row(at, chunk, language) for at, chunk in sounding]
        segments = tuple(r for r in rows if r)
        return Transcript(segments, language, sure) if segments else Transcript((), None, 0.0)

    def _row(self, at: int, chunk: NDArray[np.float32], language: str) -> Segment | None:
        found, _ = self._model.transcribe(
            chunk,
            language=language,
            beam_size=self.options.beam_size,
            without_timestamps=True,
            word_timestamps=False,
            vad_filter=False,
            condition_on_previous_text=False,
        )
        parts = list(found)
        text = " ".join(" ".join(str(p.text) for p in parts).split())
        if not text:
            return None
        return Segment(
            at / RATE,
            (at + len(chunk)) / RATE,
            text,
            (),
            language,
            None,
            float(np.mean([p.avg_logprob for p in parts])),
            float(max(p.no_speech_prob for p in parts)),
            float(max(p.compression_ratio for p in parts)),
        )
