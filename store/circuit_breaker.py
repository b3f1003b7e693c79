"""A server that does not answer is left alone for a while: a batch must not pay its time-out every time."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from .errors import EngineFailed

T = TypeVar("T")
MAX_FAILURES = 2
FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 960.0


class CircuitBreaker:
    """Calls a server, which messages name ``what``.

    After :data:`MAX_FAILURES` slow failures in a row it is not called for a minute, then for two, four ...

    A failure that takes less than ``slow_s`` costs a batch nothing and does not count.  Safe for several threads.
    """

    def __init__(
        self, slow_s: float = 5.0, clock: Callable[[], float] = time.monotonic, what: str = "the model"
    ) -> None:
        self._slow_s, self._clock, self._lock, self._what = slow_s, clock, Lock(), what
        self._failures, self._until = 0, 0.0

    def call(self, work: Callable[[], T]) -> T:
        """What ``work`` returns.  Raises what it raises, and :class:`EngineFailed` where it is not called."""
        with self._lock:
            left = self._until - self._clock()
            failures = self._failures
        if left > 0:
            raise EngineFailed(
                f"{self._what} did not answer {failures} times in a row; it is asked again in {left:.0f} s"
            )
        began = self._clock()
        try:
            found = work()
        except EngineFailed:
            now = self._clock()
            with self._lock:
                self._failures = self._failures + 1 if now - began >= self._slow_s else 0
                if self._failures >= MAX_FAILURES:
                    self._until = now + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._failures - MAX_FAILURES))
            raise
        with self._lock:
            self._failures = 0
        return found
