"""What ``vidrag ingest`` says while it runs and at its end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...store.shell import counted

if TYPE_CHECKING:
    from ...ingest.pipeline import Outcome
    from ..runs.plan import Item, Plan
    from ..runs.run import Progress


def passed_over(planned: Plan) -> list[str]:
    """What a user is told of files that are no videos; nothing where there are none."""
    from ...ingest.file_kinds import EMPTY, SUBTITLE, summed_up

    if not planned.passed_over:
        return []
    told = [f"passed over: {summed_up(dict(planned.passed_over))}"]
    if planned.passed_over.get(EMPTY):
        told.append("note: empty files may be placeholders of a cloud drive; run this again when they hold something")
    if planned.passed_over.get(SUBTITLE):
        told.append("note: subtitles are read with the video or sound file of their name")
    return told


def no_videos(named: list[str], planned: Plan) -> str:
    from ...store.shell import printable

    where = printable(", ".join(named[:3])) + (f" and {len(named) - 3} more" if named[3:] else "")
    told = "".join(f" ({line})" for line in passed_over(planned))
    return f"no videos in {where}; name files, or a folder that holds some{told}"


def tell(run: str, progress: Progress, archive: str) -> None:
    from ...store.shell import path_word, printable
    from ..runs.report import set_aside_text

    good = progress.videos - progress.not_begun - len(progress.failed)
    line = f"{good} of {progress.videos} videos indexed"
    if progress.kept:
        line += f" ({progress.kept} of them copies or up to date)"
    if progress.media_seconds:
        line += f"; {progress.media_seconds / 60:.1f} min of video in {_span(progress.seconds)}"
        line += f" ({progress.speed:.1f} x real time)"
    print(line)
    if progress.not_begun:
        print(f"  the time is up: {counted(progress.not_begun, 'video')} left; the same command goes on with them")
    for s in progress.superseded:
        told = f"holds new content; the older one ({s.old}) is out of answers, gc removes it"
        print(f"  replaced: {printable(s.path)} {told}")
    for path, o in progress.failed.items():
        print(f"  failed: {printable(Path(path).name)}: {o.stage}: {o.message}")
    for (host, _, message), count in progress.set_aside.items():
        print(f"  {set_aside_text(host, message, count)}")
    print(f"run {run}" + (f'; ask with: vidrag ask {path_word(archive)} "..."' if good else ""))


def _span(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.1f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


class Report:
    """Progress: a bar on a terminal, a line a video elsewhere, nothing when quiet."""

    def __init__(self, planned: Plan, quiet: bool) -> None:
        self._quiet, self._videos, self._first = quiet, len(planned.items), passed_over(planned)
        self._bar: Any = None

    def __enter__(self) -> Report:
        for line in () if self._quiet else self._first:
            print(line)
        if not self._quiet and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("indexing"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}"),
                transient=True,
            )
            self._bar.start()
            self._bar.add_task("", total=self._videos, note="starting")
        elif not self._quiet:
            print(f"indexing {counted(self._videos, 'video')}", flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def video(self, progress: Progress, item: Item, rows: list[Outcome]) -> None:
        line = f"[{progress.done}/{progress.videos}] {_line(item, rows)}"
        told = [f"{progress.speed:.1f} x real time"] if progress.media_seconds else []
        note = ", ".join([*told, *([] if progress.eta_s is None else [f"{_span(progress.eta_s)} left"])])
        self.line(line if self._bar or not note else f"{line}  {note}")
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=progress.done, note=note)

    def line(self, text: str) -> None:
        """Shows a line, unless all is to be quiet."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        elif not self._quiet:
            print(text, flush=True)


def _line(item: Item, rows: list[Outcome]) -> str:
    from ...store.shell import printable

    name = printable(item.location.name)
    bad = next((o for o in rows if o.status == "failed"), None)
    if bad:
        return f"{name}: failed in {bad.stage}: {bad.message}"
    if item.twin is not None:
        return f"{name}: same content as {printable(item.twin.name)}"
    if all(o.status == "kept" for o in rows):
        return f"{name}: up to date"
    counts = {o.stage: o.rows for o in rows}
    told = (
        f"{name}: {counts.get('speech', 0)} spoken, {counts.get('text', 0)} on screen, {counts.get('frames', 0)} frames"
    )
    partial = next(
        (o.coverage for o in rows if o.stage == "frames" and o.coverage is not None and o.coverage < 0.95), None
    )
    told += f" (only {partial:.0%} of it decodes)" if partial is not None else ""
    note = next((o.message for o in rows if o.stage == "speech" and o.message), None)
    return f"{told} ({printable(note)})" if note else told
