"""Which files an ingest run is about."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...ingest.listing import Unreachable, listed
from ...ingest.sidecars import Folder, folder_of
from ...ingest.sources import Location
from ...store.errors import UsageError, VidragError

ELSEWHERE = "links to elsewhere"
"""Kind of what is passed over because a link leads out of the folder that was given."""


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
    for sidecar in (beside or folder_of(path.parent)).of(path.name) if told else ():
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


@dataclass(frozen=True, slots=True)
class Plan:
    """``passed_over`` counts by kind what is no video; ``unreachable``: what could not be looked at."""

    items: list[Item]
    passed_over: Mapping[str, int]
    unreachable: list[Unreachable]

    def as_json(self) -> dict[str, Any]:
        """What is no item, as ``vidrag ingest --json`` tells it."""
        missed = [{"path": u.path, "message": u.message} for u in self.unreachable]
        return {"passed_over": dict(self.passed_over), "unreachable": missed}


def plan(paths: Sequence[str], exclude: Sequence[str] = ()) -> Plan:
    """What ``paths`` stand for (see :func:`~vidrag.ingest.listing.listed`), the largest sources first."""
    listing = listed(paths, exclude)
    folders: dict[Path, Folder] = {}
    items = []
    for found in listing.found:
        told, changed = found.tag, 0
        if not found.location.remote:
            folder = Path(found.location.text).parent
            if folder not in folders:
                folders[folder] = folder_of(folder)
            told, changed = stamp(found.location, folders[folder])
        items.append(Item(found.location, found.bytes, None, told, changed, found.like))
    items.sort(key=lambda i: (-i.bytes, i.location.text))
    return Plan(items, dict(listing.passed_over), listing.unreachable)


def within(planned: Plan, folder: str) -> Plan:
    """The same without files that lie elsewhere than in ``folder``, links followed; they count as passed over."""
    root = Path(os.path.realpath(folder))
    items = [
        i
        for i in planned.items
        if not i.location.remote and Path(os.path.realpath(i.location.text)).is_relative_to(root)
    ]
    left_out = len(planned.items) - len(items)
    passed_over = {**planned.passed_over, **({ELSEWHERE: left_out} if left_out else {})}
    return Plan(items, passed_over, planned.unreachable)


def sources(paths: Sequence[str]) -> list[Item]:
    """The sources of :func:`plan`; raises :class:`UsageError` where it could not look at all of them."""
    planned = plan(paths)
    for one in planned.unreachable:
        raise UsageError(f"{one.path}: {one.message}")
    return planned.items
