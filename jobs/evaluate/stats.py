"""Estimates with bootstrap intervals, and paired differences with McNemar's test.  Everything is seeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..answers.compare import mcnemar

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over ``n`` questions and its 95 % percentile bootstrap interval (Efron & Tibshirani, 1993).

    The questions are resampled, not the videos: the interval says what other questions about these videos would give.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference(Estimate):
    """The mean of paired differences; ``gained`` and ``lost`` count the questions that changed.

    ``p`` is McNemar's exact test (two-sided, binomial): None where the values are not right or wrong.
    """

    gained: int
    lost: int
    p: float | None


def mean(values: Sequence[float], seed: int = 0) -> Estimate | None:
    """The mean of ``values``; None where there are none.

    A sample of nothing but 0 or of nothing but 1 has no spread to resample: its open end is the exact binomial bound
    (Clopper & Pearson, 1934).
    """
    if not values:
        return None
    found, n = _resampled_means(values, seed), len(values)
    value = float(np.mean(values))
    low, high = _interval(found)
    bound = ((1 - LEVEL) / 2) ** (1 / n)
    if all(v == 1 for v in values):
        low = bound
    elif all(v == 0 for v in values):
        high = 1 - bound
    return Estimate(value, low, high, n)


def median(values: Sequence[float], seed: int = 0) -> Estimate | None:
    if not values:
        return None
    sample, rng = np.asarray(values, np.float64), np.random.default_rng(seed)
    parts = [
        np.median(rng.choice(sample, (min(1000, RESAMPLES - done), len(sample))), axis=1)
        for done in range(0, RESAMPLES, 1000)
    ]
    return Estimate(float(np.median(sample)), *_interval(np.concatenate(parts)), len(sample))


def paired(mine: Sequence[float], base: Sequence[float], seed: int = 0) -> Difference | None:
    """How much larger ``mine`` is than ``base`` on the same questions, in the same order."""
    changes = [a - b for a, b in zip(mine, base, strict=True)]
    if not changes:
        return None
    gained, lost = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
    shares = {*mine, *base} <= {0, 1}
    interval = _interval(_resampled_means(changes, seed))
    return Difference(
        float(np.mean(changes)), *interval, len(changes), gained, lost, mcnemar(gained, lost) if shares else None
    )


def _resampled_means(values: Sequence[float], seed: int) -> NDArray[np.float64]:
    """Means of resamples, float64 ``(RESAMPLES,)``: how often each distinct value is drawn is multinomial."""
    distinct, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(values), counts / len(values), RESAMPLES)
    means: NDArray[np.float64] = drawn @ distinct / len(values)
    return means


def _interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
