"""Colours, counts over time, key frames, and how well pictures fit words."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vidrag.query.look import counting, keyframes
from vidrag.query.look.colours import colours
from vidrag.query.look.detections import DetectionCache
from vidrag.query.look.detectors import coco
from vidrag.query.look.keyframes import KeyframeOptions
from vidrag.query.look.looking import Looker
from vidrag.query.look.visual import VisualIndex, Wanted
from vidrag.query.text.things import FITS, fit
from vidrag.query.types import Found, Request, Stretch
from vidrag.store.encoders import EncoderSpec
from vidrag.store.encoders.coco import NAMES
from vidrag.store.errors import EngineFailed
from vidrag.store.records import Detection, Frame
from vidrag.store.vectors import normalised
from vidrag_fakes import DIM, FakeImageTextEncoder, FakeImageTextEncoderOptions

RED, GREEN, BLUE = (200, 30, 30), (30, 170, 40), (30, 40, 200)


@pytest.mark.parametrize(
    ("colour", "name"), [(RED, "red"), (GREEN, "green"), (BLUE, "blue"), ((250, 250, 250), "white")]
)
def test_what_stands_in_the_middle_has_its_colour(colour: tuple[int, int, int], name: str) -> None:
    picture = np.full((180, 320, 3), (110, 70, 40), np.uint8)
    picture[60:120, 120:200] = colour
    assert colours(picture)[0] == name


def frames(times: list[float]) -> list[Frame]:
    return [Frame(t, t + 1, 640, 360, 0.5, True) for t in times]


def box(x: float, score: float = 0.9) -> Detection:
    return Detection("cup", score, (x, 0.4, x + 0.1, 0.6))


def test_things_are_counted_at_once_and_in_all() -> None:
    found = [[box(0.1), box(0.5)], [box(0.11), box(0.5)], [box(0.12)], [box(0.5), box(0.12)], [box(0.12)], [box(0.12)]]
    runs = counting.runs(frames([0, 1, 2, 3, 4, 5]), found)
    assert [(r.count, r.start, r.end) for r in runs] == [(2, 0, 4), (1, 4, 6)]  # one frame alone is a slip
    assert counting.tracked(frames([0, 1, 2, 3, 4, 5]), found) == 2  # one that is seen for a frame is no third
    told = counting.summary("cup", runs, 2)
    assert told == "smallest number 1 cup, largest number 2 cups at any time; 2 in all"


def test_what_one_frame_shows_for_long_is_counted() -> None:
    times = [Frame(t, t + 9, 640, 360, 0.5, True) for t in (0, 9, 18)]
    found = [[], [box(0.1)], []]
    assert [r.count for r in counting.runs(times, found)] == [0, 1, 0]
    assert counting.tracked(times, found) == 1


SCORES = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=80)


@given(SCORES, st.sampled_from(["topk", "aks", "bolt", "uniform", "paper"]), st.integers(1, 40))
def test_key_frames_are_rows_once_each(scores: list[float], method: str, count: int) -> None:
    options = KeyframeOptions(method=method, count=count, apart_s=0)  # type: ignore[arg-type]
    values = np.array(scores, np.float32)
    chosen = keyframes.choose(frames([float(i) for i in range(len(scores))]), values, options)
    assert len(set(chosen)) == len(chosen) <= count and all(0 <= r < len(scores) for r in chosen)
    if method in ("topk", "uniform", "aks"):
        assert len(chosen) == min(count, len(scores))
    if method in ("topk", "bolt", "aks", "uniform"):
        assert [float(values[r]) for r in chosen] == sorted((float(values[r]) for r in chosen), reverse=True)


def test_a_peak_is_taken_and_flat_stretches_are_spread() -> None:
    times = frames([float(i) for i in range(64)])
    peaked = np.zeros(64, np.float32)
    peaked[20:24] = 1
    assert set(keyframes.choose(times, peaked, KeyframeOptions(method="aks", count=4))) == {20, 21, 22, 23}
    flat = np.random.default_rng(0).normal(0, 0.01, 64).astype(np.float32)
    for method in ("aks", "bolt"):
        rows = keyframes.choose(times, flat, KeyframeOptions(method=method, count=8, sharpness=1))  # type: ignore[arg-type]
        assert len({r // 16 for r in rows}) == 4  # some in every quarter


def test_uniform_is_even_in_time() -> None:
    """Not in frames: a slide that stands for a minute is one stored frame.  Of several videos, in frames."""
    times = frames([0, 1, 2, 3, 60, 120, 180, 240])
    chosen = keyframes.choose(times, np.zeros(8, np.float32), KeyframeOptions(method="uniform", count=4))
    assert sorted(chosen) == [3, 4, 5, 6]
    again = frames([0, 1, 2, 3, 0, 1, 2, 3])
    chosen = keyframes.choose(again, np.zeros(8, np.float32), KeyframeOptions(method="uniform", count=4))
    assert sorted(chosen) == [1, 3, 5, 7]


def test_rows_found_by_words_vote_for_frames() -> None:
    times, scores = frames([0, 10, 20, 30]), np.array([0.5, 0.4, 0.45, 0.3], np.float32)
    voted = keyframes.voted(times, scores, [(30.2, 31)], KeyframeOptions(votes=3))
    assert int(voted.argmax()) == 3
    assert (keyframes.voted(times, scores, [(30.2, 31)], KeyframeOptions(votes=0)) == scores).all()


class _Failing:
    """A detector that fails at the ``fail``-th call, and has something to tell."""

    identity, notes = "failing", ("an old note",)

    def __init__(self, fail: int) -> None:
        self.calls, self.fail = 0, fail

    def knows(self, entity: str) -> str:
        self.calls += 1
        self.notes = ("an old note", "boxes were clipped")
        if self.calls >= self.fail:
            raise EngineFailed("the detector is gone")
        return entity


@pytest.mark.parametrize("fail", [1, 2, 3])
def test_a_failing_detector_costs_a_note(fail: int) -> None:
    """Not the answer; and it is not asked again for the question.  What it has to tell is told once."""
    detector = _Failing(fail)
    visual: Any = SimpleNamespace(best=lambda *_: [], shots=[])
    looker = Looker(visual, DetectionCache(detector, None), KeyframeOptions())  # type: ignore[arg-type]
    request, none = Request(det=("cat", "dog"), type=("number",)), np.zeros((0, 4), np.float32)
    looker.look("How many cats?", request, Found(), none, Wanted(none))
    told = ["answered without the detector: the detector is gone"] * (fail < 3)
    assert (looker.failed, looker.notes, detector.calls) == (fail < 3, [*told, "boxes were clipped"], min(fail, 2))


class _Many:
    """A detector that takes several pictures; ``calls`` holds how many each time."""

    identity = "many"

    def __init__(self) -> None:
        self.calls = list[int]()

    def knows(self, entity: str) -> str:
        return entity

    def detect(self, picture: np.ndarray, entities: Sequence[str]) -> tuple[Detection, ...]:
        return self.detect_many([picture], entities)[0]

    def detect_many(self, pictures: Sequence[np.ndarray], entities: Sequence[str]) -> list[tuple[Detection, ...]]:
        self.calls.append(len(pictures))
        return [(box(0.1),) for _ in pictures]


def test_key_frames_go_to_a_detector_of_batches_together() -> None:
    """Once for each video; what it found is then taken from what is kept."""
    jpeg = bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1])
    detector = _Many()
    cache = DetectionCache(detector, None)

    def shard(video: str) -> Any:
        manifest = SimpleNamespace(current={"frames": "f"})
        return SimpleNamespace(video=video, manifest=manifest, jpeg=lambda row: jpeg)

    shards = {v: shard(v) for v in "ab"}
    shots = [(SimpleNamespace(shard=shards[v]), row, 1.0) for v, row in (("a", 1), ("b", 5), ("a", 2))]

    def detected(shot: Any, row: int, score: float, known: Any, kinds: Any, kept: DetectionCache, *_: bool) -> None:
        assert len(kept.detect(shot.shard, row, known)) == 1

    visual: Any = SimpleNamespace(best=lambda *_: shots, shards=shards, detected=detected, seen=lambda *_: None)
    looker, none = Looker(visual, cache, KeyframeOptions()), np.zeros((0, 4), np.float32)
    looker.look("Is there a cup?", Request(det=("cup",)), Found(), none, Wanted(none))
    assert detector.calls == [2, 1] and (cache.hits, cache.misses) == (3, 3) and not looker.failed


def counted_over_time(stretch: Stretch | None = None, keys: Sequence[int] = (1, 3, 2)) -> list[str]:
    """What is told of cups: three of them in frame 3, six seconds long, one in frame 1, three seconds long."""
    times = [Frame(a, b, 8, 8, 0.5, True) for a, b in ((0, 1), (1, 4), (4, 5), (5, 11), (11, 13))]
    cups = {1: (box(0.1),), 3: (box(0.1), box(0.4), box(0.7))}
    shard = SimpleNamespace(video="a", name="a.mp4", frames=times, manifest=SimpleNamespace(duration=13.0))
    kept: Any = SimpleNamespace(detect_rows=lambda _, rows, names: [cups.get(r, ()) for r in rows])
    visual: Any = SimpleNamespace(shots=[SimpleNamespace(shard=shard)])
    looker = Looker(visual, kept, KeyframeOptions(counted=2))
    shots: Any = [(SimpleNamespace(shard=shard), row, 3.0) for row in keys]
    request = Request(det=("cup",), type=("number",), stretch=stretch)
    return [c.text for c in looker._over_time(request, ["cup"], shots)]


def test_counts_are_told_from_when_to_when() -> None:
    """Frames that are not among those taken evenly are counted as well; what is shown longest is told first."""
    told = counted_over_time()
    assert told[0] == "smallest number 0 cups, largest number 3 cups at any time; 4 in all"
    assert told[1:] == ["3 cups", "1 cup", "0 cups", "0 cups", "0 cups"]


def test_counts_of_the_time_that_is_asked_for_come_first() -> None:
    told = counted_over_time(Stretch(start=1, end=4, words="", rest=""))
    assert told[0] == "1 cup" and told[1].startswith("smallest number 0 cups") and told[2] == "3 cups"


def test_nothing_is_counted_where_nothing_is_seen() -> None:
    """None in the two frames taken evenly, and there are no key frames."""
    assert counted_over_time(keys=()) == []


FAKE = FakeImageTextEncoder(FakeImageTextEncoderOptions())


def test_how_well_pictures_fit_is_counted_from_everyday_things() -> None:
    """A picture of what is asked for lies above the line, others below; and a picture that fits any words does not."""
    texts = ["a photo of herons", "a photo of purple anvils", "a photo of gravel"]
    found = fit(FAKE, FAKE.queries(texts), FAKE.queries(texts))
    assert found.shape == (3, 3) and (np.diag(found) >= FITS).all()
    assert (found[~np.eye(3, dtype=bool)] < FITS).all()
    anything = normalised(FAKE.queries([f"a photo of {n}" for n in NAMES]).mean(0, keepdims=True))
    assert fit(FAKE, FAKE.queries(["a photo of a dog"]), anything)[0, 0] < FITS


def test_fit_does_not_change_with_the_scale_of_an_encoder() -> None:
    """Vectors that all share a direction have cosines near one, and fit as well as without."""
    shared = SimpleNamespace(spec=EncoderSpec("shared", "5" * 16, DIM + 1), queries=lambda t: lifted(FAKE.queries(t)))

    def lifted(rows: np.ndarray) -> np.ndarray:
        return normalised(np.hstack([rows, np.full((len(rows), 1), 3, np.float32)]))

    query, pictures = FAKE.queries(["a photo of a heron"]), FAKE.queries(["a heron", "gravel", "a dog and a cat"])
    plain, other = fit(FAKE, query, pictures), fit(shared, lifted(query), lifted(pictures))  # type: ignore[arg-type]
    assert (lifted(query) @ lifted(pictures).T).min() > 0.85
    assert np.allclose(plain, other, atol=1e-3)


class Held:
    """Stored vectors of frames."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows, self.rows = rows, len(rows)

    def vectors(self) -> np.ndarray:
        return self._rows

    def scores(self, queries: np.ndarray) -> np.ndarray:
        return queries @ self._rows.T


@pytest.mark.parametrize("method, fitted", [("topk", True), ("aks", True), ("bolt", True), ("paper", False)])
def test_frames_are_scored_by_how_well_they_fit(method: str, fitted: bool) -> None:
    """Only the published rule takes the inner products themselves."""
    captions = [f"a photo of {what}" for what in ("gravel", "sand", "herons", "clouds")]
    rows, query = FAKE.queries(captions), FAKE.queries(["herons"])
    shard: Any = SimpleNamespace(video="a", frames=frames([0, 20, 40, 60]), vectors=lambda *_: Held(rows))
    options = KeyframeOptions(method=method, count=4)  # type: ignore[arg-type]
    found = {row: score for _, row, score in VisualIndex([shard], FAKE).best(query, options)}
    best = (fit(FAKE, query, rows) if fitted else query @ rows.T)[0]
    assert found[2] == max(found.values()) and found == pytest.approx({row: float(best[row]) for row in found})


def test_a_wide_picture_is_detected_in_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the whole hints at the thing; what a slice cuts is left out, what two of them show is one thing."""
    seen = list[tuple[int, int]]()

    def network(picture: np.ndarray, threshold: float) -> tuple[Detection, ...]:
        height, width = picture.shape[:2]
        seen.append((width, height))
        bright = [int(x) for x in np.flatnonzero((picture[:, :, 0] > 200).any(0))]
        runs = np.split(bright, np.flatnonzero(np.diff(bright) > 1) + 1) if bright else []
        score = 0.3 if width > height else 0.9
        boxes = [(float(r[0]) / width, 0.3, float(r[-1] + 1) / width, 0.6) for r in runs]
        return tuple(Detection("cup", score, b) for b in boxes if score >= threshold)  # type: ignore[arg-type]

    monkeypatch.setattr(coco.coco, "detect", network)
    picture = np.zeros((100, 180, 3), np.uint8)
    for x in (10, 85, 150):
        picture[30:60, x : x + 12] = 255
    found = coco.Coco(coco.CocoOptions()).detect(picture, ["cup"])
    assert [round(d.box[0] * 180) for d in sorted(found, key=lambda d: d.box[0])] == [10, 85, 150]
    assert seen == [(180, 100), (100, 100), (100, 100)]
    seen.clear()
    assert coco.Coco(coco.CocoOptions()).detect(picture, ["dog"]) == () and len(seen) == 1
    assert coco.Coco(coco.CocoOptions(slices=0)).detect(picture, ["cup"]) == ()
    tall = np.ascontiguousarray(np.zeros((300, 100, 3), np.uint8))
    assert coco.Coco(coco.CocoOptions()).detect(tall, ["cup"]) == ()
