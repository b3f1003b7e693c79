"""How a run goes, for Prometheus: the text format, in a file that the node exporter's textfile collector reads."""

from __future__ import annotations

import time
from pathlib import Path

from ...store.storage.whole import write_whole
from .run import Progress

EVERY_S = 5.0
_HELP = {
    "vidrag_ingest_videos": "Videos of the run, by what became of them.",
    "vidrag_ingest_rows": "Rows that were written, by stage.",
    "vidrag_ingest_media_seconds": "Seconds of video that were worked on.",
    "vidrag_ingest_seconds": "Seconds that the run has taken.",
    "vidrag_ingest_eta_seconds": "Seconds left, as far as can be told.",
    "vidrag_ingest_set_aside_workers": "Workers that were given no more work.",
    "vidrag_ingest_running": "1 while the run goes on.",
    "vidrag_ingest_updated_timestamp_seconds": "When this was written.",
}


class MetricsFile:
    """Written at most every ``EVERY_S`` seconds, and at the end; each time as a whole."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0

    def update(self, progress: Progress, running: bool = True) -> None:
        """Raises :class:`~vidrag.store.errors.StorageError` where the file cannot be written."""
        if running and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        write_whole(self._path, text(progress, running, time.time()))


def text(progress: Progress, running: bool, now: float) -> str:
    """The metrics of a run at ``now``, seconds since 1970."""
    failed = len(progress.failed)
    videos = {
        "indexed": progress.done - failed - progress.kept,
        "up_to_date": progress.kept,
        "failed": failed,
        "waiting": progress.videos - progress.done,
    }
    values: dict[str, float] = {f'vidrag_ingest_videos{{state="{s}"}}': n for s, n in videos.items()}
    values |= {f'vidrag_ingest_rows{{stage="{s}"}}': n for s, n in sorted(progress.rows.items())}
    values |= {
        "vidrag_ingest_media_seconds": round(progress.media_seconds, 3),
        "vidrag_ingest_seconds": round(progress.seconds, 3),
        "vidrag_ingest_set_aside_workers": progress.set_aside.total(),
        "vidrag_ingest_running": int(running),
        "vidrag_ingest_updated_timestamp_seconds": round(now, 3),
    }
    if progress.eta_s is not None:
        values["vidrag_ingest_eta_seconds"] = round(progress.eta_s, 1)
    lines, told = [], set[str]()
    for key, value in values.items():
        name = key.partition("{")[0]
        if name not in told:
            lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge"]
            told.add(name)
        lines.append(f"{key} {value}")
    return "\n".join(lines) + "\n"
