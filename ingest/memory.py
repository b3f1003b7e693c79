"""Memory that is free again goes back to the system, so that a worker is as small after a long video as after a short.

The C library keeps what engines free, in pieces between what is still used, and takes new memory beside it: with
pictures of ever other sizes a worker grows for an hour.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

EVERY_FRAMES = 8
"""Frames kept between two calls in a pass over a video; a call costs a few milliseconds and the pages taken anew."""


@cache
def _trim() -> Any:
    """``malloc_trim`` of glibc (its manual, section "Malloc Tunable Parameters"); None with another C library."""
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):
        return None


def give_back() -> bool:
    """Gives free memory of this process back; False where the C library has no call for it or nothing was free."""
    trim = _trim()
    return bool(trim and trim(0))
