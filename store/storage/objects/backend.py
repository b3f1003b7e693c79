"""An archive in object storage: what :mod:`..local` does with ``link()`` is done here with conditional requests.

Objects appear whole or not at all, so nothing temporary is ever left where readers look.  A journal, which grows, is a
folder of numbered parts.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path

from ...cache_dir import cache_dir
from ...errors import NotAnArchive, SourceChanged, StorageError
from ...fingerprints import digest
from .. import owned
from ..faults import storage_errors
from ..keys import SCRATCH, is_scratch, manifest_version, scratch_name
from ..protocol import Entry, Journal
from .access import ObjectOptions, split_url
from .cache import ObjectCache
from .client import PART, ObjectInfo, Objects
from .journal import JOURNAL_S, ObjectJournal
from .manifests import ManifestCache

LISTED_S = 5.0
"""Seconds for which a listing of every video is believed after its end.  Who builds on an older version loses his
conditional put.
"""
VIDEOS = "videos"
"""The folder of which all inner folders are listed at once: who lists it asks for each of them next."""
_HASHED = re.compile(r"-[0-9a-f]{12}\.[a-z]+")
_PART = re.compile("[0-9]{6}")
_AT_ONCE, _BATCH = 32, 512


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
        self.location = self.address = self.objects.url(self._prefix).rstrip("/")
        self._cache, self._journal_s = cache, journal_s
        self._listed: tuple[float, dict[str, set[str]]] | None = None
        self._manifests = dict[str, ObjectInfo]()
        self._clock: tuple[float, float] | None = None

    @cached_property
    def cache(self) -> ObjectCache:
        return self._cache or ObjectCache()

    @cached_property
    def _read(self) -> ManifestCache:
        return ManifestCache(cache_dir() / "manifests" / f"{digest(self.address)}.sqlite")

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
        if folders or any(not is_scratch(_name(o.key)) for o in found):
            raise NotAnArchive(f"{self.location}: holds other things; name a new or an empty folder")

    def check_writable(self) -> None:
        self._now(fresh=True)

    def put_file(self, key: str, source: Path) -> bool:
        self._listed = None
        with storage_errors(source):
            size = source.stat().st_size
            data = source.read_bytes() if size <= PART else None
        if data is not None:
            made = self.objects.create(self._key(key), data)
            ours = made or self.objects.read(self._key(key)) == data
            if ours and not made:
                self.objects.put(self._key(key), data)  # its age starts again
        else:
            have = self.size(key)
            made, ours = have is None, have in (None, size)
            if ours:
                self.objects.put_large(self._key(key), source)
        if ours and _hashed(key):
            self.cache.seed(self._address(key), source)  # the next stage reads it
        return made

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._listed = None
        return self.objects.create(self._key(key), data)

    def mark(self, key: str) -> None:
        self._listed = None
        self.objects.put(self._key(key), b"")

    def read(self, key: str, fresh: bool = False) -> bytes:
        listed = None if fresh else self._manifests.get(self._key(key))
        if listed is None:
            return self.objects.read(self._key(key))
        if (kept := self._read.find(listed)) is not None:
            return kept
        found, data = self.objects.read_whole(self._key(key))
        if found.same_as(listed):
            self._read.put([(listed, data)])
        return data

    def read_part(self, key: str, start: int, size: int, fresh: bool = False) -> bytes:
        if _hashed(key) and not fresh and (have := self.cache.find(self._address(key))):
            with have.open("rb") as f:
                f.seek(start)
                return f.read(size)
        return self.objects.range(self._key(key), start, start + size)

    def fetch(self, keys: Sequence[str]) -> None:
        def get(listed: ObjectInfo) -> tuple[ObjectInfo, bytes] | None:
            with contextlib.suppress(FileNotFoundError):  # gone since; who reads it is told
                found, data = self.objects.read_whole(listed.key)
                return (listed, data) if found.same_as(listed) else None
            return None

        known = (self._manifests.get(self._key(k)) for k in keys)
        missing = [i for i in known if i is not None and self._read.find(i) is None]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for at in range(0, len(missing), _BATCH):
                self._read.put([g for g in pool.map(get, missing[at : at + _BATCH]) if g is not None])

    def size(self, key: str) -> int | None:
        try:
            return self.objects.info(self._key(key)).bytes
        except FileNotFoundError:
            return None

    def delete(self, key: str, dry_run: bool = False) -> bool:
        owned.check(key)
        if is_scratch(_name(key)) and self.size(key) is None:
            return False  # a folder, which vidrag never makes here
        if not dry_run:
            self._forget(key)
            self.objects.delete([self._key(key)])
        return True

    def set_aside(self, key: str) -> bool:
        owned.check(key)
        self._forget(key)
        with contextlib.suppress(FileNotFoundError):
            self.objects.copy(self._key(key), self._key(f"quarantine/{key}"))
            self.objects.delete([self._key(key)])
        return True

    def _forget(self, key: str) -> None:
        self._listed = None
        if _hashed(key):
            self.cache.drop(self._address(key))

    def list(self, prefix: str, begins: str = "") -> list[str]:
        folder = self._key(prefix)
        if (names := self._remembered(prefix)) is not None:
            pass
        elif begins:
            names = self._beginning(folder, begins)
        elif prefix == VIDEOS:
            names = set(self._walk(folder))
        else:
            folders, found = self.objects.children(folder)
            self._note(found)
            names = {_name(f) for f in folders} | {_name(o.key) for o in found}
        return sorted(n for n in names if n.startswith(begins) and not n.startswith(SCRATCH))

    def _walk(self, folder: str) -> dict[str, set[str]]:
        """Lists every video's folder in few requests, and remembers it for a moment."""
        found, inner = self.objects.below(folder), dict[str, set[str]]()
        for o in found:
            name, _, rest = o.key[len(folder) + 1 :].partition("/")
            inner.setdefault(name, set()).update({rest.partition("/")[0]} if rest else ())
        self._manifests = {}
        self._note(found)
        self._listed = time.monotonic(), inner
        return inner

    def _note(self, listed: Sequence[ObjectInfo]) -> None:
        """Remembers what manifests are, so that those that were read once need not be read again."""
        self._manifests |= {o.key: o for o in listed if manifest_version(_name(o.key)) is not None}

    def _remembered(self, prefix: str) -> set[str] | None:
        listed, (folder, _, video) = self._listed, prefix.partition("/")
        if listed is None or folder != VIDEOS or not video or "/" in video or time.monotonic() - listed[0] > LISTED_S:
            return None
        return listed[1].get(video, set())

    def _beginning(self, folder: str, begins: str) -> set[str]:
        """Names that begin with ``begins``: the storage lists the keys from there on, and is stopped behind."""
        head = f"{folder}/" if folder else ""
        before = head + begins[:-1] + (chr(ord(begins[-1]) - 1) + "~" if "!" < begins[-1] <= "~" else "")

        def past(key: str) -> bool:
            name = key[len(head) :]
            return not name.startswith(begins) and name.encode() > begins.encode()

        found = self.objects.below(folder, before, past)
        self._note(found)
        return {o.key[len(head) :].partition("/")[0] for o in found}

    def stamp(self, prefix: str) -> tuple[int, ...] | None:
        return None  # folders have no times here; a listing of all videos is remembered instead

    def tag(self, key: str) -> Hashable:
        found = self._manifests.get(self._key(key))  # as the last listing had it
        return (found.etag, found.bytes, found.modified) if found else None

    def entries(self, prefix: str) -> Sequence[Entry]:
        """As :meth:`.Backend.entries`; folders do not exist by themselves here, and have the age 0."""
        self._listed = None  # who asks for ages is about to delete, and must see what has come meanwhile
        folders, found = self.objects.children(self._key(prefix))
        now = self._now() if found else 0.0
        out = [Entry(_name(o.key), o.bytes, max(0.0, now - o.modified)) for o in found]
        return sorted([*out, *(Entry(_name(f), 0, 0.0, True) for f in folders)], key=lambda e: e.name)

    def _now(self, fresh: bool = False) -> float:
        """The storage's own clock, seconds since 1970; ours where nothing can be written."""
        if fresh or self._clock is None or time.monotonic() - self._clock[1] > 600:
            probe = self._key(scratch_name())
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

    def local_path(self, key: str, fresh: bool = False, size: int | None = None) -> Path:
        """As :meth:`.Backend.local_path`; a copy of a file whose name holds its hash is given without any request."""
        if _hashed(key) and not fresh and (have := self.cache.find(self._address(key))):
            return have
        for last in (False, True):
            told = _hashed(key) and size is not None and not fresh and not last
            info = ObjectInfo(self._key(key), size or 0, "", 0.0) if told else self.objects.info(self._key(key))
            identity = self._address(key) if _hashed(key) else f"{self._address(key)}\n{info.etag or info.modified}"
            if fresh:
                self.cache.drop(identity)
            try:
                return self.cache.path(identity, info.bytes, partial(self.objects.download, info))
            except (SourceChanged, FileNotFoundError) as e:  # written anew since we looked
                if last:
                    raise FileNotFoundError(2, "gone, or written anew while it was read", self._address(key)) from e
        raise AssertionError("unreachable")

    def _address(self, key: str) -> str:
        return self.objects.url(self._key(key))

    @contextlib.contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        """As :meth:`.Backend.scratch`; in the system's folder for temporary files (``$TMPDIR``)."""
        with storage_errors(tempfile.gettempdir()):
            folder = tempfile.TemporaryDirectory(prefix="vidrag-", ignore_cleanup_errors=True)
        with folder as name:
            yield Path(name)

    def journal(self, key: str) -> Journal:
        return ObjectJournal(self.put_if_absent, self.read, key, self._journal_s, f"{self.location}/{key}")

    def _parts(self, key: str) -> Sequence[str]:
        head = len(self._key(key)) + 1
        return sorted(o.key for o in self.objects.below(self._key(key)) if _PART.fullmatch(o.key[head:]))

    def read_journal(self, key: str) -> bytes:
        if not (parts := self._parts(key)):
            raise FileNotFoundError(2, "no such journal", f"{self.location}/{key}")
        with ThreadPoolExecutor(8) as pool:
            return b"".join(pool.map(self.objects.read, parts))

    def delete_journal(self, key: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda part: self.objects.delete([part]), reversed(self._parts(key))))


def _name(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _hashed(key: str) -> bool:
    """True where the name holds the start of the file's hash, so that its bytes can only ever be the same."""
    return _HASHED.search(key) is not None
