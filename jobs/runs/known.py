"""Remembers which files are settled, so that a run over an unchanged folder reads none of them.

A file counts as unchanged where its stamp (size, times, inode, device, and those of its subtitle files) is the one that
it had when it was indexed, and its times were at least two seconds old then: a file that changes within one tick of the
clock is not trusted, as git does not.  The index itself is asked for its newest version each time, so that what was
removed or set aside is made again.  What is remembered lies in this user's cache, never in the archive, where anybody
could have prepared it, and may be deleted.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from types import TracebackType

from pydantic import TypeAdapter, ValidationError

from ...ingest.conduct import Conduct
from ...ingest.pipeline import Outcome
from ...ingest.stages import STAGES, IngestSettings, fingerprints
from ...store.archive.archive import Archive
from ...store.fingerprints import digest
from ...store.storage.cache_db import CacheFile
from .plan import Item, stamp

log = logging.getLogger("vidrag.jobs")
_RACY_NS = 2_000_000_000
_COMMIT_S = 2.0
_ONE_BY_ONE = 20
_TABLE = """CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, stamp TEXT NOT NULL, settings TEXT NOT NULL, video TEXT NOT NULL, version INTEGER NOT NULL,
    outcomes TEXT NOT NULL
) WITHOUT ROWID"""


class Known:
    """What earlier runs settled, under one set of settings.  Use as a context manager."""

    def __init__(self, archive: Archive, settings: IngestSettings, conduct: Conduct) -> None:
        self._archive, self._conduct = archive, conduct
        self._asked, self._numbers = 0, dict[str, int]()
        told = [sorted(fingerprints(settings).items()), settings.subtitles.identity()]
        if conduct.profile:  # what is known under one profile is still to be noted for another
            told.append([conduct.profile.name, conduct.profile.settings])
        self._settings = digest(told)
        self._kept = CacheFile(archive.cache_file("files.sqlite"), _TABLE, "unchanged files", _COMMIT_S)

    def kept(self, item: Item) -> list[Outcome] | None:
        """The outcomes of a file that has nothing left to do; None where a worker has to look."""
        row = self._kept.find(
            "SELECT video, version, outcomes FROM files WHERE path=? AND stamp=? AND settings=?",
            (str(item.location), item.stamp, self._settings),
        )
        if row is None:
            return None
        try:
            told = [replace(o, source=str(item.location)) for o in _outcomes().validate_json(row[2])]
        except ValidationError as e:
            log.warning("%s: what was remembered of it is damaged (%s)", item.location, e.errors()[0]["msg"])
            return None
        if not told or (self._conduct.retry_failed and any(o.status == "failed" for o in told)):
            return None
        return told if not row[0] or self._version(row[0]) == row[1] else None

    def _version(self, video: str) -> int:
        """The newest version of a video: asked for one by one at first, for all of them where many are asked for."""
        self._asked += 1
        if self._asked <= _ONE_BY_ONE:
            return next(iter(self._archive.versions(video)), 0)
        self._numbers = self._numbers or self._archive.newest_numbers()
        return self._numbers.get(video, 0)

    def video(self, item: Item) -> str:
        """The id of an unchanged file under any settings; empty where it has to be read to know."""
        row = self._kept.find("SELECT video FROM files WHERE path=? AND stamp=?", (str(item.location), item.stamp))
        return str(row[0]) if row else ""

    def add(self, item: Item, outcomes: Sequence[Outcome]) -> None:
        """Remembers a file whose stages all ended in a way that another try would not change."""
        given_up = any(o.status == "failed" for o in outcomes)  # without a failure nothing is skipped for good
        ended = ("ok", "none", "kept", *(("skipped",) if given_up else ()))
        settled = {o.stage for o in outcomes if o.status in ended or o.permanent}
        if not set(STAGES) <= settled or not item.stamp or time.time_ns() - item.changed_ns < _RACY_NS:
            return
        if stamp(item.location) != (item.stamp, item.changed_ns):
            return
        video = next((o.video for o in outcomes if o.video), "")
        version = next(iter(self._archive.versions(video)), 0) if video else 0
        told = json.dumps([asdict(_replayed(o)) for o in outcomes])
        self._kept.put(
            "INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?)",
            (str(item.location), item.stamp, self._settings, video, version, told),
        )

    def __enter__(self) -> Known:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._kept.close()


class Ingested:
    """Tells which files this user's own runs on this machine have indexed, whatever an archive says of itself."""

    def __init__(self, archive: Archive) -> None:
        self._kept = CacheFile(archive.cache_file("files.sqlite"), _TABLE, "unchanged files", _COMMIT_S)

    def holds(self, path: str, video: str) -> bool:
        """Whether the file ``path`` was indexed here, as ``video``."""
        return self._kept.find("SELECT 1 FROM files WHERE path=? AND video=?", (path, video)) is not None


def _replayed(outcome: Outcome) -> Outcome:
    """An outcome as later runs tell it: nothing was spent on it then."""
    status = "kept" if outcome.status in ("ok", "none") else outcome.status
    return replace(outcome, status=status, seconds=0.0, cpu_seconds=0.0, bytes=0, host=None)


@cache
def _outcomes() -> TypeAdapter[list[Outcome]]:
    return TypeAdapter(list[Outcome])
