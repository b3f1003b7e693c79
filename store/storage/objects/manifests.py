"""Manifests of an archive in object storage that this machine has read: none is fetched twice.

A listing tells the tag, size and time of each manifest; one that is kept under the same is the same.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable
from pathlib import Path

from ..cache_db import CacheFile
from .client import ObjectInfo

_TABLE = "CREATE TABLE IF NOT EXISTS manifests (folder TEXT PRIMARY KEY, name TEXT, tag TEXT, data BLOB) WITHOUT ROWID"


class ManifestCache:
    """The last read version of each video.  Safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self._kept = CacheFile(path, _TABLE, "manifests")

    def find(self, info: ObjectInfo) -> bytes | None:
        """The bytes of a manifest as it was listed; None where they are not here."""
        folder, _, name = info.key.rpartition("/")
        row = self._kept.find(
            "SELECT data FROM manifests WHERE folder=? AND name=? AND tag=?", (folder, name, _tag(info))
        )
        with contextlib.suppress(TypeError, zlib.error):  # gone bad: it is fetched again
            return zlib.decompress(row[0]) if row else None
        return None

    def put(self, read: Iterable[tuple[ObjectInfo, bytes]]) -> None:
        rows = [(*i.key.rsplit("/", 1), _tag(i), zlib.compress(data, 1)) for i, data in read]
        self._kept.put_many("INSERT OR REPLACE INTO manifests VALUES (?,?,?,?)", rows)


def _tag(info: ObjectInfo) -> str:
    return f"{info.etag} {info.bytes} {info.modified}"
