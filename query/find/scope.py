"""What a search is narrowed to: videos, a stretch of their time, a language, a speaker, the day of recording."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from ...store.archive.manifest import Manifest
from ...store.archive.shard import Shard
from ...store.errors import UsageError
from ...store.records import clock
from ..text.words import language_of
from .rows import Row, RowSet

_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """``videos``: names or ids (None: all); ``start`` and ``end``: seconds of each video; ``language``: ISO 639-1 code
    of the rows; ``speaker``: a part of a name; ``since`` and ``until``: days of recording, both included.
    """

    videos: Sequence[str] | None = None
    start: float | None = None
    end: float | None = None
    language: str | None = None
    speaker: str | None = None
    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        """Raises :class:`~vidrag.store.errors.UsageError` for what can hold nothing."""
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise UsageError(f"--from {clock(self.start)} --to {clock(self.end)}: the end is not after the start")
        if self.since and self.until and self.until < self.since:
            raise UsageError(f"--since {self.since} --until {self.until}: the last day is before the first")

    def shards(self, shards: Sequence[Shard]) -> list[bool]:
        """Which videos were recorded on one of the days and reach the time; raises
        :class:`~vidrag.store.errors.UsageError` where none does.
        """
        days = [recorded(s.manifest) for s in shards]
        kept = [
            (not self.since or (d is not None and d >= self.since))
            and (not self.until or (d is not None and d <= self.until))
            for d in days
        ]
        if not any(kept):
            known = sorted(d for d in days if d)
            told = f"they are from {known[0]} to {known[-1]}" if known else "no day of recording is known"
            raise UsageError(f"no video was recorded on these days; {told}")
        longest = max(s.manifest.duration for s, k in zip(shards, kept, strict=True) if k)
        if self.start is not None and self.start >= longest:
            raise UsageError(f"--from {clock(self.start)}: lies beyond the end; the longest video has {clock(longest)}")
        return kept

    def rows(self, rows: RowSet) -> NDArray[np.bool_]:
        """Which rows may be found, bool ``(len(rows),)``; raises :class:`~vidrag.store.errors.UsageError` for a speaker
        or a language that no row has.
        """
        kept = self.shards(rows.shards)
        inside = np.array([kept[r.shard] and self.holds(r.start, r.end) for r in rows.rows], bool)
        if self.speaker is not None:
            wanted = self.speaker.casefold().strip()
            own = np.array([wanted in (r.speaker or "").casefold() for r in rows.rows], bool)
            _known("speaker", self.speaker, own, sorted({r.speaker for r in rows.rows if r.speaker}))
            inside &= own
        if self.language is not None:
            told = [_language(r) for r in rows.rows]
            own = np.array([t == self.language.casefold() for t in told], bool)
            _known("language", self.language, own, sorted({t for t in told if t}))
            inside &= own
        return inside

    def holds(self, start: float, end: float) -> bool:
        """Whether ``[start, end)`` meets the stretch of time."""
        return end > (self.start or 0.0) and (self.end is None or start < self.end)


def seconds_of(name: str, text: str | None) -> float | None:
    """Seconds of ``90``, ``1:30`` or ``1:02:30``; ``name``: what the user calls them, for the message."""
    if text is None:
        return None
    if not re.fullmatch(r"(?:\d{1,4}:)?(?:\d{1,4}:)?\d{1,6}(?:\.\d+)?", text):
        raise UsageError(f"{name} {text[:50]}: give seconds or a clock time, for example 90, 1:30 or 1:02:30")
    return sum(float(part) * 60.0**i for i, part in enumerate(reversed(text.split(":"))))


def day_of(name: str, text: str | None) -> date | None:
    """The day of ``2024-06-30``; ``name``: what the user calls it, for the message."""
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} {text[:50] if text else text}: give a day as YYYY-MM-DD") from None


def _language(row: Row) -> str | None:
    return row.language or language_of(row.text)


def _known(what: str, wanted: str, found: NDArray[np.bool_], known: Sequence[str]) -> None:
    if not found.any():
        told = f"known are {', '.join(known[:10])}" if known else f"no {what} is known"
        raise UsageError(f"no row has the {what} '{wanted}'; {told}")


def recorded(manifest: Manifest) -> date | None:
    """The day on which a video was recorded: as its container says, else as its name does; None where neither does."""
    for text in (manifest.recorded or "", *manifest.source.names):
        if day := _DAY.search(text):
            try:
                return date(int(day[1]), int(day[2]), int(day[3]))
            except ValueError:
                continue
    return None
