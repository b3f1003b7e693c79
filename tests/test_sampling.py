"""Which samples are kept, and with which time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vidrag.ingest.media import Sampled
from vidrag.ingest.sampling import Kept, Sampler, SamplingOptions, gate, jpeg, tile_change
from vidrag.store.archive.pictures import decode_jpeg

SIDE = (360, 640)


def slide(*lines: str, ground: int = 245) -> np.ndarray:
    """A slide with lines of text of 24 pixels height."""
    out = np.full((*SIDE, 3), ground, np.uint8)
    for i, text in enumerate(lines):
        cv2.putText(out, text, (40, 60 + 50 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 30), 2, cv2.LINE_AA)
    return out


def noisy(picture: np.ndarray, seed: int, sigma: float = 6) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def kept(pictures: Sequence[np.ndarray], step: float = 0.5, **options: float) -> list[Kept]:
    samples = [Sampled(i * step, p) for i, p in enumerate(pictures)]
    sampler = Sampler(SamplingOptions(**options))
    out = list(sampler.keep(samples))
    assert sampler.seen == len(samples)
    return out


def starts(frames: Sequence[Kept]) -> list[float]:
    return [k.start for k in frames]


def test_the_first_sample_is_always_kept() -> None:
    only = kept([slide("One")])
    assert [(k.start, k.cut) for k in only] == [(0, True)]
    assert kept([]) == []


def test_a_picture_that_stays_is_kept_once() -> None:
    assert starts(kept([slide("One", "Two")] * 20)) == [0]


def test_noise_is_not_noticed() -> None:
    """Film grain over a slide and over a dark ground makes nothing new."""
    for ground in (20, 128, 245):
        base = slide("Locker code 4719", ground=ground)
        assert starts(kept([noisy(base, i) for i in range(12)])) == [0]


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_a_line_added_to_a_slide_is_noticed(lines: int) -> None:
    """Also a short one, at the time at which it appears."""
    before, after = slide(*["The same text"] * lines), slide(*["The same text"] * lines, "Seats: 12")
    frames = kept([before] * 6 + [after] * 6)
    assert starts(frames) == [0, 3]
    assert np.array_equal(frames[1].picture, after)
    assert not frames[1].cut


def test_a_line_is_noticed_under_noise() -> None:
    before, after = slide("Heading"), slide("Heading", "Next flight: 11:20")
    frames = kept([noisy(before, i) for i in range(6)] + [noisy(after, 50 + i) for i in range(6)])
    assert starts(frames) == [0, 3]


def test_a_line_that_disappears_is_noticed() -> None:
    assert starts(kept([slide("One", "Two")] * 4 + [slide("One")] * 4)) == [0, 2]


def test_a_cut_is_kept_at_once() -> None:
    """Whatever ``min_gap`` says: two pictures of half a second each are both kept and marked."""
    scenes = [noisy(np.full((*SIDE, 3), level, np.uint8), level) for level in (30, 200, 60, 240)]
    frames = kept(scenes, min_gap=10)
    assert starts(frames) == [0, 0.5, 1, 1.5]
    assert all(f.cut for f in frames)


def test_a_slow_pan_is_limited_by_the_gap() -> None:
    """Every sample differs from the one before; at most one in ``min_gap`` seconds is kept."""
    wide = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (*SIDE, 3)).astype(np.uint8), (0, 0), 40)
    wide = cv2.normalize(wide, None, 60, 190, cv2.NORM_MINMAX)
    frames = kept([np.roll(wide, 12 * i, axis=1) for i in range(40)], min_gap=2)
    assert 3 <= len(frames) <= 20 / 2 + 1
    assert not any(f.cut for f in frames[1:])


def test_a_change_within_the_gap_keeps_the_time_at_which_it_was_first_seen() -> None:
    """The line appears at 0.5 s; the gap lets it through at 2 s, dated 0.5 s."""
    frames = kept([slide("One")] + [slide("One", "Two")] * 7, min_gap=2)
    assert starts(frames) == [0, 0.5]


def test_a_change_that_goes_on_is_dated_by_its_last_step() -> None:
    """Within the gap a second line follows the first: the kept picture shows both, from when both were there."""
    one, two, three = slide("One"), slide("One", "Two two two"), slide("One", "Two two two", "Three three")
    frames = kept([one, two, three, three, three, three, three], min_gap=2)
    assert starts(frames)[:2] == [0, 1]
    assert np.array_equal(frames[1].picture, three)


def test_what_flashes_up_within_the_gap_and_is_gone_counts_for_nothing() -> None:
    frames = kept([slide("One"), slide("One", "Flash")] + [slide("One")] * 8, min_gap=2)
    assert starts(frames) == [0]


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.floats(0, 3),
    st.sampled_from([0.1, 0.5, 1.0]),
)
def test_what_is_kept_is_in_order_and_shows_the_sample(scenes: list[int], gap: float, step: float) -> None:
    """Times ascend strictly and belong to samples; each kept picture is a sample; a last scene that lasts is there."""
    pictures = [np.full((36, 64, 3), 50 * s, np.uint8) for s in scenes]
    frames = kept(pictures, step, min_gap=gap)
    times = starts(frames)
    assert times[0] == 0
    assert all(a < b for a, b in pairwise(times))
    assert set(times) <= {i * step for i in range(len(scenes))}
    assert all(0 <= f.change <= 1 for f in frames)
    levels = [int(f.picture[0, 0, 0]) // 50 for f in frames]
    assert all(scenes[round(t / step)] == level for t, level in zip(times, levels, strict=True))
    assert levels == [s for i, s in enumerate(scenes) if i == 0 or scenes[i - 1] != s]


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (2, 3000), (3000, 2), (49, 65), (1080, 1920)])
def test_any_size_is_compared_and_stored(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 77, np.uint8)
    assert gate(picture).shape == (144, 256)
    assert tile_change(gate(picture), gate(picture)) == 0
    data, w, h = jpeg(picture, 640, 80)
    assert max(w, h) <= 640
    assert min(w, h) >= 1
    assert decode_jpeg(data).shape == (h, w, 3)


def test_stored_colours_are_those_of_the_picture() -> None:
    """Red stays red: RGB in, RGB out."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:] = (200, 40, 10)
    data, _, _ = jpeg(picture, 640, 90)
    assert decode_jpeg(data)[32, 32].astype(int) == pytest.approx([200, 40, 10], abs=8)


def test_uniform_frames_are_kept_whatever_they_show() -> None:
    """As many as asked for, at equal steps; their number alone decides, so nothing else is part of what they are."""
    options = SamplingOptions(uniform=8)
    assert options.rate_of(400.0) == pytest.approx(0.02) and options.rate_of(0.0) == SamplingOptions().rate
    assert SamplingOptions().rate_of(400.0) == SamplingOptions().rate
    frames = list(Sampler(options).keep(Sampled(i * 50.0, slide("the same")) for i in range(8)))
    assert starts(frames) == [i * 50.0 for i in range(8)] and [f.cut for f in frames] == [True] + [False] * 7


def test_archives_of_before_keep_their_frames() -> None:
    """An option that is not used is no part of the fingerprint."""
    assert "uniform" not in SamplingOptions().identity() and SamplingOptions(uniform=32).identity()["uniform"] == 32
