"""What ``vidrag ingest --events`` prints: a JSON object a line, for programs that follow a run.

::

    {"event": "run", "run": "...", "videos": 12, "sources": ["..."], "passed_over": {}, "unreachable": []}
    {"event": "part", "source": "...", "stages": {"speech": "ok"}, "share": 0.4, "eta_s": 80.0}
    {"event": "video", "source": "...", "stages": {...}, "failed": false, "done": 3, "videos": 12, ...}
    {"event": "warning", "message": "..."}
    {"event": "end", ...}    what --json prints
"""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import threading
from collections.abc import Mapping
from typing import IO, Any

from ...ingest.pipeline import Outcome
from ...store.shell import printable
from .plan import Item, Plan
from .run import Progress

MOST_NAMED = 500
"""Sources that the first line names."""


class EventLines:
    """Writes the lines of one run, each at once.  The run stops, as by Ctrl-C, when their reader has gone."""

    def __init__(self, planned: Plan, out: IO[str]) -> None:
        self._planned, self._out = planned, out
        threading.Thread(target=_stop_without_reader, args=(out.fileno(),), daemon=True).start()

    def began(self, run: str) -> None:
        items = self._planned.items
        named = [printable(str(i.location)) for i in items[:MOST_NAMED]]
        self._write("run", {"run": run, "videos": len(items), "sources": named, **self._planned.as_json()})

    def part(self, progress: Progress, item: Item, rows: list[Outcome]) -> None:
        self._write("part", {"source": printable(str(item.location)), **_stages(rows), **_how_far(progress)})

    def video(self, progress: Progress, item: Item, rows: list[Outcome]) -> None:
        failed = any(o.status == "failed" for o in rows)
        told = {"source": printable(str(item.location)), **_stages(rows), "failed": failed, **_how_far(progress)}
        self._write("video", told | {"done": progress.done, "videos": progress.videos})

    def warn(self, message: str) -> None:
        self._write("warning", {"message": message})

    def ended(self, summary: Mapping[str, object]) -> None:
        self._write("end", {**summary, **self._planned.as_json()})

    def _write(self, name: str, told: Mapping[str, Any]) -> None:
        print(json.dumps({"event": name, **told}), file=self._out, flush=True)


def _stop_without_reader(out: int) -> None:
    """Waits for the other end of a pipe to close; a file has none."""
    waiting = select.poll()
    waiting.register(out, 0)
    if stat.S_ISFIFO(os.fstat(out).st_mode) and waiting.poll():
        os.kill(os.getpid(), signal.SIGINT)


def _stages(rows: list[Outcome]) -> dict[str, dict[str, str]]:
    return {"stages": {o.stage: o.status for o in rows}}


def _how_far(progress: Progress) -> dict[str, float | None]:
    eta = progress.eta_s
    share = progress.done_bytes / progress.bytes if progress.bytes else 1.0
    return {"share": round(min(share, 1.0), 4), "eta_s": None if eta is None else round(eta, 1)}
