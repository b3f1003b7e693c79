"""Where an archive's bytes lie.  Keys are relative POSIX paths; nothing that exists is ever overwritten.

``put_file`` and ``put_if_absent`` are the only ways in.  Both are durable when they return: the data is synced, then
the name appears by ``link()``, which unlike ``rename()`` cannot replace another writer's file, then the folder is
synced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from .errors import StorageError

TEMPORARY = ".tmp-"


class Backend(Protocol):
    """Storage with atomic creation.  Keys never start with ``/`` or hold ``..``."""

    def put_file(self, key: str, source: Path) -> bool:
        """Makes the finished file ``source`` appear as ``key``; False where ``key`` existed (it is left as it was)."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Creates ``key``; False where it existed already (it is left as it was)."""
        ...

    def read(self, key: str) -> bytes: ...

    def delete(self, key: str) -> None:
        """Removes ``key``; a no-op where it is gone."""
        ...

    def list(self, prefix: str) -> list[str]:
        """Names (not keys) directly below the folder ``prefix``, sorted; empty where there is no such folder."""
        ...

    def local_path(self, key: str) -> Path:
        """A local file with the bytes of ``key``."""
        ...

    def scratch(self, prefix: str) -> contextlib.AbstractContextManager[Path]:
        """A private folder for files on their way to ``put_file`` under ``prefix``; gone afterwards."""
        ...


@contextlib.contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turns ``OSError`` of a write into :class:`StorageError` that names the path and the remedy."""
    try:
        yield
    except StorageError:
        raise
    except OSError as e:
        hints = {
            errno.ENOSPC: "no space left; free some and run the same command again",
            errno.EDQUOT: "disk quota reached; free some space and run the same command again",
            errno.EROFS: "the disk is read-only; questions still work, ingest needs a writable archive",
            errno.EACCES: "no permission to write; check the owner of the archive",
            errno.EPERM: "no permission to write; check the owner of the archive",
            errno.EMFILE: "too many open files; raise 'ulimit -n'",
        }
        raise StorageError(f"{e.filename or path}: {hints.get(e.errno or 0, e.strerror or e)}") from e


def fsync_dir(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class LocalBackend:
    """A folder on a local or shared POSIX disk that has ``link()``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, key: str) -> Path:
        return self.root / key

    def put_file(self, key: str, source: Path) -> bool:
        target = self._path(key)
        with storage_errors(target):
            with source.open("rb") as f:
                os.fsync(f.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except FileExistsError:
                return False
            fsync_dir(target.parent)
        return True

    def put_if_absent(self, key: str, data: bytes) -> bool:
        target = self._path(key)
        with storage_errors(target):
            self._make_folder(target.parent)
            temp = target.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
            try:
                with temp.open("xb") as f:
                    f.write(data)
                    f.flush()
                    os.fsync(f.fileno())
                try:
                    os.link(temp, target)
                except FileExistsError:
                    return False
            finally:
                temp.unlink(missing_ok=True)
            fsync_dir(target.parent)
        return True

    def _make_folder(self, folder: Path) -> None:
        """Creates ``folder`` and syncs each parent that got a new name."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        fsync_dir(folder.parent)

    def read(self, key: str) -> bytes:
        return self._path(key).read_bytes()

    def delete(self, key: str) -> None:
        with storage_errors(self._path(key)):
            self._path(key).unlink(missing_ok=True)

    def list(self, prefix: str) -> list[str]:
        try:
            return sorted(n for n in os.listdir(self._path(prefix)) if not n.startswith(TEMPORARY))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def local_path(self, key: str) -> Path:
        return self._path(key)

    @contextlib.contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        folder = self._path(prefix) / f"{TEMPORARY}{secrets.token_hex(8)}"
        with storage_errors(folder):
            self._make_folder(folder.parent)
            folder.mkdir()
        try:
            yield folder
        finally:
            for p in folder.iterdir():
                p.unlink(missing_ok=True)
            folder.rmdir()
