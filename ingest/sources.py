"""Where videos come from: files and folders of a disk, objects and prefixes of object storage.

Work is done on local files.  :meth:`Location.fetched` gives one: the file itself, or a copy in the bounded cache that
stays as long as it is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from ..store.archive.names import base
from ..store.cache_dir import cache_dir
from ..store.errors import MediaError, NotAVideo, SourceChanged, StorageError, UsageError
from ..store.storage.faults import storage_errors
from ..store.storage.objects.access import is_url, split_url
from ..store.storage.objects.cache import ObjectCache
from ..store.storage.objects.client import ObjectInfo, Objects
from .file_kinds import SUBTITLES

Stamp = tuple[int | float | str, ...]
"""Changes when a source changes: (bytes, mtime_ns, inode) of a file, (bytes, entity tag, seconds) of an object."""


_SUBTITLE_BYTES = 16 << 20
"""Larger objects that are named like subtitles are none."""


def is_subtitle(info: ObjectInfo) -> bool:
    return info.key.lower().endswith(SUBTITLES) and info.bytes <= _SUBTITLE_BYTES


def subtitle_start(name: str) -> str:
    """How the names of a video's subtitle files begin: with its own name, without its ending.

    Zoom's recordings of one meeting (``..._Recording_1920x1080.mp4``) share those of ``..._Recording``.
    """
    stem = os.path.splitext(name)[0]
    zoom = re.search(r"GMT\d{8}-\d{6}_Recording(?=_[^/]*$)", stem)
    return stem[: zoom.end()] if zoom else stem


def _tag(info: ObjectInfo, subtitles: Sequence[ObjectInfo]) -> str:
    return " ".join(f"{o.bytes}.{o.etag}.{o.modified}" for o in (info, *sorted(subtitles, key=lambda o: o.key)))


@lru_cache(16)
def objects_of(scheme: str, bucket: str) -> Objects:
    """The bucket, with connections that are kept for the life of the process."""
    return Objects(scheme, bucket)


@dataclass(frozen=True, slots=True)
class Location:
    """One source: ``text`` is an absolute path, or the URL of an object.  Cheap to make, copy, pickle and compare."""

    text: str

    @classmethod
    def of(cls, text: str | Path) -> Location:
        """From what a user wrote; raises :class:`UsageError` for a URL that cannot be one."""
        given = os.fspath(text)
        if not is_url(given):
            return cls(os.path.abspath(given))
        scheme, bucket, key = split_url(given)
        if not key:
            raise UsageError(f"{given}: names a bucket, not an object")
        return cls(f"{scheme}://{bucket}/{key}")

    def __str__(self) -> str:
        return self.text

    @property
    def remote(self) -> bool:
        return is_url(self.text)

    @property
    def name(self) -> str:
        """The file name."""
        return base(self.text)

    def _object(self) -> tuple[Objects, str]:
        scheme, bucket, key = split_url(self.text)
        return objects_of(scheme, bucket), key

    def info(self) -> ObjectInfo:
        """Of an object; raises as :meth:`stamp` does."""
        objects, key = self._object()
        try:
            return objects.info(key)
        except FileNotFoundError as e:
            raise MediaError(f"{self.text}: no such object") from e

    def stamp(self) -> Stamp:
        """Raises :class:`MediaError` where there is nothing, :class:`StorageError` where that cannot be told."""
        if self.remote:
            info = self.info()
            return info.bytes, info.etag, info.modified
        try:
            st = os.stat(self.text)
        except OSError as e:
            raise MediaError(f"{self.name}: {e.strerror or e}") from e
        return st.st_size, st.st_mtime_ns, st.st_ino

    def tag(self) -> str:
        """What changes when an object or a subtitle object beside it does; raises as :meth:`stamp` does."""
        return _tag(self.info(), self.subtitles())

    def subtitles(self) -> list[ObjectInfo]:
        """Subtitle objects beside an object whose names begin as its does; empty for a file, which has them on disk.

        Raises :class:`StorageError` where they cannot be listed.
        """
        if not self.remote:
            return []
        objects, key = self._object()
        folder, start = key.rpartition("/")[0], subtitle_start(key)
        found = objects.below(folder, start, lambda k: not k.startswith(start) and k.encode() > start.encode())
        found = [o for o in found if o.key != key and o.key.startswith(start)]
        return [o for o in found if "/" not in o.key[len(start) :] and is_subtitle(o)]

    @contextlib.contextmanager
    def fetched(self, cache: ObjectCache | None = None) -> Iterator[Path]:
        """A local file of that name with the content of this moment, until the ``with`` ends; subtitles beside.

        An object comes as a whole: every part is asked for under one entity tag, so that a copy is never of two
        versions; :class:`SourceChanged` where it is written anew meanwhile.  :class:`StorageError` where the disk is
        full or the video is larger than the cache may be.
        """
        if not self.remote:
            yield Path(self.text)
            return
        objects, _ = self._object()
        info = self.info()
        identity = f"{self.text}\n{info.etag or info.modified}\n{info.bytes}"
        with contextlib.ExitStack() as held:
            try:
                path = held.enter_context(
                    (cache or ObjectCache()).pinned(identity, info.bytes, lambda out: objects.download(info, out))
                )
            except FileNotFoundError as e:
                raise SourceChanged(f"{self.text}: removed while it was read") from e
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix="vidrag-", ignore_cleanup_errors=True))
            link = Path(folder) / os.fsdecode(os.fsencode(self.name)[-200:])
            link.symlink_to(path)  # messages tell the file's name by its path
            for info in self.subtitles():
                with contextlib.suppress(FileNotFoundError), storage_errors(folder):
                    (Path(folder) / base(info.key)).write_bytes(objects.read(info.key))
            yield link

    def parts(self, info: ObjectInfo, start: int, end: int, length: int = 1 << 20) -> Iterator[bytes]:
        """The bytes of an object from ``start`` up to ``end``, ``length`` at a time.

        Raises :class:`SourceChanged` where it is no longer ``info``, :class:`StorageError` where it cannot be read.
        """
        objects, _ = self._object()
        for at in range(start, end, length):
            yield objects.part(info, at, min(at + length, end))

    def start(self, length: int) -> bytes:
        """The first bytes, at most ``length``; none where it is no file or cannot be read."""
        try:
            if self.remote:
                objects, key = self._object()
                return objects.start(key, length)
            if not os.path.isfile(self.text):
                return b""
            with open(self.text, "rb") as f:
                return f.read(length)
        except OSError:
            return b""


class Opened:
    """A source while it is worked on; a context manager.  Nothing is fetched before ``path`` or ``sha256`` is asked.

    The hash of an object is remembered on this machine by its address, size and entity tag, so that a run over objects
    that have not changed fetches none of them.
    """

    def __init__(self, location: Location, cache: ObjectCache | None = None) -> None:
        """Raises what :meth:`Location.stamp` raises, and :class:`NotAVideo` for a folder, a pipe or a device."""
        self.location, self._cache = location, cache
        self.stamp = location.stamp()
        if not location.remote and not os.path.isfile(location.text):
            raise NotAVideo(f"{location.name}: not a regular file")
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def bytes(self) -> int:
        return int(self.stamp[0])

    @cached_property
    def path(self) -> Path:
        """The local file, as :meth:`Location.fetched` gives it, until the ``with`` ends."""
        return self._held.enter_context(self.location.fetched(self._cache))

    @cached_property
    def sha256(self) -> str:
        """Of the content, in hex; :class:`SourceChanged` where it changed while it was read."""
        told = f"{self.location.text}\n{self.stamp}".encode("utf-8", "surrogatepass")
        note = cache_dir() / "sources" / hashlib.sha256(told).hexdigest()[:40]
        if self.location.remote and self.stamp[1]:
            with contextlib.suppress(OSError, ValueError):
                if re.fullmatch("[0-9a-f]{64}", known := note.read_text("ascii")):
                    return known
        try:
            with self.path.open("rb") as f:
                sha = hashlib.file_digest(f, "sha256").hexdigest()
        except OSError as e:
            if isinstance(e, StorageError):
                raise
            raise MediaError(f"{self.location.name}: {e.strerror or e}") from e
        self.check()
        if self.location.remote:
            with contextlib.suppress(OSError):  # only means that it is fetched again next time
                note.parent.mkdir(parents=True, exist_ok=True)
                note.write_text(sha, "ascii")
        return sha

    def check(self) -> None:
        """Raises :class:`SourceChanged` where the source is not what it was when this was opened."""
        if self.location.stamp() != self.stamp:
            raise SourceChanged(
                f"{self.location.name}: changed while it was read; run ingest again when it is complete"
            )


@dataclass(frozen=True, slots=True)
class Found:
    """A source that was listed.  ``like``: two with the same have the same content; empty where that is not known.

    ``tag``: that of an object (see :meth:`Location.tag`).
    """

    location: Location
    bytes: int
    like: str = ""
    tag: str = ""


def object_found(objects: Objects, info: ObjectInfo, subtitles: Sequence[ObjectInfo]) -> Found:
    """An object that was listed, with the subtitle objects beside it."""
    like = f"{info.etag} {info.bytes}" if info.etag else ""
    return Found(Location(objects.url(info.key)), info.bytes, like, _tag(info, subtitles))
