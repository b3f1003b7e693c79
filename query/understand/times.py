"""The times that a question names."""

from __future__ import annotations

from ...store.shard import Shard
from ..types import Request

EDGE = 0.15
"""Share of a video that counts as its beginning or its end; at least ten seconds."""


def in_time(request: Request, shard: Shard, start: float, end: float) -> bool:
    """Whether ``[start, end)`` meets one of the times that the question names by themselves."""
    whole = shard.manifest.duration
    edge = max(10.0, EDGE * whole)
    for hint in request.time:
        if hint.kind == "beginning" and start < edge:
            return True
        if hint.kind == "end" and end > whole - edge:
            return True
        if hint.kind == "at" and hint.seconds is not None and start - 3 <= hint.seconds < end + 3:
            return True
    return False
