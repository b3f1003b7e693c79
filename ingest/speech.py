"""The sound of a video becomes speech rows: cut at silences, recognised piece by piece, split into sentences.

Recognisers invent words where nobody speaks.  Rows that look invented are flagged, never dropped: whoever asks decides
whether to hear them.  Memory does not grow with length: one piece of sound is held at a time.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..store.options import Options
from ..store.records import Segment, Span, Word, moved
from ..store.sentences import ends_sentence
from . import memory
from .asr import SpeechRecogniser, Transcript

RATE = 16_000
_TELLING_S = 30
"""Seconds that tell a language."""


class SpeechOptions(Options):
    """``language``: ISO 639-1 code, or None to guess.  ``audio_track``: number of the sound track, from 1 on; 0 for the
    one on which somebody speaks (see :mod:`.sound_tracks`).  ``piece_s``: longest piece of sound recognised at once; it
    is cut at the quietest moment of its last quarter.  ``sentence_s``: longest row.  ``pause_s``: a pause that ends a
    row.

    A row is flagged as doubtful where

    - ``low_logprob``: its mean log probability lies below this (0 is sure; clear speech was measured at -0.2 to -0.6,
      words made of noise below -0.8);
    - ``no_speech``: the recogniser gives "nobody speaks" a probability above this, unless its mean log probability is
      ``sure_logprob`` or better (clear speech was seen at 0.41);
    - ``repetitive``: its own text is compressed by zlib by more than this factor;
    - ``repeats``: a phrase in it, or all of it, is said so often on end (a phrase only where that makes six words);
    - ``outside_vad``: a smaller share of its words' time than this lies where a voice was found (0: never).
    """

    language: str | None = Field(None, pattern=r"^[a-z]{2,3}$")
    audio_track: int = Field(0, ge=0, le=64)
    piece_s: float = Field(120, ge=10, le=1800)
    sentence_s: float = Field(15, ge=1)
    pause_s: float = Field(1.0, gt=0)
    low_logprob: float = Field(-0.8, le=0)
    no_speech: float = Field(0.6, ge=0, le=1)
    sure_logprob: float = Field(-0.5, le=0)
    repetitive: float = Field(2.4, gt=0)
    repeats: int = Field(3, ge=2, le=100)
    outside_vad: float = Field(0.3, ge=0, le=1)


def pieces(blocks: Iterable[NDArray[np.float32]], piece_s: float) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """``(start, samples)`` of pieces of at most ``piece_s`` seconds, cut where it is quietest near their end."""
    limit = int(piece_s * RATE)
    held: list[NDArray[np.float32]] = []
    size, start = 0, 0
    for block in blocks:
        held.append(block)
        size += len(block)
        while size >= limit:
            sound = np.concatenate(held)
            cut = _quietest(sound[:limit])
            yield start / RATE, sound[:cut]
            held, size, start = [sound[cut:]], len(sound) - cut, start + cut
    if size:
        yield start / RATE, np.concatenate(held)


def _quietest(sound: NDArray[np.float32]) -> int:
    """The middle of the quietest 0.4 s in the last quarter, as a sample number."""
    first, window = len(sound) * 3 // 4, int(0.4 * RATE)
    power = np.cumsum(np.square(sound[first:], dtype=np.float64))
    if len(power) <= window:
        return len(sound)
    return first + int(np.argmin(power[window:] - power[:-window])) + window // 2


def recognise(
    blocks: Iterable[NDArray[np.float32]], engine: SpeechRecogniser, options: SpeechOptions
) -> Iterator[Segment]:
    """Speech rows in order, seconds from the container's start, with the reasons to distrust them."""
    return loops_flagged(_recognised(blocks, engine, options), options)


def _recognised(
    blocks: Iterable[NDArray[np.float32]], engine: SpeechRecogniser, options: SpeechOptions
) -> Iterator[Segment]:
    for start, found in transcripts(blocks, engine, options):
        heard = [settled(s, found.voiced, options.pause_s) for s in found.segments]
        for row in sentences(heard, options):
            yield moved(flagged(row, options, found.voiced), start)
        memory.give_back()


def transcripts(
    blocks: Iterable[NDArray[np.float32]],
    engine: SpeechRecogniser,
    options: SpeechOptions,
    start: float = 0.0,
    end: float = float("inf"),
) -> Iterator[tuple[float, Transcript]]:
    """What is heard in each piece that begins in ``[start, end)``, with the second at which it begins.

    Of the piece before only the end is heard, for the language that a doubtful guess falls back to.
    """
    language: str | None = None
    for at, sound in pieces(blocks, options.piece_s):
        if at >= end:
            return
        if at < start - options.piece_s or not np.any(np.abs(sound) > 1e-4):
            continue  # nobody asks for it, or digital silence: nothing to recognise
        heard = sound if at >= start else sound[-_TELLING_S * RATE :]
        found = engine.transcribe(heard, options.language, fallback=language)
        if found.language and found.confidence >= 0.7:
            language = found.language
        if at >= start:
            yield at, found


def settled(segment: Segment, voiced: Sequence[Span] | None, pause_s: float) -> Segment:
    """Moves words to where they are spoken that were dated before the pause in front of them, whole or in part.

    A recogniser that hears the sound without its pauses may put the first word after one at the end of what was said
    before it, where nobody speaks.
    """
    words = [_begun(w, voiced) for w in segment.words]
    for i in reversed(range(len(words) - 1)):
        word, after = words[i], words[i + 1]
        if voiced is not None and after.start - word.end >= pause_s and _share([word], voiced) < 0.5:
            length = min(word.end - word.start, 0.3)
            words[i] = dataclasses.replace(word, start=after.start - length, end=after.start)
    return dataclasses.replace(segment, words=tuple(words)) if words else segment


def _begun(word: Word, voiced: Sequence[Span] | None) -> Word:
    """The word from where its voice begins, should it be dated into the silence before."""
    for voice in voiced or ():
        if word.start < voice.start < word.end:
            return dataclasses.replace(word, start=voice.start)
        if voice.start <= word.start < voice.end:
            break
    return word


def sentences(segments: Sequence[Segment], options: SpeechOptions) -> list[Segment]:
    """Segments as rows of about a sentence: cut after sentence ends, at long pauses, and where a row grows too long.

    A recogniser's segments end anywhere; what belongs to one sentence is joined again.  Segments without word times
    stay as they are.
    """
    rows: list[list[tuple[Word, Segment]]] = []
    out: list[Segment] = []
    for segment in segments:
        if not segment.words:
            out += [_row(r) for r in rows] + [segment]
            rows = []
        for word in segment.words:
            if not rows or _breaks(rows[-1], word, segment, options):
                rows.append([])
            rows[-1].append((word, segment))
    return out + [_row(r) for r in rows]


def _breaks(row: Sequence[tuple[Word, Segment]], word: Word, segment: Segment, options: SpeechOptions) -> bool:
    """True where ``word`` starts a new row after ``row``."""
    last, of = row[-1]
    if of.language != segment.language or word.end - row[0][0].start > options.sentence_s:
        return True
    if ends_sentence(last.text):
        return True
    pause = word.start - last.end  # times around a pause are stretched: a few words are no row of their own
    return (pause >= options.pause_s and len(row) >= 4) or pause >= 3 * options.pause_s


_UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue"})


def _row(row: Sequence[tuple[Word, Segment]]) -> Segment:
    """One row of words; where they come from several segments, the most doubtful one speaks for all."""
    words = tuple(w for w, _ in row)
    of = min((s for _, s in row), key=lambda s: s.avg_logprob if s.avg_logprob is not None else 0.0)
    text = ("" if of.language in _UNSPACED else " ").join(w.text for w in words).strip()
    return dataclasses.replace(of, start=words[0].start, end=words[-1].end, text=text, words=words)


def flagged(segment: Segment, options: SpeechOptions, voiced: Sequence[Span] | None = None) -> Segment:
    """Names the reasons to distrust a row; the row itself stays.  ``voiced``: see :class:`~.asr.Transcript`."""
    sure = segment.avg_logprob
    doubts = {
        "no_speech": segment.no_speech_prob is not None
        and segment.no_speech_prob > options.no_speech
        and (sure is None or sure < options.sure_logprob),
        "low_logprob": sure is not None and sure < options.low_logprob,
        "repetitive": _compressed(segment.text) > options.repetitive,
        "repeated": _repeats(_tokens(segment.text), options.repeats),
        "outside_vad": voiced is not None and _share(segment.words or [segment], voiced) < options.outside_vad,
    }
    flags = tuple(name for name, doubtful in doubts.items() if doubtful)
    return dataclasses.replace(segment, flags=flags) if flags else segment


def _compressed(text: str) -> float:
    """By which factor zlib compresses a text.

    A recogniser's own figure is that of all it heard in 30 s: a jingle that comes twice there makes every sentence
    beside it look like a loop.
    """
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


_WIDE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff"  # scripts that put no space between words
_TOKEN = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+")


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.casefold())


def _repeats(words: Sequence[str], times: int) -> bool:
    """True where a phrase of at most 12 words is said ``times`` on end and that makes six words or more."""
    for n in range(1, min(12, len(words) // times) + 1):
        run = 0  # words that are the same as n words before
        for word, before in zip(words[n:], words, strict=False):
            run = run + 1 if word == before else 0
            if run + n >= max(n * times, 6):
                return True
    return False


def _share(heard: Sequence[Word | Segment], voiced: Sequence[Span]) -> float:
    """The share of the time of words, or of a row without any, that lies in ``voiced``."""
    whole = sum(x.end - x.start for x in heard)
    inside = sum(max(0.0, min(x.end, v.end) - max(x.start, v.start)) for x in heard for v in voiced)
    return inside / whole if whole > 0 else 1.0


_LONGEST_LOOP = 3
"""Rows that a loop goes through before it begins again."""


def loops_flagged(rows: Iterable[Segment], options: SpeechOptions) -> Iterator[Segment]:
    """Flags rows that say the same again and again, which nobody does; holds back only such a run."""
    held, said, period = list[Segment](), list[list[str]](), 0
    for row in rows:
        tokens = _tokens(row.text)
        if period and tokens != said[-period]:
            yield from _looped(held, period, options.repeats)
            held, said, period = [], [], 0
        held.append(row)
        said.append(tokens)
        if period:
            continue
        period = next((p for p in range(1, min(_LONGEST_LOOP, len(said) - 1) + 1) if said[-1 - p] == tokens), 0)
        before = len(held) - 1 - (period or _LONGEST_LOOP)
        if before > 0:
            yield from held[:before]
            held, said = held[before:], said[before:]
    yield from _looped(held, period, options.repeats)


def _looped(run: Sequence[Segment], period: int, times: int) -> Iterator[Segment]:
    for row in run:
        again = period > 0 and len(run) >= times * period and "repeated" not in row.flags
        yield dataclasses.replace(row, flags=(*row.flags, "repeated")) if again else row
