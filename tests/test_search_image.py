"""Stored frames like a picture: ``Lister.like`` and the files that pictures come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chapter_tools import FAKE
from index_tools import SPEC, build, put, searcher
from numpy.typing import NDArray
from PIL import Image
from vidrag.jobs import pictures
from vidrag.query.find.results import Lister
from vidrag.query.find.retrieve import RetrieveOptions
from vidrag.query.find.scope import Scope
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders import ImageBatch, Picture
from vidrag.store.errors import UsageError
from vidrag.store.vectors import Vectors

BLANK = np.zeros((2, 2, 3), np.uint8)


class Sees:
    """Sees one vector in every picture."""

    spec = SPEC

    def __init__(self, vector: NDArray[np.float32], named: str = "") -> None:
        self.vector, self.named = vector, named

    def images(self, pictures: list[Picture]) -> ImageBatch:
        n = len(pictures)
        return ImageBatch(np.tile(self.vector, (n, 1)), (self.named,) * n, ((),) * n, ((),) * n)

    def queries(self, texts: list[str]) -> Vectors:
        raise AssertionError("a picture is no text")


def frames_of(archive: Archive, video: str) -> Vectors:
    file = archive.shard(archive.find(video)).vectors("frames", SPEC)
    assert file is not None
    return file.vectors()


def by(archive: Archive, vector: NDArray[np.float32], named: str = "", **more: object) -> Lister:
    return Lister(searcher(archive, **more), FAKE, Sees(vector, named), RetrieveOptions())  # type: ignore[arg-type]


@pytest.fixture
def filled(archive: Archive) -> Archive:
    for seed, name in enumerate(("a.mp4", "b.mp4", "c.mp4")):
        put(archive, name, ["a locker"], frames=6, seed=seed, encoder=FAKE)
    put(archive, "talk.mp4", ["nothing to see"], encoder=FAKE)
    return archive


@pytest.mark.parametrize("indexed", [False, True])
def test_the_frame_itself_comes_first_and_the_others_by_likeness(filled: Archive, indexed: bool) -> None:
    """Whether an index finds the videos or all are opened; frames less than ten seconds apart count as one."""
    if indexed:
        build(filled)
    vector = frames_of(filled, "b.mp4")[3]
    got = by(filled, vector, "a photo of a door", indexed=indexed).like(BLANK, top=50)
    (first, *_), scores = got.found, [f.score for f in got.found]
    assert (first.name, first.row, first.kind) == ("b.mp4", 3, "frame") and first.score == pytest.approx(1, abs=1e-3)
    assert scores == sorted(scores, reverse=True) and not got.more
    assert "seen in the picture: a door" in got.notes
    truth = {n: frames_of(filled, n) @ vector for n in ("a.mp4", "b.mp4", "c.mp4")}
    for f in got.found:
        assert f.score == pytest.approx(float(truth[f.name][f.row]), abs=1e-3)
        beside = [f.row - 1, f.row + 1]  # frames follow each other without a gap
        assert not [g for g in got.found if g.name == f.name and g.row in beside]


def test_pages_and_filters(filled: Archive) -> None:
    vector = frames_of(filled, "c.mp4")[0]
    every = [(f.name, f.row) for f in by(filled, vector).like(BLANK, top=50).found]
    pages = [by(filled, vector).like(BLANK, top=2, page=p) for p in range(1, len(every) // 2 + 2)]
    assert [(f.name, f.row) for p in pages for f in p.found] == every
    narrowed = by(filled, vector).like(BLANK, scope=Scope(videos=["a.mp4"], start=60, end=100))
    assert {f.name for f in narrowed.found} == {"a.mp4"} and {f.row for f in narrowed.found} <= {3, 4}
    assert by(filled, vector).like(BLANK, scope=Scope(videos=["talk.mp4"])).found == ()


def test_a_picture_is_read_upright_and_no_larger_than_needed(tmp_path: Path) -> None:
    wide = Image.new("RGB", (3000, 1000), "blue")
    turned = Image.Exif()
    turned[0x0112] = 6  # shown turned by 90 degrees
    wide.save(tmp_path / "turned.jpg", exif=turned)
    read = pictures.from_file(tmp_path / "turned.jpg")
    assert read.dtype == np.uint8 and read.shape[0] == 1280 and 420 <= read.shape[1] <= 433
    Image.new("RGBA", (5, 4), (10, 200, 30, 128)).save(tmp_path / "clear.png")
    assert pictures.given(str(tmp_path / "clear.png")).shape == (4, 5, 3)
    assert pictures.given(BLANK) is BLANK


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "not a picture"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "not a picture"),
    ],
)
def test_what_is_no_picture_is_one_line(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(UsageError, match=message) as told:
        pictures.from_file(tmp_path / "file")
    assert "\n" not in str(told.value) and "file" in str(told.value)


def test_what_is_there_in_no_way(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(huge)
    for path, message in ((huge, "exceeds limit"), (tmp_path, "not a file"), (tmp_path / "gone.png", "no such file")):
        with pytest.raises(UsageError, match=message):
            pictures.from_file(path)
    for array in (np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), float), np.zeros((0, 2, 3), np.uint8), None):
        with pytest.raises(UsageError, match="shape"):
            pictures.given(array)  # type: ignore[arg-type]
