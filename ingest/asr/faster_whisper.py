"""Whisper (Radford et al., 2022) through faster-whisper and CTranslate2: no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...store.engines import EngineOptions
from ...store.records import Segment, Span, Word
from . import Transcript
from .ctranslate import RATE, whisper

_VOICE = {"threshold": 0.5, "min_silence_duration_ms": 100, "speech_pad_ms": 100}
"""How :attr:`Transcript.voiced` is found: much closer to the voice than what is cut out for recognition."""


class FasterWhisperOptions(EngineOptions):
    """``model``: a weights reference, a folder, or ``hf:Systran/faster-whisper-small`` and the like.

    ``beam_size``: wider is better and slower.  ``vad``: leave silence out (without it silence becomes words).
    ``min_silence_ms``: pauses shorter than this stay inside a stretch of speech.  ``trust_language``: a guessed
    language less probable than this gives way to that of the sound before.
    """

    model: str = "whisper-base-ct2"
    compute_type: str = "int8"
    beam_size: int = Field(5, ge=1, le=20)
    vad: bool = True
    min_silence_ms: int = Field(500, ge=100, le=10_000)
    trust_language: float = Field(0.7, ge=0, le=1)
    initial_prompt: str | None = None


class FasterWhisper:
    """faster-whisper with its Silero voice activity detection."""

    Options = FasterWhisperOptions
    requires = ("faster_whisper", "ctranslate2")
    extra = "ingest"

    @staticmethod
    def weights(options: FasterWhisperOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: FasterWhisperOptions) -> None:
        self.options = options
        self._model = whisper(options.model, options.compute_type, options.threads)

    def transcribe(self, audio: NDArray[np.float32], language: str | None, fallback: str | None = None) -> Transcript:
        found, info = self._run(audio, language)
        sure = float(info.language_probability)
        if language is None and fallback and sure < self.options.trust_language and info.language != fallback:
            found, info = self._run(audio, fallback)
        segments = tuple(_segment(s, info.language) for s in found)
        if not segments:
            return Transcript((), None, 0.0)
        return Transcript(segments, info.language, sure, _voiced(audio))

    def _run(self, audio: NDArray[np.float32], language: str | None) -> tuple[Any, Any]:
        """A lazy iterator of segments, and what is known before the first is decoded."""
        return self._model.transcribe(  # type: ignore[no-any-return]
            audio,
            language=language,
            beam_size=self.options.beam_size,
            word_timestamps=True,
            vad_filter=self.options.vad,
            vad_parameters={"min_silence_duration_ms": self.options.min_silence_ms},
            condition_on_previous_text=False,
            initial_prompt=self.options.initial_prompt,
        )


def _voiced(audio: NDArray[np.float32]) -> tuple[Span, ...]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    found = get_speech_timestamps(audio, VadOptions(**_VOICE))
    return tuple(Span(s["start"] / RATE, s["end"] / RATE) for s in found)


def _segment(raw: Any, language: str) -> Segment:
    words: list[Word] = []
    for w in raw.words or ():
        text, start, end, sure = str(w.word), float(w.start), float(w.end), float(w.probability)
        if words and not text.startswith(" ") and words[-1].text[-1:].isascii() and text[:1].isascii():
            last = words[-1]  # "o" + "'clock" is one word
            words[-1] = Word(last.start, end, last.text + text, min(last.probability, sure))
        elif text.strip():
            words.append(Word(start, end, text.strip(), sure))
    return Segment(
        float(raw.start),
        float(raw.end),
        str(raw.text).strip(),
        tuple(words),
        language,
        None,
        float(raw.avg_logprob),
        float(raw.no_speech_prob),
        float(raw.compression_ratio),
    )
