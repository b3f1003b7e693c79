"""One ingest run: what is left to do, who does it, what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...ingest.conduct import Conduct
from ...ingest.pipeline import Outcome
from ...ingest.sources import Location
from ...ingest.stages import GROUPS
from ...store.archive.archive import Archive
from ...store.errors import StorageError, one_line
from ...store.weights import models
from .. import build
from ..profile import Profile
from . import pool
from .known import Known
from .ledger import Ledger, new_run
from .plan import Item
from .report import SET_ASIDE, set_aside_json, set_aside_text
from .report import write as report_file
from .scheduler import Supply
from .superseding import Superseded, Superseding
from .worker import Order

Report = Callable[["Progress", Item, list[Outcome]], None]
MakeExecutor = Callable[[Order], pool.Executor]
CATALOGUED = 1000
"""So many videos done, and the catalogue of the archive is written anew while the run goes on."""
"""Makes the workers for what is left; not called where nothing is."""


@dataclass(slots=True)
class Progress:
    """How far a run is: counts of videos, seconds of media, and what is left by bytes."""

    videos: int
    bytes: int
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    done_bytes: float = 0.0
    media_seconds: float = 0.0
    failed: dict[str, Outcome] = field(default_factory=dict)
    kept: int = 0
    kept_bytes: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    superseded: list[Superseded] = field(default_factory=list)
    not_begun: int = 0
    """Videos that are left because the time was up."""
    set_aside: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Workers that were given no more work, by host, error and its message."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def eta_s(self) -> float | None:
        """Seconds left if the rest goes as fast, byte for byte; None before the first video is done."""
        worked = self.done_bytes - self.kept_bytes
        if worked <= 0:
            return None
        return self.seconds / worked * max(0.0, self.bytes - self.done_bytes)

    @property
    def speed(self) -> float:
        """Seconds of video a second."""
        return self.media_seconds / max(self.seconds, 1e-9)

    def part(self, item: Item, share: float) -> None:
        self.done_bytes += item.bytes * share

    def video(self, item: Item, rows: Sequence[Outcome]) -> None:
        self.done += 1
        if bad := next((o for o in rows if o.status == "failed"), None):
            self.failed[str(item.location)] = bad
        if all(o.status == "kept" for o in rows):
            self.kept += 1
            self.kept_bytes += item.bytes
        if any(o.seconds for o in rows):
            self.media_seconds += max((o.media_seconds for o in rows), default=0.0)
        for o in rows:
            self.rows[o.stage] += o.rows


def workers_of(profile: Profile, count: int, ray: str | None, *, processes: bool) -> MakeExecutor:
    """Makes ``count`` workers of each pool (0: as many as there is room for): ``processes`` here, else actors
    of the Ray cluster at ``ray`` (None: a local one).
    """
    pools = profile.pools
    if count:
        pools = {n: p.model_copy(update={"workers": count}) for n, p in pools.items()}

    def make(order: Order) -> pool.Executor:
        if processes:
            from .processes import Processes

            return Processes(order, pools)
        from .ray_cluster import RayActors

        return RayActors(order, pools, ray, count * len(pools) or None)

    return make


def summary(run: str, progress: Progress, archive: str) -> dict[str, Any]:
    """How a run went, as ``vidrag ingest --json`` tells it."""
    return {
        "run": run,
        "archive": archive,
        "videos": progress.videos,
        "kept": progress.kept,
        "not_begun": progress.not_begun,
        "failed": [
            {"source": p, "stage": o.stage, "error": o.error, "message": o.message} for p, o in progress.failed.items()
        ],
        "superseded": [{"path": s.path, "old": s.old, "new": s.new} for s in progress.superseded],
        "seconds": round(progress.seconds, 3),
        "media_seconds": round(progress.media_seconds, 3),
        "rows": dict(progress.rows),
        "set_aside": set_aside_json(progress.set_aside),
    }


def ingest(
    archive: Archive,
    profile: Profile,
    items: Sequence[Item],
    make_executor: MakeExecutor,
    report: Report,
    *,
    warn: Callable[[str], None] = lambda _: None,
    began: Callable[[str], None] = lambda _: None,
    part: Report = lambda *_: None,
    retry_failed: bool = False,
    rehash: bool = False,
    over: Callable[[], bool] = lambda: False,
) -> tuple[str, Progress]:
    """Runs everything, writes the ledger, and returns the run's name and how it went.

    ``warn`` hears in a line of each kind of trouble for which workers are set aside, ``began`` the run's name, ``part``
    of each part of a video that is done (``report``: of each video).  ``rehash``: read every file
    again, also where size and times say that it has not changed.  ``over``: whether no further video is to be begun.
    Raises before any work where engines or weights are
    missing, and the cause where no good worker is left.
    """
    build.check(profile, build.INGEST_KINDS)
    run, options = new_run(), profile.run
    progress = Progress(len(items), sum(i.bytes for i in items))
    conduct = Conduct(
        run,
        options.attempts,
        retry_failed,
        step_s=options.step_timeout_s,
        step_per_s=options.step_timeout_per_s,
        share_s=options.share_s,
        profile=profile.key(),
    )
    order = Order(archive.backend.address, profile.ingest, conduct, models.offline())
    with Known(archive, profile.ingest, conduct) as known, Ledger(archive, run) as ledger:
        began(run)
        told = _Teller(archive, progress, ledger, report, part, warn)
        left = list(items if rehash else _unknown(items, known, told))
        if left:
            supply = Supply(left, over)
            _work(left, supply, make_executor(order), options.attempts, told, known, Superseding(archive, items))
            progress.not_begun = supply.not_begun
    report_file(archive, run)
    _update_catalogue(archive, warn)
    return run, progress


def _update_catalogue(archive: Archive, warn: Callable[[str], None]) -> None:
    """Readers do without a newer catalogue: they look at the marks of what has changed."""
    try:
        archive.update_catalogue()
    except StorageError as e:
        warn(f"the catalogue of the archive was not written: {one_line(e)}")


@dataclass(frozen=True, slots=True)
class _Teller:
    """Puts the outcomes of a video where they belong."""

    archive: Archive
    progress: Progress
    ledger: Ledger
    report: Report
    report_part: Report
    warn: Callable[[str], None]

    def set_aside(self, one: pool.SetAside) -> None:
        host, error, message = str(one.place), type(one.error).__name__, one_line(one.error)
        self.ledger.add([Outcome("", "", "worker", "", SET_ASIDE, error, message, host=host)])
        self.progress.set_aside[host, error, message] += 1
        if self.progress.set_aside[host, error, message] == 1:
            self.warn(set_aside_text(host, message))

    def part(self, item: Item, rows: list[Outcome]) -> None:
        self.progress.part(item, 1 / len(GROUPS))
        self.report_part(self.progress, item, rows)

    def video(self, item: Item, rows: list[Outcome]) -> None:
        self.ledger.add(rows)
        self.progress.video(item, rows)
        self.report(self.progress, item, rows)


def _unknown(items: Sequence[Item], known: Known, told: _Teller) -> Iterator[Item]:
    """The items that are not known to be up to date; the others are told at once, and no worker is troubled."""
    for item in items:
        rows = known.kept(item)
        if rows is None:
            yield item
        else:
            told.progress.part(item, 1.0)
            told.video(item, rows)


def _work(
    items: Sequence[Item],
    supply: Supply,
    executor: pool.Executor,
    tries: int,
    told: _Teller,
    known: Known,
    superseding: Superseding,
) -> None:
    """Does all items; the later one of two with the same content, which finds what the first made, is its twin."""
    by_path = {i.location: i for i in items}
    held: dict[Location, list[list[Outcome]]] = {}
    first: dict[str, Location] = {}
    for task, outcomes in pool.work(executor, supply, tries, told.set_aside):
        item = by_path[task.location]
        parts = held.setdefault(task.location, [])
        parts.append(outcomes)
        told.part(item, outcomes)
        if len(parts) == len(GROUPS):
            rows = _distinct([o for part in held.pop(task.location) for o in part])
            video = next((o.video for o in rows if o.video), "")
            if video and (one := first.setdefault(video, item.location)) != item.location:
                item = replace(item, twin=one)
            told.video(item, rows)
            superseded = superseding.check(item, rows)
            told.progress.superseded += superseded or ()
            if superseded is not None:
                known.add(item, rows)
            if not told.progress.done % CATALOGUED:
                _update_catalogue(told.archive, told.warn)


def _distinct(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One row a stage: where two tasks both met a stage, the one that did the work speaks for it."""
    order = {"failed": 0, "ok": 1, "none": 2, "kept": 3, "skipped": 4}
    best: dict[str, Outcome] = {}
    for o in outcomes:
        if o.stage not in best or order[o.status] < order[best[o.stage].status]:
            best[o.stage] = o
    return list(best.values())
