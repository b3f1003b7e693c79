"""An archive in a folder of a local or shared POSIX disk.

Everything that writes, moves or deletes walks from the root to the folder in question and opens one real folder after
the other: a link that stands in the way is named and never followed.  The root itself may be a link.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
import time
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from ..errors import NotAnArchive, StorageError
from . import owned
from .faults import machine_errors, storage_errors
from .keys import SCRATCH, is_scratch, is_staged, scratch_name
from .naming import Naming
from .protocol import Entry, Journal

log = logging.getLogger("vidrag.store")
_TICK_NS = 2_000_000_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class NotARealFolder(StorageError):
    """A link or a file stands where vidrag keeps a folder."""


def _sync(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as e:
        if e.errno != errno.EINVAL:  # some network mounts cannot sync a folder: the server keeps names as it will
            raise


def _at_once(path: str, flags: int) -> int:
    """Opens without waiting for the other end of a pipe, which may stand in an archive from elsewhere."""
    return os.open(path, flags | os.O_NONBLOCK)


class _LocalJournal:
    def __init__(self, path: Path, file: int) -> None:
        self._path, self._file = path, open(file, "wb")  # noqa: SIM115

    def write(self, lines: bytes) -> None:
        with storage_errors(self._path):
            self._file.write(lines)

    def sync(self) -> None:
        with storage_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with storage_errors(self._path):
            self._file.close()


class LocalBackend:
    """A folder on a local or shared POSIX disk that can give a file a name which nothing has (see :mod:`.naming`)."""

    def __init__(self, root: Path) -> None:
        self.root, self.location, self.address = root, str(root), str(root.absolute())
        self._naming = Naming(self.location)

    def _path(self, key: str) -> Path:
        return self.root / key

    @contextlib.contextmanager
    def _folder(self, prefix: str, make: bool = False) -> Iterator[int]:
        """An open real folder; FileNotFoundError where there is none, unless it is to be made."""
        at, path = os.open(self.root, _FOLDER), self.root
        try:
            for part in prefix.split("/") if prefix else ():
                path /= part
                inner = self._inner(at, part, path, make)
                os.close(at)
                at = inner
            yield at
        finally:
            os.close(at)

    def _inner(self, at: int, part: str, path: Path, make: bool) -> int:
        try:
            try:
                return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            except FileNotFoundError:
                if not make:
                    raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=at)
                _sync(at)
            return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
        except OSError as e:
            if e.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise NotARealFolder(
                f"{path}: is a link or a file where vidrag keeps a folder; nothing behind it is touched: "
                "put a real folder in its place, or take it away"
            ) from e

    @contextlib.contextmanager
    def _place(self, key: str, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder of ``key`` and its name there."""
        prefix, _, name = key.rpartition("/")
        with self._folder(prefix, make) as folder:
            yield folder, name

    @contextlib.contextmanager
    def _writing(self, key: str) -> Iterator[tuple[int, str]]:
        """The same for something that writes; the folder is made."""
        with storage_errors(self._path(key)), self._place(key, make=True) as place:
            yield place

    def check_root(self, *, empty: bool) -> None:
        root = self.root
        if root.exists() and not root.is_dir():
            raise NotAnArchive(f"{root}: is a file, not an archive folder")
        if not empty:
            if not root.exists():
                raise NotAnArchive(f"{root}: no such archive; make one with 'vidrag ingest {root} VIDEO...'")
            return
        if root.is_dir() and any(not is_scratch(p.name) for p in root.iterdir()):
            raise NotAnArchive(f"{root}: is a folder with other things in it; name a new or an empty one")
        with storage_errors(root):
            root.mkdir(parents=True, exist_ok=True)

    def check_writable(self) -> None:
        with self._writing(scratch_name()) as (root, name):
            self._write(root, name, b"")
            other = scratch_name()
            try:
                self._naming.give(root, name, other)
            finally:
                owned.remove(name, root)
                owned.remove(other, root)

    def _write(self, folder: int, name: str, data: bytes) -> None:
        """A new, synced file."""
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
        with open(file, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(file)

    def put_file(self, key: str, source: Path) -> bool:
        with self._writing(key) as (folder, name):
            with source.open("rb") as f:
                os.fsync(f.fileno())
            while not self._name_file(source, folder, name):
                with contextlib.suppress(FileNotFoundError):  # collected in between: it is ours to put
                    if owned.is_file(name, folder):
                        os.utime(name, dir_fd=folder, follow_symlinks=False)
                    return False
            _sync(folder)
        return True

    def _name_file(self, source: Path, folder: int, name: str) -> bool:
        """Makes ``source`` appear as ``name``, by a second name for it where the disk has such, else by a copy."""
        made = self._naming.link(source, folder, name)
        if made is not None:
            return made
        temp = scratch_name()
        try:
            file = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
            with open(file, "wb") as out, source.open("rb") as f:
                shutil.copyfileobj(f, out, 1 << 20)
                out.flush()
                os.fsync(file)
            return self._naming.give(folder, temp, name)
        finally:
            owned.remove(temp, folder)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self._writing(key) as (folder, name):
            temp = scratch_name()
            try:
                self._write(folder, temp, data)
                if not self._naming.give(folder, temp, name):
                    return False
            finally:
                owned.remove(temp, folder)
            _sync(folder)
        return True

    def mark(self, key: str) -> None:
        with self._writing(key) as (folder, name):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder))

    def fetch(self, keys: Sequence[str]) -> None:
        pass

    def read(self, key: str, fresh: bool = False) -> bytes:
        return self.read_part(key, 0, -1)

    def read_part(self, key: str, start: int, size: int, fresh: bool = False) -> bytes:
        path = self._path(key)
        with machine_errors(path), open(path, "rb", opener=_at_once) as f:
            if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            f.seek(start)
            return f.read(size)

    def size(self, key: str) -> int | None:
        try:
            return self._path(key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, key: str, dry_run: bool = False) -> bool:
        owned.check(key)
        with (
            storage_errors(self._path(key)),
            contextlib.suppress(FileNotFoundError),
            self._place(key) as (folder, name),
        ):
            if owned.remove(name, folder, dry_run):
                return True
            return is_scratch(name) and owned.remove_folder(name, folder, is_staged, dry_run)
        return True

    def set_aside(self, key: str) -> bool:
        owned.check(key)
        with (
            storage_errors(self._path(key)),
            contextlib.suppress(FileNotFoundError),
            self._place(key) as (folder, name),
        ):
            if not owned.is_file(name, folder):
                return False
            with self._writing(f"quarantine/{key}") as (aside, _):
                with contextlib.suppress(FileNotFoundError):
                    if not owned.is_file(name, aside):
                        return False
                os.replace(name, name, src_dir_fd=folder, dst_dir_fd=aside)
        return True

    def list(self, prefix: str, begins: str = "") -> list[str]:
        try:
            with machine_errors(self._path(prefix)):
                found = os.listdir(self._path(prefix))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(n for n in found if n.startswith(begins) and not n.startswith(SCRATCH))

    def stamp(self, prefix: str) -> tuple[int, ...] | None:
        """As :meth:`.Backend.stamp`; times of the last two seconds say nothing, as a disk's clock has coarse ticks."""
        try:
            st = os.stat(self._path(prefix))
        except OSError:
            return None
        if time.time_ns() - max(st.st_mtime_ns, st.st_ctime_ns) < _TICK_NS:
            return None
        return st.st_ino, st.st_mtime_ns, st.st_ctime_ns

    def tag(self, key: str) -> Hashable:
        try:
            st = os.stat(self._path(key))
        except OSError:
            return None
        return st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns

    def entries(self, prefix: str) -> Sequence[Entry]:
        now, out = self._now(), []
        nothing = contextlib.suppress(FileNotFoundError, NotARealFolder)
        with storage_errors(self._path(prefix)), nothing, self._folder(prefix) as folder:
            for entry in os.scandir(folder):
                with contextlib.suppress(FileNotFoundError):  # gone since
                    st = entry.stat(follow_symlinks=False)
                    age = now - max(st.st_mtime, st.st_ctime)
                    out.append(Entry(entry.name, st.st_size, age, entry.is_dir(follow_symlinks=False)))
        return sorted(out, key=lambda e: e.name)

    def _now(self) -> float:
        """The disk's own clock, which on a shared one may differ from ours; ours where nothing can be written."""
        try:
            with self._place(scratch_name()) as (root, name):
                self._write(root, name, b"")
                try:
                    return os.stat(name, dir_fd=root).st_mtime
                finally:
                    owned.remove(name, root)
        except (OSError, StorageError):
            return time.time()

    def local_path(self, key: str, fresh: bool = False, size: int | None = None) -> Path:
        return self._path(key)

    @contextlib.contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        key = "/".join(p for p in (prefix, scratch_name()) if p)
        with self._writing(key) as (folder, name):
            os.mkdir(name, dir_fd=folder)
        try:
            yield self._path(key)
        finally:
            with contextlib.suppress(StorageError):  # a collection of garbage removes it
                if not self.delete(key):
                    log.warning("%s: stays, as it holds files that vidrag does not write", self._path(key))

    def journal(self, key: str) -> Journal:
        with self._writing(key) as (folder, name):
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
        return _LocalJournal(self._path(key), file)

    def read_journal(self, key: str) -> bytes:
        return self.read(key)

    def delete_journal(self, key: str) -> None:
        self.delete(key)
