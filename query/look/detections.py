"""Detections of stored frames, computed once for each (frame, detector, entities) and kept.

They are kept in this user's cache for the archive; where that cannot be written, in memory.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ...store.archive.pictures import decode_jpeg
from ...store.archive.shard import Shard
from ...store.encoders import Picture
from ...store.fingerprints import digest
from ...store.records import Detection
from ...store.storage.cache_db import CacheFile
from .detectors import BatchDetector, Detector

log = logging.getLogger("vidrag.query")
_AT_ONCE = 64
"""Frames that are opened at a time."""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS detections (video TEXT, frames TEXT, row INTEGER, detector TEXT, entities TEXT, "
    "found TEXT, PRIMARY KEY (video, frames, row, detector, entities)) WITHOUT ROWID"
)


class DetectionCache:
    """A detector with a memory.  ``hits`` and ``misses`` count look-ups.  Safe to use from several threads."""

    def __init__(self, detector: Detector, location: Path | None) -> None:
        self.detector = detector
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._kept = CacheFile(location, _TABLE, "detections")

    def detect(self, shard: Shard, row: int, entities: Sequence[str]) -> tuple[Detection, ...]:
        """What of ``entities`` is in stored frame ``row`` of ``shard``."""
        return self.detect_rows(shard, [row], entities)[0]

    def detect_rows(self, shard: Shard, rows: Sequence[int], entities: Sequence[str]) -> list[tuple[Detection, ...]]:
        """The same for several stored frames; those that are not known go together to a detector that takes several."""
        keys = {r: self._key(shard, r, entities) for r in dict.fromkeys(rows)}
        at_once = _AT_ONCE if isinstance(self.detector, BatchDetector) else 1
        with self._lock:
            found = {r: kept for r, key in keys.items() if (kept := self._find(key)) is not None}
            unknown = [r for r in keys if r not in found]
            self.hits, self.misses = self.hits + len(rows) - len(unknown), self.misses + len(unknown)
            for at in range(0, len(unknown), at_once):
                part = unknown[at : at + at_once]
                seen = self._look([decode_jpeg(shard.jpeg(r)) for r in part], entities)
                for r, things in zip(part, seen, strict=True):
                    found[r] = tuple(things)
                    self._keep(keys[r], found[r])
        return [found[r] for r in rows]

    def _look(self, pictures: Sequence[Picture], entities: Sequence[str]) -> list[tuple[Detection, ...]]:
        if isinstance(self.detector, BatchDetector):
            return self.detector.detect_many(pictures, entities)
        return [self.detector.detect(p, entities) for p in pictures]

    def _key(self, shard: Shard, row: int, entities: Sequence[str]) -> tuple[Any, ...]:
        frames = shard.manifest.current.get("frames", "")
        return shard.video, frames, row, self.detector.identity, digest(sorted(set(entities)))

    def _keep(self, key: tuple[Any, ...], seen: Sequence[Detection]) -> None:
        told = json.dumps([[d.label, d.score, d.box] for d in seen])
        self._kept.put("INSERT OR REPLACE INTO detections VALUES (?,?,?,?,?,?)", (*key, told))

    def _find(self, key: tuple[Any, ...]) -> tuple[Detection, ...] | None:
        found = self._kept.find(
            "SELECT found FROM detections WHERE video=? AND frames=? AND row=? AND detector=? AND entities=?", key
        )
        if found is None:
            return None
        try:
            return tuple(Detection(*d) for d in self._rows.validate_json(found[0]))
        except ValidationError as e:
            log.warning("a damaged detection is computed again: %s", e.errors()[0]["msg"])
            return None

    @cached_property
    def _rows(self) -> TypeAdapter[list[tuple[str, float, tuple[float, float, float, float]]]]:
        return TypeAdapter(list[tuple[str, float, tuple[float, float, float, float]]])
