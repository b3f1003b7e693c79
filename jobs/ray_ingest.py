"""Ingest on Ray: actors that each hold their own engines of one thread, a bounded number of tasks in flight.

Ray runs a task at least once, sometimes twice at a time; publishing is idempotent, so that is harmless.  A worker that
dies costs its task one attempt and is replaced.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from ..ingest.pipeline import Engines, Outcome, ingest_video
from ..ingest.stages import IngestSettings
from ..store import models
from ..store.archive import Archive
from ..store.errors import EngineMissing, StorageError, VidragError, one_line
from .ingest_run import Task, failed_task

_OBJECT_STORE = 100 << 20


class _Worker:
    """What an actor runs: opens the archive and loads engines once, then takes tasks."""

    def __init__(self, location: str, settings: IngestSettings, retry_failed: bool, offline: bool) -> None:
        models.set_offline(offline)
        self._archive = Archive.open(location)
        self._engines, self._retry = Engines(settings), retry_failed

    def ready(self) -> bool:
        return True

    def ingest(self, task: Task) -> list[Outcome]:
        try:
            return ingest_video(task.item.path, self._archive, self._engines, task.group, self._retry)
        except StorageError as e:
            return failed_task(task, e)


class OnRay:
    """A pool of ``workers`` actors; ``address`` None starts Ray on this machine, else joins a cluster."""

    split = True

    def __init__(
        self,
        archive: Archive,
        settings: IngestSettings,
        retry_failed: bool,
        workers: int = 0,
        attempts: int = 2,
        address: str | None = None,
    ) -> None:
        self.archive, self.settings, self.retry_failed = archive, settings, retry_failed
        self.workers, self.attempts, self.address = workers, attempts, address

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, list[Outcome]]]:
        if not tasks:
            return
        ray = self._connect()
        actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Worker)
        count = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        offline = os.environ.get("VIDRAG_OFFLINE") == "1"
        location = os.path.abspath(self.archive.location)

        def start() -> Any:
            return actor.remote(location, self.settings, self.retry_failed, offline)

        todo = deque((t, 1) for t in tasks)
        idle = [start() for _ in range(min(count, len(tasks)))]
        running: dict[Any, tuple[Any, Task, int]] = {}
        try:
            while todo or running:
                while todo and idle:
                    task, attempt = todo.popleft()
                    worker = idle.pop()
                    running[worker.ingest.remote(task)] = (worker, task, attempt)
                finished, _ = ray.wait(list(running), num_returns=1)
                worker, task, attempt = running.pop(finished[0])
                try:
                    outcomes = ray.get(finished[0])
                    idle.append(worker)
                except ray.exceptions.RayTaskError as e:
                    cause = e.cause if isinstance(getattr(e, "cause", None), BaseException) else e
                    if isinstance(cause, VidragError) and cause.exit_code == 5:
                        raise cause from e  # missing weights concern every task
                    idle.append(worker)
                    outcomes = failed_task(task, cause)
                except ray.exceptions.RayError as e:  # the worker died
                    idle.append(start())
                    if attempt < self.attempts:
                        todo.append((task, attempt + 1))
                        continue
                    died = RuntimeError(f"the worker died {attempt} times on this video ({one_line(e, 120)})")
                    outcomes = failed_task(task, died)
                yield task, outcomes
        finally:
            for worker in [*idle, *(w for w, _, _ in running.values())]:
                ray.kill(worker)

    def _connect(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as e:
            raise EngineMissing("Ray is not installed: pip install 'vidrag[ray]', or use --no-ray") from e
        if ray.is_initialized():
            return ray
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        try:
            if self.address:
                ray.init(address=self.address, **quiet)
            else:
                cpus = self.workers or len(os.sched_getaffinity(0))
                ray.init(num_cpus=cpus, object_store_memory=_OBJECT_STORE, include_dashboard=False, **quiet)
        except Exception as e:  # Ray raises many types when it cannot start
            where = f"at {self.address}" if self.address else "on this machine"
            raise VidragError(f"Ray does not start {where} ({one_line(e, 200)}); --no-ray works without it") from e
        return ray
