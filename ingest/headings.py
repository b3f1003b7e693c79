"""What a chapter is called, which words tell it from the others, and which rows stand for it.  Nothing is made up:
titles are lines from the screen, sentences that were said, or names of what is seen.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..store.records import Chapter, FrameLabels, Moment, Segment, Span, TextTrack
from ..store.words import STOP, plain, split

TITLE = 80
"""Characters of the longest title."""
_TERMS = 6
_EARLY_S = 0.75
_SHORT_FORM = re.compile(r"\b\w+['’](?:t|re|ve|ll|d|m)\b")
_WIDE = 16 / 9
Row = TypeVar("Row", Segment, TextTrack)


@dataclass(frozen=True, slots=True)
class Material:
    """What a video holds, in order of time; doubtful speech left out.  ``seconds``: its length."""

    seconds: float
    speech: Sequence[Segment]
    text: Sequence[TextTrack]
    labels: Sequence[FrameLabels]


def telling(text: str) -> list[str]:
    """The words of a text that may tell one chapter from another."""
    whole = _SHORT_FORM.sub(" ", plain(text))
    return [w for w in split(whole) if w not in STOP and not w.isdigit() and (len(w) > 2 or not w.isascii())]


def subtitle_like(track: TextTrack) -> bool:
    """Lines low in the picture that do not stay: subtitles burned in, which are no headings."""
    return track.box[1] > 0.75 and track.end - track.start < 8


def standing(track: TextTrack, seconds: float) -> bool:
    """A logo or a running title: on screen for most of the video, so that it heads no part of it, only the whole."""
    return track.end - track.start > 0.7 * seconds


def headed(spans: Sequence[Span], material: Material) -> list[Chapter]:
    """The chapters that lie in ``spans``, which follow on each other."""
    speech = _shared_out(material.speech, spans)
    whole = len(spans) == 1
    screen = _shared_out([t for t in material.text if whole or not standing(t, material.seconds)], spans)
    used = [
        Counter(w for text in dict.fromkeys([*(s.text for s in said), *(t.text for t in read)]) for w in telling(text))
        for said, read in zip(speech, screen, strict=True)
    ]
    spread = Counter(w for words in used for w in words)
    rare = {w: math.log(1 + len(spans) / n) for w, n in spread.items()}
    return [_chapter(*parts, rare, material.labels) for parts in zip(spans, speech, screen, used, strict=True)]


def _shared_out(rows: Sequence[Row], spans: Sequence[Span]) -> list[list[Row]]:
    """The rows of each chapter: those that begin in it, or so little before that they mean it."""
    out: list[list[Row]] = [[] for _ in spans]
    starts = [s.start for s in spans]
    for row in rows:
        at = min(row.start + _EARLY_S, (row.start + row.end) / 2)
        out[max(0, bisect_right(starts, at) - 1)].append(row)
    return out


def _chapter(
    span: Span,
    speech: Sequence[Segment],
    screen: Sequence[TextTrack],
    used: Counter[str],
    rare: Mapping[str, float],
    labels: Sequence[FrameLabels],
) -> Chapter:
    value = {w: n * rare[w] for w, n in used.items()}
    line = _heading(span, screen)
    said = max(speech, key=lambda s: (_worth(s.text, value), -s.start), default=None)
    others = [t for t in screen if t is not line and not subtitle_like(t)]
    read = max(others, key=lambda t: (_worth(t.text, value), -t.start), default=None)
    if line:
        title, source = line.text, "screen"
    elif said and telling(said.text):
        title, source = said.text, "speech"
    elif seen := _seen(span, labels):
        title, source = seen, "picture"
    elif said:
        title, source = said.text, "speech"
    else:
        title, source = "", "none"
    moments = [
        *([Moment("text", line.start, line.end)] if line else []),
        *([Moment("speech", said.start, said.end)] if said else []),
        *([Moment("text", read.start, read.end)] if read else []),
    ]
    best = sorted(value, key=lambda w: (-value[w], w))[:_TERMS]
    return Chapter(span.start, span.end, shortened(title), source, tuple(best), tuple(dict.fromkeys(moments)))


def _worth(text: str, value: Mapping[str, float]) -> float:
    """How much of what tells the chapter from others (term frequency times inverse document frequency, Sparck Jones
    1972) a row says for its length.
    """
    words = telling(text)
    return sum(value.get(w, 0.0) for w in set(words)) / math.sqrt(3 + len(words))


def _heading(span: Span, screen: Sequence[TextTrack]) -> TextTrack | None:
    """The most prominent line that comes up at the beginning: large, high up, there to be read."""
    window = max(10.0, 0.25 * (span.end - span.start))
    fit = [t for t in screen if t.start < span.start + window and _legible(t) and not subtitle_like(t)]
    return max(fit, key=lambda t: (_prominence(t, span, window), -t.start, -t.box[1]), default=None)


def _legible(track: TextTrack) -> bool:
    """Two words or more, or one that was read surely: an address or a scrap of a label heads nothing."""
    words, letters = track.text.split(), sum(c.isalpha() for c in track.text)
    if letters < 0.5 * len("".join(words)) or (len(words) == 1 and not words[0].strip(".:!?").isalpha()):
        return False
    return track.confidence >= (0.7 if len(words) > 1 and letters > 5 else 0.9) and (
        letters > 3 or (letters > 1 and not track.text.isascii())
    )


def _prominence(track: TextTrack, span: Span, window: float) -> float:
    x0, y0, x1, y1 = track.box
    height = max(0.0, y1 - y0)
    line = math.sqrt(max(0.0, x1 - x0) * _WIDE * height / (0.5 * len(track.text)))  # of one line of a paragraph
    stays = min(1.0, (track.end - track.start) / 3)
    late = max(0.0, track.start - span.start) / window
    return min(height, line) * (1.3 if y0 < 0.35 else 1.0) * (0.3 + 0.7 * stays) * (1 - 0.6 * late)


def _seen(span: Span, labels: Sequence[FrameLabels]) -> str:
    """The names of what the frames of a chapter show most, by their summed scores."""
    scores: Counter[str] = Counter()
    for frame in labels:
        if span.start <= frame.start < span.end:
            for label in frame.labels:
                scores[label.name] += label.score  # type: ignore[assignment]
    return ", ".join(sorted(scores, key=lambda n: (-scores[n], n))[:3])


def shortened(text: str) -> str:
    """One line of at most :data:`TITLE` characters, cut between words."""
    line = " ".join(text.split())
    if len(line) <= TITLE:
        return line
    cut = line[: TITLE - 1]
    return (cut[: cut.rfind(" ")] if " " in cut[TITLE // 2 :] else cut).rstrip(" ,;:") + "…"
