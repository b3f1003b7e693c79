"""Which videos are opened for a question: those it names, all of a small archive, the likely ones of a large one."""

from __future__ import annotations

from pathlib import Path

import pytest
from index_tools import build, put
from store_tools import SPEC
from vidrag.jobs import build as made
from vidrag.jobs import profile
from vidrag.query.asker import Asker
from vidrag.query.find.opening import Opener
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders import EncoderSpec
from vidrag.store.encoders.e5 import E5, E5Options

COLOURS = "red blue green black white yellow".split()


@pytest.fixture(scope="module")
def encoder() -> E5:
    return E5(E5Options())


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, encoder: E5) -> Archive:
    """Thirty videos of which one tells of herons, and an index over them."""
    where = Archive.create(tmp_path_factory.mktemp("large") / "archive")
    for i in range(30):
        said = [f"the locker of room {i} is painted {COLOURS[i % 6]}", f"the bus of line {i} was late"]
        put(where, f"v{i}.mp4", said, ["Chapter one"], encoder=encoder)
    put(where, "herons.mp4", ["the harbour master counted four herons"], encoder=encoder)
    build(where)
    return where


def asker(archive: Archive, *more: str) -> Asker:
    settings = ("search.index_rows=0", "search.videos=5", *more)
    return made.asker(Archive.open(archive.location), profile.load("embedded", settings))


def opened(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the videos that are opened from here on."""
    seen: list[str] = []
    real = Archive.shard

    def shard(self: Archive, video: str, number: int = 0) -> object:
        seen.append(video)
        return real(self, video, number)

    monkeypatch.setattr(Archive, "shard", shard)
    return seen


def test_of_a_large_archive_only_likely_videos_are_opened(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = asker(archive)
    assert "four herons" in ask.ask("How many herons did the harbour master count?").text  # reads a sample, too
    seen = opened(archive, monkeypatch)
    answer = ask.ask("How many herons were counted by the harbour master?")
    assert answer.citations and answer.cited()[0].text == "the harbour master counted four herons"
    assert len(set(seen)) <= 5
    assert any("of 31" in n for n in answer.notes), answer.notes


def test_the_same_rows_are_found_as_without_an_index(archive: Archive) -> None:
    question = "Which line had a late bus of line 17?"
    with_index, without = asker(archive).ask(question), asker(archive, "search.index_rows=1000000").ask(question)
    assert with_index.evidence[0].text and with_index.citations
    best = {e.text for e in without.evidence if e.rank <= 1}
    assert best & {e.text for e in with_index.evidence}
    assert not any("index" in n for n in without.notes)


def test_the_videos_of_an_option_are_opened(archive: Archive) -> None:
    answer = asker(archive).ask("What was said of the bus?", options=["It was late", "Four herons drove it"])
    assert any("herons" in e.text for e in answer.evidence)


def test_videos_that_are_named_are_opened_and_no_others(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few others are read once, for what any text of the archive is like."""
    ask = asker(archive)
    answer = ask.ask("What colour is the locker in v3.mp4?")
    assert {e.video for e in answer.evidence} == {archive.find("v3.mp4")}
    assert "black" in answer.text and answer.citations
    seen = opened(archive, monkeypatch)
    again = ask.ask("What colour is the locker in v4.mp4?")
    assert {e.video for e in again.evidence} == {archive.find("v4.mp4")} == set(seen)
    assert "white" in again.text


@pytest.mark.parametrize(
    ("question", "rest", "names", "missing"),
    [
        ("What was decided in club committee 14 oct.mp4?", "What was decided ?", ["club committee 14 oct.mp4"], ""),
        ("in “talk (final).mp4”, who speaks", "in “video”, who speaks", ["talk (final).mp4"], ""),
        ("oct.mp4 or club committee 14 oct.mp4", "video or video", ["oct.mp4", "club committee 14 oct.mp4"], ""),
        ("What is said in 14 sept.mp4?", "What is said in 14 sept.mp4?", None, "sept.mp4"),
        ("How long is v3.mp4?", "How long is video?", ["v3.mp4"], ""),
        ("Is version 2.10 out in v3.mp4?", "Is version 2.10 out ?", ["v3.mp4"], ""),
    ],
)
def test_names_with_spaces(question: str, rest: str, names: list[str] | None, missing: str, tmp_path: Path) -> None:
    """The longest name that ends there is the one that is meant."""
    where = Archive.create(tmp_path / "archive")
    for name in ("club committee 14 oct.mp4", "oct.mp4", "talk (final).mp4", "v3.mp4"):
        put(where, name, ["the harbour master"])
    opener = Opener[None](where, SPEC, lambda _: None)
    assert opener.about(question, None) == (rest, names and [where.find(n) for n in names], missing)


def test_of_many_that_are_meant_the_likely_ones_are_opened(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a whole archive; what fits better and is not meant is not looked at, by its words or by its vectors."""
    meant = [archive.find(f"v{i}.mp4") for i in range(20)]
    ask, question = asker(archive), "How late was the bus of line 17, and what colour is the locker of room 17?"
    ask.ask(question, meant)
    seen = opened(archive, monkeypatch)
    answer = ask.ask(question, meant)
    assert answer.citations and {e.video for e in answer.evidence} <= set(meant)
    assert archive.find("v17.mp4") in {c.video for c in answer.cited()} and len(set(seen)) <= 5
    assert any("of 20" in n for n in answer.notes), answer.notes
    answer = ask.ask("How many herons did the harbour master count?", meant)
    assert {e.video for e in answer.evidence} <= set(meant) and "herons" not in answer.text
    assert "four herons" in ask.ask("How many herons did the harbour master count?").text


def test_a_damaged_likely_video_is_left_out_with_a_note(tmp_path: Path, encoder: E5) -> None:
    where = Archive.create(tmp_path / "archive")
    for i in range(6):
        put(where, f"v{i}.mp4", [f"the harbour master counted {i} herons"], encoder=encoder)
    build(where)
    bad = where.find("v2.mp4")
    (manifest,) = (tmp_path / "archive" / "videos" / bad).glob("manifest*")
    manifest.write_text("{")
    answer = asker(where, "search.videos=6").ask("How many herons did the harbour master count?")
    assert answer.evidence and bad not in {e.video for e in answer.evidence}
    assert any("damaged" in n for n in answer.notes), answer.notes


def test_an_index_of_another_encoder_is_not_asked(tmp_path: Path) -> None:
    """The index is left alone, and the videos say what is wrong."""
    other = EncoderSpec("other", "0" * 16, 8)
    where = Archive.create(tmp_path / "archive")
    put(where, "a.mp4", ["the harbour master counted four herons"], seed=1, spec=other)
    build(where)
    with pytest.raises(Exception, match="was embedded with other .*vidrag embed .*--profile embedded$"):
        asker(where).ask("How many herons did the harbour master count?")
