"""A bounded folder of local copies, shared by every process of a machine.

An entry is a file that appears when all of it is there.  Beside it lies a lock file: whoever downloads the entry or
evicts it holds the lock alone, whoever has it pinned shares it, and its time stamp is the entry's last use.  The locks
belong to open files, so that a killed process leaves none.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from ...cache_dir import cache_dir
from ...errors import OptionError, StorageError
from .. import owned
from ..faults import storage_errors
from ..keys import is_scratch, scratch_name

SPARE_S = 120.0
"""An entry used within so many seconds is not evicted: who was given its path may not have opened it yet."""
DEFAULT_MB = 4096
VARIABLE = "VIDRAG_OBJECT_CACHE_MB"
_LOCK = ".lock"
_COPY = re.compile("[0-9a-f]{40}")
log = logging.getLogger("vidrag.store")


class ObjectCache:
    """Copies of at most ``limit`` bytes altogether, plus what is in use at the moment."""

    def __init__(self, folder: Path | None = None, limit: int | None = None, spare_s: float = SPARE_S) -> None:
        """``folder`` defaults to ``objects`` in vidrag's cache, ``limit`` to ``VIDRAG_OBJECT_CACHE_MB`` (4 GiB)."""
        self.folder = folder or cache_dir() / "objects"
        self.limit = _limit() if limit is None else limit
        self._spare_s = spare_s

    def path(self, identity: str, size: int, fill: Callable[[IO[bytes]], None]) -> Path:
        """The copy of what ``identity`` names, ``size`` bytes, made by ``fill`` where it is not here.

        It stays for at least ``spare_s`` seconds; a file that is open or mapped may be read even after that.
        """
        path, lock = self._hold(identity, size, fill, hard=False)
        os.close(lock)
        return path

    @contextlib.contextmanager
    def pinned(self, identity: str, size: int, fill: Callable[[IO[bytes]], None]) -> Iterator[Path]:
        """Like :meth:`path`; the copy is not evicted inside the ``with``.

        Raises :class:`StorageError` for what is larger than the whole cache may be.
        """
        path, lock = self._hold(identity, size, fill, hard=True)
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):
                os.utime(lock)
            os.close(lock)

    def find(self, identity: str) -> Path | None:
        """The copy of what ``identity`` names, of whatever size; None where it is not here."""
        path = self._file(identity)
        with contextlib.suppress(OSError):
            os.utime(path.with_name(path.name + _LOCK))
            if path.exists():
                return path
        return None

    def seed(self, identity: str, source: Path) -> None:
        """Takes a copy of ``source``, which is known to have the bytes of ``identity``; nothing where that fails."""

        def fill(out: IO[bytes]) -> None:
            with source.open("rb") as f:
                shutil.copyfileobj(f, out, 1 << 20)

        try:
            self.drop(identity)
            self.path(identity, source.stat().st_size, fill)
        except OSError as e:
            log.debug("not cached: %s", e)

    def drop(self, identity: str) -> None:
        """Forgets a copy, even one in use; who has it open goes on reading it."""
        owned.remove(self._file(identity))

    def used(self) -> int:
        """Bytes of all copies, those being made included."""
        return sum(size for _, size, _ in self._scan())

    def _file(self, identity: str) -> Path:
        return self.folder / hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:40]

    def _hold(self, identity: str, size: int, fill: Callable[[IO[bytes]], None], hard: bool) -> tuple[Path, int]:
        """The copy, and the open lock file that is shared and keeps it here."""
        path = self._file(identity)
        name = path.with_name(path.name + _LOCK)
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            with storage_errors(self.folder):
                lock = _locked(name, fcntl.LOCK_SH)
                if _size(path) == size:
                    os.utime(lock)
                    return path, lock
                os.close(lock)
                lock = _locked(name, fcntl.LOCK_EX)
            try:
                if _size(path) != size:
                    self._make(path, size, fill, hard)
                os.utime(lock)
            finally:
                os.close(lock)  # and again from the start: the copy may be evicted before the lock is shared

    def _make(self, path: Path, size: int, fill: Callable[[IO[bytes]], None], hard: bool) -> None:
        temp = self.folder / scratch_name()
        with storage_errors(self.folder):
            out = self._reserve(temp, size, hard)
        with out:
            try:
                fill(out)
                if out.tell() != size:
                    raise StorageError(f"{temp}: {out.tell()} bytes came instead of {size}; run the same command again")
                with storage_errors(self.folder):
                    out.flush()
                    os.fsync(out.fileno())  # its size is right from the start: after a power cut only this tells
                    os.replace(temp, path)
            finally:
                owned.remove(temp)

    def _reserve(self, temp: Path, size: int, hard: bool) -> IO[bytes]:
        """A new file of ``size`` reserved bytes, locked, after making room for it."""
        gate = _locked(self.folder / "room.lock", fcntl.LOCK_EX)
        try:
            self._make_room(size, hard)
            out = temp.open("xb")
            try:
                fcntl.flock(out, fcntl.LOCK_EX)
                if size:
                    os.posix_fallocate(out.fileno(), 0, size)
            except OSError as e:
                out.close()
                owned.remove(temp)
                if e.errno == errno.ENOSPC:
                    raise StorageError(
                        f"{self.folder}: no space left for a copy of {size >> 20} MB; free some, or set "
                        f"VIDRAG_CACHE to another disk"
                    ) from e
                raise
            return out
        finally:
            os.close(gate)

    def _make_room(self, size: int, hard: bool) -> None:
        if hard and size > self.limit:
            raise StorageError(
                f"{self.folder}: a video of {size >> 20} MB is larger than the cache of {self.limit >> 20} MB; "
                f"raise {VARIABLE}"
            )
        entries = sorted(self._scan(), key=lambda e: e[2])
        total = sum(e[1] for e in entries)
        for path, bytes_, used in entries:
            if total + size <= self.limit:
                return
            if abs(time.time() - used) >= self._spare_s and _evict(path):
                total -= bytes_
        if total + size > self.limit:
            log.info("%s: over its limit while so much is in use", self.folder)

    def _scan(self) -> list[tuple[Path, int, float]]:
        """Path, bytes and last use of every copy; what dead processes began is removed."""
        out = []
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                temporary = is_scratch(entry.name)
                if not (temporary or _COPY.fullmatch(entry.name)) or not entry.is_file(follow_symlinks=False):
                    continue
                path = Path(entry.path)
                try:
                    size = entry.stat().st_size
                    if temporary:
                        if _abandoned(path):
                            owned.remove(path)
                        else:
                            out.append((path, size, time.time()))
                    else:
                        out.append((path, size, path.with_name(entry.name + _LOCK).stat().st_mtime))
                except FileNotFoundError:
                    continue
        return out


def _limit() -> int:
    text = os.environ.get(VARIABLE) or str(DEFAULT_MB)
    if not text.isdecimal() or not 1 <= int(text) <= 1 << 30:
        raise OptionError(f"{VARIABLE}={text}: must be a whole number of megabytes, 1 or more")
    return int(text) << 20


def _size(path: Path) -> int | None:
    try:
        if not owned.is_file(path):
            raise StorageError(f"{path}: is a link or a folder where a copy belongs; take it away")
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _locked(path: Path, how: int) -> int:
    """An open lock file that is locked and still the one of that name (an eviction removes it)."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, how)
            if os.fstat(lock).st_ino == path.stat().st_ino:
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _evict(path: Path) -> bool:
    """Removes a copy and its lock file; False where somebody has it pinned or is making it."""
    name = path.with_name(path.name + _LOCK)
    try:
        lock = os.open(name, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        owned.remove(path)
        owned.remove(name)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(lock)


def _abandoned(temp: Path) -> bool:
    """True where the process that was writing ``temp`` is gone."""
    with temp.open("rb") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
