"""Detections of stored frames, computed once for each (frame, detector, entities) and kept.

They are kept in ``cache/detections.sqlite`` of the archive; where that cannot be written, in memory.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..store.cache_db import CacheFile
from ..store.encoders import Picture
from ..store.fingerprints import digest
from ..store.pictures import decode_jpeg
from ..store.records import Detection
from ..store.shard import Shard
from .detectors import Detector

log = logging.getLogger("vidrag.query")
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
        key = (shard.video, frames, row, identity, digest(sorted(set(entities))))
        with self._lock:
            if (kept := self._find(key)) is not None:
                self.hits += 1
                return kept
            self.misses += 1
            seen = tuple(look(decode_jpeg(shard.jpeg(row)), entities))
            told = json.dumps([[d.label, d.score, d.box] for d in seen])
            self._kept.put("INSERT OR REPLACE INTO detections VALUES (?,?,?,?,?,?)", (*key, told))
            return seen

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
