"""Whisper (Radford et al., 2022) through faster-whisper and CTranslate2: no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...store.engines import EngineOptions, denormals
from ...store.records import Segment, Span, Word, moved
from . import Transcript
from .ctranslate import RATE, guessed, whisper

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
    requires = ("faster_whisper", "ctranslate2", "onnxruntime")
    extra = "ingest"

    @staticmethod
    def weights(options: FasterWhisperOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: FasterWhisperOptions) -> None:
        self.options = options
        self._model = whisper(options.model, options.compute_type, options.threads)
        self._model.model = self._languages = _Languages(self._model.model, options.trust_language)

    @denormals.as_zero()
    def transcribe(self, audio: NDArray[np.float32], language: str | None, fallback: str | None = None) -> Transcript:
        guess = language is None and self._model.model.is_multilingual
        self._languages.begin(language or fallback)
        found = self._windows(audio, language, guess)
        sure = self._languages.sure if guess else 1.0
        if not found:
            return Transcript((), None, 0.0)
        voiced = _voiced(audio)
        if guess:
            found = self._each_in_its_own(audio, found, voiced)
        return Transcript(tuple(s for w in found for s in w), found[-1][-1].language, sure, voiced)

    def _windows(self, audio: NDArray[np.float32], language: str | None, guess: bool) -> list[list[Segment]]:
        """Segments, those that were decoded together in one list."""
        found: dict[int, list[Segment]] = {}
        for raw in self._run(audio, language, guess):
            found.setdefault(raw.seek, []).append(_segment(raw, self._languages.now))
        return list(found.values())

    def _each_in_its_own(
        self, audio: NDArray[np.float32], found: list[list[Segment]], voiced: Sequence[Span]
    ) -> list[list[Segment]]:
        """Mends windows in which two languages are spoken: Whisper writes one of them and leaves the other out.

        What has a voice and no words is listened to by itself.  Where it is in another language it is decoded, and the
        rest of its window again, should that be in another language than was taken for the whole.
        """
        out = list(found)
        for gap in _missed(found, voiced):
            before = max((w for w in found if w[0].start < gap.start), key=lambda w: w[0].start, default=None)
            used = (before or found[0])[0].language
            other = self._language_of(audio, gap)
            if other is None:
                continue
            if before:
                spoken = Span(before[0].start, min(before[-1].end, gap.start))
                own = self._language_of(audio, spoken) or used
                if used == own == other:
                    continue
                if before in out and own != used:
                    out.remove(before)
                    out += self._windows_of(audio, spoken, own)
            elif other == used:
                continue
            out += self._windows_of(audio, gap, other)
        return sorted(out, key=lambda w: w[0].start)

    def _language_of(self, audio: NDArray[np.float32], span: Span) -> str | None:
        """The language of a stretch by itself; None where that is doubtful."""
        found, sure = guessed(self._model, _cut(audio, span), None, 0.0)
        return found if sure >= self.options.trust_language else None

    def _windows_of(self, audio: NDArray[np.float32], span: Span, language: str | None) -> list[list[Segment]]:
        self._languages.begin(language)
        found = self._windows(_cut(audio, span), language, False)
        return [[moved(s, span.start) for s in window] for window in found]

    def _run(self, audio: NDArray[np.float32], language: str | None, guess: bool) -> Any:
        """Segments, each decoded when it is asked for; with ``guess`` each window of 30 s has its own language."""
        found, _ = self._model.transcribe(
            audio,
            language=language or "en",
            multilingual=guess,
            beam_size=self.options.beam_size,
            word_timestamps=True,
            vad_filter=self.options.vad,
            vad_parameters={"min_silence_duration_ms": self.options.min_silence_ms},
            condition_on_previous_text=False,
            initial_prompt=self.options.initial_prompt,
        )
        return found


class _Languages:
    """Stands before the model and settles which language a window is in: a doubtful guess gives way to the language
    before it.  ``now`` is that of the window decoded last, ``sure`` how probable it was.
    """

    def __init__(self, model: Any, trust: float) -> None:
        self._model, self._trust = model, trust
        self.now: str | None = None
        self.sure = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def begin(self, language: str | None) -> None:
        """``language``: what a doubtful first window is taken to be in."""
        self.now, self.sure = language, 0.0

    def detect_language(self, encoded: Any) -> Any:
        best, self.sure = self._model.detect_language(encoded)[0][0]
        if self.now is None or self.sure >= self._trust:
            self.now = best[2:-2]
        return [[(f"<|{self.now}|>", self.sure)]]


_MISSED_S = 3.0
"""Seconds of voice without words that are worth another look."""


def _missed(found: Sequence[Sequence[Segment]], voiced: Sequence[Span]) -> list[Span]:
    """Stretches with a voice of which nothing was written, pauses of up to a second within them."""
    heard = [Span(s.start - 0.5, s.end + 0.5) for window in found for s in window]
    left = list[Span]()
    for voice in voiced:
        start = voice.start
        for taken in [h for h in heard if h.overlaps(voice)] + [Span(voice.end, voice.end)]:
            if taken.start > start:
                left.append(Span(start, taken.start))
            start = max(start, taken.end)
    joined = list[Span]()
    for span in left:
        if (
            joined
            and span.start - joined[-1].end <= 1.0
            and not any(h.start < span.start and h.end > joined[-1].end for h in heard)
        ):
            joined[-1] = Span(joined[-1].start, span.end)
        else:
            joined.append(span)
    return [s for s in joined if s.seconds >= _MISSED_S]


def _cut(audio: NDArray[np.float32], span: Span) -> NDArray[np.float32]:
    return audio[int(span.start * RATE) : int(span.end * RATE)]


def _voiced(audio: NDArray[np.float32]) -> tuple[Span, ...]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    found = get_speech_timestamps(audio, VadOptions(**_VOICE))
    return tuple(Span(s["start"] / RATE, s["end"] / RATE) for s in found)


def _segment(raw: Any, language: str | None) -> Segment:
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
