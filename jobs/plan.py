"""Which files an ingest run is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..ingest.captions import Folder
from ..ingest.sources import Location, listed
from ..store.errors import VidragError


@dataclass(frozen=True, slots=True)
class Item:
    """A file to ingest; ``twin`` is an earlier one with the same content, which is known when both are done.

    ``stamp`` changes when the file does (empty where it could not be asked for); ``changed_ns`` is its newest time;
    two with the same ``like`` are copies.
    """

    location: Location
    bytes: int
    twin: Location | None = None
    stamp: str = ""
    changed_ns: int = 0
    like: str = ""


def stamp(location: Location, beside: Folder | None = None) -> tuple[str, int]:
    """What changes when a source or its subtitle files do, and the newest of their times in ns.

    Empty where it cannot be asked; the time of an object is 0, as its tag tells more than times.  ``beside``: the
    subtitle files of a file's folder, where they are known.
    """
    if location.remote:
        try:
            return location.tag(), 0
        except VidragError:
            return "", 0
    path = Path(location.text)
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
    """The sources that ``paths`` (see :func:`~vidrag.ingest.sources.listed`) stand for, largest first."""
    folders: dict[Path, Folder] = {}
    items = []
    for found in listed(paths):
        told, changed = found.tag, 0
        if not found.location.remote:
            folder = Path(found.location.text).parent
            if folder not in folders:
                folders[folder] = Folder(folder)
            told, changed = stamp(found.location, folders[folder])
        items.append(Item(found.location, found.bytes, None, told, changed, found.like))
    return sorted(items, key=lambda i: (-i.bytes, i.location.text))
