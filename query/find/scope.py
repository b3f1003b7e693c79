"""What a search is narrowed to: videos, a stretch of their time, a language, a speaker, the day of recording."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...store.archive.archive import Archive
from ...store.archive.shard import Shard
from ...store.errors import UsageError
from ...store.records import clock
from ..text.words import language_of
from .row_words import Row
from .rows import RowSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """``videos``: names or ids (None: all); ``start`` and ``end``: seconds of each video; ``language``: ISO 639-1 code
    of the rows; ``speaker``: a part of a name; ``since`` and ``until``: days of recording, both included; ``folder``:
    one that the videos lie in or below, or some parts of its path; ``where``: a column of what their owner says of them
    and its text, each.
    """

    videos: Sequence[str] | None = None
    start: float | None = None
    end: float | None = None
    language: str | None = None
    speaker: str | None = None
    since: date | None = None
    until: date | None = None
    folder: str | None = None
    where: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        """Raises :class:`~vidrag.store.errors.UsageError` for what can hold nothing."""
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise UsageError(f"--from {clock(self.start)} --to {clock(self.end)}: the end is not after the start")
        if self.since and self.until and self.until < self.since:
            raise UsageError(f"--since {self.since} --until {self.until}: the last day is before the first")

    def chosen(self, archive: Archive) -> list[str] | None:
        """Ids of the videos that are meant, by what the catalogue says of them; None for all.

        Raises :class:`~vidrag.store.errors.UsageError` where there is none.
        """
        ids = None if self.videos is None else list(dict.fromkeys(archive.find(v) for v in self.videos))
        if not (self.since or self.until or self.folder is not None or self.where):
            return ids
        table = archive.catalogue().table
        if ids is not None:
            table = table.filter(pc.is_in(table["video"], pa.array(ids, pa.string())))
        table = _in_folder(self._recorded(table), self.folder)
        for column, text in self.where:
            table = _said(table, column, text)
        found: list[str] = table["video"].to_pylist()
        return found

    def _recorded(self, table: pa.Table) -> pa.Table:
        day, kept = table["recorded"], table
        if self.since:
            kept = kept.filter(pc.greater_equal(kept["recorded"], pa.scalar(self.since)))
        if self.until:
            kept = kept.filter(pc.less_equal(kept["recorded"], pa.scalar(self.until)))
        if (self.since or self.until) and not len(kept):
            known = pc.min_max(day).as_py()
            told = f"they are from {known['min']} to {known['max']}" if known["min"] else "no day of recording is known"
            raise UsageError(f"no video was recorded on these days; {told}")
        return kept

    def rows(self, rows: RowSet) -> NDArray[np.bool_]:
        """Which rows may be found, bool ``(len(rows),)``; raises :class:`~vidrag.store.errors.UsageError` for a time
        beyond the end of all videos, and for a speaker or a language that no row has.
        """
        self.check_times(rows.shards)
        inside = np.array([self.holds(r.start, r.end) for r in rows.rows], bool)
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

    def check_times(self, shards: Sequence[Shard]) -> None:
        """Raises :class:`~vidrag.store.errors.UsageError` where no video is as long as that."""
        longest = max((s.manifest.duration for s in shards), default=0.0)
        if self.start is not None and self.start >= longest:
            raise UsageError(f"--from {clock(self.start)}: lies beyond the end; the longest video has {clock(longest)}")

    def holds(self, start: float, end: float) -> bool:
        """Whether ``[start, end)`` meets the stretch of time."""
        return end > (self.start or 0.0) and (self.end is None or start < self.end)


def _in_folder(table: pa.Table, folder: str | None) -> pa.Table:
    if folder is None:
        return table
    wanted = "/".join(p for p in re.split(r"[/\\]", folder) if p not in ("", "."))
    if not wanted:
        raise UsageError("the folder is empty; name a folder, or some parts of its path")
    paths = table["paths"].combine_chunks()
    folders = pc.replace_substring_regex(pc.list_flatten(paths), r"[/\\][^/\\]*$", "")
    within = pc.replace_substring_regex(pc.binary_join_element_wise("/", folders, "/", ""), r"[/\\]+", "/")
    kept = pc.unique(pc.list_parent_indices(paths).filter(pc.match_substring(within, f"/{wanted}/")))
    if not len(kept):
        raise UsageError(f"folder {folder}: no video lies there")
    return table.take(kept)


def _said(table: pa.Table, column: str, text: str) -> pa.Table:
    wanted, known, columns = text.casefold().strip(), set[str](), set[str]()
    kept = []
    for row, told in enumerate(table["metadata"].to_pylist()):
        found = {c.casefold(): t for c, t in json.loads(told).items()} if told != "{}" else {}
        columns |= found.keys()
        if (value := found.get(column.casefold())) is not None:
            parts = {p.casefold().strip() for p in (value, *re.split("[,;]", value))}
            known |= {value}
            if wanted in parts:
                kept.append(row)
    if not kept:
        if not known:
            other = f"known are {', '.join(sorted(columns)[:10])}" if columns else "'vidrag ingest --meta' adds some"
            raise UsageError(f"{column}={text}: no video has a column '{column}'; {other}")
        raise UsageError(f"{column}={text}: no video says so; known are {', '.join(sorted(known)[:10])}")
    return table.take(kept)


def conditions(name: str, given: Sequence[str]) -> list[tuple[str, str]]:
    """Columns and texts of ``column=text`` each; ``name``: what the user calls them, for the message."""
    found = []
    for one in given:
        column, equals, text = one.partition("=")
        if not equals or not column.strip() or not text.strip():
            raise UsageError(f"{name} {one[:50]}: expected column=text, for example tags=budget")
        found.append((column.strip(), text.strip()))
    return found


def seconds_of(name: str, text: str | None) -> float | None:
    """Seconds of ``90``, ``1:30`` or ``1:02:30``; ``name``: what the user calls them, for the message."""
    if text is None:
        return None
    if not re.fullmatch(r"(?:(?:\d{1,4}:)?[0-5]?\d:[0-5]?\d|\d{1,4}:[0-5]?\d|\d{1,6})(?:\.\d+)?", text):
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
