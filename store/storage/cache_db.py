"""SQLite files in this user's cache: what can be computed again, shared by threads and processes.

Nothing that goes wrong with such a file is an error.  One that cannot be written is kept in memory, one that is damaged
or holds anything but its one table is dropped with a log line, and a full or locked disk costs speed.  One that another
user owns is not opened: what it holds would be believed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import owned

log = logging.getLogger("vidrag.store")
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""Also ``SQLITE_ERROR``: the statements are ours, so a table that does not take them is not."""
_WAIT_S = 10.0
"""How long to wait for who has the file locked."""
_ERRORS = (sqlite3.Error, UnicodeError)
"""A damaged file may also give a message that is no text; a key may be a text that SQLite cannot hold."""


class CacheFile:
    """The table that ``create`` makes, in the file ``path`` (None: in memory); ``what`` names its rows in log lines.

    ``commit_s``: writes of the last so many seconds may be lost when the process is killed; 0: each is committed.
    """

    def __init__(self, path: Path | None, create: str, what: str, commit_s: float = 0.0) -> None:
        self._path, self._create, self._what, self._commit_s = path, create, what, commit_s
        self._lock = threading.Lock()
        self._committed = time.monotonic()
        self._db = self._open()

    def find(self, query: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """The first row, or None; also where the file cannot be read just now."""
        with self._lock:
            try:
                row: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
                return row
            except _ERRORS as e:
                self._failed(e, "read")
                return None

    def put(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Runs a statement that writes; one that fails is logged."""
        with self._lock:
            try:
                self._db.execute(statement, values)
                if time.monotonic() - self._committed >= self._commit_s:
                    self._db.commit()
                    self._committed = time.monotonic()
            except _ERRORS as e:
                self._failed(e, "kept")

    def put_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Runs a statement that writes for each of ``rows``, in one transaction."""
        with self._lock:
            try:
                self._db.executemany(statement, rows)
                self._db.commit()
            except _ERRORS as e:
                self._failed(e, "kept")

    def close(self) -> None:
        with self._lock:
            try:
                self._db.commit()
                self._db.close()
            except _ERRORS as e:
                log.info("%s are not kept: %s", self._what, e)

    def _failed(self, error: Exception, done: str) -> None:
        if _damaged(error):
            self._drop(error)
            return
        log.log(logging.WARNING if done == "kept" else logging.INFO, "%s are not %s: %s", self._what, done, error)
        if isinstance(error, sqlite3.Error):
            with contextlib.suppress(sqlite3.Error):
                self._db.rollback()

    def _drop(self, error: Exception) -> None:
        """Removes the file.  Who has it open goes on with what he sees; the damage is found by each for himself."""
        log.warning("%s: damaged (%s); dropped, what it held is computed again", self._path, error)
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._remove()
        self._db = self._open()

    def _remove(self) -> None:
        if self._path is not None:
            for ending in ("-wal", "-shm", ""):
                with contextlib.suppress(OSError):
                    owned.remove(self._path.with_name(self._path.name + ending))

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            for again in (False, True):
                try:
                    return self._open_file(self._path)
                except _ERRORS as e:
                    if not again and _damaged(e):
                        log.warning("%s: damaged (%s); dropped, what it held is computed again", self._path, e)
                        self._remove()
                        continue
                    reason: Exception = e
                except OSError as e:
                    reason = e
                log.info("%s are kept in memory only: %s", self._what, reason)
                break
        return self._memory()

    def _open_file(self, path: Path) -> sqlite3.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and (not owned.is_file(path) or path.stat().st_uid != os.geteuid()):
            raise PermissionError(f"{path}: is a link, or somebody else's")
        db = sqlite3.connect(path, timeout=_WAIT_S, check_same_thread=False)
        try:
            for rule in ("trusted_schema=OFF", "cell_size_check=ON"):
                db.execute(f"PRAGMA {rule}")
            _write_ahead(db)
            db.execute("PRAGMA synchronous=OFF" if self._commit_s else "PRAGMA synchronous=NORMAL")
            db.execute(self._create)
            db.commit()
            found = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
            if found != [self._create.replace("IF NOT EXISTS ", "")]:
                raise sqlite3.DatabaseError("it holds other things than its one table")
        except _ERRORS:
            db.close()
            raise
        return db

    def _memory(self) -> sqlite3.Connection:
        db = sqlite3.connect(":memory:", check_same_thread=False)
        db.execute(self._create)
        return db


def _write_ahead(db: sqlite3.Connection) -> None:
    """Turns the write-ahead log on.  SQLite does not wait here for another process that opens the new file too."""
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _damaged(error: Exception) -> bool:
    if not isinstance(error, sqlite3.Error):
        return isinstance(error, UnicodeDecodeError)
    code = getattr(error, "sqlite_errorcode", None)  # none where a text was no UTF-8
    return isinstance(error, sqlite3.DatabaseError) and (code is None or code & 0xFF in _DAMAGED)
