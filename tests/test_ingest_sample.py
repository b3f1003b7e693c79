"""The bundled sample through the real engines of the embedded profile, held against what is known of it."""

from __future__ import annotations

import os
import platform
import re
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rapidfuzz import fuzz
from vidrag.ingest.pipeline import Engines, Outcome, ingest_video
from vidrag.ingest.stages import ENGINE_OF, STAGES
from vidrag.jobs import build, profile
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.shard import Shard
from vidrag.store.errors import EngineMissing, ModelMissing

pytestmark = pytest.mark.recognises

NUMBERS = {
    "forty": "40",
    "twenty fifteen": "2015",
    "eleven": "11",
    "thirty eight": "38",
    "three": "3",
    "six": "6",
    "o'clock": "oclock",
}


@pytest.fixture(scope="module")
def indexed(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shard, list[Outcome]]:
    chosen = profile.load()
    try:
        build.check(chosen, build.INGEST_KINDS)
    except (ModelMissing, EngineMissing) as e:
        pytest.skip(f"the engines of the embedded profile are not all installed: {e}")
    archive = Archive.create(tmp_path_factory.mktemp("sample") / "archive")
    found = ingest_video(sample, archive, Engines(chosen.ingest))
    return archive.shard(found[0].video), found


def words(text: str) -> list[str]:
    text = text.lower()
    for spoken, digits in NUMBERS.items():
        text = text.replace(spoken, digits)
    return re.findall(r"\w+", text)


def test_every_stage_succeeds(indexed: tuple[Shard, list[Outcome]]) -> None:
    shard, found = indexed
    assert {o.stage: o.status for o in found} == dict.fromkeys(STAGES, "ok")
    assert shard.manifest.duration == pytest.approx(93, abs=0.2)
    assert all(o.coverage is None or o.coverage > 0.99 for o in found)


def test_what_is_said_is_heard_in_its_time(indexed: tuple[Shard, list[Outcome]], truth: dict[str, Any]) -> None:
    """Nine of ten words of each shot, within a second of where they are spoken; hardly a word too many."""
    shard, _ = indexed
    heard = [(w.start, w.end, t) for s in shard.speech for w in s.words for t in words(w.text)]
    said = 0
    for shot in truth["shots"]:
        wanted = [w for line in shot["speech"] for w in words(line["text"])]
        said += len(wanted)
        if wanted:
            first, last = shot["speech"][0]["start"] - 1, shot["speech"][-1]["end"] + 1
            got = [t for start, end, t in heard if first <= start and end <= last]
            missing = [w for w in wanted if w not in got]
            assert len(missing) <= 0.1 * len(wanted), (shot["id"], missing)
    assert len(heard) <= 1.05 * said


def test_nothing_that_is_said_is_doubted(indexed: tuple[Shard, list[Outcome]]) -> None:
    shard, _ = indexed
    assert [(s.text, s.flags) for s in shard.speech if s.flags] == []
    assert {s.language for s in shard.speech} == {"en"}


def test_sentences_begin_when_they_are_spoken(indexed: tuple[Shard, list[Outcome]], truth: dict[str, Any]) -> None:
    """The words heard are laid beside those spoken: nine of ten first words of sentences come within a second, all of
    them within 1.5 s.  Rows are about sentences: no more than a third of them fewer or more.

    Which words are heard, and where a row ends, differs a little from one kind of CPU to another.
    """
    shard, _ = indexed
    heard = [(t, w.start) for s in shard.speech for w in s.words for t in words(w.text)]
    lines = [line for shot in truth["shots"] for line in shot["speech"]]
    spoken = [(t, line["start"] if i == 0 else None) for line in lines for i, t in enumerate(words(line["text"]))]
    same = SequenceMatcher(None, [t for t, _ in spoken], [t for t, _ in heard], autojunk=False)
    pairs = [(a + i, b + i) for a, b, n in same.get_matching_blocks() for i in range(n)]
    late = [abs(heard[b][1] - start) for a, b in pairs if (start := spoken[a][1]) is not None]
    assert len(late) >= 0.8 * len(lines)
    assert sum(x <= 1 for x in late) >= 0.9 * len(late)
    assert max(late) <= 1.5
    assert 2 / 3 <= len(shard.speech) / len(lines) <= 4 / 3


def test_each_cell_says_what_made_it(indexed: tuple[Shard, list[Outcome]]) -> None:
    shard, _ = indexed
    made = {s: c.engine for s, c in shard.status().items() if c.engine}
    assert set(made) == set(ENGINE_OF)
    assert {"ctranslate2", "faster-whisper", "onnxruntime"} <= set(made["speech"]["versions"])
    assert made["speech"]["cpu"].startswith(platform.machine())
    assert os.environ.get("CT2_FORCE_CPU_ISA", "") in made["speech"]["cpu"]


def test_what_is_written_is_read_in_its_time(indexed: tuple[Shard, list[Outcome]], truth: dict[str, Any]) -> None:
    """Every line of every slide, letter for letter, from the slide's start to its end within a second."""
    shard, _ = indexed
    for shot in truth["shots"]:
        for line in shot.get("text", []):
            fits = [
                t
                for t in shard.text
                if abs(t.start - shot["start"]) <= 1
                and abs(t.end - shot["end"]) <= 1
                and fuzz.partial_ratio(line.replace(" ", ""), t.text.replace(" ", "")) == 100
            ]
            assert fits, (shot["id"], line)


def test_nothing_is_read_where_nothing_is_written(indexed: tuple[Shard, list[Outcome]], truth: dict[str, Any]) -> None:
    shard, _ = indexed
    for shot in truth["shots"]:
        if shot["kind"] == "photo":
            assert [t.text for t in shard.text if t.start < shot["end"] - 1 and t.end > shot["start"] + 1] == []


def test_what_is_shown_is_labelled_in_its_time(indexed: tuple[Shard, list[Outcome]], truth: dict[str, Any]) -> None:
    """The cat, the cup and the people are named in frames of their shots and in no slide."""
    shard, _ = indexed
    for shot in truth["shots"]:
        during = [f for f in shard.labels if abs(f.start - shot["start"]) <= 1 and f.end <= shot["end"] + 1]
        seen = {d.label for f in during for d in f.detections}
        assert set(shot.get("objects") or {}) <= seen, shot["id"]
        if shot["kind"] == "slide":
            assert not seen & {"cat", "cup", "person"}, shot["id"]


def test_every_shot_is_kept(indexed: tuple[Shard, list[Outcome]], truth: dict[str, Any]) -> None:
    """A frame starts within a second of each shot's start; frames cover the video without gap or overlap."""
    shard, _ = indexed
    starts = [f.start for f in shard.frames]
    for shot in truth["shots"]:
        assert min(abs(s - shot["start"]) for s in starts) <= 1, shot["id"]
    assert all(a.end == b.start for a, b in pairwise(shard.frames))
    assert (shard.frames[0].start, shard.frames[-1].end) == (0, pytest.approx(93, abs=0.2))


def test_chapters_begin_with_shots_and_are_named(indexed: tuple[Shard, list[Outcome]], truth: dict[str, Any]) -> None:
    """They cover the video, each begins within a second of a shot, and the rows that stand for them exist."""
    shard, _ = indexed
    found = shard.chapters
    assert 2 <= len(found) <= 5
    assert all(a.end == b.start for a, b in pairwise(found))
    assert (found[0].start, found[-1].end) == (0, pytest.approx(93, abs=0.5))
    for chapter in found:
        assert min(abs(chapter.start - s["start"]) for s in truth["shots"]) <= 1
        assert chapter.title and chapter.terms and chapter.moments
