"""An archive in object storage: what :mod:`.local_backend` does with ``link()`` is done here with conditional requests.

Objects appear whole or not at all, so nothing temporary is ever left where readers look.  A journal, which grows, is a
folder of numbered parts.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import IO

from .backend import TEMPORARY, Entry, Journal, storage_errors
from .errors import NotAnArchive, SourceChanged, StorageError
from .models import cache_dir
from .object_access import ObjectOptions, split_url
from .object_cache import ObjectCache
from .objects import PART, ObjectInfo, Objects

JOURNAL_S = 10.0
"""Seconds of a journal's lines that a killed process may lose."""
KNOWN_S = 60.0
"""Seconds for which a file that was there is taken to be there still; its name holds its hash."""


class ObjectBackend:
    """A prefix of a bucket, such as ``s3://bucket/folder``."""

    def __init__(
        self,
        url: str,
        options: ObjectOptions | None = None,
        cache: ObjectCache | None = None,
        journal_s: float = JOURNAL_S,
    ) -> None:
        scheme, bucket, self._prefix = split_url(url)
        self.objects = Objects(scheme, bucket, options)
        self.location = self.objects.url(self._prefix).rstrip("/")
        self._cache, self._journal_s = cache, journal_s
        self._known: dict[str, tuple[ObjectInfo, float]] = {}
        self._clock: tuple[float, float] | None = None

    @cached_property
    def cache(self) -> ObjectCache:
        return self._cache or ObjectCache()

    def _key(self, key: str) -> str:
        return "/".join(part for part in (self._prefix, key) if part)

    def check_root(self, *, empty: bool) -> None:
        try:
            folders, found = self.objects.children(self._prefix)
        except StorageError as e:
            raise NotAnArchive(str(e)) from e
        if not empty:
            if not folders and not found:
                raise NotAnArchive(
                    f"{self.location}: no such archive; make one with 'vidrag ingest {self.location} VIDEO...'"
                )
            return
        if self._prefix and self.size("") is not None:
            raise NotAnArchive(f"{self.location}: is an object, not a folder; name another place for the archive")
        if folders or any(not _name(o.key).startswith(TEMPORARY) for o in found):
            raise NotAnArchive(f"{self.location}: holds other things; name a new or an empty folder")

    def check_writable(self) -> None:
        self._now(fresh=True)

    def put_file(self, key: str, source: Path) -> bool:
        with storage_errors(source):
            size = source.stat().st_size
            data = source.read_bytes() if size <= PART else None
        if data is not None:
            made = self.objects.create(self._key(key), data)
            if not made and self.objects.read(self._key(key)) == data:
                self._note(key, self.objects.put(self._key(key), data), source)  # its age starts again
        else:
            have = self.size(key)
            made = have is None
            if made or have == size:
                self._note(key, self.objects.put_large(self._key(key), source), source)
        if made and data is not None and size:
            with contextlib.suppress(OSError):
                self._note(key, self.objects.info(self._key(key)).etag, source)
        return made

    def _note(self, key: str, etag: str, source: Path) -> None:
        """Keeps a local copy of what was just written: the next stage reads it."""
        info = ObjectInfo(self._key(key), source.stat().st_size, etag, 0.0)
        self._known[key] = info, time.monotonic()
        if etag:
            self.cache.seed(self._identity(info), source)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self.objects.create(self._key(key), data)

    def mark(self, key: str) -> None:
        self.objects.put(self._key(key), b"")

    def read(self, key: str) -> bytes:
        return self.objects.read(self._key(key))

    def size(self, key: str) -> int | None:
        try:
            return self.objects.info(self._key(key)).bytes
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        self._known.pop(key, None)
        self.objects.delete([self._key(key)])

    def move(self, key: str, to: str) -> None:
        self._known.pop(key, None)
        self._known.pop(to, None)
        with contextlib.suppress(FileNotFoundError):
            self.objects.copy(self._key(key), self._key(to))
            self.objects.delete([self._key(key)])

    def list(self, prefix: str, begins: str = "") -> list[str]:
        folder = self._key(prefix)
        if begins:
            names = self._beginning(folder, begins)
        else:
            folders, found = self.objects.children(folder)
            names = {_name(f) for f in folders} | {_name(o.key) for o in found}
        return sorted(n for n in names if n.startswith(begins) and not n.startswith(TEMPORARY))

    def _beginning(self, folder: str, begins: str) -> set[str]:
        """Names that begin with ``begins``: the storage lists the keys from there on, and is stopped behind."""
        head = f"{folder}/" if folder else ""
        before = head + begins[:-1] + (chr(ord(begins[-1]) - 1) + "~" if "!" < begins[-1] <= "~" else "")

        def past(key: str) -> bool:
            name = key[len(head) :]
            return not name.startswith(begins) and name.encode() > begins.encode()

        found = self.objects.below(folder, before, past)
        return {o.key[len(head) :].partition("/")[0] for o in found}

    def entries(self, prefix: str) -> Sequence[Entry]:
        """As :meth:`.Backend.entries`; folders do not exist by themselves here, and have the age 0."""
        folders, found = self.objects.children(self._key(prefix))
        now = self._now() if found else 0.0
        out = [Entry(_name(o.key), o.bytes, max(0.0, now - o.modified)) for o in found]
        return sorted([*out, *(Entry(_name(f), 0, 0.0, True) for f in folders)], key=lambda e: e.name)

    def _now(self, fresh: bool = False) -> float:
        """The storage's own clock, seconds since 1970; ours where nothing can be written."""
        if fresh or self._clock is None or time.monotonic() - self._clock[1] > 600:
            probe = self._key(f"{TEMPORARY}{secrets.token_hex(8)}")
            try:
                self.objects.put(probe, b"")
                try:
                    self._clock = self.objects.info(probe).modified, time.monotonic()
                finally:
                    self.objects.delete([probe])
            except OSError:
                if fresh:
                    raise
                return time.time()
        return self._clock[0] + time.monotonic() - self._clock[1]

    def local_path(self, key: str, fresh: bool = False) -> Path:
        for last in (False, True):
            info = self._info(key, fresh or last)
            identity = self._identity(info)
            if fresh:
                self.cache.drop(identity)
            try:
                return self.cache.path(identity, info.bytes, self._filler(info))
            except (SourceChanged, FileNotFoundError) as e:  # written anew since we looked
                self._known.pop(key, None)
                if last:
                    raise FileNotFoundError(
                        2, "gone, or written anew while it was read", self.objects.url(info.key)
                    ) from e
        raise AssertionError("unreachable")

    def _filler(self, info: ObjectInfo) -> Callable[[IO[bytes]], None]:
        return lambda out: self.objects.download(info, out)

    def _info(self, key: str, fresh: bool) -> ObjectInfo:
        known = self._known.get(key)
        if fresh or known is None or time.monotonic() - known[1] > KNOWN_S:
            known = self._known[key] = self.objects.info(self._key(key)), time.monotonic()
        return known[0]

    def _identity(self, info: ObjectInfo) -> str:
        return f"{self.objects.url(info.key)}\n{info.etag or info.modified}\n{info.bytes}"

    @contextlib.contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        """As :meth:`.Backend.scratch`; in the system's folder for temporary files (``$TMPDIR``)."""
        with storage_errors(tempfile.gettempdir()):
            folder = tempfile.TemporaryDirectory(prefix="vidrag-", ignore_cleanup_errors=True)
        with folder as name:
            yield Path(name)

    def sweep(self, prefix: str, entry: Entry) -> None:
        key = self._key("/".join(p for p in (prefix, entry.name) if p))
        self.objects.delete([o.key for o in self.objects.below(key)] if entry.folder else [key])

    def journal(self, key: str) -> Journal:
        return _ObjectJournal(self, key, self._journal_s)

    def _parts(self, key: str) -> Sequence[str]:
        return sorted(o.key for o in self.objects.below(self._key(key)))

    def read_journal(self, key: str) -> bytes:
        if not (parts := self._parts(key)):
            raise FileNotFoundError(2, "no such journal", f"{self.location}/{key}")
        with ThreadPoolExecutor(8) as pool:
            return b"".join(pool.map(self.objects.read, parts))

    def delete_journal(self, key: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda part: self.objects.delete([part]), reversed(self._parts(key))))

    def cache_folder(self) -> Path:
        return cache_dir() / "archives" / hashlib.sha256(self.location.encode()).hexdigest()[:16]


def _name(key: str) -> str:
    return key.rsplit("/", 1)[-1]


class _ObjectJournal:
    """Lines, put as numbered parts at most every ``every_s`` seconds; what waits is put when its time has come."""

    def __init__(self, backend: ObjectBackend, key: str, every_s: float) -> None:
        self._backend, self._key, self._every_s = backend, key, every_s
        self._waiting, self._parts, self._put_at = b"", 0, time.monotonic()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._failed: OSError | None = None
        if not backend.put_if_absent(f"{key}/{0:06d}", b""):
            raise StorageError(f"{backend.location}/{key}: exists already")

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
            if not self._backend.put_if_absent(key, lines):
                lines = self._backend.read(key)  # ours, where an attempt that seemed to fail has worked after all
                if not lines or not self._waiting.startswith(lines):
                    raise StorageError(f"{self._backend.location}/{key}: another process writes this journal")
            self._parts, self._waiting, self._put_at = self._parts + 1, self._waiting[len(lines) :], time.monotonic()
