"""Questions about a video in which nothing is said: what is seen is told, by the real encoder and detector."""

from __future__ import annotations

from pathlib import Path

import pytest
import vidrag
from chapter_tools import FAKE, publish
from media_files import ffmpeg
from vidrag.ingest.chapters import ChapterOptions
from vidrag.query.find.gather import chapters
from vidrag.query.find.rows import RowSet
from vidrag.store.archive.archive import Archive
from vidrag.store.records import Frame, FrameLabels, Label

SAMPLE = Path(__file__).parents[1] / "jobs" / "demo" / "sample.mp4"


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> vidrag.VideoArchive:
    """The seconds of the sample in which a cat is seen, without sound, and ten seconds of grey."""
    folder = tmp_path_factory.mktemp("cat")
    ffmpeg("-ss", "76", "-t", "8", "-i", SAMPLE, "-an", "-vf", "crop=iw/2:ih/2", folder / "VID_0007.mp4")
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=320x180:d=10", folder / "blank.mp4")
    report = vidrag.ingest(folder / "archive", folder, workers=1)
    assert report.videos == 2 and not report.failed
    return vidrag.open(folder / "archive")


@pytest.mark.parametrize(
    "question",
    [
        "What can be seen in VID_0007.mp4?", "Summarise VID_0007.mp4", "Was ist in VID_0007.mp4 zu sehen?",
        "summarise VID_0007", "what is seen in VID_0007", "What is shown in VID_0007 at 0:03?",
        "What happens in VID_0007.mp4 between 0:02 and 0:05?", "What is seen in the first 5 seconds of VID_0007?",
    ],
)  # fmt: skip
def test_the_whole_of_it_is_what_is_seen(question: str, cat: vidrag.VideoArchive) -> None:
    answer = cat.ask(question)
    (shown,) = answer.cited()
    assert not answer.abstained and shown.kind == "frame" and "tabby" in shown.text and shown.frame is not None
    assert answer.text == f"VID_0007.mp4:\n00:00 seen: “{shown.text}” [{shown.id}]"


@pytest.mark.parametrize(
    "question", ["Is there a cat?", "is there a cat somewhere", "are there cats in it", "is there a cat in VID_0007"]
)
def test_a_thing_that_the_detector_knows_is_looked_for(question: str, cat: vidrag.VideoArchive) -> None:
    answer = cat.ask(question)
    assert not answer.abstained and answer.cited()
    assert all(e.name == "VID_0007.mp4" and "cat" in e.text for e in answer.cited())


@pytest.mark.parametrize("question", ["Is there a bus?", "is there a horse somewhere", "What is the name of the bus?"])
def test_what_is_not_seen_is_not_told(question: str, cat: vidrag.VideoArchive) -> None:
    assert cat.ask(question).abstained


def test_a_frame_without_a_name_fits_no_word(cat: vidrag.VideoArchive) -> None:
    """A vector of nothing lies near to words that mean nothing to the encoder."""
    assert [h.name for h in cat.search("cat").found] and {h.name for h in cat.search("cat").found} == {"VID_0007.mp4"}
    for word in ("noctule", "xylograph", "blank"):
        assert all(h.text for h in cat.search(word).found)


def test_chapters_that_are_named_by_what_is_seen(archive: Archive) -> None:
    """Each is one line; the stored frame on screen when it begins is its picture."""
    pictures = [Frame(5.0 * i, 5.0 * i + 5, 16, 9, 0.5, True) for i in range(24)]
    labels = [
        FrameLabels(f.start, f.end, f"a photo of {n}", (Label(n, 0.8),))
        for f in pictures
        for n in ["ship" if f.start < 60 else "tractor"]
    ]
    shard = publish(archive, (), (), pictures, labels, chapters=ChapterOptions())
    rows = RowSet([shard], FAKE.spec)
    told = chapters(rows, rows.trusted, 40)
    assert [c.title_from for c in shard.chapters] == ["picture"] * len(told)
    assert [p.row.text for p in told] == [c.title for c in shard.chapters]
    for part in told:
        assert part.row.kind == "frame" and part.row.frame is not None
        assert shard.frames[part.row.frame].start <= part.row.start < shard.frames[part.row.frame].end
