"""Ingest that goes on: waits for new and changed files in folders, and tells which of them are finished.

File events come from the watchdog library; where there are none (network mounts, buckets, too many folders for the
kernel) the folders are looked through every ``poll_s`` seconds all the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...ingest.sources import Location
from ...store.errors import VidragError, one_line
from ...store.storage.objects.access import is_url
from .plan import Item, Plan

POLL_S = 60.0
SETTLE_S = 10.0
"""A file that was changed less than so many seconds ago is still being written."""


class Watch:
    """Plans of what is new.  ``look``: lists everything; ``warn`` hears in a line why something cannot be watched."""

    def __init__(
        self,
        paths: Sequence[str],
        look: Callable[[], Plan],
        warn: Callable[[str], None],
        poll_s: float = POLL_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._paths, self._look, self._warn = paths, look, warn
        self._poll_s, self._settle_s = poll_s, settle_s
        self._done: dict[Location, str] = {}
        self._event = threading.Event()

    def rounds(self, more: Callable[[], bool] = lambda: True) -> Iterator[Plan]:
        """A plan of the files that are new or changed since they were in one, whenever there are some; the first one is
        given even where nothing is there.  Ends when ``more`` says so.
        """
        first, trouble = True, ""
        with self._listening():
            while more():
                self._event.clear()
                try:
                    planned, trouble = self._look(), ""
                except VidragError as e:  # a folder may be away for a while
                    if first:
                        raise
                    if one_line(e) != trouble:
                        trouble = one_line(e)
                        self._warn(f"{trouble}; looking again every {self._poll_s:.0f} s")
                    self._event.wait(self._poll_s)
                    continue
                new = [i for i in planned.items if self._news(i)]
                ready = [i for i in new if not self._young(i)]
                if ready or first:
                    self._done |= {i.location: i.stamp for i in ready}
                    first = False
                    yield Plan(ready, planned.passed_over, planned.unreachable)
                else:
                    self._event.wait(self._settle_s if new else self._poll_s)
                    if self._event.is_set():  # others come with it
                        time.sleep(min(1.0, self._settle_s))

    def _news(self, item: Item) -> bool:
        """True for a file that is new or changed; not for a known one that has no stamp, as it is gone by now."""
        return self._done.get(item.location) != item.stamp and bool(item.stamp or item.location not in self._done)

    def _young(self, item: Item) -> bool:
        """True for a file that is still being written, as far as its times tell."""
        return bool(item.changed_ns) and time.time_ns() - item.changed_ns < self._settle_s * 1e9

    @contextmanager
    def _listening(self) -> Iterator[None]:
        from watchdog.observers import Observer

        observer: Any = Observer()
        local = [p for p in self._paths if not is_url(p)]
        folders = {p if Path(p).is_dir() else str(Path(p).parent) for p in local}
        try:
            for folder in sorted(folders):
                observer.schedule(_Wake(self._event), folder, recursive=Path(folder).is_dir())
            observer.start()
        except OSError as e:
            told = e.strerror or one_line(e)
            self._warn(f"no file events ({told}); the folders are looked through every {self._poll_s:.0f} s")
            yield
            return
        try:
            yield
        finally:
            observer.stop()
            observer.join()


class _Wake:
    """What watchdog calls for each event."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def dispatch(self, event: Any) -> None:
        if event.event_type not in ("opened", "closed_no_write"):  # reading is no news
            self._event.set()
