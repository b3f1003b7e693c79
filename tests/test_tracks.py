"""On-screen text: which boxes are read again, what is one paragraph, how long it stays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vidrag.ingest.reading import Reader, ReadingOptions
from vidrag.ingest.tracks import Tracker, TrackOptions, paragraphs
from vidrag.store.records import Box, TextLine, TextTrack, iou

SIDE = (360, 1280)
HIGH = 40
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.9)


def written(lines: Sequence[str]) -> np.ndarray:
    """A picture with one text line in each band of 40 pixels."""
    out = np.full((*SIDE, 3), 240, np.uint8)
    for i, text in enumerate(lines):
        cv2.putText(out, text, (20, 30 + HIGH * i), *FONT, (20, 20, 20), 2, cv2.LINE_AA)
    return out


class Bands:
    """Finds a line in each band that is not empty and "reads" it from the list it was told; counts readings."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.confidence = 0.9
        self.read: list[str] = []

    def detect(self, picture: np.ndarray) -> np.ndarray:
        quads = []
        for i, text in enumerate(self.lines):
            if text:
                right, top, bottom = 22 + cv2.getTextSize(text, *FONT, 2)[0][0], HIGH * i + 5, HIGH * i + 38
                quads.append([[18, top], [right, top], [right, bottom], [18, bottom]])
        return np.array(quads, np.float32).reshape(-1, 4, 2) / np.array([SIDE[1], SIDE[0]], np.float32)

    def recognise(self, picture: np.ndarray, quads: np.ndarray) -> list[tuple[str, float]]:
        rows = [round((float(q[:, 1].min()) * 360 - 5) / HIGH) for q in quads]
        self.read += [self.lines[i] for i in rows]
        return [(self.lines[i], self.confidence) for i in rows]

    def show(self, reader: Reader, *lines: str, noise: int | None = None) -> list[str]:
        self.lines = list(lines)
        picture = written(lines)
        if noise is not None:
            grain = np.random.default_rng(noise).normal(0, 4, picture.shape)
            picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
        self.read.clear()
        return [found.text for found in reader.lines(picture)]


def test_unchanged_lines_are_not_read_again() -> None:
    engine = Bands()
    reader = Reader(engine, ReadingOptions())
    assert engine.show(reader, "Seats: 12", "Locker code: 4719") == ["Seats: 12", "Locker code: 4719"]
    assert engine.show(reader, "Seats: 12", "Locker code: 4719", noise=1) == ["Seats: 12", "Locker code: 4719"]
    assert engine.read == []
    assert engine.show(reader, "Seats: 12", "Locker code: 4719", "New", noise=2)[2] == "New"
    assert engine.read == ["New"]
    assert (reader.found, reader.recognised) == (7, 3)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("Room 3", "Room 8"),
        ("Locker code: 4719", "Locker code: 4718"),
        ("Locker code: 4719", "Locker code: 4119"),
        ("Open Tuesday to Sunday, 9:30 to 17:00", "Open Tuesday to Sunday, 9:30 to 17:30"),
        (
            "Registration closes on Thursday, 5 June, at 17:30 in hall B",
            "Registration closes on Thursday, 5 June, at 17:20 in hall B",
        ),
        (
            "Registration closes on Thursday, 6 June, at 17:30 in hall B",
            "Registration closes on Thursday, 8 June, at 17:30 in hall B",
        ),
    ],
)
def test_one_changed_digit_is_read(before: str, now: str) -> None:
    """Also in a long line, where it is a small part of the picture."""
    engine = Bands()
    reader = Reader(engine, ReadingOptions())
    engine.show(reader, before)
    assert engine.show(reader, now) == [now]


def test_slow_change_does_not_creep_past_the_reader() -> None:
    """A line that fades into another over many frames is read again before it is the other one."""
    engine = Bands()
    reader = Reader(engine, ReadingOptions())
    old, new = "Locker code: 4719", "Locker code: 8056"
    assert engine.show(reader, old) == [old]
    engine.lines = [new]
    for i in range(1, 31):
        last = reader.lines(cv2.addWeighted(written([old]), 1 - i / 30, written([new]), i / 30, 0))
    assert [x.text for x in last] == [new]


def test_doubtful_and_empty_readings_are_dropped() -> None:
    engine = Bands()
    engine.confidence = 0.59
    assert engine.show(Reader(engine, ReadingOptions()), "Faint") == []
    engine.confidence = 0.9
    assert engine.show(Reader(engine, ReadingOptions()), "---", "ok") == ["ok"]
    assert engine.show(Reader(engine, ReadingOptions())) == []


def line(text: str, x: float = 0.1, y: float = 0.1, w: float = 0.5, h: float = 0.05, sure: float = 0.9) -> TextLine:
    return TextLine(text, sure, (x, y, x + w, y + h))


def joined(*lines: TextLine) -> list[str]:
    return [p.text for p in paragraphs(lines, TrackOptions().line_gap)]


def test_lines_set_close_and_flush_are_one_paragraph() -> None:
    assert joined(line("second", y=0.16), line("first", y=0.1)) == ["first second"]
    whole = paragraphs([line("first", w=0.6, sure=0.7), line("second", y=0.16)], 0.3)[0]
    assert whole.box == pytest.approx((0.1, 0.1, 0.7, 0.21))
    assert whole.confidence == 0.7


def test_centred_lines_are_one_paragraph() -> None:
    assert joined(line("a wide line", x=0.2, w=0.6), line("narrow", x=0.4, y=0.16, w=0.2)) == ["a wide line narrow"]


def test_what_stands_apart_stays_apart() -> None:
    assert len(joined(line("left", w=0.2), line("right", x=0.6, w=0.2))) == 2
    assert len(joined(line("far above"), line("below", y=0.3))) == 2
    assert len(joined(line("Title", h=0.1), line("small", y=0.21, h=0.03))) == 2
    assert joined() == []


def tracked(*frames: tuple[float, float, Sequence[TextLine]], **options: float) -> list[TextTrack]:
    tracker = Tracker(TrackOptions(**options))
    found = [t for start, end, lines in frames for t in tracker.add(start, end, lines)]
    return sorted([*found, *tracker.finish()], key=lambda t: (t.start, t.box[1]))


def spans(tracks: Sequence[TextTrack]) -> list[tuple[float, float, str]]:
    return [(t.start, t.end, t.text) for t in tracks]


def test_a_text_stays_from_its_first_frame_to_the_end_of_its_last() -> None:
    hello = [line("Hello there")]
    found = tracked((0, 2, []), (2, 5, hello), (5, 9, hello), (9, 12, []))
    assert spans(found) == [(2, 9, "Hello there")]
    assert found[0].sightings == 2


def test_one_text_follows_another_without_overlap() -> None:
    """Intervals are half-open: one ends where the next starts."""
    found = tracked((0, 4, [line("First slide")]), (4, 8, [line("Second one")]))
    assert spans(found) == [(0, 4, "First slide"), (4, 8, "Second one")]


def test_a_short_miss_is_bridged_and_a_long_one_is_not() -> None:
    text = [line("Harbour Hill")]
    assert spans(tracked((0, 2, text), (2, 3, []), (3, 5, text))) == [(0, 5, "Harbour Hill")]
    assert len(tracked((0, 2, text), (2, 6, []), (6, 8, text))) == 2
    assert len(tracked((0, 2, text), (2, 3, []), (3, 5, text), bridge=0)) == 2


@pytest.mark.parametrize(
    ("a", "b"), [("Locker code: 4719", "Locker code: 4718"), ("Gate 7", "Gate 1"), ("11:20", "11:28")]
)
def test_other_digits_are_another_text(a: str, b: str) -> None:
    found = tracked((0, 2, [line(a)]), (2, 4, [line(b)]), (4, 6, [line(a)]))
    assert {t.text for t in found} == {a, b}
    assert (2, 4, b) in spans(found)


def test_readings_that_differ_a_little_are_one_text_and_the_most_frequent_speaks() -> None:
    frames = [(i, i + 1, [line(t)]) for i, t in enumerate(["Flight simulator", "Flight simulat0r", "Flight simulator"])]
    assert spans(tracked(*[f for f in frames if f[0] != 1], bridge=5)) == [(0, 3, "Flight simulator")]
    frames = [(i, i + 1, [line(t)]) for i, t in enumerate(["Flight simulater", "Flight simulator", "Flight simulator"])]
    assert spans(tracked(*frames)) == [(0, 3, "Flight simulator")]


def test_a_text_that_moves_is_followed() -> None:
    moving = [(i, i + 1, [line("Breaking news today", x=0.05 + 0.12 * i)]) for i in range(4)]
    assert spans(tracked(*moving)) == [(0, 4, "Breaking news today")]


def test_two_equal_texts_at_once_are_two() -> None:
    both = [line("Exit", x=0.05, w=0.1), line("Exit", x=0.8, w=0.1)]
    assert len(tracked((0, 1, both), (1, 2, both))) == 2


def test_a_text_seen_once_needs_more_confidence() -> None:
    assert tracked((0, 1, [line("glimpse", sure=0.7)])) == []
    assert len(tracked((0, 1, [line("glimpse", sure=0.8)]))) == 1
    assert len(tracked((0, 1, [line("twice", sure=0.7)]), (1, 2, [line("twice", sure=0.7)]))) == 1
    assert len(tracked((0, 1, [line("glimpse", sure=0.7)]), once_confidence=0.5)) == 1


TEXTS = st.sampled_from(["alpha", "beta gamma", "code 12", "code 13", "a long line of words"])
LINES = st.lists(st.tuples(TEXTS, st.integers(0, 8)), max_size=4, unique_by=lambda t: t[1])


@settings(max_examples=60)
@given(st.lists(st.tuples(LINES, st.floats(0.1, 4)), max_size=15), st.floats(0, 3))
def test_every_sighting_is_covered_by_a_track_of_its_text(frames: list, bridge: float) -> None:  # type: ignore[type-arg]
    """Tracks lie within the video, none is empty, and whatever was sure enough is found again at its time."""
    at, given_frames = 0.0, []
    for lines, seconds in frames:
        given_frames.append((at, at + seconds, [line(t, y=0.1 * row) for t, row in lines]))
        at += seconds
    found = tracked(*given_frames, bridge=bridge)
    assert all(0 <= t.start < t.end <= at for t in found)
    for start, end, lines in given_frames:
        for one in paragraphs(lines, TrackOptions().line_gap):
            assert any(t.start <= start and end <= t.end and t.text == one.text for t in found)


BOXES = st.tuples(*[st.floats(0, 1)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(BOXES, BOXES)
def test_overlap_is_symmetric_and_within_bounds(a: Box, b: Box) -> None:
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert 0 <= iou(a, b) <= 1 + 1e-9
    if (a[2] - a[0]) * (a[3] - a[1]) > 1e-300:
        assert iou(a, a) == pytest.approx(1)
