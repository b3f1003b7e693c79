"""Files of a shard that are not what the manifest says: found out at the first open, whatever kind they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from store_tools import FRAMES, JPEGS, SPEC, publish_all, publish_old_frames, source
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.pictures import decode_jpeg
from vidrag.store.archive.shard import Shard
from vidrag.store.errors import ArchiveDamaged
from vidrag.store.records import StoredPicture

READS: dict[str, Callable[[Shard], object]] = {
    "speech.parquet": lambda s: s.speech,
    "text.parquet": lambda s: s.text,
    "frames.parquet": lambda s: s.frames,
    "labels.parquet": lambda s: s.labels,
    "pictures.mjpeg": lambda s: list(s.pictures()),
    "chapters.parquet": lambda s: s.chapters,
    "speech.faiss": lambda s: s.vectors("speech", SPEC),
    "text.faiss": lambda s: s.vectors("text", SPEC),
    "frames.faiss": lambda s: s.vectors("frames", SPEC),
}


def flipped(data: bytes, at: int) -> bytes:
    out = bytearray(data)
    out[at] ^= 1
    return bytes(out)


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda d: None,
    "empty": lambda d: b"",
    "cut by one": lambda d: d[:-1],
    "cut in half": lambda d: d[: len(d) // 2],
    "longer by one": lambda d: d + b"\x00",
    "first bit": lambda d: flipped(d, 0),
    "middle bit": lambda d: flipped(d, len(d) // 2),
    "last bit": lambda d: flipped(d, -1),
    "zeros": lambda d: bytes(len(d)),
}


def the_file(archive: Archive, kind: str) -> Path:
    stem, ending = kind.split(".")
    (path,) = (Path(archive.location) / "videos" / source().sha256[:16]).glob(f"{stem}-*.{ending}")
    return path


def fresh(archive: Archive) -> Shard:
    return Archive.open(archive.location).shard(source().sha256[:16])


@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_at_the_first_open(archive: Archive, kind: str, damage: str) -> None:
    """The file is named; every other kind of the video is read as before."""
    publish_all(archive, source())
    path = the_file(archive, kind)
    left = DAMAGE[damage](path.read_bytes())
    if left is None:
        path.unlink()
    else:
        path.write_bytes(left)
    shard = fresh(archive)
    with pytest.raises(ArchiveDamaged, match=path.name):
        READS[kind](shard)
    for other in READS:
        if other != kind and (kind, other) != ("frames.parquet", "pictures.mjpeg"):  # they lie where these say
            assert READS[other](shard)


def test_pictures_that_are_damaged_are_not_shown(archive: Archive) -> None:
    """One by one, where the others still are, or all together; nor what the table puts outside of the file."""
    publish_all(archive, source())
    path = the_file(archive, "pictures.mjpeg")
    path.write_bytes(flipped(path.read_bytes(), -1))
    shard, last = fresh(archive), len(JPEGS) - 1
    assert shard.jpeg(0) == JPEGS[0]
    with pytest.raises(ArchiveDamaged, match=rf"{path.name}: the picture at byte \d+ is damaged; .*re-ingest"):
        shard.jpeg(last)
    with pytest.raises(ArchiveDamaged, match=path.name):
        list(shard.pictures())
    path.write_bytes(b"")
    with pytest.raises(ArchiveDamaged, match=path.name):
        shard.jpeg(0)
    path.unlink()
    with pytest.raises(ArchiveDamaged, match=f"{path.name}: holds pictures but is unreadable"):
        shard.jpeg(0)
    for place in (StoredPicture(-1, 5, 0), StoredPicture(0, -1, 0), StoredPicture(0, 1 << 30, 0)):
        shard.frames[0] = dataclasses.replace(FRAMES[0], picture=place)
        with pytest.raises(ArchiveDamaged, match="outside"):
            shard.jpeg(0)


def test_pictures_of_an_older_archive_are_checked_too(archive: Archive) -> None:
    publish_old_frames(archive, source())
    shard = fresh(archive)
    assert [j for _, j in shard.pictures()] == JPEGS == [shard.jpeg(i) for i in range(len(JPEGS))]
    path = the_file(archive, "frames.parquet")
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
    for read in (lambda s: s.jpeg(0), lambda s: list(s.pictures())):
        with pytest.raises(ArchiveDamaged, match=path.name):
            read(fresh(archive))


def test_a_file_of_another_video_is_damage(archive: Archive) -> None:
    """A sound file in the wrong place does not fit the manifest."""
    publish_all(archive, source())
    the_file(archive, "speech.parquet").write_bytes(the_file(archive, "text.parquet").read_bytes())
    with pytest.raises(ArchiveDamaged):
        fresh(archive).speech  # noqa: B018


def test_a_good_archive_stays_readable_without_writing(archive: Archive) -> None:
    """Reading leaves no trace."""
    publish_all(archive, source())
    before = {p: p.stat().st_mtime_ns for p in Path(archive.location).rglob("*")}
    shard = fresh(archive)
    for read in READS.values():
        assert read(shard)
    assert {p: p.stat().st_mtime_ns for p in Path(archive.location).rglob("*")} == before


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0" + bytes(50), b"GIF89a", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_jpeg_is_damage(data: bytes) -> None:
    with pytest.raises(ArchiveDamaged, match="JPEG"):
        decode_jpeg(data)
