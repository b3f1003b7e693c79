"""docs/detector_server.py as a real process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SERVER = Path(__file__).resolve().parent.parent / "docs" / "detector_server.py"


def started(*arguments: str, **env: str) -> tuple[str, Callable[[], None]]:
    """Its address on a free port, and what ends it.  ``RuntimeError`` with what it said where it does not run."""
    process = subprocess.Popen(
        [sys.executable, SERVER, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VIDRAG_OFFLINE": "1", **env},
    )
    assert process.stdout and process.stderr
    found = re.search(r"http://\S+", process.stdout.readline())

    def stop() -> None:
        process.terminate()
        process.wait(10)
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()

    if found:
        return found[0], stop
    told = process.stderr.read()
    stop()
    raise RuntimeError(told)
