"""The catalogue of an archive: right or behind, never wrong, whoever writes, dies or deletes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_tools import publish_all, publish_speech, source, source_with_id
from vidrag.jobs.listing import Listing
from vidrag.store.archive import catalogue, maintenance, upkeep
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.catalogue import CATALOGUE, Catalogue, marks
from vidrag.store.archive.entries import Entry, entry, under
from vidrag.store.archive.maintenance import Collected
from vidrag.store.archive.manifest import ProfileKey
from vidrag.store.errors import NotIndexed, StorageError

ONE, TWO = source_with_id("aaaa", "one.mp4"), source_with_id("bbbb", "two.mp4")
ID = {s: s.sha256[:16] for s in (ONE, TWO)}


def entries(archive: Archive) -> dict[str, Entry]:
    return {e.video: e for e in Archive.open(archive.location).catalogue().entries()}


def truth(archive: Archive) -> dict[str, Entry]:
    return {e.video: e for e in Archive.open(archive.location).of_manifests().entries()}


def names(archive: Archive) -> list[str]:
    return sorted(os.listdir(Path(archive.location) / "catalogue"))


def test_an_entry_tells_what_a_manifest_does(archive: Archive) -> None:
    publish_all(archive, dataclasses.replace(ONE, paths=("/films/one 2024-05-06.mp4", "/other/uno.mp4")))
    archive.describe(ID[ONE], {"tags": "a, b"})
    for _ in range(2):  # made of the manifests, then read back
        found = entries(archive)[ID[ONE]]
        assert found.names == ("one 2024-05-06.mp4", "uno.mp4") and found.name == found.names[0]
        assert (found.version, found.sha256, found.bytes, found.seconds) == (2, ONE.sha256, ONE.bytes, 9.0)
        assert (found.speech, found.text, found.frames, found.chapters) == (3, 2, 5, 2)
        assert found.recorded == date(2024, 5, 6) and found.metadata == {"tags": "a, b"} and found.state == "ok"
        assert found.cells["speech"] == "e" * 16
        archive.update_catalogue()


def test_under_a_profile_the_rows_are_those_of_the_manifests(archive: Archive) -> None:
    """Indexed under two profiles of other rows, under one, under options of another name, and under none."""
    small, large = ProfileKey("small", "s"), ProfileKey("large", "l")
    none, only = source_with_id("cccc", "none.mp4"), source_with_id("dddd", "only.mp4")
    for of, rows, profile in ((ONE, 1, small), (ONE, 2, large), (TWO, 3, large), (none, 4, None), (only, 5, small)):
        publish_speech(archive, of, f"{rows}" * 16, rows=rows, profile=profile)
    keys = (small, large, ProfileKey("other", "l"), ProfileKey("large", "changed"), ProfileKey("unknown", "u"))
    for _ in range(2):  # made of the manifests, then read back
        for key in keys:
            reader, table = archive.under(key), archive.catalogue().table
            expected = {}
            for video in archive.ids():
                with contextlib.suppress(NotIndexed):
                    expected[video] = entry(reader.shard(video).manifest)
            found = {e.video: e for e in Catalogue.entries_of(under(table, key))}
            assert {v: e.speech for v, e in found.items()} == {v: e.speech for v, e in expected.items()}
            assert {v: e.cells for v, e in found.items()} == {v: e.cells for v, e in expected.items()}
        archive.update_catalogue()
    assert {e.name: e.speech for e in Listing(archive.under(small)).page().entries} == {
        "none.mp4": 4,
        "one.mp4": 1,
        "only.mp4": 5,
    }


def test_the_date_of_the_owner_counts_before_that_of_the_name(archive: Archive) -> None:
    publish_speech(archive, dataclasses.replace(ONE, paths=("/films/2024-05-06.mp4",)))
    archive.describe(ID[ONE], {"date": "2020-01-02"})
    assert entries(archive)[ID[ONE]].recorded == date(2020, 1, 2)


def test_a_writer_marks_first_and_a_reader_sees_every_version(archive: Archive) -> None:
    publish_speech(archive, ONE)
    assert archive.update_catalogue() and archive.stored_catalogue() is not None
    reader = Archive.open(archive.location)
    for text in ("x", "y", "z"):
        publish_speech(archive, TWO, text * 16 if text in "abcdef" else "a" * 16, text)
        assert reader.newest_numbers() == Archive.open(archive.location).listed_numbers() == archive.newest_numbers()
    assert marks(names(archive)) == {ID[TWO]: reader.newest_numbers()[ID[TWO]], ID[ONE]: 1}
    archive.discard(ID[TWO])
    assert list(reader.newest_numbers()) == reader.ids() == [ID[ONE]]


def test_a_mark_whose_writer_died_and_one_whose_writer_is_slow(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_speech(archive, ONE)
    archive.update_catalogue()
    reader = Archive.open(archive.location)
    assert reader.newest_numbers() == {ID[ONE]: 1}
    catalogue.mark(archive.backend, ID[TWO], 1)
    assert reader.newest_numbers() == {ID[ONE]: 1}  # it has not published
    publish_speech(archive, TWO)
    assert reader.newest_numbers() == {ID[ONE]: 1, ID[TWO]: 1}  # now it has
    catalogue.mark(archive.backend, ID[ONE], 2)
    archive.update_catalogue(always=True)
    assert f"{ID[ONE]}-000002" in names(archive)  # it may still come
    monkeypatch.setattr(catalogue, "DEAD_MARK_S", -1.0)  # a day later
    archive.update_catalogue(always=True)
    assert marks(names(archive)) == {}
    assert entries(archive) == truth(archive)


def test_marks_go_when_two_versions_know_of_them(archive: Archive) -> None:
    for number in range(30):
        publish_speech(archive, source_with_id(f"{number:04x}", f"{number}.mp4"))
    archive.update_catalogue()
    for number in range(5):
        publish_speech(archive, source_with_id(f"{number:04x}", f"{number}.mp4"), "1" * 16, "new")
    archive.discard(source_with_id("0009", "").sha256[:16])
    assert archive.update_catalogue()
    assert sorted(marks(names(archive)).values()) == [2] * 6  # those of the first versions went
    for number in range(10, 15):
        publish_speech(archive, source_with_id(f"{number:04x}", f"{number}.mp4"), "1" * 16, "new")
    assert archive.update_catalogue()
    assert marks(names(archive)) == {source_with_id(f"{n:04x}", "").sha256[:16]: 2 for n in range(10, 15)}
    assert entries(archive) == truth(archive)


def test_few_news_are_left_to_the_readers(archive: Archive) -> None:
    for number in range(50):
        publish_speech(archive, source_with_id(f"{number:04x}", f"{number}.mp4"))
    assert archive.update_catalogue()
    publish_speech(archive, ONE)
    assert not archive.update_catalogue()
    assert entries(archive) == truth(archive) and ID[ONE] in entries(archive)


def test_a_video_that_cannot_be_read_is_gone_once_it_is_taken_out(archive: Archive) -> None:
    """No manifest says so, as there was none to build on."""
    publish_speech(archive, ONE)
    publish_speech(archive, TWO)
    archive.update_catalogue()
    (path,) = (Path(archive.location) / "videos" / ID[ONE]).glob("manifest-*")
    path.write_bytes(b"{")
    archive.discard(ID[ONE])
    assert list(entries(archive)) == [ID[TWO]] == list(truth(archive))
    archive.update_catalogue(always=True)
    assert list(entries(archive)) == [ID[TWO]]


def test_numbers_as_large_as_a_manifest_may_hold(archive: Archive) -> None:
    """A manifest of anywhere says how many rows its files have; the catalogue can say so, too."""
    made = publish_speech(archive, ONE)
    (cell,) = made.cells
    huge = dataclasses.replace(cell.files[0], rows=2**53)
    archive.replace(ID[ONE], dataclasses.replace(cell, files=(huge,)), {})
    archive.update_catalogue(always=True)
    assert entries(archive)[ID[ONE]].speech == 2**53


@pytest.mark.parametrize("harm", ["the manifest", "the file", "the file's rows", "no file", "no folder"])
def test_a_damaged_catalogue_is_made_again(archive: Archive, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    publish_speech(archive, ONE)
    publish_speech(archive, TWO)
    archive.update_catalogue()
    folder = Path(archive.location) / "catalogue"
    (file,), (manifest,) = folder.glob("*.parquet"), folder.glob("*.json")
    if harm == "the manifest":
        manifest.write_text(manifest.read_text().replace("videos", "vidoes"))
    elif harm == "the file":
        file.write_bytes(file.read_bytes()[:-5])
    elif harm == "the file's rows":
        table = pq.read_table(file)
        pq.write_table(table.slice(1), file)
    elif harm == "no file":
        file.unlink()
    else:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    reader = Archive.open(archive.location)
    for _ in range(2):
        assert {e.video: e for e in reader.catalogue().entries()} == truth(archive)
    assert caplog.text.count("gc' makes it again") == (harm != "no folder")  # told once, not at every question
    opened = Archive.open(archive.location)
    if harm != "no folder":
        found = upkeep.verify(opened, CATALOGUE)
        assert found and found.damage
        upkeep.set_aside(opened, CATALOGUE, found.damage)
    assert opened.update_catalogue()
    assert upkeep.verify(opened, CATALOGUE) and not upkeep.verify(opened, CATALOGUE).damage  # type: ignore[union-attr]
    assert Archive.open(archive.location).stored_catalogue() is not None and entries(archive) == truth(archive)


def test_verify_tells_of_a_catalogue_that_was_not_told(archive: Archive, tmp_path: Path) -> None:
    """A manifest that came without a mark, from a copy of another archive for example."""
    publish_speech(archive, ONE)
    archive.update_catalogue()
    assert upkeep.behind(Archive.open(archive.location)) is None
    other = Archive.create(tmp_path / "other")
    publish_speech(other, TWO)
    (Path(other.location) / "videos" / ID[TWO]).rename(Path(archive.location) / "videos" / ID[TWO])
    opened = Archive.open(archive.location)
    assert list(opened.newest_numbers()) == [ID[ONE]]
    found = upkeep.behind(opened)
    assert found and "of 1 videos" in found.damage[0].problem
    opened.update_catalogue(always=True)
    assert upkeep.behind(Archive.open(archive.location)) is None
    assert entries(archive) == truth(archive) and len(truth(archive)) == 2


def test_gc_leaves_the_newest_and_the_marks(archive: Archive) -> None:
    publish_speech(archive, ONE)
    archive.update_catalogue()
    publish_speech(archive, TWO)
    archive.update_catalogue()
    publish_speech(archive, TWO, "2" * 16, "news")
    upkeep.collect(archive, CATALOGUE, 0.0, False, out := Collected())
    assert sorted(k.partition("/")[2][:8] for k in out.keys) == ["manifest", "videos-0"] and not out.foreign
    assert marks(names(archive))[ID[TWO]] == 2
    maintenance.collect(archive, 0.0, False)
    assert entries(archive) == truth(archive)


def test_two_writers_make_one_version_each_or_lose(archive: Archive) -> None:
    for number in range(20):
        publish_speech(archive, source_with_id(f"{number:04x}", f"{number}.mp4"))
    barrier, made = threading.Barrier(4), list[bool]()

    def write() -> None:
        opened = Archive.open(archive.location)
        barrier.wait()
        made.append(opened.update_catalogue(always=True))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any(made) and sum(made) == len(CATALOGUE.versions(archive.backend))
    assert entries(archive) == truth(archive)


def test_a_disk_that_refuses_leaves_the_catalogue_as_it_was(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_speech(archive, ONE)
    archive.update_catalogue()
    publish_speech(archive, TWO)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StorageError, match="no space left"):
        archive.update_catalogue()
    monkeypatch.undo()
    assert len(CATALOGUE.versions(archive.backend)) == 1 and entries(archive) == truth(archive)


DO = st.tuples(st.sampled_from(["publish", "discard", "gc", "update", "always", "describe", "look"]), st.integers(0, 3))


@settings(max_examples=40)
@given(steps=st.lists(DO, max_size=14))
def test_in_any_order_it_says_what_the_manifests_say(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    live(steps, tmp_path_factory.mktemp("any"))


def test_a_video_that_comes_back_after_it_was_collected(tmp_path: Path) -> None:
    """Its numbers begin anew."""
    live([("publish", 2), ("discard", 2), ("update", 0), ("gc", 0), ("publish", 2)], tmp_path)


def live(steps: list[tuple[str, int]], folder: Path) -> None:
    """A reader that stays open and a fresh one see the same as the manifests, after every step."""
    archive = Archive.create(folder / "archive")
    stays: Any = Archive.open(archive.location)
    for count, (what, digit) in enumerate(steps):
        of = source_with_id(str(digit) * 4, f"{digit}.mp4")
        video = of.sha256[:16]
        if what == "publish":
            publish_speech(archive, of, f"{count:x}" * 16, f"step {count}")
        elif what == "discard":
            archive.discard(video)
        elif what == "gc":
            maintenance.collect(archive, 0.0, False)
            upkeep.collect(archive, CATALOGUE, 0.0, False, Collected())
        elif what == "describe" and video in archive.ids():
            archive.describe(video, {"step": str(count)})
        elif what in ("update", "always"):
            archive.update_catalogue(always=what == "always")
        expected = truth(archive)
        assert entries(archive) == expected, (steps[: count + 1], names(archive) if count else "")
        assert {e.video: e for e in stays.catalogue().entries()} == expected
        assert stays.newest_numbers().keys() >= expected.keys()


def test_readers_while_writers_publish_and_others_compact(archive: Archive) -> None:
    """What a reader has seen published it never misses again."""
    publish_speech(archive, ONE)
    archive.update_catalogue()
    done, trouble = threading.Event(), list[str]()
    seen: dict[str, int] = {}

    def publish(first: int) -> None:
        opened = Archive.open(archive.location)
        for number in range(12):
            of = source_with_id(f"{first}{number:03x}", f"{first}-{number}.mp4")
            seen[of.sha256[:16]] = publish_speech(opened, of).version

    def compact() -> None:
        opened = Archive.open(archive.location)
        while not done.is_set():
            opened.update_catalogue(always=False)
            upkeep.collect(opened, CATALOGUE, 60.0, False, Collected())

    def read() -> None:
        opened = Archive.open(archive.location)
        while not done.is_set():
            before = dict(seen)
            numbers = opened.newest_numbers()
            trouble.extend(v for v, n in before.items() if numbers.get(v, 0) < n)

    writers = [threading.Thread(target=publish, args=(n,)) for n in (1, 2)]
    others = [threading.Thread(target=t) for t in (compact, compact, read)]
    for thread in (*others, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in others:
        thread.join()
    assert not trouble and entries(archive) == truth(archive) and len(truth(archive)) == 25


def test_an_archive_of_before_has_none_and_gets_one(archive: Archive) -> None:
    publish_speech(archive, source())
    folder = Path(archive.location) / "catalogue"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    opened = Archive.open(archive.location)
    assert opened.stored_catalogue() is None and opened.ids() == [source().sha256[:16]]
    assert [e.name for e in opened.catalogue().entries()] == ["talk.mp4"] and not folder.exists()
    assert opened.update_catalogue() and opened.stored_catalogue() is not None
