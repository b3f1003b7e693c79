"""What is known of the videos of an archive without opening any: pages of them, sorted and filtered.

A listing is read from the manifests and kept; what has changed since is read again.  A catalogue may stand in for the
manifests one day: only :meth:`Listing._refresh` knows where entries come from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from threading import Lock

from ..query.find.scope import recorded
from ..store.archive.archive import Archive
from ..store.archive.manifest import Manifest
from ..store.errors import ArchiveDamaged, NotIndexed, UsageError

SORTS = ("name", "length", "recorded", "indexed")
STATES = ("ok", "failed", "none")
_FRESH_S = 2.0
"""Seconds for which a listing is taken to be up to date, at the least."""
_MOST_FRESH_S = 60.0
_SHARE = 20
"""Times as long as it took to see what has changed."""
_PATIENCE_S = 0.05
"""Seconds to wait for a newer listing where there is an older one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One video.  ``seconds``: its length; ``recorded``: the day, where it is known; ``indexed``: when its index last
    changed, ISO 8601; ``counts``: stored rows of speech, text, frames and chapters; ``failed``: names of stages.
    """

    id: str
    names: tuple[str, ...]
    seconds: float
    recorded: date | None
    indexed: str
    counts: Mapping[str, int]
    failed: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def state(self) -> str:
        """One of :data:`STATES`: ``none`` where there is nothing to find in it."""
        return "failed" if self.failed else "ok" if any(self.counts.values()) else "none"


@dataclass(frozen=True, slots=True)
class Page:
    """Some of ``total`` entries; ``next``: where the next page begins, None at the end."""

    entries: Sequence[Entry]
    total: int
    next: int | None


class Listing:
    """The videos of one archive.  Safe to use from several threads."""

    def __init__(self, archive: Archive) -> None:
        self._archive, self._lock = archive, Lock()
        self._numbers: dict[str, int] = {}
        self._entries: dict[str, Entry] = {}
        self._reader = ThreadPoolExecutor(1, "listing")
        self._reading: Future[None] | None = None
        self._fresh_until = 0.0

    def entries(self) -> Sequence[Entry]:
        """All of them, by id; of an archive that takes long to list, as they were a while ago."""
        with self._lock:
            known = bool(self._fresh_until)
            if self._reading is None or self._reading.done():
                if time.monotonic() < self._fresh_until:
                    return list(self._entries.values())
                self._reading = self._reader.submit(self._refresh)
            reading = self._reading
        if wait([reading], _PATIENCE_S if known else None).done:
            reading.result()
        return list(self._entries.values())

    def page(self, words: str = "", sort: str = "name", state: str = "", start: int = 0, limit: int = 100) -> Page:
        """Entries whose names hold all of ``words``, in the order ``sort`` (``-`` before it turns it round).

        Raises :class:`~vidrag.store.errors.UsageError` for an unknown order or state.
        """
        key = sort.removeprefix("-")
        if key not in SORTS:
            raise UsageError(f"no order is called '{sort}'; known are {', '.join(SORTS)}")
        if state and state not in STATES:
            raise UsageError(f"no state is called '{state}'; known are {', '.join(STATES)}")
        wanted = words.casefold().split()
        found = [
            e
            for e in self.entries()
            if (not state or e.state == state) and all(any(w in n.casefold() for n in e.names) for w in wanted)
        ]
        found.sort(key=lambda e: (_order(e, key), e.name.casefold(), e.id), reverse=sort.startswith("-"))
        end = start + limit
        return Page(found[start:end], len(found), end if end < len(found) else None)

    def _refresh(self) -> None:
        began = time.monotonic()
        numbers = self._archive.newest_numbers()
        fresh = min(max(_FRESH_S, _SHARE * (time.monotonic() - began)), _MOST_FRESH_S)
        changed = {v: n for v, n in numbers.items() if self._numbers.get(v) != n}
        self._archive.fetch(changed)
        entries = {v: e for v, e in self._entries.items() if v in numbers and v not in changed}
        for video, number in changed.items():
            with suppress(ArchiveDamaged, NotIndexed):
                if manifest := self._archive.manifest(video, number):
                    entries[video] = entry(manifest)
        self._numbers, self._entries = numbers, {v: entries[v] for v in numbers if v in entries}
        self._fresh_until = time.monotonic() + fresh


def entry(manifest: Manifest) -> Entry:
    """What a manifest tells of its video."""
    cells, rows = [c for s in manifest.current if (c := manifest.cell(s))], manifest.rows
    return Entry(
        id=manifest.video,
        names=manifest.source.names,
        seconds=round(manifest.duration, 3),
        recorded=recorded(manifest),
        indexed=manifest.created,
        counts={k: rows[k] for k in ("speech", "text", "frames", "chapters")},
        failed=tuple(c.stage for c in cells if c.status == "failed"),
    )


def _order(one: Entry, key: str) -> object:
    if key == "name":
        return one.name.casefold()
    if key == "recorded":
        return one.recorded or date.min
    return one.seconds if key == "length" else one.indexed
