"""Limits that a decoding child puts on itself before it touches the file.

Run as a script (``limits.py CPU_S MEMORY_MB PROGRAM ARG...``) it applies them and becomes the program.  Standard
library only, so that it starts at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

_SET_PDEATHSIG = 1
_WORDS = 64 << 10  # stderr goes to a file, which counts as well


def apply_limits(cpu_s: int, memory_mb: int) -> None:
    """CPU seconds, address space in MiB, no files beyond a few words of complaint, no core dumps, no life after the
    parent's: for good.
    """
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
    with contextlib.suppress(ValueError, OSError):  # not every system limits address space
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_WORDS, _WORDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):  # Linux: whoever reads is gone, so the work is for nobody
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    apply_limits(int(sys.argv[1]), int(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])
