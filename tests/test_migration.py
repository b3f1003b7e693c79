"""Archives of before pictures had a file of their own: read as they are, stored anew without a video."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_tools import FRAMES, JPEGS, publish_old_frames, publish_speech, source, source_with_id
from vidrag.jobs.cli import upkeep_commands
from vidrag.store.archive import maintenance
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.migration import migrate
from vidrag.store.archive.pictures import KIND
from vidrag.store.archive.shard import Shard
from vidrag.store.errors import NotAnArchive

VIDEO = source().sha256[:16]


def read(archive: Archive, fingerprint: str = "") -> tuple[list[object], list[bytes]]:
    """Everything of the frames but where their pictures lie."""
    shard = Archive.open(archive.location).shard(VIDEO)
    if fingerprint:
        found = shard.manifest.cell("frames", fingerprint)
        assert found is not None
        shard = Shard(shard.backend, shard.folder, shard.manifest.merged({"frames": found}, ()))
    columns = ["row", "start", "end", "width", "height", "change", "cut"]
    shown = [jpeg for _, jpeg in shard.pictures()]
    assert shown == [shard.jpeg(i) for i in range(len(shown))]
    return shard.rows("frames", columns).to_pylist(), shown


def test_the_pictures_of_every_profile_move(archive: Archive) -> None:
    """The rows, the pictures and the fingerprints stay; the second time there is nothing to do; gc takes the old."""
    publish_old_frames(archive, source(), "1" * 16)
    publish_old_frames(archive, source(), "2" * 16)
    publish_speech(archive, source_with_id("aaaa", "no frames.mp4"))
    before, first = archive.shard(VIDEO).manifest, read(archive, "1" * 16)
    assert first == read(archive) and first[1] == JPEGS and [r["start"] for r in first[0]] == [f.start for f in FRAMES]  # type: ignore[index]
    assert archive.shard(VIDEO).rows("frames")["picture"].null_count == len(JPEGS)
    assert migrate(archive, VIDEO) and not migrate(archive, VIDEO)
    assert not migrate(archive, source_with_id("aaaa", "").sha256[:16])
    shard = Archive.open(archive.location).shard(VIDEO)
    assert shard.frames == FRAMES and shard.manifest.current == before.current
    assert [(c.stage, c.fingerprint, c.extent) for c in shard.manifest.cells] == [
        (c.stage, c.fingerprint, c.extent) for c in before.cells
    ]
    assert all(c.file(KIND) for c in shard.manifest.cells)
    assert read(archive) == read(archive, "1" * 16) == first
    maintenance.collect(archive, 0)
    folder = Path(archive.location) / "videos" / VIDEO
    assert len(list(folder.glob("pictures-*.mjpeg"))) == 1  # the other belongs to no profile
    assert read(archive) == first and [c.damage for c in maintenance.verify(archive, [VIDEO])] == [()]


def test_the_command(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    """Says how many; a damaged video is named, left as it is, and the rest goes on."""
    bad = source_with_id("aaaa", "bad.mp4")
    publish_old_frames(archive, source())
    publish_old_frames(archive, bad)
    (path,) = (Path(archive.location) / "videos" / bad.sha256[:16]).glob("frames-*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    told = []
    for code in (4, 4):
        assert upkeep_commands.migrate(archive.location) == code
        told.append(capsys.readouterr())
    assert [t.out for t in told] == [f"{n} of 2 videos stored anew, 1 damaged and left as they are\n" for n in (1, 0)]
    assert all(t.err.count("\n") == 1 and path.name in t.err for t in told)
    assert read(archive)[1] == JPEGS
    with pytest.raises(NotAnArchive):
        upkeep_commands.migrate(f"{archive.location}/nothing")
