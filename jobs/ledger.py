"""The ledger of a run: one row for every video and stage, written as it happens.

While a run works its rows are lines of ``runs/<run>.jsonl``, synced after each video; at the end they become
``runs/<run>.parquet``.  A killed run leaves its lines behind, and they are read like the rest.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..ingest.pipeline import Outcome
from ..store.archive import Archive
from ..store.backend import fsync_dir, storage_errors
from ..store.schema import SCHEMAS


def new_run() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Ledger:
    """Takes the outcomes of one run.  Use as a context manager: leaving it writes the Parquet file."""

    def __init__(self, archive: Archive, run: str) -> None:
        self.run = run
        self.folder = Path(archive.location) / "runs"
        self.lines = self.folder / f"{run}.jsonl"
        self.table = self.folder / f"{run}.parquet"
        with storage_errors(self.lines):
            self.folder.mkdir(exist_ok=True)
            self._file = self.lines.open("x", encoding="utf-8")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        with storage_errors(self.lines):
            for o in outcomes:
                row = {"run": self.run, **asdict(o), "host": platform.node(), "finished": finished}
                row["source"] = printable(o.source)
                self._file.write(json.dumps(row) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with storage_errors(self.table):
            rows = read_lines(self.lines)
            temp = self.folder / f".tmp-{secrets.token_hex(8)}"
            try:
                pq.write_table(to_table(rows), temp, write_page_checksum=True)
                with temp.open("rb") as f:
                    os.fsync(f.fileno())
                os.link(temp, self.table)
            finally:
                temp.unlink(missing_ok=True)
            fsync_dir(self.folder)
            self.lines.unlink()


def printable(text: str) -> str:
    """Text that any file or terminal can hold: odd bytes of file names and control characters escaped."""
    clean = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in clean)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of an unfinished ledger; a last line that was cut off is left out."""
    rows = []
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def to_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    ready = [{**r, "finished": datetime.datetime.fromisoformat(r["finished"])} for r in rows]
    return pa.Table.from_pylist(ready, schema=SCHEMAS["ledger"])
