"""Publishing: all or nothing, never over something, by any number of writers at once."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from store_tools import publish_all, publish_speech, source
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import decode
from vidrag.store.errors import ArchiveDamaged, StorageError
from vidrag.store.records import Cell
from vidrag.store.storage.local import LocalBackend

EACH = 6  # cells that each of two racing writers publishes

WRITER = """
import hashlib, json, sys
from store_tools import publish_speech, source
from vidrag.store.archive.archive import Archive

location, digit, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
archive = Archive.open(location)
print("ready", flush=True)
sys.stdin.readline()
for i in range(count):
    made = publish_speech(archive, source(f"{digit}.mp4"), f"{digit}{i:015d}", f"{digit}{i}")
    print(json.dumps([made.version, hashlib.sha256(made.encode()).hexdigest()]), flush=True)
"""


def files_of(archive: Archive) -> dict[str, bytes]:
    folder = Path(archive.location)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def race(location: Path, env: dict[str, str]) -> list[list[tuple[int, str]]]:
    """Two processes that wait for each other at a barrier, then publish; what each was told it had published."""
    command = [sys.executable, "-c", WRITER, str(location)]
    writers = [
        subprocess.Popen([*command, d, str(EACH)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for d in "ab"
    ]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    told = [writer.communicate(timeout=60)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    return [[tuple(json.loads(line)) for line in text.splitlines()] for text in told]


def test_two_writers_of_one_video_both_get_through(archive: Archive, child_env: dict[str, str]) -> None:
    """Every result is visible, each number exists once, and what a writer published stays as it was."""
    told = race(Path(archive.location), child_env)
    numbers = sorted(version for writer in told for version, _ in writer)
    assert numbers == list(range(1, 2 * EACH + 1))
    folder = Path(archive.location) / "videos" / source().sha256[:16]
    assert sorted(p.name for p in folder.glob("manifest-*")) == [f"manifest-{n:06d}.json" for n in numbers]
    for version, sha in (published for writer in told for published in writer):
        data = (folder / f"manifest-{version:06d}.json").read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha
    newest = decode((folder / f"manifest-{numbers[-1]:06d}.json").read_bytes(), "newest")
    assert {c.fingerprint for c in newest.cells} == {f"{d}{i:015d}" for d in "ab" for i in range(EACH)}
    assert set(newest.source.names) == {"a.mp4", "b.mp4"}
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".tmp-")]
    assert Archive.open(archive.location).shard(source().sha256[:16]).speech[0].text in {f"a{EACH - 1}", f"b{EACH - 1}"}


def test_publishing_again_changes_nothing(archive: Archive) -> None:
    """The same cells, names and bytes: no new version, no new file."""
    first = publish_all(archive, source())
    before = files_of(archive)
    assert publish_all(archive, source()) == first
    assert files_of(archive) == before


def test_a_new_name_is_a_new_version_of_the_same_video(archive: Archive) -> None:
    """The same content under two names is one video with both, found by either."""
    publish_speech(archive, source("first.mp4"))
    made = publish_speech(archive, source("second.mp4"))
    assert made.version == 2 and made.name == "second.mp4"
    assert made.source.names == ("second.mp4", "first.mp4")
    assert archive.ids() == [source().sha256[:16]]
    assert archive.find("first.mp4") == archive.find("second.mp4") == archive.ids()[0]


def test_earlier_cells_stay(archive: Archive) -> None:
    """Another fingerprint is another cell, made current; going back to the old one computes nothing."""
    publish_speech(archive, source(), "1" * 16, "old")
    publish_speech(archive, source(), "2" * 16, "new")
    video = source().sha256[:16]
    assert archive.shard(video).speech[0].text == "new"
    old = archive.shard(video).manifest.cell("speech", "1" * 16)
    assert old is not None
    archive.publish(source(), {"speech": old}, {})
    assert archive.shard(video).speech[0].text == "old"
    assert len(archive.shard(video).manifest.cells) == 2


def test_a_shard_in_use_stays_what_it_was(archive: Archive) -> None:
    """A reader that holds a version goes on reading that version."""
    publish_speech(archive, source(), "1" * 16, "old")
    held = archive.shard(source().sha256[:16])
    publish_speech(archive, source(), "2" * 16, "new")
    assert held.speech[0].text == "old"


def test_a_failed_cell_is_published_and_replaced(archive: Archive) -> None:
    """Failures are rows; a later success takes their place."""
    failed = Cell("speech", "f" * 16, "failed", error="EngineFailed", message="it broke")
    archive.publish(source(), {"speech": failed}, {})
    video = source().sha256[:16]
    assert archive.shard(video).speech == []
    assert archive.shard(video).status()["speech"].message == "it broke"
    publish_speech(archive, source(), "f" * 16)
    assert [c.status for c in archive.shard(video).manifest.cells] == ["ok"]
    assert archive.shard(video).speech[0].text == "hello"


def test_staging_leaves_nothing_behind(archive: Archive) -> None:
    """Whether or not the work in it came to an end."""
    with pytest.raises(ZeroDivisionError), archive.staging(source()) as folder:
        (folder / "speech.parquet").write_bytes(b"x")
        raise ZeroDivisionError
    assert not folder.exists()
    assert set(files_of(archive)) == {"archive.json"}


def test_a_writer_that_always_loses_gives_up(archive: Archive) -> None:
    """With an error that says what to do, not by waiting for ever."""

    class Losing(LocalBackend):
        def put_if_absent(self, key: str, data: bytes) -> bool:
            return False

    losing = Archive(Losing(Path(archive.location)))
    with pytest.raises(StorageError, match="again"):
        publish_speech(losing, source())
    assert archive.manifest(source().sha256[:16]) is None


def test_a_name_is_given_once(tmp_path: Path) -> None:
    """``put_if_absent`` and ``put_file`` leave what is there and no traces of themselves."""
    backend = LocalBackend(tmp_path)
    assert backend.put_if_absent("a/b/c", b"first") is True
    assert backend.put_if_absent("a/b/c", b"second") is False
    (tmp_path / "new").write_bytes(b"third")
    backend.put_file("a/b/c", tmp_path / "new")
    assert backend.read("a/b/c") == b"first"
    backend.put_file("a/x/d", tmp_path / "new")
    assert backend.read("a/x/d") == b"third"
    assert backend.list("a") == ["b", "x"] and backend.list("a/b") == ["c"]
    assert backend.list("none") == backend.list("a/b/c") == []


def test_a_full_or_broken_disk_is_named(tmp_path: Path) -> None:
    """Writes that the system refuses are ``StorageError`` with the path."""
    (tmp_path / "file").write_bytes(b"x")
    backend = LocalBackend(tmp_path)
    with pytest.raises(StorageError, match="file"):
        backend.put_if_absent("file/inner", b"x")
    with pytest.raises(StorageError, match="file"):
        backend.put_file("file/inner", tmp_path / "file")
    with pytest.raises(StorageError, match="file"), backend.scratch("file/inner"):
        raise AssertionError("unreachable")
    with pytest.raises(StorageError, match="too long"):
        backend.put_if_absent("n" * 300, b"x")


def test_damage_is_mended_by_computing_again(archive: Archive) -> None:
    """The message for damage says to ingest again; publishing the cell once more must then help."""
    publish_speech(archive, source())
    folder = Path(archive.location) / "videos" / source().sha256[:16]
    (file,) = folder.glob("speech-*")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ArchiveDamaged, match="re-ingest"):
        Archive.open(archive.location).shard(source().sha256[:16]).speech  # noqa: B018
    publish_speech(archive, source())
    assert Archive.open(archive.location).shard(source().sha256[:16]).speech[0].text == "hello"
