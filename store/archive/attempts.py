"""Remembers which steps a run began and never ended: its worker died in them.

A step leaves an empty file ``videos/<id>/try-<step>-<fingerprint>-<run>.<token>`` while it works.  Only marks of the
same run tell of a death that its driver survived.  Those of other runs say nothing, as a machine that was switched off
leaves the same: they are litter, removed when the step succeeds, and by ``gc``.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator

from ..storage.protocol import Backend

PREFIX = "try-"
_NAME = re.compile(r"try-([a-z_]+)-([0-9a-f]{16})-(.+)\.([0-9a-f]{8})")


def deaths(backend: Backend, video: str, step: str, fingerprint: str, run: str) -> int:
    """How many workers of ``run`` died in a step of a video."""
    return sum(m[3] == run for m in _marks(backend, video, step, fingerprint))


def forget(backend: Backend, video: str, step: str, fingerprint: str) -> None:
    """Removes the marks of a step, whichever run left them."""
    for mark in _marks(backend, video, step, fingerprint):
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


def _marks(backend: Backend, video: str, step: str, fingerprint: str) -> list[re.Match[str]]:
    found = (_NAME.fullmatch(n) for n in backend.list(f"videos/{video}", PREFIX))
    return [m for m in found if m and (m[1], m[2]) == (step, fingerprint)]
