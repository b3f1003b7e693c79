"""Which files an ingest run is about."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..ingest.media.sniff import HEAD, demuxer_of
from ..ingest.sources import EXTENSIONS
from ..store.errors import UsageError


@dataclass(frozen=True, slots=True)
class Item:
    """A file to ingest; ``twin`` is the path of an earlier item with the same content, None for the first."""

    path: Path
    bytes: int
    twin: Path | None = None


def sources(paths: Sequence[str]) -> list[Item]:
    """The files that ``paths`` (files and folders) stand for, largest first, copies after all others.

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
    sizes = {p: _size(p) for p in found}
    same: dict[int, list[Path]] = {}
    for p, size in sizes.items():
        same.setdefault(size, []).append(p)
    first: dict[tuple[int, str], Path] = {}
    items = []
    for size, group in same.items():
        for p in group:
            one = first.setdefault((size, _content(p) if len(group) > 1 and size > 0 else str(p)), p)
            items.append(Item(p, size, None if one == p else one))
    return sorted(items, key=lambda i: (i.twin is not None, -i.bytes, str(i.path)))


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
