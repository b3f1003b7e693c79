"""The archive's root: where one is made and where not, how videos are named, which version is read."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from store_tools import FRAMES, JPEGS, LABELS, SPEC, SPEECH, TEXT, publish_all, publish_speech, source, source_with_id
from vidrag.store.archive import archive as archives
from vidrag.store.archive.archive import Archive, video_ids
from vidrag.store.archive.manifest import Source
from vidrag.store.encoders import EncoderSpec
from vidrag.store.errors import (
    AmbiguousVideo,
    ArchiveDamaged,
    NoSuchVideo,
    NotAnArchive,
    SpaceMismatch,
    StorageError,
)


def folder_of(archive: Archive, of: Source) -> Path:
    return Path(archive.location) / "videos" / of.sha256[:16]


@pytest.mark.parametrize("inner", ["new", "new/and/deeper", "with space 🎬"])
def test_an_archive_is_made_and_opened(tmp_path: Path, inner: str) -> None:
    """Also where parents are missing; making it again opens it and changes nothing."""
    made = Archive.create(tmp_path / inner)
    head = (tmp_path / inner / "archive.json").read_bytes()
    assert json.loads(head)["format"] == archives.FORMAT
    assert Archive.create(tmp_path / inner).ids() == Archive.open(str(tmp_path / inner)).ids() == made.ids() == []
    assert (tmp_path / inner / "archive.json").read_bytes() == head
    assert [p.name for p in (tmp_path / inner).iterdir()] == ["archive.json"]


def test_an_empty_folder_becomes_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert Archive.create(tmp_path / "a").ids() == []


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"x")
    with pytest.raises(NotAnArchive, match="other things"):
        Archive.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.mp4"]


def test_what_an_interrupted_create_left_is_no_other_thing(tmp_path: Path) -> None:
    """Two writers may make an archive at once, and one may die on the way."""
    (tmp_path / ".tmp-0123456789abcdef").write_bytes(b"")
    assert Archive.create(tmp_path).ids() == []


def test_a_file_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    for way in (Archive.create, Archive.open):
        with pytest.raises(NotAnArchive, match="is a file"):
            way(tmp_path / "f")


def test_nothing_is_made_below_a_file(tmp_path: Path) -> None:
    """Where the disk refuses, the message names the path."""
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(StorageError, match="f"):
        Archive.create(tmp_path / "f" / "archive")


def test_an_archive_that_is_gone_cannot_be_written(archive: Archive) -> None:
    """It is found out before any work is done."""
    (Path(archive.location) / "archive.json").unlink()
    Path(archive.location).rmdir()
    with pytest.raises(StorageError):
        archive.backend.check_writable()


def test_there_is_no_archive_to_open(tmp_path: Path) -> None:
    with pytest.raises(NotAnArchive, match="no such archive.*vidrag ingest"):
        Archive.open(tmp_path / "none")
    with pytest.raises(NotAnArchive, match=r"archive\.json"):
        Archive.open(tmp_path)


@pytest.mark.parametrize("head", [b"", b"{", b"[]", b"{}", b"null", b'{"format": "one"}', b'{"format": null}', b"\xff"])
def test_a_damaged_head_is_damage(archive: Archive, head: bytes) -> None:
    (Path(archive.location) / "archive.json").write_bytes(head)
    for way in (Archive.open, Archive.create):
        with pytest.raises(ArchiveDamaged, match=r"archive\.json"):
            way(archive.location)


def test_a_newer_archive_is_refused(archive: Archive) -> None:
    (Path(archive.location) / "archive.json").write_text(json.dumps({"format": archives.FORMAT + 1}))
    for way in (Archive.open, Archive.create):
        with pytest.raises(NotAnArchive, match="update vidrag"):
            way(archive.location)


def test_everything_published_is_read(archive: Archive) -> None:
    """Each kind of evidence, pictures one by one, vectors with the rows of their records."""
    publish_all(archive, source())
    shard = Archive.open(archive.location).shard(source().sha256[:16])
    assert (shard.name, shard.video) == ("talk.mp4", source().sha256[:16])
    assert (shard.speech, shard.text, shard.labels) == (SPEECH, TEXT, LABELS)
    assert shard.frames == FRAMES and list(shard.pictures()) == list(zip(FRAMES, JPEGS, strict=True))
    assert [shard.jpeg(i) for i in range(len(FRAMES))] == JPEGS
    rows = {kind: file.rows for kind in ("speech", "text", "frames") if (file := shard.vectors(kind, SPEC))}
    assert rows == {"speech": len(SPEECH), "text": len(TEXT), "frames": len(FRAMES)}
    assert set(shard.status()) == {
        *("speech", "text", "frames", "speech_vectors", "text_vectors", "frame_vectors", "chapters")
    }
    for row in (-1, len(FRAMES)):
        with pytest.raises(IndexError):
            shard.jpeg(row)


def test_what_was_not_indexed_is_empty(archive: Archive) -> None:
    """A missing stage is no error: there is nothing of it."""
    publish_speech(archive, source())
    shard = archive.shard(source().sha256[:16])
    assert shard.text == shard.frames == shard.labels == list(shard.pictures()) == []
    assert shard.vectors("text", SPEC) is None


@pytest.mark.parametrize("other", [EncoderSpec("other", "fedcba9876543210", 8), EncoderSpec("test", SPEC.space, 16)])
def test_vectors_of_another_encoder_are_not_compared(archive: Archive, other: EncoderSpec) -> None:
    """The message names both encoders, the video and the way out."""
    publish_all(archive, source())
    for kind in ("speech", "text", "frames"):
        with pytest.raises(SpaceMismatch) as caught:
            archive.shard(source().sha256[:16]).vectors(kind, other)
        assert all(word in str(caught.value) for word in ("talk.mp4", kind, SPEC.name, other.name, "vidrag embed"))


def test_videos_have_many_names(archive: Archive) -> None:
    """Id, prefix of an id in either case, file name, path, and file name without its ending."""
    of = source_with_id("abcd12", "My talk.v2.mp4")
    publish_speech(archive, of)
    video = of.sha256[:16]
    for name in (video, video[:4], video[:9].upper(), "My talk.v2.mp4", "/films/My talk.v2.mp4", "My talk.v2"):
        assert archive.find(name) == video


@pytest.mark.parametrize("name", ["", "  ", "abc", "ffff", "talk", "My talk", "my talk.v2.mp4", "0" * 16, "../x", "*"])
def test_a_name_that_fits_nothing_says_so(archive: Archive, name: str) -> None:
    """Three digits are no prefix."""
    publish_speech(archive, source_with_id("abcd12", "My talk.v2.mp4"))
    like = "is it My talk.v2.mp4" if "talk" in name else "vidrag ls"
    with pytest.raises(NoSuchVideo, match=like):
        archive.find(name)


def test_a_name_that_fits_several_lists_them(archive: Archive) -> None:
    one, two = source_with_id("abcd1", "talk.mp4"), source_with_id("abcd2", "talk.mp4")
    for of in (one, two):
        publish_speech(archive, of)
    for name in ("abcd", "talk.mp4", "talk"):
        with pytest.raises(AmbiguousVideo) as caught:
            archive.find(name)
        assert all(of.sha256[:16] in str(caught.value) for of in (one, two))
    assert archive.find("abcd2") == two.sha256[:16]


def test_a_file_name_goes_before_a_prefix(archive: Archive) -> None:
    one, two = source_with_id("abcd1", "x.mp4"), source_with_id("99", "abcd")
    for of in (one, two):
        publish_speech(archive, of)
    assert archive.find("abcd") == two.sha256[:16]


@pytest.mark.parametrize("name", ["caf\udce9.mp4", "a\nb.mp4", "🎬.mp4", "'; drop.mp4"])
def test_odd_names_are_found(archive: Archive, name: str) -> None:
    publish_speech(archive, source(name))
    assert Archive.open(archive.location).find(name) == source().sha256[:16]


def test_ids_for_names(archive: Archive) -> None:
    """All for none, in the order asked for, without repeats."""
    one, two = source_with_id("aaaa", "a.mp4"), source_with_id("bbbb", "b.mp4")
    for of in (two, one):
        publish_speech(archive, of)
    a, b = one.sha256[:16], two.sha256[:16]
    assert video_ids(archive, None) == archive.ids() == [a, b]
    assert video_ids(archive, ["b.mp4", "aaaa", b]) == [b, a]
    assert [s.video for s in archive.shards()] == [a, b]


def test_a_video_without_a_manifest_is_not_there_yet(archive: Archive) -> None:
    """While it is being ingested, and where that never came to an end."""
    publish_speech(archive, source())
    other = source_with_id("abcd", "new.mp4")
    with archive.staging(other) as folder:
        (folder / "x").write_bytes(b"x")
        assert archive.ids() == [source().sha256[:16]]
        assert [s.video for s in archive.shards()] == archive.ids()
    with pytest.raises(NoSuchVideo):
        archive.shard(other.sha256[:16])
    with pytest.raises(NoSuchVideo):
        archive.find(other.sha256[:16])


def test_other_folders_are_no_videos(archive: Archive) -> None:
    publish_speech(archive, source())
    for name in ("lost+found", "ABCDEF0123456789", ".tmp-x"):
        (Path(archive.location) / "videos" / name).mkdir()
    assert archive.ids() == [source().sha256[:16]]


def test_few_videos_are_kept_open(archive: Archive) -> None:
    """The last used stay; the others are opened again when asked for."""
    videos = []
    for digit in "abc":
        publish_speech(archive, source_with_id(digit * 4, f"{digit}.mp4"), text=digit)
        videos.append(source_with_id(digit * 4, "").sha256[:16])
    small = Archive(archive.backend, keep_open=2)
    first, second = small.shard(videos[0]), small.shard(videos[1])
    assert small.shard(videos[0]) is first
    small.shard(videos[2])
    assert small.shard(videos[0]) is first
    assert small.shard(videos[1]) is not second
    assert [small.shard(v).speech[0].text for v in videos] == ["a", "b", "c"]


def test_what_another_process_published_is_seen(archive: Archive) -> None:
    """A server that runs for days answers from the newest version of a video that it has open."""
    publish_speech(archive, source(), "1" * 16, "old")
    assert archive.shard(source().sha256[:16]).speech[0].text == "old"
    publish_speech(Archive.open(archive.location), source(), "2" * 16, "new")
    assert archive.shard(source().sha256[:16]).speech[0].text == "new"


def test_the_highest_valid_version_wins(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged manifest is passed over with a warning that names it."""
    publish_speech(archive, source(), "1" * 16, "old")
    publish_speech(archive, source(), "2" * 16, "new")
    newest = folder_of(archive, source()) / "manifest-000002.json"
    newest.write_bytes(newest.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING, "vidrag.store"):
        shard = Archive.open(archive.location).shard(source().sha256[:16])
    assert (shard.manifest.version, shard.speech[0].text) == (1, "old")
    assert any("manifest-000002.json" in r.getMessage() for r in caplog.records)


def test_a_flipped_format_does_not_hide_the_version_before(archive: Archive) -> None:
    """One bad bit in the newest manifest is damage like any other."""
    publish_speech(archive, source(), "1" * 16)
    publish_speech(archive, source(), "2" * 16)
    newest = folder_of(archive, source()) / "manifest-000002.json"
    newest.write_bytes(newest.read_bytes().replace(b'"format": 1', b'"format": 9'))
    found: Any = Archive.open(archive.location).manifest(source().sha256[:16])
    assert found.version == 1


def test_no_valid_version_is_damage(archive: Archive) -> None:
    for digit in "12":
        publish_speech(archive, source(), digit * 16)
    for path in folder_of(archive, source()).glob("manifest-*"):
        path.write_bytes(b"{}")
    with pytest.raises(ArchiveDamaged, match="no other version"):
        Archive.open(archive.location).shard(source().sha256[:16])


def test_a_manifest_in_the_wrong_place_is_passed_over(archive: Archive) -> None:
    """It must belong to its folder and its number."""
    publish_speech(archive, source())
    folder = folder_of(archive, source())
    other = source_with_id("abcd", "other.mp4")
    publish_speech(archive, other)
    (folder / "manifest-000005.json").write_bytes((folder / "manifest-000001.json").read_bytes())
    (folder / "manifest-000009.json").write_bytes((folder_of(archive, other) / "manifest-000001.json").read_bytes())
    found: Any = Archive.open(archive.location).manifest(source().sha256[:16])
    assert (found.version, found.video) == (1, source().sha256[:16])


def test_one_damaged_video_leaves_the_others(archive: Archive) -> None:
    """Its damage is no reason not to find and read another one by its id or its name."""
    good, bad = source_with_id("aaaa", "good.mp4"), source_with_id("bbbb", "bad.mp4")
    for of in (good, bad):
        publish_speech(archive, of)
    (folder_of(archive, bad) / "manifest-000001.json").write_bytes(b"")
    again = Archive.open(archive.location)
    assert again.shard(again.find(good.sha256[:16])).speech[0].text == "hello"
    assert again.find("good.mp4") == good.sha256[:16]


def test_a_damaged_newest_version_is_built_over(archive: Archive) -> None:
    """Its number is not used again, what the version before it says is kept; where none is valid, it starts afresh."""
    video = source().sha256[:16]
    publish_speech(archive, source(), "1" * 16, "first")
    publish_speech(archive, source(), "2" * 16, "second")
    folder = Path(archive.location) / "videos" / video
    (folder / "manifest-000002.json").write_bytes(b"{")
    made = publish_speech(archive, source(), "3" * 16, "third")
    assert made.version == 3 and {c.fingerprint for c in made.cells} == {"1" * 16, "3" * 16}
    for name in ("manifest-000001.json", "manifest-000003.json"):
        (folder / name).write_bytes(b"{")
    made = publish_speech(archive, source(), "4" * 16, "fourth")
    assert made.version == 4 and {c.fingerprint for c in made.cells} == {"4" * 16}
    assert Archive.open(archive.location).shard(video).speech[0].text == "fourth"
