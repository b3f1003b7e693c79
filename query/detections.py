"""Detections of stored frames, computed once for each (frame, detector, entities) and kept.

They are kept in ``cache/detections.sqlite`` of the archive; where that cannot be written, in memory.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ..store.encoders import Picture
from ..store.fingerprints import digest
from ..store.pictures import decode_jpeg
from ..store.records import Detection
from ..store.shard import Shard
from .detectors import Detector

log = logging.getLogger("vidrag.query")


class DetectionCache:
    """A detector with a memory.  ``hits`` and ``misses`` count look-ups.  Safe to use from several threads."""

    def __init__(self, detector: Detector, location: Path | None) -> None:
        self.detector = detector
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._db = _open(location)

    def detect(self, shard: Shard, row: int, entities: Sequence[str]) -> tuple[Detection, ...]:
        """What of ``entities`` is in stored frame ``row`` of ``shard``."""
        return self.remembered(shard, row, self.detector.identity, entities, self.detector.detect)

    def remembered(
        self,
        shard: Shard,
        row: int,
        identity: str,
        entities: Sequence[str],
        look: Callable[[Picture, Sequence[str]], Sequence[Detection]],
    ) -> tuple[Detection, ...]:
        """What ``look``, whose way of looking ``identity`` names, finds of ``entities`` in stored frame ``row``."""
        frames = shard.manifest.current.get("frames", "")
        asked = digest(sorted(set(entities)))
        key = (shard.video, frames, row, identity, asked)
        with self._lock:
            found = self._db.execute(
                "SELECT found FROM detections WHERE video=? AND frames=? AND row=? AND detector=? AND entities=?", key
            ).fetchone()
            if found:
                self.hits += 1
                return tuple(Detection(d[0], d[1], tuple(d[2])) for d in json.loads(found[0]))
            self.misses += 1
            seen = tuple(look(decode_jpeg(shard.jpeg(row)), entities))
            told = json.dumps([[d.label, d.score, d.box] for d in seen])
            try:
                with self._db:
                    self._db.execute("INSERT OR IGNORE INTO detections VALUES (?,?,?,?,?,?)", (*key, told))
            except sqlite3.Error as e:  # a full or read-only disk costs speed, not the answer
                log.warning("detections are not cached: %s", e)
            return seen


def _open(location: Path | None) -> sqlite3.Connection:
    table = (
        "CREATE TABLE IF NOT EXISTS detections (video TEXT, frames TEXT, row INTEGER, detector TEXT, entities TEXT, "
        "found TEXT, PRIMARY KEY (video, frames, row, detector, entities)) WITHOUT ROWID"
    )
    if location is not None:
        try:
            location.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(location, timeout=10, check_same_thread=False)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(table)
            return db
        except (OSError, sqlite3.Error) as e:
            log.info("detections are kept in memory only: %s", e)
            if kept := _reading(location):
                return kept
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.execute(table)
    return db


def _reading(location: Path) -> sqlite3.Connection | None:
    """What a read-only archive has kept, copied to memory; None where that cannot be read."""
    try:
        there = sqlite3.connect(f"{location.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        db = sqlite3.connect(":memory:", check_same_thread=False)
        there.backup(db)
        db.execute("SELECT count(*) FROM detections")
        return db
    except (OSError, sqlite3.Error):
        return None
