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

from ..store.backend import storage_errors
from ..store.errors import MediaError, NotAVideo, SourceChanged, StorageError, UsageError
from ..store.models import cache_dir
from ..store.names import base
from ..store.object_access import is_url, split_url
from ..store.object_cache import ObjectCache
from ..store.objects import ObjectInfo, Objects
from .media.sniff import HEAD, demuxer_of

EXTENSIONS = frozenset(
    "mp4 m4v mov mkv webm avi wmv asf flv f4v mpg mpeg ts mts m2ts vob ogv ogg mxf 3gp 3g2 mp3 m4a aac wav flac oga "
    "opus wma".split()
)
"""Files in a folder that claim by their name to be videos or sound; others count where their first bytes say so."""
Stamp = tuple[int | float | str, ...]
"""Changes when a source changes: (bytes, mtime_ns, inode) of a file, (bytes, entity tag, seconds) of an object."""


_SUBTITLE_BYTES = 16 << 20
"""Larger objects that are named like subtitles are none."""


def _is_subtitle(info: ObjectInfo) -> bool:
    return info.key.lower().endswith((".srt", ".vtt")) and info.bytes <= _SUBTITLE_BYTES


def _tag(info: ObjectInfo, subtitles: Sequence[ObjectInfo]) -> str:
    return " ".join(f"{o.bytes}.{o.etag}.{o.modified}" for o in (info, *sorted(subtitles, key=lambda o: o.key)))


@lru_cache(16)
def _objects(scheme: str, bucket: str) -> Objects:
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
        return _objects(scheme, bucket), key

    def _info(self) -> ObjectInfo:
        objects, key = self._object()
        try:
            return objects.info(key)
        except FileNotFoundError as e:
            raise MediaError(f"{self.text}: no such object") from e

    def stamp(self) -> Stamp:
        """Raises :class:`MediaError` where there is nothing, :class:`StorageError` where that cannot be told."""
        if self.remote:
            info = self._info()
            return info.bytes, info.etag, info.modified
        try:
            st = os.stat(self.text)
        except OSError as e:
            raise MediaError(f"{self.name}: {e.strerror or e}") from e
        return st.st_size, st.st_mtime_ns, st.st_ino

    def tag(self) -> str:
        """What changes when an object or a subtitle object beside it does; raises as :meth:`stamp` does."""
        return _tag(self._info(), self.subtitles())

    def subtitles(self) -> list[ObjectInfo]:
        """Subtitle objects beside an object whose names begin as its does; empty for a file, which has them on disk.

        Raises :class:`StorageError` where they cannot be listed.
        """
        if not self.remote:
            return []
        objects, key = self._object()
        folder, start = key.rpartition("/")[0], os.path.splitext(key)[0]
        found = objects.below(folder, start, lambda k: not k.startswith(start) and k.encode() > start.encode())
        found = [o for o in found if o.key != key and o.key.startswith(start)]
        return [o for o in found if "/" not in o.key[len(start) :] and _is_subtitle(o)]

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
        info = self._info()
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


def listed(texts: Sequence[str]) -> list[Found]:
    """The sources that ``texts`` (files, folders, objects, prefixes) stand for, in order, each once.

    What is named is always taken; in folders and below prefixes, what looks like video or sound by its name, and on a
    disk by its first bytes.  Folders are walked once, through links too.  Raises :class:`UsageError` for what does not
    exist or cannot be listed.
    """
    found: dict[Location, Found] = {}
    walked: set[tuple[int, int]] = set()
    for text in texts:
        for one in _prefix(text) if is_url(text) else _local(text, walked):
            found.setdefault(one.location, one)
    return list(found.values())


def _local(text: str, walked: set[tuple[int, int]]) -> Iterator[Found]:
    path = Path(text)
    if path.is_dir():
        yield from (_file(p) for p in _walk(path.absolute(), walked))
    elif os.path.lexists(path):
        yield _file(path.absolute())
    else:
        raise UsageError(f"{text}: no such file or folder")


def _file(path: Path) -> Found:
    try:
        return Found(Location(str(path)), path.stat().st_size)
    except OSError:
        return Found(Location(str(path)), 0)


def _walk(folder: Path, walked: set[tuple[int, int]]) -> Iterator[Path]:
    st = folder.stat()
    if (st.st_dev, st.st_ino) in walked:
        return
    walked.add((st.st_dev, st.st_ino))
    try:
        entries = sorted(os.scandir(folder), key=lambda e: os.fsencode(e.name))
    except PermissionError as e:
        raise UsageError(f"{folder}: no permission to list this folder") from e
    for entry in entries:
        path = folder / entry.name
        if path.is_dir():
            yield from _walk(path, walked)
        elif _looks_like_media(path):
            yield path


def _looks_like_media(path: Path) -> bool:
    if _named_like_media(path.name):
        return path.is_file() or not path.exists()  # a broken link is worth a line in the ledger, a pipe is not
    return demuxer_of(Location(str(path)).start(HEAD)) is not None


def _named_like_media(name: str) -> bool:
    return os.path.splitext(name)[1].lower().lstrip(".") in EXTENSIONS


def _prefix(text: str) -> Iterator[Found]:
    """The object of that name, else what lies below it."""
    scheme, bucket, key = split_url(text)
    objects = _objects(scheme, bucket)
    try:
        if key and not text.endswith("/"):
            with contextlib.suppress(FileNotFoundError):
                info = objects.info(key)
                yield _object_found(objects, info, Location(objects.url(key)).subtitles())
                return
        below = objects.below(key)
    except StorageError as e:
        raise UsageError(str(e)) from e
    if not below:
        raise UsageError(f"{text}: no such object, and nothing below it")
    beside: dict[str, list[ObjectInfo]] = {}
    for one in below:
        if _is_subtitle(one):
            beside.setdefault(one.key.rpartition("/")[0], []).append(one)
    for one in below:
        if _named_like_media(base(one.key)):
            start = os.path.splitext(one.key)[0]
            folder = beside.get(one.key.rpartition("/")[0], [])
            yield _object_found(objects, one, [o for o in folder if o.key.startswith(start)])


def _object_found(objects: Objects, info: ObjectInfo, subtitles: Sequence[ObjectInfo]) -> Found:
    like = f"{info.etag} {info.bytes}" if info.etag else ""
    return Found(Location(objects.url(info.key)), info.bytes, like, _tag(info, subtitles))
