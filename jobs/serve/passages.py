"""Stored rows of a video as text that a program or a model can read: transcripts, and what is around a moment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...store.archive.shard import Shard
from ...store.errors import UsageError
from ...store.records import PERCEIVED, Segment, TextTrack, clock
from ..library import Library
from ..printing import how
from . import links

_AROUND_S = 60.0
"""Seconds before and after a moment that are told with it."""
_LONGEST = 50_000
_ID = re.compile(r"([0-9a-f]{4,64})(?::(speech|text|frame):(\d{1,9})|@(\d{1,9}(?:\.\d{1,3})?))?")


@dataclass(frozen=True, slots=True)
class Addresses:
    """``base``: the address of the server, without a slash at the end; empty where there is none."""

    base: str = ""

    def moment(self, video: str, start: float | None = None, end: float | None = None) -> str:
        """The page of a video at a moment; where no server shows pages, the name of the resource."""
        page = links.moment(video, start, end)
        return f"{self.base}{page}" if self.base else f"vidrag://videos/{page.removeprefix('/v/')}"

    def picture(self, video: str, time: float) -> str:
        """The name of the resource that is the picture on screen at ``time``."""
        return f"vidrag://videos/{video}/frame/{time:.2f}"


@dataclass(frozen=True, slots=True)
class Passage:
    """A moment of a video, ``kind`` of it empty for a time or a whole video, and what is around it as ``text``."""

    shard: Shard
    kind: str
    start: float
    end: float
    text: str
    speaker: str | None = None
    doubts: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.shard.name} {clock(self.start)}"


def row_id(video: str, kind: str, row: int) -> str:
    """Names a row: ``VIDEO:speech:12``."""
    return f"{video}:{kind}:{row}"


def passage(library: Library, name: str) -> Passage:
    """What an id stands for: a row (``VIDEO:speech:12``), a time (``VIDEO@12.2``) or a whole video.

    Raises :class:`~vidrag.store.errors.UsageError` where there is nothing of that name.
    """
    found = _ID.fullmatch(name.strip())
    if found is None:
        raise UsageError(f"'{name[:80]}' is no id; take one from a search, for example 0123456789abcdef:speech:12")
    video, kind, row, time = found.groups()
    shard = library.shard(video)
    if kind is not None:
        return _of_row(shard, kind, int(row))
    if time is not None:
        at = float(time)
        return Passage(shard, "", at, at, around(shard, at, at))
    end = shard.manifest.duration
    return Passage(shard, "", 0.0, end, around(shard, 0.0, end))


def _of_row(shard: Shard, kind: str, row: int) -> Passage:
    rows: Sequence[Segment | TextTrack] = shard.speech if kind == "speech" else shard.text
    if kind == "frame":
        if row >= len(shard.frames):
            raise UsageError(f"{shard.name} has no frame {row}; it has {len(shard.frames)}")
        start, end = shard.frames[row].start, shard.frames[row].end
        seen = shard.labels[row].caption.removeprefix("a photo of ") if row < len(shard.labels) else ""
        return Passage(shard, kind, start, end, f"{PERCEIVED['frame']}: {seen}\n\n{around(shard, start, end)}")
    if row >= len(rows):
        raise UsageError(f"{shard.name} has no {kind} row {row}; it has {len(rows)}")
    one = rows[row]
    speaker, doubts = (one.speaker, one.flags) if isinstance(one, Segment) else (None, ())
    text = f"{how(kind, speaker, bool(doubts))}: {one.text}\n\n{around(shard, one.start, one.end)}"
    return Passage(shard, kind, one.start, one.end, text, speaker, doubts)


def around(shard: Shard, start: float, end: float) -> str:
    """What is said and written from a minute before ``start`` to a minute after ``end``, a line each."""
    first, last = start - _AROUND_S, end + _AROUND_S
    kinds: tuple[tuple[str, Sequence[Segment | TextTrack]], ...] = (("speech", shard.speech), ("text", shard.text))
    rows = sorted(
        ((r.start, kind, r) for kind, own in kinds for r in own if r.end > first and r.start < last),
        key=lambda found: found[:2],
    )
    lines, size = [f"{shard.name}, {clock(max(0.0, first))} to {clock(min(last, shard.manifest.duration))}:"], 0
    for _, kind, row in rows:
        lines.append(line(kind, row))
        size += len(lines[-1])
        if size > _LONGEST:
            lines.append(f"(cut here; ask for the transcript from {clock(row.end)} on)")
            break
    return "\n".join(lines)


def transcript(shard: Shard, start: float, end: float | None, kinds: Sequence[str], most: int) -> Rows:
    """What is said (``speech``) and written (``text``) between two times, at most ``most`` rows."""
    rows = sorted(_between(shard, start, end, kinds), key=lambda r: (r[1].start, r[0]))
    return Rows(rows[:most], rows[most][1].start if len(rows) > most else None)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with their kinds, and the time of the next one, None at the end."""

    rows: Sequence[tuple[str, Segment | TextTrack]]
    next: float | None


def _between(
    shard: Shard, start: float, end: float | None, kinds: Sequence[str]
) -> Iterator[tuple[str, Segment | TextTrack]]:
    for kind in dict.fromkeys(kinds):
        if kind not in ("speech", "text"):
            raise UsageError(f"a transcript has no '{kind}'; known are speech and text")
        own: Sequence[Segment | TextTrack] = shard.speech if kind == "speech" else shard.text
        yield from ((kind, r) for r in own if r.end > start and (end is None or r.start < end))


def line(kind: str, row: Segment | TextTrack) -> str:
    """``00:12 said by Anna: ...``"""
    speaker, doubts = (row.speaker, row.flags) if isinstance(row, Segment) else (None, ())
    return f"{clock(row.start)} {how(kind, speaker, bool(doubts))}: {' '.join(row.text.split())}"
