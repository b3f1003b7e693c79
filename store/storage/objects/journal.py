"""A journal in object storage, where nothing can be appended to: a folder of numbered parts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ...errors import StorageError

JOURNAL_S = 10.0
"""Seconds of lines that a killed process may lose; a part a second all night would be too many objects."""


class ObjectJournal:
    """Lines, put as numbered parts at most every ``every_s`` seconds; what waits is put when its time has come."""

    def __init__(
        self,
        put: Callable[[str, bytes], bool],
        read: Callable[[str], bytes],
        key: str,
        every_s: float,
        where: str,
    ) -> None:
        """``put`` creates an object, False where it exists; ``read`` reads one; parts lie below ``key``.

        ``where`` names the journal in errors.
        """
        self._put_if_absent, self._read, self._key, self._every_s, self._where = put, read, key, every_s, where
        self._waiting, self._parts, self._put_at = b"", 0, time.monotonic()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._failed: OSError | None = None
        if not put(f"{key}/{0:06d}", b""):
            raise StorageError(f"{where}: exists already")

    def write(self, lines: bytes) -> None:
        with self._lock:
            self._waiting += lines

    def sync(self) -> None:
        with self._lock:
            if self._failed is not None:
                failed, self._failed = self._failed, None
                raise failed
            wait = self._put_at + self._every_s - time.monotonic()
            if wait <= 0:
                self._stop_timer()
                self._put()
            elif self._timer is None and self._waiting:
                self._timer = threading.Timer(wait, self._due)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        with self._lock:
            self._stop_timer()
            self._put()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        with self._lock:
            if self._timer is None:  # put by a sync in the meantime
                return
            self._timer = None
            try:
                self._put()
            except OSError as e:
                self._failed = e  # told by the next sync; the lines wait for the next part

    def _put(self) -> None:
        while self._waiting:
            key = f"{self._key}/{self._parts + 1:06d}"
            lines = self._waiting
            if not self._put_if_absent(key, lines):
                lines = self._read(key)  # ours, where an attempt that seemed to fail has worked after all
                if not lines or not self._waiting.startswith(lines):
                    raise StorageError(f"{self._where}: another process writes this journal")
            self._parts, self._waiting, self._put_at = self._parts + 1, self._waiting[len(lines) :], time.monotonic()
