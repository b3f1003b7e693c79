"""Grids of pictures, colours, counts over time, and key frames."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vidrag.query.look import alike, counting, keyframes, panels
from vidrag.query.look.colours import coloured, colours, tint
from vidrag.query.look.detections import DetectionCache
from vidrag.query.look.detectors import coco
from vidrag.query.look.keyframes import KeyframeOptions
from vidrag.query.look.looking import Looker
from vidrag.query.look.visual import Wanted
from vidrag.query.types import Found, Request
from vidrag.store.errors import EngineFailed
from vidrag.store.records import Detection, Frame

RED, GREEN, BLUE = (200, 30, 30), (30, 170, 40), (30, 40, 200)


def grid(cells: list[tuple[int, int, int]], columns: int = 4) -> np.ndarray:
    """Textured cells on a dark ground, with a line of text below."""
    rng = np.random.default_rng(1)
    rows = -(-len(cells) // columns)
    out = np.full((rows * 100 + 60, columns * 150 + 10, 3), 22, np.uint8)
    for i, colour in enumerate(cells):
        y, x = (i // columns) * 100 + 10, (i % columns) * 150 + 10
        noise = rng.integers(-10, 10, (90, 140, 3))
        out[y : y + 90, x : x + 140] = np.clip(np.array(colour) + noise, 0, 255)
    out[-30:-20, 20:80] = 250
    return out


def test_panels_are_found_and_alike_ones_grouped() -> None:
    picture = grid([RED, GREEN, RED, RED, BLUE, RED, GREEN, RED])
    found = panels.panels(picture)
    assert len(found) == 8 and all(130 <= p.x1 - p.x0 <= 145 and 85 <= p.y1 - p.y0 <= 92 for p in found)
    assert [sorted(g) for g in panels.groups(picture, found)] == [[0, 2, 3, 5, 7], [1, 6], [4]]


@pytest.mark.parametrize("picture", [np.full((90, 160, 3), 128, np.uint8), grid([RED, GREEN]), grid([RED] * 4)[:60]])
def test_other_pictures_have_no_panels(picture: np.ndarray) -> None:
    assert panels.panels(picture) == []


def test_noise_has_no_panels() -> None:
    assert panels.panels(np.random.default_rng(0).integers(0, 255, (180, 320, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("colour", "name"), [(RED, "red"), (GREEN, "green"), (BLUE, "blue"), ((250, 250, 250), "white")]
)
def test_what_stands_in_the_middle_has_its_colour(colour: tuple[int, int, int], name: str) -> None:
    picture = np.full((180, 320, 3), (110, 70, 40), np.uint8)
    picture[60:120, 120:200] = colour
    assert colours(picture)[0] == name


def test_telling_colours_of_options_are_found_in_a_picture() -> None:
    assert coloured(["a white cat", "a brown dog"]) == ()  # most pictures show those
    wanted = coloured(["a green toy frog", "a pink pig", "old coins", "a red and green flag"])
    assert wanted == (("green",), ("pink",), (), ("red", "green"))
    picture = np.full((180, 320, 3), (110, 70, 40), np.uint8)
    picture[60:120, 120:200] = GREEN
    green, pink, none, flag = tint(picture, wanted)
    assert green > 0.5 and pink == flag == -1 and none == 0


def things(count: int, seed: int = 0) -> np.ndarray:
    """Discs of about one size on a ground that is brighter on one side, with noise and black bars."""
    rng = np.random.default_rng(seed)
    out = np.zeros((360, 640, 3), np.float32)
    out[:, 80:560] = np.linspace(40, 110, 480)[None, :, None]
    for i in range(count):
        at = (120 + 72 * (i % 6) + int(rng.integers(-6, 7)), 50 + 65 * (i // 6) + int(rng.integers(-6, 7)))
        cv2.circle(out, at, int(rng.integers(18, 25)), [float(v) for v in rng.integers(170, 210, 3)], -1)
    out[:, 80:560] += rng.normal(0, 4, (360, 480, 3))
    return np.clip(out, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("count", [6, 7, 18, 23, 24])
def test_things_alike_are_counted_whatever_they_are(count: int) -> None:
    found = alike.counted(things(count, seed=count))
    assert len(found) == count and {d.label for d in found} == {"thing"}
    assert all(80 / 640 < d.box[0] < d.box[2] < 560 / 640 for d in found)


def test_other_pictures_give_no_count_of_things_alike() -> None:
    rng = np.random.default_rng(0)
    mixed = things(5)
    cv2.rectangle(mixed, (150, 200), (500, 330), (230, 230, 230), -1)
    cv2.rectangle(mixed, (380, 150), (520, 195), (230, 230, 230), -1)
    for picture in (
        np.full((90, 160, 3), 128, np.uint8),
        np.zeros((8, 300, 3), np.uint8),
        rng.integers(0, 255, (180, 320, 3), np.uint8),
        grid([RED, GREEN, BLUE]),
        things(3),
        mixed,
    ):
        assert alike.counted(picture) == ()


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

    def detected(shot: Any, row: int, score: float, known: Any, kinds: Any, kept: DetectionCache) -> None:
        assert len(kept.detect(shot.shard, row, known)) == 1

    visual: Any = SimpleNamespace(best=lambda *_: shots, shards=shards, detected=detected, seen=lambda *_: None)
    looker, none = Looker(visual, cache, KeyframeOptions()), np.zeros((0, 4), np.float32)
    looker.look("Is there a cup?", Request(det=("cup",)), Found(), none, Wanted(none))
    assert detector.calls == [2, 1] and (cache.hits, cache.misses) == (3, 3) and not looker.failed


def counted_over_time(scope: str, shots: list[tuple[int, float]]) -> list[str]:
    """What is told of cups: three of them in frame 3, six seconds long, one in frame 1, three seconds long."""
    times = [Frame(a, b, 8, 8, 0.5, True) for a, b in ((0, 1), (1, 4), (4, 5), (5, 11), (11, 13))]
    cups = {1: (box(0.1),), 3: (box(0.1), box(0.4), box(0.7))}
    shard = SimpleNamespace(video="a", name="a.mp4", frames=times, manifest=SimpleNamespace(duration=13.0))
    kept: Any = SimpleNamespace(detect_rows=lambda _, rows, names: [cups.get(r, ()) for r in rows])
    visual: Any = SimpleNamespace(shots=[SimpleNamespace(shard=shard)])
    looker = Looker(visual, kept, KeyframeOptions(counted=2))
    keys: Any = [(SimpleNamespace(shard=shard), row, score) for row, score in shots]
    request = Request(det=("cup",), type=("number",), scope=scope)  # type: ignore[arg-type]
    return [c.text for c in looker._over_time(request, ["cup"], keys)]


def test_counts_of_the_key_frames_come_first() -> None:
    """Frames that are not among those taken evenly are counted as well; what is shown longest is told first."""
    told = counted_over_time("moment", [(1, 0.9), (3, 0.88), (2, 0.2)])
    assert told[:3] == ["3 cups", "1 cup", "smallest number 0 cups, largest number 3 cups at any time; 4 in all"]
    assert counted_over_time("moment", [(1, -0.5), (3, -0.51)])[0] == "3 cups"
    assert counted_over_time("whole", [(1, 0.9), (3, 0.88)])[0].startswith("smallest number 0 cups")
    assert counted_over_time("moment", []) == []  # none in the two frames taken evenly


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
