"""Which files an ingest run is about."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..ingest.captions import Folder
from ..ingest.media.sniff import HEAD, demuxer_of
from ..ingest.sources import EXTENSIONS
from ..store.errors import UsageError


@dataclass(frozen=True, slots=True)
class Item:
    """A file to ingest; ``twin`` is the path of an earlier item with the same content, None for the first.

    ``stamp`` changes when the file does (empty where it could not be asked for); ``changed_ns`` is its newest time.
    """

    path: Path
    bytes: int
    twin: Path | None = None
    stamp: str = ""
    changed_ns: int = 0


def stamp(path: Path, beside: Folder | None = None) -> tuple[str, int]:
    """What changes when a file or its subtitle files do, and the newest of their times in ns; empty where it cannot be
    asked.  ``beside``: the subtitle files of its folder, where they are known.
    """
    told, newest = _stamp(path)
    for sidecar in (beside or Folder(path.parent, path.stem)).of(path.name) if told else ():
        one, changed = _stamp(sidecar.path)
        told, newest = f"{told}+{sidecar.path.name}.{one}", max(newest, changed)
    return told, newest


def _stamp(path: Path) -> tuple[str, int]:
    try:
        st = path.stat()
    except (OSError, ValueError):
        return "", 0
    told = f"{st.st_size}.{st.st_mtime_ns}.{st.st_ctime_ns}.{st.st_ino}.{st.st_dev}"
    return told, max(st.st_mtime_ns, st.st_ctime_ns)


def sources(paths: Sequence[str]) -> list[Item]:
    """The files that ``paths`` (files and folders) stand for, largest first.

    A file that is named is always taken; in folders, those that look like video or sound by name or first bytes.
    Folders are walked once, through links too.  Raises :class:`UsageError` for a path that does not exist.
    """
    found: dict[Path, None] = {}
    walked: set[tuple[int, int]] = set()
    for text in paths:
        path = Path(text)
        if path.is_dir():
            found.update(dict.fromkeys(_walk(path.absolute(), walked)))
        elif os.path.lexists(path):
            found[path.absolute()] = None
        else:
            raise UsageError(f"{text}: no such file or folder")
    folders = {folder: Folder(folder) for folder in {p.parent for p in found}}
    items = (Item(p, _size(p), None, *stamp(p, folders[p.parent])) for p in found)
    return sorted(items, key=lambda i: (-i.bytes, str(i.path)))


def marked(items: Iterable[Item]) -> list[Item]:
    """The items with copies marked as such and put last.  Reads the files of equal size."""
    same: dict[int, list[Item]] = {}
    for item in items:
        same.setdefault(item.bytes, []).append(item)
    first: dict[tuple[int, str], Path] = {}
    out = []
    for size, group in same.items():
        for item in group:
            content = _content(item.path) if len(group) > 1 and size > 0 else str(item.path)
            one = first.setdefault((size, content), item.path)
            out.append(item if one == item.path else replace(item, twin=one))
    return sorted(out, key=lambda i: i.twin is not None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _content(path: Path) -> str:
    try:
        if not path.is_file():
            return str(path)
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError:
        return str(path)


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
    if path.suffix.lower().lstrip(".") in EXTENSIONS:
        return path.is_file() or not path.exists()  # a broken link is worth a line in the ledger, a pipe is not
    try:
        if not path.is_file():
            return False
        with path.open("rb") as f:
            return demuxer_of(f.read(HEAD)) is not None
    except OSError:
        return False
