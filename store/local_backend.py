"""An archive in a folder of a local or shared POSIX disk."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .backend import TEMPORARY, Entry, Journal, machine_errors, storage_errors
from .errors import NotAnArchive

_TICK_NS = 2_000_000_000


def fsync_dir(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _at_once(path: str, flags: int) -> int:
    """Opens without waiting for the other end of a pipe, which may stand in an archive from elsewhere."""
    return os.open(path, flags | os.O_NONBLOCK)


class _LocalJournal:
    def __init__(self, path: Path) -> None:
        self._path = path
        with storage_errors(path):
            self._file = path.open("xb")

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
    """A folder on a local or shared POSIX disk that has ``link()``."""

    def __init__(self, root: Path) -> None:
        self.root, self.location, self.address = root, str(root), str(root.absolute())

    def _path(self, key: str) -> Path:
        return self.root / key

    def check_root(self, *, empty: bool) -> None:
        root = self.root
        if root.exists() and not root.is_dir():
            raise NotAnArchive(f"{root}: is a file, not an archive folder")
        if not empty:
            if not root.exists():
                raise NotAnArchive(f"{root}: no such archive; make one with 'vidrag ingest {root} VIDEO...'")
            return
        if root.is_dir() and any(not p.name.startswith(TEMPORARY) for p in root.iterdir()):
            raise NotAnArchive(f"{root}: is a folder with other things in it; name a new or an empty one")
        with storage_errors(root):
            root.mkdir(parents=True, exist_ok=True)

    def check_writable(self) -> None:
        probe = self.root / f"{TEMPORARY}{secrets.token_hex(8)}"
        with storage_errors(self.root):
            probe.touch(exist_ok=False)
            probe.unlink()

    def put_file(self, key: str, source: Path) -> bool:
        target = self._path(key)
        with storage_errors(target):
            with source.open("rb") as f:
                os.fsync(f.fileno())
            self._make_folder(target.parent)
            while True:
                try:
                    os.link(source, target)
                    break
                except FileExistsError:
                    with contextlib.suppress(FileNotFoundError):  # collected in between: it is ours to put
                        os.utime(target)
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

    def mark(self, key: str) -> None:
        target = self._path(key)
        with storage_errors(target):
            self._make_folder(target.parent)
            target.touch()

    def _make_folder(self, folder: Path) -> None:
        """Creates ``folder`` and syncs each parent that got a new name."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        fsync_dir(folder.parent)

    def read(self, key: str) -> bytes:
        path = self._path(key)
        with machine_errors(path), open(path, "rb", opener=_at_once) as f:
            if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            return f.read()

    def size(self, key: str) -> int | None:
        try:
            return self._path(key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, key: str) -> None:
        with storage_errors(self._path(key)):
            self._path(key).unlink(missing_ok=True)

    def move(self, key: str, to: str) -> None:
        with storage_errors(self._path(to)):
            self._make_folder(self._path(to).parent)
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._path(key), self._path(to))

    def list(self, prefix: str, begins: str = "") -> list[str]:
        try:
            with machine_errors(self._path(prefix)):
                found = os.listdir(self._path(prefix))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(n for n in found if n.startswith(begins) and not n.startswith(TEMPORARY))

    def stamp(self, prefix: str) -> tuple[int, ...] | None:
        """As :meth:`.Backend.stamp`; times of the last two seconds say nothing, as a disk's clock has coarse ticks."""
        try:
            st = os.stat(self._path(prefix))
        except OSError:
            return None
        if time.time_ns() - max(st.st_mtime_ns, st.st_ctime_ns) < _TICK_NS:
            return None
        return st.st_ino, st.st_mtime_ns, st.st_ctime_ns

    def entries(self, prefix: str) -> Sequence[Entry]:
        now, out = self._now(), []
        try:
            with machine_errors(self._path(prefix)):
                found = list(os.scandir(self._path(prefix)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        for entry in found:
            try:
                st = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since
            age = now - max(st.st_mtime, st.st_ctime)
            out.append(Entry(entry.name, st.st_size, age, entry.is_dir(follow_symlinks=False)))
        return sorted(out, key=lambda e: e.name)

    def _now(self) -> float:
        """The disk's own clock, which on a shared one may differ from ours; ours where nothing can be written."""
        probe = self.root / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            probe.touch(exist_ok=False)
            try:
                return probe.stat().st_mtime
            finally:
                probe.unlink(missing_ok=True)
        except OSError:
            return time.time()

    def local_path(self, key: str, fresh: bool = False) -> Path:
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
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, prefix: str, entry: Entry) -> None:
        path = self._path(prefix) / entry.name
        with storage_errors(path):
            if entry.folder:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def journal(self, key: str) -> Journal:
        with storage_errors(self._path(key)):
            self._make_folder(self._path(key).parent)
        return _LocalJournal(self._path(key))

    def read_journal(self, key: str) -> bytes:
        return self.read(key)

    def delete_journal(self, key: str) -> None:
        self.delete(key)

    def cache_folder(self) -> Path:
        return self.root / "cache"
