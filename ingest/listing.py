"""Which sources the files, folders, objects and prefixes that a user names stand for.

What is named is always taken.  In folders and below prefixes only what may be a video or sound is taken; the rest is
passed over and counted, by kind.  What cannot be listed is told, and everything else goes on.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..store.archive.names import base
from ..store.errors import StorageError, UsageError, one_line
from ..store.storage.faults import storage_errors
from ..store.storage.objects.access import is_url, split_url
from ..store.storage.objects.client import ObjectInfo, Objects
from . import file_kinds as kinds
from .file_kinds import AMBIGUOUS, ending, named_like_media, never_media, never_walked
from .media.sniff import demuxer_of, is_photo, is_text, sniffed
from .sources import Found, Location, is_subtitle, object_found, objects_of, subtitle_start

IGNORE_FILE = ".vidragignore"
"""Lines in the form of ``.gitignore``: what they name in the folder of the file and below is passed over."""
_IGNORE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A path that was named or found, and why what is there could not be told."""

    path: str
    message: str


@dataclass(slots=True)
class Listing:
    """``passed_over`` counts files by kind; ``unreachable``: folders and files that could not be looked at."""

    found: list[Found] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    unreachable: list[Unreachable] = field(default_factory=list)


def listed(texts: Sequence[str], exclude: Sequence[str] = ()) -> Listing:
    """The sources that ``texts`` (files, folders, objects, prefixes) stand for, in order, each once.

    ``exclude``: patterns as in ``.gitignore``, relative to each folder or prefix that is named.  Folders are walked
    once, through links too.  Raises :class:`UsageError` where nothing of all that is named exists.
    """
    walk = _Walk(_Patterns.of("--exclude", exclude))
    missing = [text for text in texts if not (walk.prefix(text) if is_url(text) else walk.named(text))]
    if missing and len(missing) == len(texts):
        told = walk.out.unreachable
        raise UsageError(f"{told[0].path}: {told[0].message}" + (f" (and {len(told) - 1} more)" if told[1:] else ""))
    walk.out.found = list({f.location: f for f in reversed(walk.out.found)}.values())[::-1]
    if walk.out.found:  # subtitles are read with their videos; alone they are passed over
        walk.out.passed_over.pop(kinds.SUBTITLE, None)
    return walk.out


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Patterns as in ``.gitignore``; ``folder`` is where they hold, relative to the walk's start, with its slash."""

    spec: Any
    folder: str = ""

    @classmethod
    def of(cls, where: str, lines: Sequence[str], folder: str = "") -> tuple[_Patterns, ...]:
        """None, or one; :class:`UsageError` names a line that is no pattern."""
        if not any(x.strip() for x in lines):
            return ()
        from pathspec import GitIgnoreSpec

        try:
            return (cls(GitIgnoreSpec.from_lines(lines), folder),)
        except ValueError as e:
            raise UsageError(f"{where}: {one_line(e, 200)}") from e

    def verdict(self, name: str) -> bool | None:
        """True: passed over; False: taken again by a line with ``!``; None: no line is about it."""
        return self.spec.check_file(name.removeprefix(self.folder)).include  # type: ignore[no-any-return]


class _Walk:
    """Goes through what is named and sorts what it finds into ``out``."""

    def __init__(self, exclude: tuple[_Patterns, ...]) -> None:
        self.out = Listing()
        self._exclude = exclude
        self._walked: set[tuple[int, int]] = set()

    def _ignored(self, name: str, rules: Sequence[_Patterns]) -> bool:
        """``name``: relative to the walk's start, a folder's with a slash at its end.  The innermost file decides."""
        if any(p.verdict(name) for p in self._exclude):
            return True
        return next((v for p in reversed(rules) if (v := p.verdict(name)) is not None), False)

    def _unreachable(self, path: object, error: BaseException) -> None:
        message = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        self.out.unreachable.append(Unreachable(str(path), message))

    def named(self, text: str) -> bool:
        """A file or folder of a disk; False where there is nothing of that name."""
        path = os.path.abspath(text)
        try:
            st = os.stat(path)
        except OSError as e:
            if os.path.lexists(path):
                self.out.found.append(Found(Location(path), 0))  # a broken link: a line in the ledger
                return True
            missing = e.errno in (errno.ENOENT, errno.ENOTDIR)
            self._unreachable(text, FileNotFoundError("no such file or folder") if missing else e)
            return not missing
        if stat.S_ISDIR(st.st_mode):
            self._folder(Path(path), st)
        else:
            self.out.found.append(Found(Location(path), st.st_size))
        return True

    def _folder(self, root: Path, st: os.stat_result) -> None:
        waiting: list[tuple[Path, str, tuple[_Patterns, ...], os.stat_result]] = [(root, "", (), st)]
        while waiting:
            folder, inside, rules, st = waiting.pop()
            if (st.st_dev, st.st_ino) in self._walked:
                continue
            self._walked.add((st.st_dev, st.st_ino))
            entries = self._entries(folder)
            names = {e.name for e in entries}
            if inside and {"archive.json", "videos"} <= names:
                self.out.passed_over[kinds.ARCHIVES] += 1
                continue
            if IGNORE_FILE in names:
                rules += self._rules(folder / IGNORE_FILE, inside)
            for entry in entries:
                try:
                    into = entry.is_dir()
                    st = entry.stat()
                except OSError as e:
                    self._no_status(entry, e, self._ignored(inside + entry.name, rules))
                    continue
                if not into:
                    self._file(entry, st, names, self._ignored(inside + entry.name, rules))
                elif why := self._shut(entry.name, f"{inside}{entry.name}/", rules):
                    self.out.passed_over[why] += 1
                else:
                    waiting.append((folder / entry.name, f"{inside}{entry.name}/", rules, st))

    def _shut(self, name: str, inside: str, rules: Sequence[_Patterns]) -> str:
        return never_walked(name) or (kinds.EXCLUDED if self._ignored(inside, rules) else "")

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """What is in a folder, by name; as far as it can be told."""
        out: list[os.DirEntry[str]] = []
        try:
            with os.scandir(folder) as entries:
                out.extend(entries)
        except OSError as e:
            self._unreachable(folder, e)
        return sorted(out, key=lambda e: os.fsencode(e.name))

    def _rules(self, path: Path, inside: str) -> tuple[_Patterns, ...]:
        try:
            with path.open("rb") as f:
                data = f.read(_IGNORE_BYTES)
        except OSError as e:
            self._unreachable(path, e)
            return ()
        return _Patterns.of(str(path), os.fsdecode(data).splitlines(), inside)

    def _no_status(self, entry: os.DirEntry[str], error: OSError, ignored: bool) -> None:
        """A link to nothing is worth a line in the ledger where it is named like a video; one to itself as well."""
        if why := never_media(entry.name) or (kinds.EXCLUDED if ignored else ""):
            self.out.passed_over[why] += 1
        elif error.errno not in (errno.ENOENT, errno.ELOOP):
            self._unreachable(entry.path, error)
        elif named_like_media(entry.name):
            self.out.found.append(Found(Location(entry.path), 0))
        else:
            self.out.passed_over[kinds.OTHER] += 1

    def _file(self, entry: os.DirEntry[str], st: os.stat_result, names: set[str], ignored: bool) -> None:
        name = entry.name
        why = never_media(name) or (kinds.EXCLUDED if ignored else "")
        if f"{name}.aria2" in names:
            why = kinds.UNFINISHED
        elif not why:
            why = _unlike_media(entry.path, name, st)
        if not why:
            self.out.found.append(Found(Location(entry.path), st.st_size))
        elif name != IGNORE_FILE:
            self.out.passed_over[kinds.SUBTITLE if name.lower().endswith(kinds.SUBTITLES) else why] += 1

    def prefix(self, text: str) -> bool:
        """The object of that name, else what lies below it; False where there is neither."""
        scheme, bucket, key = split_url(text)
        objects = objects_of(scheme, bucket)
        try:
            if key and not text.endswith("/"):
                try:
                    info = objects.info(key)
                    self.out.found.append(object_found(objects, info, Location(objects.url(key)).subtitles()))
                    return True
                except FileNotFoundError:
                    pass
            below = objects.below(key)
        except StorageError as e:
            self._unreachable(text, StorageError(one_line(e).removeprefix(f"{text}: ")))
            return False
        if not below:
            self._unreachable(text, FileNotFoundError("no such object, and nothing below it"))
            return False
        self._below(objects, key.rstrip("/") + "/" if key else "", below)
        return True

    def _below(self, objects: Objects, start: str, below: Sequence[ObjectInfo]) -> None:
        """Sorts what lies below a prefix by the same rules, by names alone."""
        rules: list[_Patterns] = []
        beside: dict[str, list[ObjectInfo]] = {}
        for one in below:
            if is_subtitle(one):
                beside.setdefault(one.key.rpartition("/")[0], []).append(one)
            elif base(one.key) == IGNORE_FILE and one.bytes <= _IGNORE_BYTES:
                with storage_errors(objects.url(one.key)):
                    lines = os.fsdecode(objects.read(one.key)).splitlines()
                rules += _Patterns.of(objects.url(one.key), lines, one.key.removeprefix(start)[: -len(IGNORE_FILE)])
        shut: set[str] = set()
        for one in below:
            inside = one.key.removeprefix(start)
            if any(folder in shut for folder in _above(inside)):
                continue
            near = sorted((r for r in rules if inside.startswith(r.folder)), key=lambda r: len(r.folder))
            why = ""
            for folder in _above(inside):
                above = [r for r in near if folder.startswith(r.folder) and folder != r.folder]
                if why := self._shut(base(folder[:-1]), folder, above):
                    shut.add(folder)
                    break
            why = why or never_media(base(one.key)) or (kinds.EXCLUDED if self._ignored(inside, near) else "")
            why = why or _unlike_object(objects, one)
            if not why:
                folder = one.key.rpartition("/")[0]
                found = beside.get(folder, [])
                wanted = subtitle_start(one.key)
                self.out.found.append(object_found(objects, one, [o for o in found if o.key.startswith(wanted)]))
            elif base(one.key) != IGNORE_FILE:
                self.out.passed_over[kinds.SUBTITLE if is_subtitle(one) else why] += 1


def _above(inside: str) -> Iterator[str]:
    """``a/``, ``a/b/`` for ``a/b/c.mp4``."""
    at = inside.find("/")
    while at >= 0:
        yield inside[: at + 1]
        at = inside.find("/", at + 1)


def _unlike_media(path: str, name: str, st: os.stat_result) -> str:
    """Why a file is not taken; empty where its name or its first bytes say that it is video or sound."""
    media = named_like_media(name)
    if not stat.S_ISREG(st.st_mode):
        return kinds.SPECIAL
    if st.st_size == 0:
        return kinds.EMPTY if media else kinds.OTHER
    sparse = st.st_blocks * 512 < st.st_size  # a placeholder, or a download that fills its file from anywhere
    if media and ending(name) not in AMBIGUOUS and not sparse:
        return ""
    try:
        with open(path, "rb") as f:
            demuxer, head = sniffed(f)
    except OSError:
        return "" if media else kinds.OTHER  # the worker says why it cannot be read
    if media and sparse and not head.strip(b"\0"):
        return kinds.EMPTY
    if demuxer or (media and ending(name) not in AMBIGUOUS):
        return ""
    return kinds.PHOTO if is_photo(head) else kinds.TEXT if is_text(head) else "" if media else kinds.OTHER


def _unlike_object(objects: Objects, info: ObjectInfo) -> str:
    """The same for an object, whose name decides; ``.ts`` is looked into where its size fits no packets."""
    name = base(info.key)
    if not named_like_media(name):
        return kinds.TEXT if ending(name) == "txt" else kinds.OTHER
    if info.bytes == 0:
        return kinds.EMPTY
    if ending(name) in AMBIGUOUS and all(info.bytes % packet for packet in (188, 192, 204)):
        head = Location(objects.url(info.key)).start(4096)
        return kinds.TEXT if head and is_text(head) and not demuxer_of(head) else ""
    return ""
