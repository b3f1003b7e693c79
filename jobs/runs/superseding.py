"""Notices that a path holds new content: a download that went on, a film that was cut again.

The older content at that path is taken out of answers, unless it lives on under another path.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

from ...ingest.pipeline import Outcome, identity_of
from ...ingest.sources import Location
from ...store.archive.archive import Archive
from ...store.archive.manifest import Source
from ...store.errors import MediaError, StorageError, VidragError
from .plan import Item

log = logging.getLogger("vidrag.jobs")


@dataclass(frozen=True, slots=True)
class Superseded:
    """``path`` held the video ``old`` and holds the video ``new``; the old one is out of answers."""

    path: str
    old: str
    new: str


class Superseding:
    """Looks after each file of a run that a worker has looked at."""

    def __init__(self, archive: Archive, items: Sequence[Item]) -> None:
        self._archive = archive
        self._of_size: dict[int, list[Location]] = {}
        for item in items:
            self._of_size.setdefault(item.bytes, []).append(item.location)
        self._sha256 = cache(_sha256)

    def check(self, item: Item, outcomes: Sequence[Outcome]) -> list[Superseded] | None:
        """What the content of ``item`` has superseded; None where that cannot be told now, so that a later run asks."""
        path = str(item.location)
        video = next((o.video for o in outcomes if o.video and o.status in ("ok", "none", "kept")), "")
        if not video:
            return []
        out = []
        try:
            for old in self._archive.seen_at(path):
                if old.video == video:
                    continue
                source = old.source
                moved_to = [
                    str(x)
                    for x in self._of_size.get(source.bytes, ())
                    if str(x) != path and self._sha256(x) == source.sha256
                ]
                if self._archive.leave(old.video, path, moved_to, partial(self._alive, source)).deleted:
                    out.append(Superseded(path, old.video, video))
        except (VidragError, OSError) as e:
            log.warning("%s: whether older content was there cannot be told: %s", path, e)
            return None
        return out

    def _alive(self, source: Source, path: str) -> bool:
        """True where the content of ``source`` is at ``path`` still, or nobody can tell."""
        location = Location(path)
        try:
            if int(location.stamp()[0]) != source.bytes:
                return False
        except StorageError:
            return True
        except MediaError:  # nothing there: gone, unless all that was around it is out of reach too
            return not location.remote and not os.path.isdir(os.path.dirname(path))
        return location.remote or self._sha256(location) == source.sha256


def _sha256(location: Location) -> str:
    """Of the content that a source has now; empty where it cannot be read."""
    try:
        return identity_of(location).sha256
    except (VidragError, OSError):
        return ""
