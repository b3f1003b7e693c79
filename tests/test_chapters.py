"""Chapters: where they begin, what they are called, which rows stand for them."""

from __future__ import annotations

import dataclasses
import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chapter_tools import FAKE, TITLE_BOX, TOPICS, frames, publish, slides, talk
from hypothesis import given
from hypothesis import strategies as st
from vidrag.ingest.chapter_step import chapter_step, chapters_of
from vidrag.ingest.chapters import Beginning, ChapterOptions, Shown, beginnings, divided
from vidrag.ingest.headings import TITLE, Material, headed, shortened, telling
from vidrag.store.archive.archive import Archive
from vidrag.store.records import Chapter, Frame, FrameLabels, Label, Segment, Span, TextTrack

OPTIONS = ChapterOptions()
ALL = list(TOPICS)


def tile(chapters: list[Any], seconds: float) -> None:
    assert chapters[0].start == 0
    assert chapters[-1].end == pytest.approx(seconds)
    assert all(a.end == b.start for a, b in pairwise(chapters))
    assert all(c.start < c.end for c in chapters)


def test_topics_of_speech_are_chapters(archive: Archive) -> None:
    """Boundaries stand exactly where a sentence begins; words that tell a chapter are of its topic."""
    found = chapters_of(publish(archive, talk(ALL)), OPTIONS)
    tile(found, 5 * 60 - 0.3)
    assert [c.start for c in found] == pytest.approx([0, 60, 120, 180, 240], abs=5.01)
    for chapter, topic in zip(found, ALL, strict=True):
        assert set(chapter.terms[:4]) <= set(TOPICS[topic].split())
        assert chapter.title_from == "speech"


def test_slides_are_chapters_without_speech(archive: Archive) -> None:
    """A title, not the line that stands on every slide."""
    found = chapters_of(publish(archive, (), slides(ALL, 60)), OPTIONS)
    assert [(c.start, c.title, c.title_from) for c in found] == [
        (i * 60, f"All about {t}", "screen") for i, t in enumerate(ALL)
    ]
    assert found[1].moments[0].kind == "text"
    assert (found[1].moments[0].start, found[1].moments[0].end) == (60, 120)


def test_pictures_alone_are_chapters(archive: Archive) -> None:
    names = ["red sign"] * 30 + ["green tree"] * 30
    shown = [FrameLabels(i * 2.0, i * 2 + 2.0, n, (Label(n, 0.8),)) for i, n in enumerate(names)]
    found = chapters_of(publish(archive, (), (), frames(60, 2.0, cuts=[10, 30, 44]), shown), OPTIONS)
    assert [(c.start, c.end, c.title, c.title_from) for c in found] == [
        (0, 60, "red sign", "picture"),
        (60, 120, "green tree", "picture"),
    ]
    assert all(not c.moments and not c.terms for c in found)


def test_a_slide_draws_the_boundary_to_itself(archive: Archive) -> None:
    """The new slide comes two sentences before its topic; the chapter begins with the slide."""
    speech = talk(["bread", "bees"], each=14)
    text = [
        TextTrack(0, 60, "All about bread", 0.98, TITLE_BOX, 9),
        TextTrack(60.4, 140, "All about bees", 0.98, TITLE_BOX, 9),
    ]
    found = chapters_of(publish(archive, speech, text), OPTIONS)
    assert [c.start for c in found] == [0, 60.4]
    assert [c.title for c in found] == ["All about bread", "All about bees"]


def test_doubtful_speech_has_no_say(archive: Archive) -> None:
    plain = talk(["bread"] * 3)
    invented = [dataclasses.replace(s, start=s.start + 0.1, flags=("low_logprob",)) for s in talk(ALL[:3])]
    rows = sorted([*plain, *invented], key=lambda s: s.start)
    found = chapters_of(publish(archive, rows), OPTIONS)
    assert len(found) == 1
    assert "honey" not in found[0].terms


def test_the_same_rows_give_the_same_bytes(archive: Archive, tmp_path: Path) -> None:
    shard = publish(archive, talk(ALL), slides(ALL, 60))
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made.append(chapter_step(shard, "c" * 16, OPTIONS, tmp_path / name))
    assert list(made[0].staged) == list(made[1].staged)
    a, b = (next(iter(m.staged.values())).read_bytes() for m in made)
    assert a == b


def test_nothing_gives_none(archive: Archive, tmp_path: Path) -> None:
    made = chapter_step(publish(archive), "c" * 16, OPTIONS, tmp_path)
    assert (made.cells["chapters"].status, made.staged) == ("none", {})
    assert made.cells["chapters"].data["reason"]


@pytest.mark.parametrize(
    ("speech", "end"),
    [
        ([Segment(3, 4, "One row alone.")], 4.0),
        ([Segment(5, 5, "No length.")], 5.0),
        ([Segment(7, 9, f"All at once {i}.") for i in range(50)], 9.0),
        ([Segment(math.nan, 9, "When?"), Segment(1, 2, "Here."), Segment(3, math.inf, "For ever.")], 2.0),
        ([Segment(0, 5000, "A single row, very long.")], 5000.0),
    ],
)
def test_odd_rows_are_one_chapter(speech: list[Segment], end: float, archive: Archive) -> None:
    found = chapters_of(publish(archive, speech), OPTIONS)
    assert [(c.start, c.end) for c in found] == [(0, end)]
    assert found[0].title


def test_rows_of_no_length_at_the_very_beginning_are_none(archive: Archive) -> None:
    assert chapters_of(publish(archive, [Segment(0, 0, "No time.")]), OPTIONS) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_vectors_that_say_nothing_do_no_harm(value: float, archive: Archive) -> None:
    found = chapters_of(publish(archive, talk(ALL[:2]), damage=value), OPTIONS)
    tile(found, 119.7)


@pytest.mark.long
def test_ten_hours_stay_fast(archive: Archive) -> None:
    """Seven thousand sentences, as many lines of text, eighteen thousand frames."""
    each = 7200 // 60
    speech = talk(ALL * 12, each=each)
    end = 36_000.0
    text = [TextTrack(i * 5.0, i * 5 + 5.0, f"Line {i} {w}", 0.9, TITLE_BOX) for i, w in enumerate(ALL * 1440)]
    shard = publish(archive, speech, text, frames(18_000, 2.0, range(0, 18_000, 20)))
    assert len(shard.speech) + len(shard.text) + len(shard.frames) > 32_000
    began = time.perf_counter()
    found = chapters_of(shard, OPTIONS)
    assert time.perf_counter() - began < 15
    tile(found, end)
    assert 10 <= len(found) <= 40


rows = st.lists(st.tuples(st.floats(0, 400), st.floats(0, 30), st.sampled_from(ALL)), max_size=25)


@given(said=rows, read=rows, cuts=st.lists(st.floats(0, 400), max_size=9), extra=st.floats(0, 100))
def test_chapters_tile_any_video(
    said: list[tuple[float, float, str]], read: list[tuple[float, float, str]], cuts: list[float], extra: float
) -> None:
    """No gap, no overlap, none too short, titles of one line, moments that are rows of the chapter's video."""
    speech = [Segment(a, a + n, f"We speak of {t}.") for a, n, t in sorted(said)]
    text = [TextTrack(a, a + n, f"On {t}", 0.9, TITLE_BOX) for a, n, t in sorted(read)]
    pictures = [Frame(c, c + 1, 16, 9, 0.5, True) for c in sorted(cuts)]
    seconds = max([1.0, *(r.end for r in (*speech, *text, *pictures))]) + extra
    shown = [
        (
            1.0,
            Shown(np.array([r.start for r in of]), np.array([r.end for r in of]), FAKE.documents([r.text for r in of])),
        )
        for of in (speech, text)
        if of
    ]
    spans = divided(beginnings(speech, text, pictures), shown, seconds, OPTIONS)
    tile(spans, seconds)
    if len(spans) > 1:
        assert min(s.seconds for s in spans) >= min(30.0, max(10.0, 0.2 * seconds)) - 1e-6
    found = headed(spans, Material(seconds, speech, text, ()))
    assert [(c.start, c.end) for c in found] == [(s.start, s.end) for s in spans]
    there = {("speech", s.start, s.end) for s in speech} | {("text", t.start, t.end) for t in text}
    for c in found:
        assert {(m.kind, m.start, m.end) for m in c.moments} <= there
        assert len(c.title) <= TITLE
        assert "\n" not in c.title
    used = [(m, i) for i, c in enumerate(found) for m in c.moments]
    assert all(found[i].start - 1 <= m.start <= found[i].end for m, i in used)


def test_beginnings_name_their_reasons() -> None:
    speech = [Segment(0, 9, "Before."), Segment(12, 20, "After a pause."), Segment(20, 29, "At once.")]
    text = [TextTrack(0, 11.6, "Old", 0.9, TITLE_BOX), TextTrack(11.6, 30, "New", 0.9, TITLE_BOX)]
    found = {b.time: b for b in beginnings(speech, text, [Frame(0, 15, 9, 9, 1, True), Frame(15, 30, 9, 9, 1, True)])}
    assert sorted(found) == [0, 11.6, 15, 20]
    assert found[11.6].reason > 0.7 > found[15].reason > found[20].reason == 0
    assert [found[t].within for t in (11.6, 15, 20)] == [False, True, False]


def test_beginnings_outside_of_the_video_are_none() -> None:
    times = [-5.0, 0.0, 50.0, 100.0, 900.0]
    spans = divided([Beginning(t, 1.0, False) for t in times], [], 100.0, OPTIONS)
    assert [(s.start, s.end) for s in spans] == [(0, 100)]
    assert divided([], [], 0.0, OPTIONS) == divided([], [], math.nan, OPTIONS) == []


def title(text: list[TextTrack], *said: str, seconds: float = 300) -> Chapter:
    speech = [Segment(5 * i, 5 * i + 4, s) for i, s in enumerate(said)]
    return headed([Span(0, 100), Span(100, seconds)], Material(seconds, speech, text, ()))[0]


def test_a_title_is_prominent_and_of_its_chapter() -> None:
    """Not a logo, not a burned-in subtitle, not a scrap, not what comes up late or small."""
    logo = TextTrack(0, 300, "The Daily Channel", 0.99, (0.05, 0.02, 0.5, 0.14))
    subtitle = TextTrack(1, 4, "and then we all went home", 0.99, (0.1, 0.85, 0.9, 0.97))
    scrap = TextTrack(0, 20, "0LE", 0.8, (0.1, 0.1, 0.9, 0.6))
    small = TextTrack(0, 20, "please mind the step", 0.99, (0.1, 0.5, 0.5, 0.53))
    late = TextTrack(90, 100, "Much too late", 0.99, TITLE_BOX)
    real = TextTrack(0.5, 20, "How to bind books", 0.99, TITLE_BOX)
    assert title([logo, subtitle, scrap, small, late, real]).title == "How to bind books"
    spoken = title([logo, subtitle, scrap, late], "Well, so, yes.", "The glue must rest before you bind the books.")
    assert (spoken.title, spoken.title_from) == ("The glue must rest before you bind the books.", "speech")
    bare = title([logo])
    assert (bare.title, bare.title_from, bare.moments) == ("", "none", ())


def test_what_stands_all_the_time_heads_the_whole() -> None:
    always = TextTrack(0, 20, "The Daily Channel", 0.99, TITLE_BOX)
    (found,) = headed([Span(0, 20)], Material(20, (), [always], ()))
    assert (found.title, found.title_from) == ("The Daily Channel", "screen")


def test_long_titles_are_cut_between_words() -> None:
    assert shortened("a\n b  c") == "a b c"
    cut = shortened("wonderful " * 20)
    assert len(cut) <= TITLE
    assert cut.endswith("wonderful…")
    assert len(shortened("x" * 500)) == TITLE


def test_telling_words_are_no_filler() -> None:
    assert telling("The locker’s code is 4719, and it was in the Büro") == ["locker", "code", "büro"]
    assert telling("这是 一") == ["这", "是", "一"]
