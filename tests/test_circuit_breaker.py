"""A model that hangs costs a batch its time-out twice, not once a question."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from vidrag.store.circuit_breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, CircuitBreaker
from vidrag.store.errors import EngineFailed


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failing(clock: Clock, seconds: float) -> Callable[[], str]:
    def work() -> str:
        clock.now += seconds
        raise EngineFailed("time-out")

    return work


def test_a_model_that_hangs_is_left_alone_and_asked_again() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    for _ in range(2):
        with pytest.raises(EngineFailed, match="time-out"):
            breaker.call(failing(clock, 120))
    for _ in range(50):  # not called: no time passes
        with pytest.raises(EngineFailed, match="2 times in a row; it is asked again in 60 s"):
            breaker.call(failing(clock, 120))
    clock.now += FIRST_PAUSE_S + 1
    with pytest.raises(EngineFailed, match="time-out"):
        breaker.call(failing(clock, 120))
    with pytest.raises(EngineFailed, match="3 times in a row; it is asked again in 120 s"):
        breaker.call(failing(clock, 120))
    clock.now += LONGEST_PAUSE_S
    assert breaker.call(lambda: "answer") == "answer"
    with pytest.raises(EngineFailed, match="time-out"):  # it counts anew
        breaker.call(failing(clock, 120))
    assert breaker.call(lambda: "answer") == "answer"


def test_quick_failures_are_never_spared() -> None:
    """A server that is down fails at once, and may be up the next moment."""
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    for _ in range(20):
        with pytest.raises(EngineFailed, match="time-out"):
            breaker.call(failing(clock, 0.1))


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        CircuitBreaker().call(lambda: 1 // 0)
