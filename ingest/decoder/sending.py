"""Writes messages to stdout; see the package."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from . import ALIVE, DONE, HEAD

_ALIVE_S = 1.0


class Sender:
    """Writes messages."""

    def __init__(self) -> None:
        self._out, self._said = sys.stdout.buffer, time.monotonic()

    def send(self, kind: bytes, *parts: Any) -> None:
        self._out.write(HEAD.pack(kind, sum(memoryview(p).nbytes for p in parts)))
        for part in parts:
            self._out.write(part)

    def alive(self) -> None:
        """Says every second that work goes on, so that a long file is not taken for a hung decoder."""
        if time.monotonic() - self._said > _ALIVE_S:
            self._said = time.monotonic()
            self.send(ALIVE)
            self._out.flush()

    def done(self, told: dict[str, Any]) -> None:
        self.send(DONE, json.dumps(told).encode())
        self._out.flush()
