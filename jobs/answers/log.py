"""Batches of answers kept in the archive, with everything that a rerun or a comparison asks of them.

While a batch works its answers are lines of ``answers/<run>.jsonl``, synced every second; at its end they become
``answers/<run>.parquet``.  A killed one leaves its lines behind, and they are read like the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...store.archive.archive import Archive
from ...store.archive.schema import SCHEMAS
from ...store.errors import ArchiveDamaged, UsageError, one_line
from ...store.fingerprints import sha256_of
from ...store.storage.cache_db import CacheFile
from ...store.storage.faults import storage_errors

_HEAD = b"vidrag.run"
_OWN = "CREATE TABLE IF NOT EXISTS runs (name TEXT PRIMARY KEY, sha256 TEXT) WITHOUT ROWID"
_PART = 2000
_MOST_BYTES = 8 << 30
"""Of the answers of a run, unpacked; more is a hostile file."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run of questions was: ``profile`` is the composed table of options, ``parent`` the run that it repeats."""

    run: str
    command: str
    profile: dict[str, Any] = field(default_factory=dict)
    questions: int = 0
    parent: str = ""
    written_by: str = ""
    changes: tuple[str, ...] = ()


class AnswerLog:
    """Takes the answers of one run.  Use as a context manager: leaving it writes the Parquet file."""

    def __init__(self, archive: Archive, batch: Batch, sync_s: float = 1.0) -> None:
        """``sync_s``: answers of the last so many seconds may be lost in a power cut."""
        self.archive, self.batch, self._sync_s = archive, batch, sync_s
        self._journal = archive.backend.journal(_lines(batch.run))
        _note(archive, batch.run)
        self._journal.write(json.dumps({"batch": dataclasses.asdict(batch)}).encode() + b"\n")
        self._synced = time.monotonic()

    def add(self, row: dict[str, Any]) -> None:
        """One answer: the columns of the schema ``answers``."""
        self._journal.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        if time.monotonic() - self._synced >= self._sync_s:
            self._journal.sync()
            self._synced = time.monotonic()

    def __enter__(self) -> AnswerLog:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._journal.sync()
        self._journal.close()
        if kind is None:  # what was stopped stays as lines: it is not the whole
            close(self.archive, self.batch.run)


def close(archive: Archive, run: str) -> None:
    """Turns the lines of a run into its table."""
    backend = archive.backend
    head, rows = _parse(backend.read_journal(_lines(run)), f"{backend.location}/{_lines(run)}")
    schema = SCHEMAS["answers"].with_metadata({_HEAD: json.dumps(dataclasses.asdict(head)).encode()})
    with backend.scratch("answers") as folder, storage_errors(folder):
        path = folder / "answers.parquet"
        with pq.ParquetWriter(path, schema, compression="ZSTD", write_page_checksum=True) as writer:
            while part := list(itertools.islice(rows, _PART)):
                writer.write_table(pa.Table.from_pylist(part, schema=schema))
        _note(archive, run, sha256_of(path))
        backend.put_file(_table(run), path)
    backend.delete_journal(_lines(run))


def is_own(archive: Archive, run: str) -> bool:
    """True for a run that this user made on this machine, if nobody has changed it since.

    What stands in an archive from elsewhere may have been prepared: answers, and settings that lead to a stranger.
    """
    row = _own(archive).find("SELECT sha256 FROM runs WHERE name=?", (run,))
    if row is None or archive.backend.size(_table(run)) is None:  # one that was stopped is known by its name
        return row is not None
    return bool(row[0] == sha256_of(archive.backend.local_path(_table(run))))


def _note(archive: Archive, run: str, sha256: str = "") -> None:
    _own(archive).put("INSERT OR REPLACE INTO runs VALUES (?,?)", (run, sha256))


def _own(archive: Archive) -> CacheFile:
    return CacheFile(archive.cache_file("runs.sqlite"), _OWN, "names of runs")


def runs(archive: Archive) -> list[tuple[str, bool]]:
    """Every run that left answers, oldest first, and whether it came to its end."""
    names = archive.backend.list("answers")
    done = {n.removesuffix(".parquet") for n in names if n.endswith(".parquet")}
    begun = {n.split(".jsonl")[0] for n in names if ".jsonl" in n}
    return [(n, n in done) for n in sorted(done | begun)]


def find(archive: Archive, name: str) -> str:
    """The run of that name or beginning, or the newest for ``last``; :class:`UsageError` names the known ones."""
    known = [n for n, _ in runs(archive)]
    if name == "last" and known:
        return known[-1]
    hits = [n for n in known if n == name] or [n for n in known if n.startswith(name)]
    if len(hits) != 1:
        told = ", ".join(known[-5:]) or "none; 'vidrag batch' makes one"
        raise UsageError(f"{'several runs fit' if hits else 'no answers of'} '{name}' in {archive.location}; {told}")
    return hits[0]


def read(archive: Archive, run: str, columns: Sequence[str] | None = None) -> tuple[Batch, list[dict[str, Any]]]:
    """A run and its answers in order; ``columns``: only these.  :class:`ArchiveDamaged` where it cannot be read."""
    where = f"{archive.location}/answers/{run}"
    try:
        if archive.backend.size(_table(run)) is None:
            head, lines = _parse(archive.backend.read_journal(_lines(run)), where)
            return head, list(lines)
        file = pq.ParquetFile(archive.backend.local_path(_table(run)), page_checksum_verification=True)
        sizes = (file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
        if sum(sizes) > _MOST_BYTES:
            raise ValueError("larger than any run")
        if missing := set(SCHEMAS["answers"].names) - set(file.schema_arrow.names):
            raise ValueError(f"no column '{min(missing)}'")
        head = _batch(json.loads((file.schema_arrow.metadata or {})[_HEAD]))
        return head, [r for b in file.iter_batches(_PART, columns=columns) for r in b.to_pylist()]
    except FileNotFoundError as e:
        raise UsageError(f"{where}: is gone") from e
    except (ArchiveDamaged, MemoryError):
        raise
    except Exception as e:  # pyarrow raises many types on a damaged file
        raise ArchiveDamaged(f"{where}: not readable answers ({one_line(e, 100)}); the index does not need them") from e


def _parse(lines: bytes, where: str) -> tuple[Batch, Iterator[dict[str, Any]]]:
    stream = io.BytesIO(lines)
    try:
        head = _batch(json.loads(stream.readline())["batch"])
    except (ValueError, KeyError, TypeError) as e:
        raise ArchiveDamaged(f"{where}: does not begin as answers do; the index does not need them") from e
    return head, _rows(stream)


def _rows(stream: io.BytesIO) -> Iterator[dict[str, Any]]:
    """Whole lines that fit the schema; a last one that was cut off is left out."""
    for line in stream:
        with contextlib.suppress(ValueError, TypeError, RecursionError, OverflowError, pa.ArrowException):
            row = json.loads(line)
            yield pa.Table.from_pylist([row], schema=SCHEMAS["answers"]).to_pylist()[0]


def _batch(told: dict[str, Any]) -> Batch:
    known = {f.name for f in dataclasses.fields(Batch)}
    found = Batch(**{k: v for k, v in told.items() if k in known})
    if not isinstance(found.profile, dict):
        raise TypeError("the profile is no table")
    return dataclasses.replace(found, changes=tuple(found.changes))


def _lines(run: str) -> str:
    return f"answers/{run}.jsonl"


def _table(run: str) -> str:
    return f"answers/{run}.parquet"
