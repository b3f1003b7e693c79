"""An Arrow schema for each kind of stored file, with its version, and the way between rows and records.

The files are plain Parquet: DuckDB, pandas and Polars read them without vidrag.  Each row carries its video id, so
that a glob over many videos is one table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ArchiveDamaged, StorageError
from ..records import Chapter, Detection, Frame, FrameLabels, Label, Moment, Segment, StoredPicture, TextTrack, Word
from ..storage.faults import machine_errors, storage_errors

_F64, _F32, _STR = pa.float64(), pa.float32(), pa.string()
_BOX = pa.list_(_F32, 4)
_WORD = pa.struct([("start", _F64), ("end", _F64), ("text", _STR), ("probability", _F32)])
_LABEL = pa.struct([("name", _STR), ("score", _F32)])
_DETECTION = pa.struct([("label", _STR), ("score", _F32), ("box", _BOX)])
_MOMENT = pa.struct([("kind", _STR), ("start", _F64), ("end", _F64)])
_EVIDENCE = pa.struct(
    [
        *((n, _STR) for n in ("id", "kind", "video", "name")),
        ("start", _F64),
        ("end", _F64),
        ("text", _STR),
        ("score", _F64),
        ("rank", pa.int32()),
        ("doubts", pa.list_(_STR)),
        ("speaker", _STR),
    ]
)
_HEAD = [("video", pa.dictionary(pa.int32(), _STR)), ("row", pa.int32()), ("start", _F64), ("end", _F64)]

VERSIONS: Mapping[str, int] = {
    **dict.fromkeys(("speech", "text", "frames", "labels", "chapters"), 1),
    **dict.fromkeys(("ledger", "answers", "catalogue"), 1),
}
"""Raised when a column changes its meaning; part of each fingerprint, so that old cells are computed again."""

SCHEMAS: Mapping[str, pa.Schema] = {
    "speech": pa.schema(
        [
            *_HEAD,
            ("text", _STR),
            ("words", pa.list_(_WORD)),
            ("language", _STR),
            ("speaker", _STR),
            ("avg_logprob", _F32),
            ("no_speech_prob", _F32),
            ("compression_ratio", _F32),
            ("flags", pa.list_(_STR)),
        ]
    ),
    "text": pa.schema([*_HEAD, ("text", _STR), ("confidence", _F32), ("box", _BOX), ("sightings", pa.int32())]),
    "frames": pa.schema(
        [
            *_HEAD,
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("change", _F32),
            ("cut", pa.bool_()),
            ("picture", pa.struct([("offset", pa.int64()), ("size", pa.int32()), ("crc32", pa.uint32())])),
        ]
    ),
    "labels": pa.schema(
        [
            *_HEAD,
            ("caption", _STR),
            ("labels", pa.list_(_LABEL)),
            ("detections", pa.list_(_DETECTION)),
        ]
    ),
    "chapters": pa.schema(
        [
            *_HEAD,
            ("title", _STR),
            ("title_from", _STR),
            ("terms", pa.list_(_STR)),
            ("moments", pa.list_(_MOMENT)),
        ]
    ),
    "ledger": pa.schema(
        [
            ("run", _STR),
            ("video", _STR),
            ("source", _STR),
            ("stage", _STR),
            ("fingerprint", _STR),
            ("status", _STR),
            ("error", _STR),
            ("message", _STR),
            ("attempts", pa.int32()),
            ("seconds", _F64),
            ("cpu_seconds", _F64),
            ("rows", pa.int64()),
            ("bytes", pa.int64()),
            ("media_seconds", _F64),
            ("coverage", _F64),
            ("host", _STR),
            ("finished", pa.timestamp("ms", tz="UTC")),
        ]
    ),
    "answers": pa.schema(
        [
            ("position", pa.int32()),
            ("id", _STR),
            ("question", _STR),
            ("options", pa.list_(_STR)),
            ("videos", pa.list_(_STR)),
            ("right", _STR),
            ("problem", _STR),
            ("answer", _STR),
            ("choice", _STR),
            ("abstained", pa.bool_()),
            ("confidence", _F64),
            ("scores", pa.list_(_F64)),
            ("citations", pa.list_(_STR)),
            ("evidence", pa.list_(_EVIDENCE)),
            ("request", _STR),
            ("notes", pa.list_(_STR)),
            ("timings", pa.list_(pa.struct([("step", _STR), ("seconds", _F64)]))),
            *((n, pa.int64()) for n in ("calls", "cached", "read", "written", "detected", "known")),
            ("replies", pa.list_(_STR)),
            ("degraded", pa.bool_()),
            ("error_type", _STR),
            ("error", _STR),
            ("key", _STR),
            ("kept_from", _STR),
            ("told", _STR),
        ]
    ),
    "catalogue": pa.schema(
        [
            ("video", _STR),
            ("version", pa.int64()),
            ("names", pa.list_(_STR)),
            ("paths", pa.list_(_STR)),
            ("sha256", _STR),
            ("bytes", pa.int64()),
            ("seconds", _F64),
            ("recorded", pa.date32()),
            ("indexed", _STR),
            *((n, pa.int64()) for n in ("speech", "text", "frames", "chapters")),
            *((n, pa.list_(_STR)) for n in ("languages", "speakers", "failed")),
            *((n, _STR) for n in ("cells", "profiles", "metadata", "problem")),
        ]
    ),
}
"""In ``catalogue`` the columns ``cells``, ``profiles`` and ``metadata`` are JSON objects.

In ``answers`` the columns ``id``, ``request`` and ``told`` (the whole answer) are JSON; ``videos`` null: all.

``ledger`` rows end as status ``ok``, ``none``, ``failed`` or ``kept`` (an earlier run had done the cell)."""

FRAMES_WITH_JPEG = pa.schema([*[f for f in SCHEMAS["frames"] if f.name != "picture"], ("jpeg", pa.binary())])
"""``frames`` of archives that were made before pictures had a file of their own."""
_EARLIER = {"frames": (FRAMES_WITH_JPEG,)}

_RECORDS: Mapping[str, type] = {
    "speech": Segment,
    "text": TextTrack,
    "frames": Frame,
    "labels": FrameLabels,
    "chapters": Chapter,
}


def to_table(kind: str, video: str, records: Sequence[Any], first_row: int = 0) -> pa.Table:
    """Records of one video as a table of ``SCHEMAS[kind]``; rows are numbered from ``first_row``."""
    rows = [
        {"video": video, "row": first_row + i, **{f.name: _plain(getattr(r, f.name)) for f in dataclasses.fields(r)}}
        for i, r in enumerate(records)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMAS[kind])


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def from_table(kind: str, table: pa.Table) -> list[Any]:
    """The records of a table; columns that were not read take the record's default."""
    names = [f.name for f in dataclasses.fields(_RECORDS[kind])]
    make = _RECORDS[kind]
    return [make(**{n: _rich(n, row[n]) for n in names if n in row}) for row in table.to_pylist()]


def _rich(name: str, value: Any) -> Any:
    if name == "words":
        return tuple(Word(**w) for w in value or ())
    if name == "labels":
        return tuple(Label(**v) for v in value or ())
    if name == "detections":
        return tuple(Detection(v["label"], v["score"], tuple(v["box"])) for v in value or ())
    if name == "picture":
        return value and StoredPicture(**value)
    if name == "moments":
        return tuple(Moment(**m) for m in value or ())
    return tuple(value) if isinstance(value, list) else value


class TableWriter:
    """Writes the records of one video to a Parquet file in row groups, so that memory does not grow with length.

    Page checksums are on.  Use as a context manager.  Where the disk refuses it is :class:`StorageError`.
    """

    def __init__(self, path: Path, kind: str, video: str, group_rows: int = 1024) -> None:
        self.path, self.kind, self.video, self.rows = path, kind, video, 0
        self._group_rows, self._pending = group_rows, list[Any]()
        schema = SCHEMAS[kind]
        schema = schema.with_metadata({b"vidrag.kind": kind.encode(), b"vidrag.version": b"%d" % VERSIONS[kind]})
        with storage_errors(path):
            self._writer = pq.ParquetWriter(path, schema, compression="ZSTD", write_page_checksum=True)

    def write(self, records: Iterable[Any]) -> None:
        for record in records:
            self._pending.append(record)
            if len(self._pending) >= self._group_rows:
                self._flush()

    def _flush(self) -> None:
        if self._pending:
            table = to_table(self.kind, self.video, self._pending, self.rows)
            with storage_errors(self.path):
                self._writer.write_table(table)
            self.rows += len(self._pending)
            self._pending.clear()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        with storage_errors(self.path):
            self._writer.close()


def open_parquet(path: Path, kind: str, rows: int, max_bytes: int = 4 << 30) -> pq.ParquetFile:
    """Opens a Parquet file after its footer has been held against what the manifest promises.

    Raises :class:`ArchiveDamaged` where the schema or the row count differ, or where it would unpack to more than
    ``max_bytes``.
    """
    try:
        with machine_errors(path):
            file = pq.ParquetFile(path, page_checksum_verification=True)
    except StorageError:
        raise
    except (pa.ArrowException, OSError) as e:
        raise ArchiveDamaged(
            f"{path}: not a readable Parquet file ({e}); run 'vidrag ingest' on the video again"
        ) from e
    meta = file.metadata
    if meta.num_rows != rows:
        raise ArchiveDamaged(f"{path}: holds {meta.num_rows} rows, its manifest says {rows}")
    types = {f.name: f.type for f in file.schema_arrow}
    if not any(all(types.get(f.name) == f.type for f in s) for s in (SCHEMAS[kind], *_EARLIER.get(kind, ()))):
        raise ArchiveDamaged(f"{path}: its columns are not those of '{kind}'")
    if sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)) > max_bytes:
        raise ArchiveDamaged(f"{path}: unpacks to more than {max_bytes >> 20} MiB; refused")
    return file


_MOST_ROWS, _BATCH_BYTES = 4096, 64 << 20


def read_table(path: Path, file: pq.ParquetFile, columns: Sequence[str] | None = None, most: int = 1 << 30) -> pa.Table:
    """All rows of a file that :func:`open_parquet` let pass, in pieces that are counted as they come.

    A column of one long text repeated a million times is small in the file, and by its footer too: what matters is what
    comes out.  Raises :class:`ArchiveDamaged` where that is more than ``most`` bytes, or where Arrow gives up.
    """
    groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
    chunks = [g.column(i) for g in groups for i in range(g.num_columns)]
    wanted = [c for c in chunks if columns is None or c.path_in_schema.partition(".")[0] in columns]
    longest = max((c.total_uncompressed_size for c in wanted), default=1)
    rows = max(1, min(_MOST_ROWS, _BATCH_BYTES // max(1, longest)))
    batches, total = [], 0
    try:
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            batches.append(batch)
            total += batch.nbytes
            if total > most:
                raise ArchiveDamaged(f"{path}: unpacks to more than {most >> 20} MiB; refused")
        return pa.Table.from_batches(batches) if batches else file.read(columns=columns)
    except (pa.ArrowException, OSError) as e:
        raise ArchiveDamaged(
            f"{path}: not a readable Parquet file ({e}); run 'vidrag ingest' on the video again"
        ) from e
