"""Where a sequence changes: found where it was made to, in any input, and in time."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vidrag.ingest.segment import Limits, boundaries, held

DIM = 32
LIMITS = Limits(30.0, 180.0, 40)


def noisy_topics(lengths: list[int], noise: float, seed: int = 0) -> np.ndarray:
    """Unit vectors around one direction a topic, ``(sum(lengths), DIM)``."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(lengths), DIM))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows = np.repeat(centres, lengths, axis=0) + rng.normal(size=(sum(lengths), DIM)) * noise / DIM**0.5
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def seconds(count: int, each: float = 5.0) -> np.ndarray:
    return np.arange(count + 1) * each


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_topics_are_found_where_they_change(noise: float, seed: int) -> None:
    """Each within one block of five seconds, and none besides."""
    lengths = [12, 20, 9, 15]
    rows = noisy_topics(lengths, noise, seed)
    found = boundaries(seconds(len(rows)), rows, np.ones(len(rows)), LIMITS, 1.0)
    assert len(found) == 4
    assert np.abs(np.array(found) - [0, 12, 32, 41]).max() <= 1


def test_noise_is_one_part() -> None:
    rows = noisy_topics([30], 20.0)
    assert boundaries(seconds(30), rows, np.ones(30), LIMITS, 1.0) == [0]


def test_a_cheap_place_is_taken_before_its_neighbour() -> None:
    """The topic changes at 20; two blocks that fit either topic lie before it, and a slide change speaks for 18."""
    rows = noisy_topics([20, 20], 0.8)
    rows[18:20] = (rows[:18].mean(0) + rows[20:].mean(0)) / 2
    price = np.ones(40)
    price[18] = 0.3
    assert boundaries(seconds(40), rows, price, LIMITS, 1.0) == [0, 18]
    price[18], price[20] = 1.0, 0.3
    assert boundaries(seconds(40), rows, price, LIMITS, 1.0) == [0, 20]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_next_to_nothing_is_one_part(count: int) -> None:
    rows = np.eye(3, DIM)[:count]
    assert boundaries(seconds(count), rows, np.ones(count), LIMITS, 1.0) == [0]


def test_constant_input_is_one_part() -> None:
    assert boundaries(seconds(500), np.ones((500, DIM)), np.ones(500), LIMITS, 1.0) == [0]


@given(
    lengths=st.lists(st.floats(0.01, 90), min_size=1, max_size=60),
    seed=st.integers(0, 99),
    shortest=st.floats(1, 60),
    most=st.integers(1, 9),
    penalty=st.floats(0, 3),
)
def test_limits_hold_for_any_input(lengths: list[float], seed: int, shortest: float, most: int, penalty: float) -> None:
    edges = np.concatenate([[0.0], np.cumsum(lengths)])
    rng = np.random.default_rng(seed)
    rows, price = rng.normal(size=(len(lengths), 4)), rng.uniform(0.4, 1.5, len(lengths))
    found = boundaries(edges, rows, price, Limits(shortest, 100.0, most), penalty)
    assert found[0] == 0
    assert found == sorted(set(found))
    assert len(found) <= most
    if len(found) > 1:
        assert np.diff([*edges[found], edges[-1]]).min() >= shortest - 1e-6
    assert found == boundaries(edges, rows, price, Limits(shortest, 100.0, most), penalty)


def test_the_work_for_ten_hours_is_bounded() -> None:
    """1200 blocks, more changes than parts are allowed: the best few are found."""
    rows = noisy_topics([12] * 100, 0.3)
    began = time.perf_counter()
    found = boundaries(seconds(1200, 30.0), rows, np.ones(1200), LIMITS, 0.5)
    assert time.perf_counter() - began < 10
    assert 30 <= len(found) <= 40
    assert all(f % 12 == 0 for f in found)


@given(
    spans=st.lists(st.tuples(st.floats(0, 50), st.floats(0, 20)), max_size=20),
    edges=st.lists(st.integers(0, 60), min_size=2, max_size=8, unique=True),
)
def test_what_is_held_is_the_integral_of_what_is_shown(spans: list[tuple[float, float]], edges: list[int]) -> None:
    starts = np.array([a for a, _ in spans])
    ends = np.array([a + n for a, n in spans])
    rows = np.arange(1.0, 2 * len(spans) + 1).reshape(-1, 2).astype(np.float32)
    at = np.array(sorted(edges), float)
    there = np.minimum(ends[:, None], at[1:]) - np.maximum(starts[:, None], at[:-1])
    expected = np.maximum(there, 0).T @ rows.astype(float) if spans else np.zeros((len(at) - 1, 2))
    assert held(starts, ends, rows, at) == pytest.approx(expected, abs=1e-6)
