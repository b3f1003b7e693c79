"""The current state of an archive as one Parquet dataset for other programs: DuckDB, Polars, pandas, LanceDB.

    FOLDER/videos.parquet        a row for each video
    FOLDER/rows/<part>.parquet   a row for each sentence, line of text, frame and chapter, with its vector
    FOLDER/views.sql             what makes 'videos', 'rows' and 'speech' names in DuckDB

Each part holds the videos whose ids begin alike, and in its footer a hash of which versions these are: so a part that
is up to date is known without any other file, and is left as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..store.archive.archive import Archive
from ..store.archive.catalogue import Catalogue
from ..store.archive.entries import Entry, spelled_out, under
from ..store.archive.shard import Shard
from ..store.encoders import EncoderSpec
from ..store.errors import ArchiveDamaged, NoSuchVideo, NotIndexed, UsageError, one_line
from ..store.fingerprints import digest
from ..store.storage import owned
from ..store.storage.faults import storage_errors
from ..store.storage.whole import whole_file, write_whole

FORMAT = 1
_CONTENT = b"vidrag.content"
_PART_VIDEOS = 64
"""About so many videos in a part."""
_GROUP_BYTES = 64 << 20
_LOOKED_AT = 20
"""Of so many videos that were indexed last one tells which encoders' vectors are wanted."""
_STAGES = {"speech": "speech_vectors", "text": "text_vectors", "frames": "frame_vectors"}
_KINDS = ("speech", "text", "frames", "chapters")
VIDEOS = pa.schema(
    [
        *((n, pa.string()) for n in ("video", "name", "path", "sha256")),
        ("bytes", pa.int64()),
        ("seconds", pa.float64()),
        ("recorded", pa.date32()),
        *((n, pa.list_(pa.string())) for n in ("languages", "speakers")),
        ("metadata", pa.map_(pa.string(), pa.string())),
    ]
)


@dataclass(slots=True)
class Compacted:
    """``written`` and ``kept`` parts; ``left_out``: what is wrong with videos that are not in it."""

    videos: int = 0
    rows: int = 0
    written: int = 0
    kept: int = 0
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Spaces:
    """The encoders whose vectors are wanted, of words and of pictures; None: there are none."""

    words: EncoderSpec | None
    pictures: EncoderSpec | None

    @property
    def schema(self) -> pa.Schema:
        vectors = [
            (name, pa.list_(pa.float32(), spec.dim))
            for name, spec in (("vector", self.words), ("picture_vector", self.pictures))
            if spec
        ]
        return pa.schema(
            [
                *((n, pa.string()) for n in ("video", "name", "kind")),
                ("row", pa.int32()),
                *((n, pa.float64()) for n in ("start", "end")),
                *((n, pa.string()) for n in ("text", "speaker", "language")),
                ("doubts", pa.list_(pa.string())),
                ("recorded", pa.date32()),
                *vectors,
            ]
        )


def compact(archive: Archive, folder: Path, vectors: bool = True) -> Compacted:
    """Brings the dataset in ``folder`` up to date with what ``archive`` holds (for its profile, where it has one).

    Parts in which nothing changed are not read.  Everything new appears at the end, part by part.  Raises
    :class:`~vidrag.store.errors.UsageError` where the folder holds other things.
    """
    rows = folder / "rows"
    with storage_errors(folder):
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "views.sql").exists():
            raise UsageError(f"{folder}: has other things in it; name a new folder, or that of an earlier dataset")
        rows.mkdir(parents=True, exist_ok=True)
    table = archive.catalogue().table
    entries = list(Catalogue.entries_of(under(table, archive.profile) if archive.profile else table))
    spaces = _spaces(archive, entries) if vectors else _Spaces(None, None)
    out, parts, digits = Compacted(), dict[str, list[Entry]](), _digits(len(entries))
    for one in entries:
        parts.setdefault(one.video[:digits] or "all", []).append(one)
    parts = parts or {"all": []}
    with contextlib.ExitStack() as finished:  # everything takes its place when all of it is written
        for name, own in parts.items():
            path, content = rows / f"{name}.parquet", _content(own, spaces)
            if _is(path, content):
                out.kept += 1
            else:
                _write_part(archive, own, spaces, finished.enter_context(whole_file(path)), content, out)
                out.written += 1
        temp = finished.enter_context(whole_file(folder / "videos.parquet"))
        pq.write_table(_videos(entries), temp, compression="zstd")
        out.videos = len(entries)
        with storage_errors(rows):
            old = [p for p in rows.glob("*.parquet") if p.stem not in parts and _is(p)]
    for path in old:
        owned.remove(path)
    write_whole(folder / "views.sql", _views(folder.absolute()))
    return out


def _digits(videos: int) -> int:
    """How many digits of the id name a part: a power of 16 parts."""
    digits = 0
    while videos > _PART_VIDEOS * 16**digits * 4:
        digits += 1
    return digits


def _spaces(archive: Archive, entries: Sequence[Entry]) -> _Spaces:
    found: dict[str, EncoderSpec] = {}
    for one in sorted(entries, key=lambda e: e.indexed, reverse=True)[:_LOOKED_AT]:
        with contextlib.suppress(ArchiveDamaged, NoSuchVideo, NotIndexed):
            shard = archive.shard(one.video)
            for stage in _STAGES.values():
                cell = shard.manifest.cell(stage)
                if cell and cell.encoder and cell.status == "ok":
                    told = {f.name: cell.encoder.get(f.name, "") for f in dataclasses.fields(EncoderSpec)}
                    found.setdefault("pictures" if stage == "frame_vectors" else "words", EncoderSpec(**told))
    return _Spaces(found.get("words"), found.get("pictures"))


def _content(entries: Sequence[Entry], spaces: _Spaces) -> bytes:
    told = [s and [s.space, s.dim] for s in (spaces.words, spaces.pictures)]
    return digest([FORMAT, told, [[e.video, e.version, e.cells] for e in entries]]).encode()


def _is(path: Path, content: bytes | None = None) -> bool:
    """True for a part of a dataset; ``content``: with this content."""
    try:
        found = (pq.read_metadata(path).metadata or {}).get(_CONTENT)
    except (OSError, pa.ArrowException):
        return False
    return found is not None and content in (None, found)


def _write_part(
    archive: Archive, entries: Sequence[Entry], spaces: _Spaces, path: Path, content: bytes, out: Compacted
) -> None:
    """Rows by kind, then by video.  What cannot be read is left out, and the part is made anew the next time."""
    shards, bad = list[tuple[Entry, Shard]](), len(out.left_out)
    for one in entries:
        try:
            shards.append((one, archive.shard(one.video)))
        except (NoSuchVideo, NotIndexed):
            continue  # taken out since
        except ArchiveDamaged as e:
            out.left_out.append(one_line(e))
    pending, size = list[pa.Table](), 0
    with pq.ParquetWriter(path, spaces.schema, compression="zstd", write_page_checksum=True) as writer:
        for kind in _KINDS:
            for one, shard in shards:
                try:
                    table = _rows(shard, one, kind, spaces)
                except ArchiveDamaged as e:
                    out.left_out.append(one_line(e))
                    continue
                pending.append(table)
                size += table.nbytes
                if size > _GROUP_BYTES:
                    size = _flush(writer, pending, out)
            size = _flush(writer, pending, out)
        writer.add_key_value_metadata({_CONTENT: content if len(out.left_out) == bad else b"not whole"})


def _flush(writer: pq.ParquetWriter, pending: list[pa.Table], out: Compacted) -> int:
    table = pa.concat_tables(pending) if pending else None
    if table is not None and len(table):
        writer.write_table(table)
        out.rows += len(table)
    pending.clear()
    return 0


def _rows(shard: Shard, one: Entry, kind: str, spaces: _Spaces) -> pa.Table:
    """The rows of one kind in the columns of a dataset."""
    table = shard.rows(kind, ["row", "start", "end"] if kind == "frames" else None)
    texts = {"chapters": "title", "frames": "caption"}.get(kind, "text")
    source = shard.rows("labels", ["caption"]) if kind == "frames" else table
    count = len(table)
    held = {
        **{n: table[n] for n in ("row", "start", "end", "speaker", "language") if n in table.column_names},
        **({"text": pc.replace_substring_regex(source[texts], "^a photo of ", "")} if len(source) == count else {}),
        **({"doubts": table["flags"]} if kind == "speech" else {}),
        "video": pa.repeat(one.video, count),
        "name": pa.repeat(spelled_out(one.name), count),
        "kind": pa.repeat({"frames": "frame", "chapters": "chapter"}.get(kind, kind), count),
        "recorded": pa.repeat(pa.scalar(one.recorded, pa.date32()), count),
        **_vectors(shard, kind, spaces, count),
    }
    columns = [held[f.name] if f.name in held else pa.nulls(count, f.type) for f in spaces.schema]
    return pa.Table.from_arrays(columns, schema=spaces.schema)


def _vectors(shard: Shard, kind: str, spaces: _Spaces, rows: int) -> dict[str, pa.Array]:
    """The vectors of the wanted encoder; none where another made them."""
    spec = spaces.pictures if kind == "frames" else spaces.words
    cell = shard.manifest.cell(_STAGES[kind]) if kind in _STAGES else None
    if spec is None or cell is None or not cell.encoder or cell.encoder.get("space") != spec.space:
        return {}
    found = shard.vectors(kind, spec)
    if found is None or found.rows != rows:
        return {}
    flat = pa.array(found.vectors().ravel(), pa.float32())
    return {"picture_vector" if kind == "frames" else "vector": pa.FixedSizeListArray.from_arrays(flat, spec.dim)}


def _videos(entries: Sequence[Entry]) -> pa.Table:
    rows = (
        {
            **{f.name: getattr(e, f.name, None) for f in VIDEOS},
            "name": spelled_out(e.name),
            "path": spelled_out(e.paths[0]) if e.paths else None,
            "metadata": [(spelled_out(k), spelled_out(v)) for k, v in e.metadata.items()],
        }
        for e in entries
    )
    return pa.Table.from_pylist(list(rows), schema=VIDEOS)


def _views(folder: Path) -> str:
    def quoted(path: Path) -> str:
        return "'" + str(path).replace("'", "''") + "'"

    return (
        f"CREATE OR REPLACE VIEW videos AS SELECT * FROM read_parquet({quoted(folder / 'videos.parquet')});\n"
        f"CREATE OR REPLACE VIEW rows AS SELECT * FROM read_parquet({quoted(folder / 'rows/*.parquet')});\n"
        "CREATE OR REPLACE VIEW speech AS SELECT * FROM rows WHERE kind = 'speech';\n"
    )


def make_database(folder: Path) -> str:
    """Writes ``archive.duckdb`` with the views of a dataset; says how where DuckDB is not installed or has it open."""
    by_hand = f"duckdb {folder}/archive.duckdb < {folder}/views.sql"
    try:
        import duckdb

        with duckdb.connect(str(folder / "archive.duckdb")) as made:
            made.execute((folder / "views.sql").read_text())
    except ImportError:
        return f"for DuckDB: {by_hand}"
    except duckdb.Error as e:
        return f"archive.duckdb was not written ({one_line(e, 100)}); later: {by_hand}"
    return f"for DuckDB: duckdb {folder}/archive.duckdb"
