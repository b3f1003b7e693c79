"""One ingest run: what to do, who does it, what came of it.

An executor takes tasks and gives back outcomes in any order; :mod:`.ray_ingest` is one, :class:`InProcess` the other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..ingest.pipeline import Engines, Outcome, ingest_video
from ..ingest.stages import GROUPS, IngestSettings
from ..store.archive import Archive
from ..store.errors import StorageError, one_line
from . import build
from .ledger import Ledger, new_run
from .plan import Item
from .profile import Profile


@dataclass(frozen=True, slots=True)
class Task:
    """Part of the work on one video: a group of stages (None: all)."""

    item: Item
    group: str | None


class Executor(Protocol):
    """Runs tasks.  ``split``: give it the groups of a video as tasks of their own."""

    split: bool

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, list[Outcome]]]:
        """Outcomes of every task, in any order.  A task that cannot be done is an outcome, too."""
        ...


def failed_task(task: Task, error: BaseException) -> list[Outcome]:
    """The outcome of a task that ended in an exception of its worker."""
    stage = GROUPS[task.group][0] if task.group else "media"
    return [Outcome("", str(task.item.path), stage, "", "failed", type(error).__name__, one_line(error))]


class InProcess:
    """One video after the other in this process."""

    split = False

    def __init__(self, archive: Archive, settings: IngestSettings, retry_failed: bool) -> None:
        self.archive, self.retry_failed = archive, retry_failed
        self._engines = Engines(settings)

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, list[Outcome]]]:
        for task in tasks:
            try:
                yield task, ingest_video(task.item.path, self.archive, self._engines, task.group, self.retry_failed)
            except StorageError as e:
                yield task, failed_task(task, e)


@dataclass(slots=True)
class Progress:
    """How far a run is: counts of videos, seconds of media, and what is left by bytes."""

    videos: int
    bytes: int
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    done_bytes: float = 0.0
    media_seconds: float = 0.0
    media: dict[str, float] = field(default_factory=dict)
    failed: dict[str, Outcome] = field(default_factory=dict)
    kept: int = 0
    rows: Counter[str] = field(default_factory=Counter)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def eta_s(self) -> float | None:
        """Seconds left if the rest goes as fast, byte for byte; None before the first video is done."""
        if not self.done_bytes:
            return None
        return self.seconds / self.done_bytes * max(0.0, self.bytes - self.done_bytes)

    @property
    def speed(self) -> float:
        """Seconds of video a second."""
        return self.media_seconds / max(self.seconds, 1e-9)


def ingest(
    archive: Archive,
    profile: Profile,
    items: Sequence[Item],
    executor: Executor,
    report: Callable[[Progress, Item, list[Outcome]], None],
) -> tuple[str, Progress]:
    """Runs everything, writes the ledger, and returns the run's name and how it went.

    Raises before any work where engines or weights are missing.
    """
    build.check(profile, build.INGEST_KINDS)
    run = new_run()
    progress = Progress(len(items), sum(i.bytes for i in items))
    with Ledger(archive, run) as ledger:
        for wave in ([i for i in items if i.twin is None], [i for i in items if i.twin is not None]):
            _wave(wave, executor, progress, ledger, report)
    return run, progress


def _wave(
    items: Sequence[Item],
    executor: Executor,
    progress: Progress,
    ledger: Ledger,
    report: Callable[[Progress, Item, list[Outcome]], None],
) -> None:
    groups: tuple[str | None, ...] = tuple(GROUPS) if executor.split else (None,)
    waiting: dict[Path, int] = {i.path: len(groups) for i in items}
    held: dict[Path, list[Outcome]] = {i.path: [] for i in items}
    for task, outcomes in executor.run([Task(i, g) for i in items for g in groups]):
        path = task.item.path
        held[path] += outcomes
        waiting[path] -= 1
        progress.done_bytes += task.item.bytes / len(groups)
        if not waiting[path]:
            rows = _distinct(held.pop(path))
            ledger.add(rows)
            _count(progress, task.item, rows)
            report(progress, task.item, rows)


def _distinct(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One row a stage: where two tasks both met a stage, the one that did the work speaks for it."""
    order = {"failed": 0, "ok": 1, "none": 2, "kept": 3, "skipped": 4}
    best: dict[str, Outcome] = {}
    for o in outcomes:
        if o.stage not in best or order[o.status] < order[best[o.stage].status]:
            best[o.stage] = o
    return list(best.values())


def _count(progress: Progress, item: Item, rows: Sequence[Outcome]) -> None:
    progress.done += 1
    if bad := next((o for o in rows if o.status == "failed"), None):
        progress.failed[str(item.path)] = bad
    if all(o.status == "kept" for o in rows):
        progress.kept += 1
    else:
        seconds = max((o.media_seconds for o in rows), default=0.0)
        progress.media_seconds += seconds
    for o in rows:
        progress.rows[o.stage] += o.rows
