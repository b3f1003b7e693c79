"""One video's index, opened for reading: a snapshot of one manifest version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..encoders import HOW_TO_EMBED, EncoderSpec, check_space
from ..errors import ArchiveDamaged, StorageError, one_line
from ..records import Cell, Chapter, Frame, FrameLabels, Segment, StoredFile, TextTrack, spoken_text
from ..storage.faults import machine_errors
from ..storage.protocol import Backend
from ..vectors import VectorFile
from . import pictures, schema
from .manifest import Manifest

MEND = "'vidrag verify' sets it aside, then 'vidrag ingest' makes it again (re-ingest)"
_verified: set[tuple[str, int, int, str]] = set()
"""Files whose hash this process has checked: path, inode, mtime, SHA-256.  Adding to a set is atomic."""


def verified_path(backend: Backend, folder: str, file: StoredFile, named_by: str, mend: str) -> Path:
    """The local file behind ``file`` of ``folder``, size and SHA-256 checked once per process.

    Raises :class:`ArchiveDamaged` where they do not hold; ``named_by`` and ``mend`` go into its message.
    """
    where = f"{backend.location}/{folder}/{file.name}"
    for fresh in (False, True):  # a copy of a remote file may have gone bad, not the file itself
        try:
            path = backend.local_path(f"{folder}/{file.name}", fresh, file.bytes)
            st = path.stat()
            key = (str(path), st.st_ino, st.st_mtime_ns, file.sha256)
            if key in _verified:
                return path
            with machine_errors(path), path.open("rb") as f:
                found = hashlib.file_digest(f, "sha256").hexdigest()
        except StorageError:
            raise
        except OSError as e:
            why = e.strerror or one_line(e)
            raise ArchiveDamaged(f"{where}: named by {named_by} but unreadable ({why})") from e
        if st.st_size == file.bytes and found == file.sha256:
            _verified.add(key)
            return path
    raise ArchiveDamaged(f"{where}: size or SHA-256 differ from {named_by}; {mend}")


class Shard:
    """Lazy, read-only view of one version of one video.  Each file's hash is checked once per process."""

    def __init__(self, backend: Backend, folder: str, manifest: Manifest, how_to_embed: str = HOW_TO_EMBED) -> None:
        """``how_to_embed``: the command that makes its vectors anew, for messages."""
        self.backend, self.folder, self.manifest = backend, folder, manifest
        self._how_to_embed = how_to_embed
        self._vectors: dict[str, VectorFile | None] = {}

    @property
    def video(self) -> str:
        return self.manifest.video

    @cached_property
    def name(self) -> str:
        return self.manifest.name

    def path(self, file: StoredFile) -> Path:
        """The local file behind ``file``, size and SHA-256 checked; :class:`ArchiveDamaged` where they do not hold."""
        return verified_path(self.backend, self.folder, file, f"{self.video}'s manifest", MEND)

    def _table(self, stage: str, kind: str) -> pq.ParquetFile | None:
        cell = self.manifest.cell(stage)
        file = cell.file(kind) if cell and cell.status == "ok" else None
        return schema.open_parquet(self.path(file), kind, file.rows) if file else None

    def rows(self, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The stored rows of ``speech``, ``text``, ``frames``, ``labels`` or ``chapters`` as a table of their schema;
        ``columns``: only these.
        """
        file = self._table({"labels": "frame_vectors"}.get(kind, kind), kind)
        if file is None:
            empty = schema.SCHEMAS[kind].empty_table()
            return empty if columns is None else empty.select(list(columns))
        names = list(columns or schema.SCHEMAS[kind].names)
        table = schema.read_table(Path(f"{self.backend.location}/{self.folder}/{kind}"), file, names)
        for name in set(names) - set(table.column_names):  # of an earlier version
            table = table.append_column(name, pa.nulls(len(table), schema.SCHEMAS[kind].field(name).type))
        return table.select(names)

    def _records(self, stage: str, kind: str, columns: Sequence[str] | None = None) -> list[Any]:
        file = self._table(stage, kind)
        if file is None:
            return []
        where = Path(f"{self.backend.location}/{self.folder}/{kind}")
        return schema.from_table(kind, schema.read_table(where, file, columns))

    @cached_property
    def speech(self) -> list[Segment]:
        return self._records("speech", "speech")

    @cached_property
    def text(self) -> list[TextTrack]:
        return self._records("text", "text")

    @cached_property
    def labels(self) -> list[FrameLabels]:
        return self._records("frame_vectors", "labels")

    @cached_property
    def chapters(self) -> list[Chapter]:
        """Empty for a video that was indexed before there were chapters, too."""
        return self._records("chapters", "chapters")

    @cached_property
    def frames(self) -> list[Frame]:
        """The kept frames: their times, and where their pictures lie."""
        return self._records("frames", "frames", schema.SCHEMAS["frames"].names)

    def texts(self, kind: str) -> list[tuple[str, bool]]:
        """What is searched of each row of ``speech`` or ``text``, and whether it is doubtful; cheaper than the records.

        Speech has its speaker before it.
        """
        file = self._table(kind, kind)
        if file is None:
            return []
        columns = ["text", "speaker", "flags"] if kind == "speech" else ["text"]
        table = schema.read_table(Path(f"{self.backend.location}/{self.folder}/{kind}"), file, columns)
        if kind != "speech":
            return [(text or "", False) for text in table["text"].to_pylist()]
        columns_of = (table[c].to_pylist() for c in columns)
        return [(spoken_text(text or "", who), bool(f)) for text, who, f in zip(*columns_of, strict=True)]

    def _pictures(self) -> StoredFile | None:
        cell = self.manifest.cell("frames")
        return cell.file(pictures.KIND) if cell and cell.status == "ok" else None

    def pictures(self) -> Iterator[tuple[Frame, bytes]]:
        """Every kept frame with its JPEG, few in memory at a time."""
        if file := self._pictures():
            with machine_errors(path := self.path(file)), path.open("rb") as f:
                for frame in self.frames:
                    if frame.picture:
                        f.seek(frame.picture.offset)
                        yield frame, f.read(frame.picture.size)
        elif (table := self._table("frames", "frames")) and "jpeg" in table.schema_arrow.names:
            for batch in table.iter_batches(batch_size=16):
                rows = pa.Table.from_batches([batch])
                yield from zip(schema.from_table("frames", rows), rows["jpeg"].to_pylist(), strict=True)

    def jpeg(self, row: int) -> bytes:
        """The stored picture of frame ``row``; no other is read."""
        if not 0 <= row < len(self.frames):
            raise IndexError(f"{self.video}: no stored frame {row}")
        file, place = self._pictures(), self.frames[row].picture
        if file and place:
            return pictures.read_picture(self.backend, self.folder, file, place, MEND)
        return self._jpeg_in_table(row)

    def _jpeg_in_table(self, row: int) -> bytes:
        """A picture of an archive of before pictures had a file of their own; reads one row group."""
        table, first = self._table("frames", "frames"), 0
        if table is None or "jpeg" not in table.schema_arrow.names:
            raise ArchiveDamaged(f"{self.backend.location}/{self.folder}: names no pictures; {MEND}")
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            if row < first + rows:
                return bytes(table.read_row_group(group, columns=["jpeg"])["jpeg"][row - first].as_py())
            first += rows
        raise IndexError(f"{self.video}: no stored frame {row}")

    def vectors(self, kind: str, spec: EncoderSpec) -> VectorFile | None:
        """Vectors of ``speech``, ``text`` or ``frames``; None where there are none.

        Raises :class:`~vidrag.store.errors.SpaceMismatch` where they were made by another encoder than ``spec``.
        """
        stage = {"speech": "speech_vectors", "text": "text_vectors", "frames": "frame_vectors"}[kind]
        cell = self.manifest.cell(stage)
        if cell is None or cell.status != "ok":
            return None
        check_space(cell.encoder, spec, f"{self.name} ({kind})", self._how_to_embed)
        if kind not in self._vectors:
            file = cell.file(f"{kind}.faiss")
            self._vectors[kind] = VectorFile(self.path(file), file.rows, spec.dim) if file else None
        return self._vectors[kind]

    def status(self) -> Mapping[str, Cell]:
        """The current cell of every stage that has one."""
        return {s: c for s in self.manifest.current if (c := self.manifest.cell(s))}
