"""The dataset for other programs: the current rows of every video, each once, whatever happened before."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.dataset as ds
import pytest
from store_tools import CHAPTERS, FRAMES, SPEC, SPEECH, TEXT, publish_all, publish_speech, source, source_with_id
from vidrag.jobs import dataset
from vidrag.jobs.cli import upkeep_commands
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import ProfileKey
from vidrag.store.errors import StorageError, UsageError

VIDEO = source().sha256[:16]


def asked(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as made:
        made.execute((folder / "views.sql").read_text())
        return made.execute(query).fetchall()


def said(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in asked(folder, "SELECT name, text FROM speech ORDER BY name, row"):
        found.setdefault(name, []).append(text)
    return found


def files(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (folder / "rows").iterdir()}


def test_every_row_with_its_vector(archive: Archive, tmp_path: Path) -> None:
    """As the archive has them; the vectors are lists of a fixed size."""
    publish_all(archive, dataclasses.replace(source(), paths=("/films/talk 2024-05-06.mp4",)))
    archive.describe(VIDEO, {"tags": "a, b"})
    made = dataset.compact(archive, tmp_path / "out")
    assert (made.videos, made.written, made.left_out) == (1, 1, [])
    assert made.rows == len(SPEECH) + len(TEXT) + len(FRAMES) + len(CHAPTERS)
    query = """SELECT text, start, "end", speaker, language, doubts, recorded::VARCHAR
        FROM rows WHERE kind = 'speech' ORDER BY row"""
    assert asked(tmp_path / "out", query) == [
        (s.text, s.start, s.end, s.speaker, s.language, list(s.flags), "2024-05-06") for s in SPEECH
    ]
    query = "SELECT kind, count(*), list(text ORDER BY row) FROM rows GROUP BY kind ORDER BY kind"
    assert asked(tmp_path / "out", query) == [
        ("chapter", 2, [c.title for c in CHAPTERS]),
        ("frame", 5, ["a cat", *[""] * 4]),
        ("speech", 3, [s.text for s in SPEECH]),
        ("text", 2, [t.text for t in TEXT]),
    ]
    table = ds.dataset(tmp_path / "out" / "rows").to_table()
    shard = archive.shard(VIDEO)
    for kind, stored, column in (
        ("speech", "speech", "vector"),
        ("text", "text", "vector"),
        ("frame", "frames", "picture_vector"),
    ):
        vectors = shard.vectors(stored, SPEC)  # type: ignore[arg-type]
        found = table.filter(ds.field("kind") == kind)[column].combine_chunks()
        assert vectors is not None and found.type.list_size == SPEC.dim
        assert np.array_equal(found.flatten().to_numpy().reshape(-1, SPEC.dim), vectors.vectors())
    (video,) = asked(tmp_path / "out", "SELECT video, name, path, seconds, metadata FROM videos")
    assert video == (VIDEO, "talk 2024-05-06.mp4", "/films/talk 2024-05-06.mp4", 9.0, {"tags": "a, b"})


def test_only_current_rows_and_only_what_changed(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of earlier options or of another profile; parts of which nothing changed stay as they are."""
    monkeypatch.setattr(dataset, "_PART_VIDEOS", 0.3)  # two videos make sixteen parts
    one, two = source_with_id("aaaa", "one.mp4"), source_with_id("bbbb", "two.mp4")
    small, out = ProfileKey("small", "s"), tmp_path / "out"
    publish_speech(archive, one, "1" * 16, "old")
    publish_speech(archive, one, "2" * 16, "of small", profile=small)
    publish_speech(archive, one, "3" * 16, "new")
    publish_speech(archive, two, "1" * 16, "two")
    assert dataset.compact(archive, out).written == 2
    before = files(out)
    assert said(out) == {"one.mp4": ["new"], "two.mp4": ["two"]} and sorted(before) == ["a.parquet", "b.parquet"]
    made = dataset.compact(Archive.open(archive.location), out)
    assert (made.written, made.kept, files(out)) == (0, 2, before)
    publish_speech(archive, two, "4" * 16, "two again")
    made = dataset.compact(Archive.open(archive.location), out)
    assert (made.written, made.kept) == (1, 1) and files(out)["a.parquet"] == before["a.parquet"]
    assert said(out) == {"one.mp4": ["new"], "two.mp4": ["two again"]}
    made = dataset.compact(Archive.open(archive.location).under(small), out)
    assert said(out) == {"one.mp4": ["of small"], "two.mp4": ["two again"]}  # what is of no profile is of each
    archive.discard(two.sha256[:16])
    dataset.compact(Archive.open(archive.location), out)
    assert said(out) == {"one.mp4": ["new"]}
    monkeypatch.undo()
    dataset.compact(Archive.open(archive.location), out)  # another number of parts
    assert said(out) == {"one.mp4": ["new"]} and sorted(files(out)) == ["all.parquet"]
    archive.discard(one.sha256[:16])
    assert dataset.compact(Archive.open(archive.location), out).videos == 0
    assert asked(out, "SELECT count(*) FROM videos") == [(0,)] and asked(out, "SELECT count(*) FROM rows") == [(0,)]


def test_vectors_of_another_encoder_are_left_out(archive: Archive, tmp_path: Path) -> None:
    """The space of the video that was indexed last counts; where it changes, everything is written anew."""
    publish_all(archive, source_with_id("aaaa", "old.mp4"))
    dataset.compact(archive, tmp_path / "out")
    publish_speech(archive, source_with_id("bbbb", "words only.mp4"))
    assert dataset.compact(archive, tmp_path / "out", vectors=False).written == 1
    assert "vector" not in ds.dataset(tmp_path / "out" / "rows").schema.names
    dataset.compact(archive, tmp_path / "out")
    query = "SELECT name, count(*), count(vector) FROM speech GROUP BY name ORDER BY name"
    assert asked(tmp_path / "out", query) == [("old.mp4", 3, 3), ("words only.mp4", 1, 0)]


def test_a_damaged_video_is_named_and_comes_when_it_is_whole(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_speech(archive, source_with_id("aaaa", "good.mp4"))
    bad = source_with_id("bbbb", "bad.mp4")
    publish_speech(archive, bad)
    (path,) = (Path(archive.location) / "videos" / bad.sha256[:16]).glob("speech-*.parquet")
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    out = tmp_path / "out"
    for _ in range(2):
        assert upkeep_commands.compact(archive.location, str(out)) == 4
        told = capsys.readouterr()
        assert told.err.count("\n") == 1 and path.name in told.err and "1 part written (1 row)" in told.out
        assert said(out) == {"good.mp4": ["hello"]}
    path.write_bytes(data)
    assert upkeep_commands.compact(archive.location, str(out)) == 0
    assert said(out) == {"bad.mp4": ["hello"], "good.mp4": ["hello"]}
    assert str(out / "archive.duckdb") in capsys.readouterr().out
    with duckdb.connect(str(out / "archive.duckdb")) as made:
        assert made.execute("SELECT count(*) FROM rows").fetchall() == [(2,)]


def test_other_things_in_the_folder_stay(archive: Archive, tmp_path: Path) -> None:
    publish_speech(archive, source())
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="has other things in it"):
        dataset.compact(archive, tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("archive", "cache")] == ["thesis.txt"]
    out = tmp_path / "out"
    dataset.compact(archive, out)
    mine = [out / "rows" / "mine.parquet", out / "notes.txt"]
    for path in mine:
        path.write_text("mine")
    dataset.compact(archive, out)
    assert [p.read_text() for p in mine] == ["mine", "mine"]


def test_what_fails_leaves_the_dataset_as_it_was(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file could not be written."""
    publish_speech(archive, source(), "1" * 16, "old")
    out = tmp_path / "out"
    dataset.compact(archive, out)
    publish_speech(archive, source(), "2" * 16, "new")
    real, calls, failing_one = dataset.whole_file, [0], [0]

    @contextlib.contextmanager
    def failing(path: Path) -> Any:
        calls[0] += 1
        number = calls[0]
        with real(path) as temp:
            yield temp
            if number == failing_one[0]:
                raise StorageError("disk full")

    for failing_one[0] in (1, 2):
        calls[0] = 0
        monkeypatch.setattr(dataset, "whole_file", failing)
        with pytest.raises(StorageError, match="disk full"):
            dataset.compact(archive, out)
        assert not list(out.rglob(".*"))
        monkeypatch.undo()
        assert said(out) in ({"talk.mp4": ["old"]}, {"talk.mp4": ["new"]})
    dataset.compact(archive, out)
    assert said(out) == {"talk.mp4": ["new"]}


def test_odd_names(archive: Archive, tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and a folder with a quote in its name."""
    publish_speech(archive, dataclasses.replace(source(), paths=("/films/caf\udce9.mp4",)))
    out = tmp_path / "it's"
    dataset.compact(archive, out)
    assert asked(out, "SELECT name FROM videos") == [("caf\\udce9.mp4",)] and said(out) == {"caf\\udce9.mp4": ["hello"]}
