"""Lines of text over frames become text tracks: paragraphs with the interval in which they stay on screen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import Field
from rapidfuzz import fuzz

from ..store.options import Options
from ..store.records import Box, TextLine, TextTrack, iou


class TrackOptions(Options):
    """``same_text``: likeness (0..100) from which two readings are one text; ``same_text_moved``: where it moved.
    ``bridge``: seconds that a text may be missed.  ``once_confidence``: a text seen in one frame only needs this much.
    ``line_gap``: lines closer than this many line heights, set flush left or centred alike, are one paragraph.
    """

    same_text: float = Field(85, ge=0, le=100)
    same_text_moved: float = Field(95, ge=0, le=100)
    bridge: float = Field(1.5, ge=0)
    once_confidence: float = Field(0.75, ge=0, le=1)
    line_gap: float = Field(0.3, ge=0)


def paragraphs(lines: Sequence[TextLine], line_gap: float) -> list[TextLine]:
    """Lines in reading order, those that belong together joined into one."""
    done: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda x: (round(x.box[1], 2), x.box[0])):
        for group in done:
            if _continues(group[-1].box, line.box, line_gap):
                group.append(line)
                break
        else:
            done.append([line])
    return [_joined(g) for g in done]


def _continues(above: Box, below: Box, line_gap: float) -> bool:
    height, other = above[3] - above[1], below[3] - below[1]
    gap = below[1] - above[3]
    if not 0.7 < other / max(height, 1e-6) < 1.43 or not -0.4 * height < gap < line_gap * height:
        return False
    flush = abs(above[0] - below[0]) < 0.8 * height
    centred = abs((above[0] + above[2]) - (below[0] + below[2])) / 2 < 0.8 * height
    return flush or centred


def _joined(group: Sequence[TextLine]) -> TextLine:
    boxes = [g.box for g in group]
    box = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
    return TextLine(" ".join(g.text for g in group), min(g.confidence for g in group), box)


@dataclass(slots=True)
class _Open:
    start: float
    end: float
    box: Box
    texts: Counter[str] = field(default_factory=Counter)
    confidence: dict[str, float] = field(default_factory=dict)
    sightings: int = 0

    def see(self, line: TextLine, end: float) -> None:
        self.end, self.box = end, line.box
        self.sightings += 1
        self.texts[line.text] += 1
        self.confidence[line.text] = max(line.confidence, self.confidence.get(line.text, 0.0))

    @property
    def text(self) -> str:
        """The reading seen most often; of equals the surest."""
        return max(self.texts, key=lambda t: (self.texts[t], self.confidence[t]))


class Tracker:
    """Takes the lines of each kept frame in order, gives back finished tracks."""

    def __init__(self, options: TrackOptions) -> None:
        self.options = options
        self._open: list[_Open] = []

    def add(self, start: float, end: float, lines: Sequence[TextLine]) -> list[TextTrack]:
        """Takes the lines that are on screen in ``[start, end)``; returns the tracks that are over."""
        free = list(self._open)
        for line in paragraphs(lines, self.options.line_gap):
            match = max((t for t in free if self._same(t, line)), key=lambda t: iou(t.box, line.box), default=None)
            if match is None:
                match = _Open(start, end, line.box)
                self._open.append(match)
            else:
                free.remove(match)
            match.see(line, end)
        over = [t for t in self._open if end - t.end > self.options.bridge or (t.end < start and not lines)]
        self._open = [t for t in self._open if t not in over]
        return self._finished(over)

    def finish(self) -> list[TextTrack]:
        """The tracks that were still on screen."""
        over, self._open = self._open, []
        return self._finished(over)

    def _finished(self, tracks: Sequence[_Open]) -> list[TextTrack]:
        return [
            TextTrack(t.start, t.end, t.text, t.confidence[t.text], t.box, t.sightings)
            for t in tracks
            if self._credible(t)
        ]

    def _credible(self, track: _Open) -> bool:
        """Texture now and then looks like a letter: one character alone must be a number, or seen surely and twice."""
        text, sure = track.text, track.confidence[track.text]
        if sum(c.isalnum() for c in text) < 2 and not text.strip().isdigit():
            return track.sightings > 1 and sure >= 0.9
        return track.sightings > 1 or sure >= self.options.once_confidence

    def _same(self, track: _Open, line: TextLine) -> bool:
        text = track.text
        if re.findall(r"\d+", text) != re.findall(r"\d+", line.text):
            return False  # one digit is another number, however alike the rest
        likeness = fuzz.ratio(text.replace(" ", "").lower(), line.text.replace(" ", "").lower())
        needed = self.options.same_text if iou(track.box, line.box) > 0.3 else self.options.same_text_moved
        return likeness >= needed
