"""What text detection costs with denormal numbers and without, and whether it finds the same.

Each measurement is a process of its own, as threads of a runtime keep what they were made with.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import machine, spread

_MOST_FRAMES = 20


def run(videos: Sequence[Path], rounds: int) -> dict[str, Any]:
    """CPU of detecting and reading the text of frames of each video, flushed over kept, in alternating processes."""
    return {"bench": "denormals", "machine": machine(), "videos": {v.name: _of(v, rounds) for v in videos}}


def _of(video: Path, rounds: int) -> dict[str, Any]:
    pairs = [(_measured(video, True), _measured(video, False)) for _ in range(rounds)]
    return {
        "frames": pairs[0][0]["frames"],
        "flushed_over_kept": spread([a["cpu_s"] / b["cpu_s"] for a, b in pairs]),
        "same_rows": len({x["rows"] for pair in pairs for x in pair}) == 1,
    }


def _measured(video: Path, flushed: bool) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", __name__, str(video.absolute()), str(int(flushed))]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def _measure(video: Path, flushed: bool) -> dict[str, Any]:
    import time

    from ...ingest import media
    from ...ingest.ocr.rapid import Rapid, RapidOptions
    from ...ingest.reading import Reader, ReadingOptions

    if not flushed:  # the engine as it is without the decorator of its methods
        for name in ("__init__", "detect", "recognise"):
            setattr(Rapid, name, getattr(Rapid, name).__wrapped__)
    options = media.MediaOptions()
    info = media.probe(video, options)
    rate = _MOST_FRAMES / max(info.end or 1.0, 1.0)
    pictures = [f.picture for f in media.frames(video, info, options, rate, 1280)]
    reader = Reader(Rapid(RapidOptions()), ReadingOptions())
    began = time.process_time()
    rows = [reader.lines(p) for p in pictures]
    cpu = time.process_time() - began
    return {"frames": len(rows), "cpu_s": cpu, "rows": hashlib.sha256(repr(rows).encode()).hexdigest()}


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2] == "1")))
