"""What is known of the videos of an archive without opening any: pages of them, sorted and filtered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from ..store.archive.archive import Archive
from ..store.archive.catalogue import Catalogue
from ..store.archive.entries import Entry, under
from ..store.errors import UsageError

SORTS = {"name": "folded", "length": "seconds", "recorded": "day", "indexed": "indexed"}
"""Orders, and the columns that they sort by."""
STATES = ("ok", "failed", "none")
_FRESH_S = 2.0
"""Seconds for which a listing is taken to be up to date, at the least."""
_MOST_FRESH_S = 60.0
_SHARE = 20
"""Times as long as it took to see what has changed."""
_PATIENCE_S = 0.05
"""Seconds to wait for a newer listing where there is an older one."""


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
        self._known: tuple[Catalogue, pa.Table] | None = None
        self._reader = ThreadPoolExecutor(1, "listing")
        self._reading: Future[None] | None = None
        self._fresh_until = 0.0

    def table(self) -> pa.Table:
        """The catalogue's rows with the columns ``folded`` (names to look in), ``state`` and ``day`` (0001-01-01 where
        none is known); of an archive that takes long to list, as they were a while ago.
        """
        with self._lock:
            known = self._known
            if self._reading is None or self._reading.done():
                if known is not None and time.monotonic() < self._fresh_until:
                    return known[1]
                self._reading = self._reader.submit(self._refresh)
            reading = self._reading
        if wait([reading], _PATIENCE_S if known else None).done:
            reading.result()
        assert self._known is not None
        return self._known[1]

    def page(self, words: str = "", sort: str = "name", state: str = "", start: int = 0, limit: int = 100) -> Page:
        """Entries whose names hold all of ``words``, in the order ``sort`` (``-`` before it turns it round).

        Raises :class:`~vidrag.store.errors.UsageError` for an unknown order or state.
        """
        key = sort.removeprefix("-")
        if key not in SORTS:
            raise UsageError(f"no order is called '{sort}'; known are {', '.join(SORTS)}")
        if state and state not in STATES:
            raise UsageError(f"no state is called '{state}'; known are {', '.join(STATES)}")
        found = self.table()
        if state:
            found = found.filter(pc.equal(found["state"], state))
        for word in words.casefold().split():
            found = found.filter(pc.match_substring(found["folded"], word))
        down = sort.startswith("-")
        rows = pc.sort_indices(
            found, [(c, "descending" if down else "ascending") for c in (SORTS[key], "folded", "video")]
        )
        end = start + limit
        page = found.take(rows[start:end])
        return Page(list(Catalogue.entries_of(page)), len(found), end if end < len(found) else None)

    def _refresh(self) -> None:
        began = time.monotonic()
        now = self._archive.catalogue()
        fresh = min(max(_FRESH_S, _SHARE * (time.monotonic() - began)), _MOST_FRESH_S)
        if self._known is None or self._known[0] is not now:
            profile = self._archive.profile
            self._known = now, _listed(now.table if profile is None else under(now.table, profile))
        self._fresh_until = time.monotonic() + fresh


def _listed(table: pa.Table) -> pa.Table:
    folded = [" ".join(names or [video]).casefold() for names, video in zip(
        table["names"].to_pylist(), table["video"].to_pylist(), strict=True)]  # fmt: skip
    failed = pc.or_(pc.greater(pc.list_value_length(table["failed"]), 0), pc.not_equal(table["problem"], ""))
    counts = [table[c] for c in ("speech", "text", "frames", "chapters")]
    some = pc.greater(counts[0], 0)
    for column in counts[1:]:
        some = pc.or_(some, pc.greater(column, 0))
    state = pc.if_else(failed, "failed", pc.if_else(some, "ok", "none"))
    more = {"folded": pa.array(folded, pa.string()), "state": state, "day": pc.fill_null(table["recorded"], date.min)}
    for name, column in more.items():
        table = table.append_column(name, column)
    return table
