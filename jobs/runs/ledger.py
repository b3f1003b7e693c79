"""The ledger of a run: one row for every video and stage, written as it happens.

While a run works its rows are lines of ``runs/<run>.jsonl``, synced every second; at the end they become
``runs/<run>.parquet``.  A killed run leaves its lines behind, and they are read like the rest.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import itertools
import json
import platform
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...ingest.pipeline import Outcome
from ...store.archive.archive import Archive
from ...store.archive.schema import SCHEMAS
from ...store.shell import printable
from ...store.storage.faults import storage_errors

_FIELDS = tuple(f.name for f in fields(Outcome))


def new_run() -> str:
    """A name that no other run has.  Names sort by when the runs began: date, time, microsecond in hex."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond:05x}{secrets.token_hex(2)}"


class Ledger:
    """Takes the outcomes of one run.  Use as a context manager: leaving it writes the Parquet file."""

    def __init__(self, archive: Archive, run: str, sync_s: float = 1.0) -> None:
        """``sync_s``: rows of the last so many seconds may be lost in a power cut; the videos themselves are not."""
        self.archive, self.run, self._sync_s = archive, run, sync_s
        self._journal = archive.backend.journal(lines_key(run))
        self._synced = time.monotonic()
        self._host = platform.node()

    def add(self, outcomes: Sequence[Outcome]) -> None:
        finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        lines = []
        for o in outcomes:
            row = {n: getattr(o, n) for n in _FIELDS}
            row |= {"run": self.run, "host": o.host or self._host, "finished": finished, "source": printable(o.source)}
            lines.append(json.dumps(row) + "\n")
        self._journal.write("".join(lines).encode())
        if time.monotonic() - self._synced >= self._sync_s:
            self._journal.sync()
            self._synced = time.monotonic()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.sync()
        self._journal.close()
        close(self.archive, self.run)


def close(archive: Archive, run: str) -> None:
    """Turns the lines of a run that has ended, however it ended, into its table; a part is held at a time."""
    backend = archive.backend
    with storage_errors(f"{backend.location}/{lines_key(run)}"):
        lines = backend.read_journal(lines_key(run))
    with backend.scratch("runs") as folder, storage_errors(folder):
        path = folder / "ledger.parquet"
        with pq.ParquetWriter(path, SCHEMAS["ledger"], compression="ZSTD", write_page_checksum=True) as writer:
            for table in tables(lines):
                writer.write_table(table)
        backend.put_file(f"runs/{run}.parquet", path)
    backend.delete_journal(lines_key(run))


def lines_key(run: str) -> str:
    return f"runs/{run}.jsonl"


def tables(lines: bytes, part: int = 20_000) -> Iterator[pa.Table]:
    """The rows of a journal, ``part`` lines at a time; what is no row (a last line that was cut off) is left out."""
    stream = io.BytesIO(lines)
    while batch := list(itertools.islice(stream, part)):
        rows = []
        for line in batch:
            with contextlib.suppress(ValueError, RecursionError):
                rows.append(json.loads(line.decode("utf-8", "replace")))
        yield to_table(rows if _fits(rows) else [r for r in rows if _fits([r])])


def _fits(rows: Sequence[Any]) -> bool:
    try:
        to_table(rows)
    except (ValueError, TypeError, KeyError, OverflowError, pa.ArrowException):
        return False
    return True


def to_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    ready = [{**r, "finished": datetime.datetime.fromisoformat(r["finished"])} for r in rows]
    return pa.Table.from_pylist(ready, schema=SCHEMAS["ledger"])
