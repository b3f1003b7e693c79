"""The sound of a video becomes speech rows: cut at silences, recognised piece by piece, split into sentences.

Memory does not grow with length: one piece of sound is held at a time.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..store.engines import Options
from ..store.records import Segment, Word
from .asr import SpeechRecogniser

RATE = 16_000


class SpeechOptions(Options):
    """``language``: ISO 639-1 code, or None to guess.  ``piece_s``: longest piece of sound recognised at once; it is
    cut at the quietest moment of its last quarter.  ``sentence_s``: longest row.  ``pause_s``: a pause that ends a row.
    ``low_logprob``, ``repetitive``: beyond these a row is flagged as doubtful.
    """

    language: str | None = Field(None, pattern=r"^[a-z]{2,3}$")
    piece_s: float = Field(120, ge=10, le=1800)
    sentence_s: float = Field(15, ge=1)
    pause_s: float = Field(1.0, gt=0)
    low_logprob: float = Field(-1.0, le=0)
    repetitive: float = Field(2.4, gt=0)


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
    """Speech rows in order, seconds from the container's start."""
    language: str | None = None
    for start, sound in pieces(blocks, options.piece_s):
        if not np.any(np.abs(sound) > 1e-4):
            continue  # digital silence: nothing to recognise
        found = engine.transcribe(sound, options.language, fallback=language)
        if found.language and found.confidence >= 0.7:
            language = found.language
        for row in sentences(found.segments, options):
            yield flagged(shifted(row, start), options)


def shifted(segment: Segment, by: float) -> Segment:
    words = tuple(dataclasses.replace(w, start=w.start + by, end=w.end + by) for w in segment.words)
    return dataclasses.replace(segment, start=segment.start + by, end=segment.end + by, words=words)


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
    if _ENDS.search(last.text) and not _ABBREVIATION.fullmatch(last.text):
        return True
    pause = word.start - last.end  # times around a pause are stretched: a few words are no row of their own
    return (pause >= options.pause_s and len(row) >= 4) or pause >= 3 * options.pause_s


_ENDS = re.compile(r"[.!?。！？…]['\"”’)]*$")
_ABBREVIATION = re.compile(r"(?:[A-Z]|Mr|Mrs|Ms|Dr|St|No|vs)\.")
_UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue"})


def _row(row: Sequence[tuple[Word, Segment]]) -> Segment:
    """One row of words; where they come from several segments, the most doubtful one speaks for all."""
    words = tuple(w for w, _ in row)
    of = min((s for _, s in row), key=lambda s: s.avg_logprob if s.avg_logprob is not None else 0.0)
    text = ("" if of.language in _UNSPACED else " ").join(w.text for w in words).strip()
    return dataclasses.replace(of, start=words[0].start, end=words[-1].end, text=text, words=words)


def flagged(segment: Segment, options: SpeechOptions) -> Segment:
    """Names the reasons to distrust a row; the row itself stays."""
    flags = []
    if segment.avg_logprob is not None and segment.avg_logprob < options.low_logprob:
        flags.append("low_logprob")
    if segment.compression_ratio is not None and segment.compression_ratio > options.repetitive:
        flags.append("repetitive")
    return dataclasses.replace(segment, flags=tuple(flags)) if flags else segment
