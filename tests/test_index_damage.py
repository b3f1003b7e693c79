"""Files of the index that are not what they should be: a note, and what an exact search finds; verify and gc."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from index_tools import alike, ask, build, put, same, searcher, sentences, source_of
from store_tools import SPEC, rows_of_norm_1
from test_store_damage import DAMAGE
from vidrag.query.find.finding import Sought
from vidrag.query.find.opening import Opener
from vidrag.store.archive import upkeep
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.maintenance import Collected, collect
from vidrag.store.fingerprints import canonical
from vidrag.store.index import coverage, index
from vidrag.store.index.index import FOLDER, INDEX

KINDS = ("catalogue", "speech", "text", "frames", "manifest")


@pytest.fixture
def indexed(archive: Archive) -> Archive:
    """Three videos in the index and one beside it."""
    for s, n in enumerate("abc", 1):
        put(archive, f"{n}.mp4", sentences(6, s), sentences(3, s + 50), 4, seed=s)
    build(archive)
    put(archive, "d.mp4", sentences(3, 9), seed=9)
    return archive


def the_file(archive: Archive, kind: str) -> Path:
    (path,) = Path(archive.location, FOLDER).glob(f"{kind}-*")
    return path


def harmed(archive: Archive, kind: str, damage: Callable[[bytes], bytes | None]) -> Path:
    path = the_file(archive, kind)
    left = damage(path.read_bytes())
    if left is None:
        path.unlink()
    else:
        path.write_bytes(left)
    return path


def still_right(archive: Archive, noted: bool = True) -> None:
    view, found = ask(searcher(archive), ["locker", "blue"])
    alike(found, ask(searcher(archive, indexed=False), ["locker", "blue"])[1])
    assert bool(view.notes) == noted
    for note in view.notes:
        assert "index" in note and "damaged" in note and "'vidrag index' makes it again" in note and "\n" not in note


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_not_used(indexed: Archive, kind: str, damage: str) -> None:
    """Searches are exact and say so, verify names the file, and the next index job makes everything sound."""
    path = harmed(indexed, kind, DAMAGE[damage])
    gone = kind == "manifest" and damage == "gone"
    still_right(indexed, noted=not gone)
    found = upkeep.verify(Archive.open(indexed.location), INDEX)
    assert (found is None) if gone else (found is not None and [d.key for d in found.damage] == [f"index/{path.name}"])
    build(indexed)
    same(indexed, ["locker", "blue"])
    fixed = upkeep.verify(Archive.open(indexed.location), INDEX)
    assert fixed is not None
    assert [d.key for d in fixed.damage if "manifest-000001" not in d.key] == []


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_set_aside(indexed: Archive, kind: str) -> None:
    """Nobody stumbles over it again; searches are exact without a note, until there is an index again."""
    path = harmed(indexed, kind, DAMAGE["middle bit"])
    archive = Archive.open(indexed.location)
    found = upkeep.verify(archive, INDEX)
    assert found is not None
    upkeep.set_aside(archive, INDEX, found.damage)
    assert (Path(archive.location) / "quarantine" / "index" / path.name).is_file()
    assert upkeep.verify(archive, INDEX) is None
    still_right(indexed, noted=False)
    build(indexed)
    same(indexed, ["locker"])


def _signed(archive: Archive, change: Callable[[dict[str, object]], object]) -> None:
    """The manifest of the index with something else in it, and a checksum that holds."""
    import hashlib

    path = the_file(archive, "manifest")
    body = json.loads(path.read_text())
    change(body)
    body.pop("checksum")
    body["checksum"] = hashlib.sha256(canonical(body)).hexdigest()
    path.write_text(json.dumps(body))


LIES: dict[str, Callable[[dict[str, object]], object]] = {
    "another version": lambda b: b.update(version=7),
    "no files": lambda b: b.update(files=[]),
    "fewer rows": lambda b: b.update(rows=1),
    "rows without end": lambda b: b.update(rows=2**60),
    "no encoders": lambda b: b.update(encoders={}),
    "a field of its own": lambda b: b.update(more=1),
    "a list": lambda b: b.update(encoders=[]),
    "a path": lambda b: b["files"][0].update(name="../../etc/passwd"),  # type: ignore[index]
    "a newer format": lambda b: b.update(format=9),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies_is_damage(indexed: Archive, lie: str) -> None:
    """Its checksum only says that it is as it was written."""
    _signed(indexed, LIES[lie])
    still_right(indexed)


def test_a_catalogue_that_lies_is_damage(indexed: Archive) -> None:
    """Rows of one video claimed by another, rows that there are not, views instead of tables."""
    path = the_file(indexed, "catalogue")
    for statement in (
        "UPDATE blocks SET first=0",
        "UPDATE blocks SET rows=1000000",
        "UPDATE blocks SET kind='other'",
        "UPDATE blocks SET doubtful=x'ffffff7f'",
        "UPDATE blocks SET video=NULL",
        "CREATE VIEW v AS SELECT * FROM blocks",
        "PRAGMA user_version=9",
    ):
        data = path.read_bytes()
        with sqlite3.connect(path) as db:
            db.execute(statement)
        db.close()
        changed = path.read_bytes()
        _resigned(indexed, path, changed)
        still_right(indexed)
        path.write_bytes(data)
        _resigned(indexed, path, data)
        still_right(indexed, noted=False)


def _resigned(archive: Archive, path: Path, data: bytes) -> None:
    import hashlib

    def change(body: dict[str, object]) -> None:
        for file in body["files"]:  # type: ignore[attr-defined]
            if file["name"] == path.name:
                file.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    _signed(archive, change)


def test_lists_that_lie_are_damage(indexed: Archive) -> None:
    """Found when they are read: the search starts again without the index."""
    path = the_file(indexed, "catalogue")
    data = path.read_bytes()
    for rows in ("x'00'", "x'ffffff7f01000100'", "'text'"):
        with sqlite3.connect(path) as db:
            db.execute(f"UPDATE postings SET rows={rows}")
        db.close()
        _resigned(indexed, path, path.read_bytes())
        still_right(indexed)
        path.write_bytes(data)


def test_an_older_version_is_used_where_the_newest_is_damaged(indexed: Archive) -> None:
    build(indexed)
    newest = Path(indexed.location, FOLDER, "manifest-000002.json")
    newest.write_bytes(newest.read_bytes()[:-9])
    view, _ = ask(searcher(indexed))
    assert view.index is not None and view.index.manifest.version == 1
    still_right(indexed)
    assert build(indexed).version == 3
    same(indexed, ["locker"])


def test_a_damaged_video_is_left_out_and_named(indexed: Archive) -> None:
    """One in the index whose rows cannot be read does not stop the others; an index is made without it."""
    video = source_of("b.mp4").sha256[:16]
    for path in Path(indexed.location, "videos", video).glob("speech-*"):
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    notes = list[str]()
    asked = Sought(question="locker", options=(), vectors=rows_of_norm_1(1, SPEC.dim, 77))
    opened = Opener(indexed, SPEC, lambda _: None, searcher(indexed)).opened(None, asked, asked.vectors[:0], notes)
    assert opened.shards and video not in {s.video for s in opened.shards}
    assert notes and all("b.mp4" in n or video in n for n in notes)
    made = build(indexed, rebuild=True)
    assert len(made.damaged) == 1 and video in made.damaged[0] and made.videos == 3
    assert coverage.coverage(indexed, index.newest(indexed, [])).fresh.keys() == {video}


def test_gc_keeps_the_newest_version_only(indexed: Archive) -> None:
    """And nothing that is younger than the grace period; leftovers of killed jobs go too."""
    build(indexed)
    folder = Path(indexed.location, FOLDER)
    (folder / ".tmp-0123456789abcdef").mkdir()
    (folder / ".tmp-0123456789abcdef" / "catalogue").write_bytes(b"x")
    (folder / "speech-0000000000000000-000000000000.faiss").write_bytes(b"x")
    before = {p.name for p in folder.iterdir()}
    for grace, dry in ((3600.0, False), (0.0, True)):
        out = Collected()
        upkeep.collect(indexed, INDEX, grace, dry, out)
        assert bool(out.keys) == dry
        assert {p.name for p in folder.iterdir()} == before
    collect(indexed, 0.0)
    upkeep.collect(indexed, INDEX, 0.0, False, Collected())
    kept = {p.name for p in folder.iterdir()}
    newest = index.newest(indexed, [])
    assert newest is not None
    assert kept == {"manifest-000002.json", *(f.name for f in newest.manifest.files)}
    same(indexed, ["locker"])


def test_gc_leaves_an_index_alone_that_it_cannot_read(indexed: Archive) -> None:
    build(indexed)
    path = Path(indexed.location, FOLDER, "manifest-000002.json")
    path.write_bytes(b"{")
    before = {p.name for p in path.parent.iterdir()}
    upkeep.collect(indexed, INDEX, 0.0, False, Collected())
    assert {p.name for p in path.parent.iterdir()} == before


def test_in_object_storage(bucket: str) -> None:
    """Built, brought up to date, searched, verified and collected in a bucket."""
    archive = Archive.create(f"{bucket}/archive")
    for s, n in enumerate("ab", 1):
        put(archive, f"{n}.mp4", sentences(6, s), sentences(3, s + 50), 2, seed=s)
    assert build(archive).how == "built"
    put(archive, "c.mp4", sentences(2, 9), seed=9)
    same(archive, ["locker"])
    assert build(archive).how == "appended"
    same(archive, ["locker"])
    found = upkeep.verify(archive, INDEX)
    assert found is not None and found.damage == () and found.files == 4
    out = Collected()
    upkeep.collect(Archive.open(archive.location), INDEX, 0.0, False, out)
    assert "index/manifest-000001.json" in out.keys
    same(archive, ["locker"])
