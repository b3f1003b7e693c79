"""How fast crews of workers go through the same videos: one process, several, Ray."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...ingest.conduct import Conduct
from ...ingest.sources import Location
from ...store.archive.archive import Archive
from ...store.weights import models
from ..places import PoolOptions
from ..profile import Profile
from ..runs import pool
from ..runs.plan import Item
from ..runs.scheduler import Supply
from ..runs.worker import Order
from . import machine, spread


class _Stopwatch:
    """An executor that notes when its first worker was ready."""

    def __init__(self, executor: pool.Executor) -> None:
        self._executor, self.pools = executor, executor.pools
        self.ready: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def wait(self, seconds: float) -> Sequence[pool.Event]:
        events = self._executor.wait(seconds)
        if self.ready is None and any(e.what == "ready" for e in events):
            self.ready = time.perf_counter()
        return events


def run(videos: Sequence[Path], profile: Profile, workers: int, runs: int) -> dict[str, Any]:
    """Wall seconds of one process, of ``workers`` processes and of as many Ray actors, in turn on new archives.

    Several share out videos longer than ``run.share_s``, one does not.  ``work_s`` counts from the moment at which the
    first worker is ready; engines are loaded in it, once a worker.
    """

    def processes(count: int) -> Callable[[Order], pool.Executor]:
        def make(order: Order) -> pool.Executor:
            from ..runs.processes import Processes

            return Processes(order, {"any": PoolOptions(workers=count)})

        return make

    def actors(order: Order) -> pool.Executor:
        from ..runs.ray_cluster import RayActors

        return RayActors(order, {"any": PoolOptions(workers=workers)}, None, workers)

    crews = {
        "one process": (processes(1), 0.0),
        f"{workers} processes": (processes(workers), profile.run.share_s),
        f"{workers} on Ray": (actors, profile.run.share_s),
    }
    took: dict[str, list[tuple[float, float]]] = {label: [] for label in crews}
    for _ in range(runs):
        for label, (make, share_s) in crews.items():
            took[label].append(_one(videos, profile, make, share_s))
    one, several, ray = ([w for _, w in took[label]] for label in crews)
    return {
        "bench": "crews",
        "machine": machine(),
        "videos": len(videos),
        "speed_up": spread([a / b for a, b in zip(one, several, strict=True)]),
        "ray_over_processes": spread([a / b for a, b in zip(ray, several, strict=True)]),
        "crews": _rows(took),
    }


def _rows(took: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Any]:
    return {
        label: {"start_up_s": spread([s for s, _ in found]), "work_s": spread([w for _, w in found])}
        for label, found in took.items()
    }


def _one(
    videos: Sequence[Path], profile: Profile, make: Callable[[Order], pool.Executor], share_s: float
) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name:
        Archive.create(Path(name) / "archive")
        order = Order(str(Path(name) / "archive"), profile.ingest, Conduct("bench", share_s=share_s), models.offline())
        began = time.perf_counter()
        executor = _Stopwatch(make(order))
        items = sorted((Item(Location.of(v), v.stat().st_size) for v in videos), key=lambda i: -i.bytes)
        for _ in pool.work(executor, Supply(items), profile.run.attempts):
            end = time.perf_counter()
        ready = executor.ready or end
        return ready - began, end - ready
