"""Records go to Parquet and come back the same; a file that is not what its manifest promises is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_tools import FRAMES, RECORDS, SPEECH, table
from vidrag.store.archive.schema import SCHEMAS, VERSIONS, TableWriter, from_table, open_parquet, to_table
from vidrag.store.errors import ArchiveDamaged
from vidrag.store.records import (
    Chapter,
    Detection,
    Frame,
    FrameLabels,
    Label,
    Moment,
    Segment,
    Span,
    StoredPicture,
    TextTrack,
    Word,
    clock,
)

seconds = st.floats(0, 1e6)
single = st.floats(0, 1, width=32)
measure = st.none() | st.floats(-100, 100, width=32)
boxes = st.tuples(single, single, single, single)
counts = st.integers(0, 2**31 - 1)
names = st.none() | st.text(max_size=5)


def several(values: Any) -> Any:
    return st.lists(values, max_size=3).map(tuple)


STRATEGIES: dict[str, Any] = {
    "speech": st.builds(
        Segment,
        seconds,
        seconds,
        st.text(),
        several(st.builds(Word, seconds, seconds, st.text(), single)),
        names,
        names,
        measure,
        measure,
        measure,
        several(st.text(max_size=5)),
    ),
    "text": st.builds(TextTrack, seconds, seconds, st.text(), single, boxes, counts),
    "frames": st.builds(
        Frame,
        seconds,
        seconds,
        counts,
        counts,
        single,
        st.booleans(),
        st.none() | st.builds(StoredPicture, counts, counts, counts),
    ),
    "labels": st.builds(
        FrameLabels,
        seconds,
        seconds,
        st.text(),
        several(st.builds(Label, st.text(), single)),
        several(st.builds(Detection, st.text(), single, boxes)),
    ),
}
STRATEGIES["chapters"] = st.builds(
    Chapter,
    seconds,
    seconds,
    st.text(),
    st.text(max_size=5),
    several(st.text(max_size=5)),
    several(st.builds(Moment, st.text(max_size=5), seconds, seconds)),
)
KINDS = sorted(STRATEGIES)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_records_survive_a_table(kind: str, data: st.DataObject) -> None:
    """Any record whose values fit the columns is the same after the way to a table and back."""
    records = data.draw(st.lists(STRATEGIES[kind], max_size=4))
    made = to_table(kind, "v" * 16, records, first_row=7)
    assert made.schema == SCHEMAS[kind]
    assert made["row"].to_pylist() == list(range(7, 7 + len(records)))
    assert from_table(kind, made) == records


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group_rows", [1, 2, 1000])
def test_records_survive_a_file(tmp_path: Path, kind: str, group_rows: int) -> None:
    """Row groups are of the size asked for and numbered through; the file says what it is."""
    path = table(tmp_path / "x.parquet", kind, "v" * 16, group_rows)
    file = open_parquet(path, kind, len(RECORDS[kind]))
    assert from_table(kind, file.read()) == RECORDS[kind]
    assert file.read()["row"].to_pylist() == list(range(len(RECORDS[kind])))
    assert file.metadata.num_row_groups == -(-len(RECORDS[kind]) // group_rows)
    assert file.schema_arrow.metadata[b"vidrag.kind"] == kind.encode()
    assert file.schema_arrow.metadata[b"vidrag.version"] == str(VERSIONS[kind]).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_no_records_are_a_file_too(tmp_path: Path, kind: str) -> None:
    with TableWriter(tmp_path / "x.parquet", kind, "v" * 16) as writer:
        writer.write([])
    assert writer.rows == 0
    assert from_table(kind, open_parquet(tmp_path / "x.parquet", kind, 0).read()) == []


def test_a_column_that_is_not_read_takes_its_default(tmp_path: Path) -> None:
    """Frames without the places of their pictures have None there."""
    file = open_parquet(table(tmp_path / "x", "frames", "v" * 16), "frames", len(FRAMES))
    bare = from_table("frames", file.read(columns=[n for n in SCHEMAS["frames"].names if n != "picture"]))
    assert bare == [dataclasses.replace(f, picture=None) for f in FRAMES]


def test_other_programs_read_the_files(tmp_path: Path) -> None:
    """Plain Parquet: many videos are one table to DuckDB."""
    table(tmp_path / "a.parquet", "speech", "a" * 16)
    table(tmp_path / "b.parquet", "speech", "b" * 16)
    asked = f"select video, count(*), min(text) from '{tmp_path}/*.parquet' group by video order by video"
    assert duckdb.sql(asked).fetchall() == [(v * 16, len(SPEECH), "Good morning.") for v in "ab"]


def test_another_number_of_rows_is_damage(tmp_path: Path) -> None:
    path = table(tmp_path / "x", "speech", "v" * 16)
    for rows in (0, len(SPEECH) - 1, len(SPEECH) + 1):
        with pytest.raises(ArchiveDamaged, match="rows"):
            open_parquet(path, "speech", rows)


def test_another_kind_is_damage(tmp_path: Path) -> None:
    path = table(tmp_path / "x", "speech", "v" * 16)
    with pytest.raises(ArchiveDamaged, match="columns"):
        open_parquet(path, "frames", len(SPEECH))


def test_other_types_are_damage(tmp_path: Path) -> None:
    """Columns of the right names that hold something else are refused."""
    made = to_table("speech", "v" * 16, SPEECH)
    at = made.schema.get_field_index("start")
    pq.write_table(made.set_column(at, "start", pa.array(["soon"] * len(SPEECH))), tmp_path / "x")
    with pytest.raises(ArchiveDamaged, match="start|columns|schema"):
        open_parquet(tmp_path / "x", "speech", len(SPEECH))


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    """A file that would unpack to more than allowed is not read."""
    path = table(tmp_path / "x", "speech", "v" * 16)
    with pytest.raises(ArchiveDamaged, match="unpacks"):
        open_parquet(path, "speech", len(SPEECH), max_bytes=100)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "no magic"])
def test_what_is_no_parquet_is_damage(tmp_path: Path, damage: str) -> None:
    path = table(tmp_path / "x", "speech", "v" * 16)
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": data[:-10], "text": b"hello " * 99, "no magic": data[:-4] + b"XXXX"}[damage])
    with pytest.raises(ArchiveDamaged, match="Parquet"):
        open_parquet(path, "speech", len(SPEECH))


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    with pytest.raises(ArchiveDamaged):
        open_parquet(tmp_path / "none", "speech", 1)


@pytest.mark.parametrize(
    "a, b, slack, overlap",
    [
        ((0, 1), (1, 2), 0, False),
        ((0, 1), (0.5, 2), 0, True),
        ((1, 2), (0, 1), 0, False),
        ((0, 1), (2, 3), 1, False),
        ((0, 1), (2, 3), 1.1, True),
        ((0, 9), (3, 4), 0, True),
    ],
)
def test_spans_are_half_open(a: Any, b: Any, slack: float, overlap: bool) -> None:
    """Spans that touch share no time."""
    assert Span(*a).overlaps(Span(*b), slack) is overlap
    assert Span(*b).overlaps(Span(*a), slack) is overlap


@pytest.mark.parametrize(
    "given_seconds, shown",
    [(0, "00:00"), (59.999, "00:59"), (60, "01:00"), (3599.9, "59:59"), (3600, "1:00:00"), (-3, "00:00")],
)
def test_the_clock_rounds_down(given_seconds: float, shown: str) -> None:
    assert clock(given_seconds) == shown
