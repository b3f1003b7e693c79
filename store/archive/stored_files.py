"""What a manifest says of files and of its own making."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from ..fingerprints import sha256_of
from ..records import StoredFile
from ..storage.faults import storage_errors


def stored(kind: str, fingerprint: str, path: Path, rows: int) -> tuple[StoredFile, str]:
    """Describes a finished file and gives it its content-addressed name.

    The name holds the cell's fingerprint and the start of the file's own hash: two workers that compute one cell and
    differ in a byte never write under one name.
    """
    with storage_errors(path):
        sha, size = sha256_of(path), os.path.getsize(path)
    stem, _, ending = kind.partition(".")
    name = f"{stem}-{fingerprint}-{sha[:12]}.{ending or 'parquet'}"
    return StoredFile(kind, name, size, sha, rows), name


def now() -> str:
    """The time as manifests hold it: UTC, to a millisecond."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def version() -> str:
    """The version of vidrag."""
    import importlib.metadata

    return importlib.metadata.version("vidrag")
