"""Remembers which steps were begun and never ended, so that a video that kills its worker is not tried for ever.

A step leaves an empty file ``videos/<id>/try-<step>-<fingerprint>-<run>.<token>`` while it works.  One that is still
there when the step begins again stems from a worker that died in it: of the same run, because the run saw it die and
sent the task again; of another run, perhaps only because somebody pulled the plug.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from .backend import Backend

PREFIX = "try-"
_NAME = re.compile(r"try-([a-z_]+)-([0-9a-f]{16})-(.+)\.([0-9a-f]{8})")
PULLED_PLUGS = 3
"""Deaths together with their whole run that weigh as much as one death that the run survived."""


@dataclass(frozen=True, slots=True)
class Deaths:
    """Workers that died in one step of one video: in this run, and in runs that may have died with them."""

    here: int
    elsewhere: int

    def too_many(self, tries: int) -> bool:
        return self.here >= tries or self.here + self.elsewhere >= tries * PULLED_PLUGS


def deaths(backend: Backend, video: str, step: str, fingerprint: str, run: str) -> Deaths:
    runs = [m[3] for m in _marks(backend, video) if (m[1], m[2]) == (step, fingerprint)]
    here = sum(r == run for r in runs)
    return Deaths(here, len(runs) - here)


def forget(backend: Backend, video: str, step: str, fingerprint: str) -> None:
    """Starts the count of a step again."""
    for mark in _marks(backend, video):
        if (mark[1], mark[2]) == (step, fingerprint):
            backend.delete(f"videos/{video}/{mark[0]}")


@contextlib.contextmanager
def trying(backend: Backend, video: str, step: str, fingerprint: str, run: str) -> Iterator[None]:
    """While this is entered the step counts as begun; it ends by returning or raising, not by dying."""
    key = f"videos/{video}/{PREFIX}{step}-{fingerprint}-{run}.{secrets.token_hex(4)}"
    backend.mark(key)
    try:
        yield
    finally:
        backend.delete(key)


def _marks(backend: Backend, video: str) -> list[re.Match[str]]:
    found = (_NAME.fullmatch(n) for n in backend.list(f"videos/{video}", PREFIX))
    return [m for m in found if m]
