"""The published algorithm, transcribed: checked by hand, then held against what the package does for it."""

from __future__ import annotations

import numpy as np
import published_algorithm as published
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from published_algorithm import BETA, THRESHOLD
from vidrag.jobs import profile
from vidrag.query.find.retrieve import query_vectors
from vidrag.query.look import keyframes, scene_graph
from vidrag.query.look.keyframes import KeyframeOptions, choose
from vidrag.query.look.visual import shots
from vidrag.query.types import Request
from vidrag.store.records import Detection, Evidence, Frame
from vidrag.store.vectors import normalised


def test_the_mean_query_by_hand() -> None:
    """(1, 0) and (0, 1): their mean (.5, .5) has the length .707."""
    assert published.mean_query([1.0, 0.0], [[0.0, 1.0]]) == pytest.approx([0.70710678, 0.70710678])
    assert published.mean_query([3.0, 4.0], []) == pytest.approx([0.6, 0.8])
    assert published.mean_query([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]) == pytest.approx([2 / 5**0.5, 1 / 5**0.5])


def test_the_range_search_by_hand() -> None:
    """Inner products .6, .3, 0 and 1: .3 does not exceed .3."""
    assert published.range_search([1.0, 0.0], [[0.6, 0.8], [0.3, 0.9], [0.0, 1.0], [1.0, 0.0]]) == [0, 3]


def test_key_frames_by_hand() -> None:
    """n = 16, so alpha = 3: of the sum 20 a frame of 2.1 has 2.1 * 3 / 20 = .315, one of 1.9 has .285."""
    scores = [2.1, 1.9, *[16 / 14] * 14]
    assert sum(scores) == pytest.approx(20)
    assert published.key_frames(scores) == [0]
    assert published.key_frames([0.25] * 64) == []  # flat: nothing passes
    assert published.key_frames([0.0] * 8) == [] and published.key_frames([]) == []


def test_scene_graph_sentences_by_hand() -> None:
    apple, cup = Detection("apple", 0.9, (0.1, 0.2, 0.3, 0.4)), Detection("cup", 0.8, (0.6, 0.2, 0.7, 0.5))
    told = scene_graph.published([apple, cup, apple], ["location", "relation", "number"], 100, 200)
    assert told == [
        "Object 1 is a apple at [10, 40], 20 wide and 40 high.",
        "Object 2 is a cup at [60, 40], 10 wide and 60 high.",
        "Object 3 is a apple at [10, 40], 20 wide and 40 high.",
        "Object 1 (apple) is left of object 2 (cup).",
        "Object 1 (apple) overlaps object 3 (apple).",
        "Object 2 (cup) is right of object 3 (apple).",
        "apple: 2; cup: 1",
    ]
    assert scene_graph.published([apple], [], 100, 200) == []


def test_evidence_is_merged_in_time_order() -> None:
    rows = [Evidence(f"E{i}", "text", "a", "a.mp4", s, s + 1, "x", 1.0, i) for i, s in enumerate((9.0, 1.0, 4.0), 1)]
    assert [r.id for r in published.in_time_order(rows)] == ["E2", "E3", "E1"]


VECTORS = arrays.arrays(np.float32, (4, 6), elements=st.floats(-1, 1, width=32).filter(lambda x: abs(x) > 1e-3))


@given(VECTORS)
def test_our_query_vectors_are_the_published_ones(vectors: np.ndarray) -> None:
    unit = normalised(vectors)
    ours = query_vectors(unit[0], unit[1], [unit[2], unit[3]])
    speech = published.mean_query(unit[0].tolist(), [unit[1].tolist()])
    text = published.mean_query(unit[0].tolist(), unit[2:].tolist())
    if max(map(abs, speech)) > 1e-3 and max(map(abs, text)) > 1e-3:
        np.testing.assert_allclose(ours["speech"], speech, atol=1e-4)
        np.testing.assert_allclose(ours["text"], text, atol=1e-4)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=100))
def test_our_key_frame_rule_is_the_published_one(scores: list[int]) -> None:
    frames = [Frame(float(i), i + 1.0, 16, 9, 0.5, True) for i in range(len(scores))]
    values = np.array(scores, np.float32)
    exact = [s * 3 * len(scores) / 16 / sum(scores) for s in scores]
    if all(abs(e - 0.3) > 1e-6 for e in exact):  # no frame at the very threshold
        ours = keyframes.choose(frames, values, KeyframeOptions(method="paper", count=256))
        assert sorted(ours) == published.key_frames(scores)


BOX = st.tuples(*[st.integers(0, 20)] * 4).map(
    lambda b: (min(b[0], b[2]) / 21, min(b[1], b[3]) / 21, (max(b[0], b[2]) + 1) / 21, (max(b[1], b[3]) + 1) / 21)
)


@given(BOX, BOX)
def test_our_relations_are_the_published_ones_where_boxes_lie_apart(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    """Ours calls only what mostly covers the other overlapping; apart they say the same of the same two things."""
    first, second = (Detection(n, 0.9, box) for n, box in zip("ab", (a, b), strict=True))  # type: ignore[arg-type]
    across, along = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    assume(abs(abs(across) - abs(along)) > 1e-6)  # as far to the side as up: rounding decides
    told = scene_graph.published([first, second], ["relation"], 100, 100)[0]
    if "overlaps" not in told:
        (ours,) = scene_graph.sentences([first, second], ["relation"])
        assert ours.replace("the a is ", "").replace(" the b", "") in told


def test_the_paper_profile_says_what_was_published() -> None:
    """Thresholds, rule and words of the profile are those of the transcription."""
    asked = profile.load("paper", ["detector=coco", "chat=extractive"])
    ask, ingest = asked.ask, asked.ingest
    assert (ask.keyframes.method, ask.keyframes.threshold, ask.keyframes.beta) == ("paper", THRESHOLD, BETA)
    assert (ask.retrieve.method, ask.retrieve.threshold, ask.retrieve.at_least) == ("dense", THRESHOLD, 0)
    assert (ask.retrieve.neighbours, ask.retrieve.chapters, ask.retrieve.by_options) == (0, 0, False)
    assert ask.decouple.options and ask.keyframes.scene_graph == "published"
    assert (ingest.sampling.uniform, ingest.asr.name, ingest.asr.options["chunk_s"]) == (64, "whisper-30s", 30)
    assert (ingest.ocr.name, ingest.reading.min_confidence) == ("easyocr", 0.5)
    assert ingest.text_encoder.options["model"] == "hf:facebook/contriever"
    worded = ask.decouple.worded(Request(asr="a", det=("cup", "tall tree"), captions=("a photo of a cup",)))
    assert worded.captions == ("a picture of cup", "a picture of tall tree")


def test_each_frame_stands_by_itself_where_shots_have_no_length() -> None:
    """The published rule counts frames; shots would make it another rule."""
    options = KeyframeOptions(method="paper", count=256)
    scores = np.random.default_rng(3).random(64).astype(np.float32) ** 4
    frames = [Frame(float(i), i + 1.0, 4, 4, 0.0, False) for i in range(64)]
    assert sorted(choose(frames, scores, options)) == published.key_frames(scores.tolist())
    few = options.model_copy(update={"threshold": 0.6, "beta": 2.0})
    assert sorted(choose(frames, scores, few)) == published.key_frames(scores.tolist(), 0.6, 2.0)

    class Held:
        video, name = "v", "v"

        def __init__(self) -> None:
            self.frames = frames

    assert len(shots(Held(), 0)) == 64 and len(shots(Held(), 10)) == 7  # type: ignore[arg-type]
