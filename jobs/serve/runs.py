"""Ingest runs: what came of each, how far one is, and starting and stopping them where that is allowed."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from ...store.archive.archive import Archive
from ...store.errors import ArchiveDamaged, UsageError
from ..library import Library
from ..runs import report
from . import uploads
from .allowed import Allowed as Allowed
from .asking import event
from .errors import Refused
from .ingesting import Ingester

MOST_SOURCES = 500
"""Videos, failures and partly decoded videos that a run's object names."""
MOST_FOLLOWERS = 64
_QUIET = datetime.timedelta(minutes=10)
"""An unfinished run that others started counts as running while its ledger is no older."""
_KEEP_OPEN_S = 15.0
_KEPT = 16


class RunInfo(BaseModel):
    """``started``: ISO 8601, as the run's name says."""

    run: str
    started: str | None
    finished: bool


class Runs(BaseModel):
    runs: list[RunInfo]


class SourceInfo(BaseModel):
    """One video of a run; ``stages``: what became of each that is done."""

    source: str
    done: bool
    failed: bool
    stages: dict[str, str]


class RunDetails(BaseModel):
    """What ``vidrag report --json`` prints (at most 500 failures) and how far the run is.

    ``running``: it works, as far as can be told; ``stoppable``: this server started it and it works; ``planned``,
    ``share`` and ``eta_s``: videos, part that is done and seconds left, of a run of this server; ``sources``: the
    newest 500 videos, those that are worked on first.
    """

    model_config = ConfigDict(extra="allow")

    run: str
    finished: bool
    videos: int
    done: int
    kept: int
    failed: int
    running: bool
    stoppable: bool
    planned: int | None
    share: float | None
    eta_s: float | None
    sources: list[SourceInfo]


class IngestOptions(BaseModel):
    """``language``: the one that is spoken, guessed by default."""

    model_config = ConfigDict(extra="forbid")

    language: str | None = Field(None, pattern=r"^[a-z]{2,3}$")


class IngestOrder(BaseModel):
    """``root``: name of a folder that the archive's object lists; ``path``: a file or folder in it."""

    model_config = ConfigDict(extra="forbid")

    root: str = Field(max_length=64)
    path: str = Field("", max_length=4000)
    settings: IngestOptions = IngestOptions()


class Started(BaseModel):
    run: str


class _Sources:
    """Notes the newest videos of a ledger while it is read."""

    def __init__(self) -> None:
        self._found: dict[str, SourceInfo] = {}
        self.newest: datetime.datetime | None = None

    def noting(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            if row["finished"] is not None:
                self.newest = max(row["finished"], self.newest or row["finished"])
            if row["status"] != report.SET_ASIDE:
                self._note(row)
            yield row

    def _note(self, row: dict[str, Any]) -> None:
        source = row["source"]
        if source not in self._found:
            self._found[source] = SourceInfo(source=source, done=True, failed=False, stages={})
            if len(self._found) > MOST_SOURCES:
                del self._found[next(iter(self._found))]
        one = self._found[source]
        one.stages[row["stage"]] = row["status"]
        one.failed |= row["status"] == "failed"

    def newest_first(self) -> list[SourceInfo]:
        return list(self._found.values())[::-1]


class _Snapshots:
    """The object of each run.  That of one that works is made at most once a second, whoever asks for it."""

    def __init__(self, archive: Archive, ingester: Ingester) -> None:
        self._archive, self._ingester, self._lock = archive, ingester, threading.Lock()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    def get(self, name: str) -> dict[str, Any]:
        """Raises :class:`Refused` where there is no such run."""
        name = find(self._archive, name).name
        with self._lock:
            until, told = self._kept.get(name, (0.0, {}))
            began = time.monotonic()
            if began >= until:
                told = self._made(name)
                cost = time.monotonic() - began
                final = told["finished"] and not told["running"]
                self._kept.pop(name, None)
                self._kept[name] = (float("inf") if final else began + max(0.9, 5 * cost), told)
                if len(self._kept) > _KEPT:
                    del self._kept[next(iter(self._kept))]
            return told

    def forget(self) -> None:
        """Makes the next objects anew."""
        with self._lock:
            self._kept.clear()

    def _made(self, name: str) -> dict[str, Any]:
        run = find(self._archive, name)
        try:
            return self._of(run)
        except ArchiveDamaged:
            again = find(self._archive, name)
            if again.finished == run.finished:
                raise
            return self._of(again)  # it came to its end while it was read

    def _of(self, run: report.Run) -> dict[str, Any]:
        own = self._ingester.of(run.name)
        alive = own is not None and own.alive
        seen = _Sources()
        told = report.summary(run, seen.noting(report.rows(self._archive, run)))
        told |= {k: told[k][:MOST_SOURCES] for k in ("failures", "partial")}
        done = seen.newest_first()
        waiting = [SourceInfo(**s) for s in own.sources()] if own is not None and alive else []
        known = {s.source for s in done}
        sources = [*(s for s in waiting if s.stages and s.source not in known), *done]
        sources += [s for s in waiting if not s.stages and s.source not in known]
        return {
            **told,
            "running": alive if own is not None else not run.finished and _recent(seen.newest or run.started),
            "stoppable": alive,
            "planned": own.videos if own is not None else None,
            "share": own.share if own is not None else None,
            "eta_s": own.eta_s if own is not None and alive else None,
            "sources": [s.model_dump() for s in sources[:MOST_SOURCES]],
        }


def find(archive: Archive, name: str) -> report.Run:
    """The run of that name or beginning, or the newest for ``last``; raises :class:`Refused` where there is none."""
    try:
        return report.find(archive, name[:200])
    except UsageError as e:
        raise Refused(404, str(e), "NoSuchRun") from None


def _recent(at: datetime.datetime | None) -> bool:
    return at is not None and datetime.datetime.now(datetime.UTC) - at < _QUIET


def router(library: Library, allowed: Allowed) -> APIRouter:
    """The routes of runs, of starting one, and of uploads.  A run that was started ends with the server."""
    ingester = Ingester(library)
    snapshots = _Snapshots(library.archive, ingester)
    following = 0

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(ingester.close)

    routes = APIRouter(lifespan=lifespan)

    @routes.get("/runs", tags=["runs"])
    def listed() -> Runs:
        """All runs, newest first."""
        found = report.runs(library.archive)[::-1]
        return Runs(
            runs=[
                RunInfo(run=r.name, started=r.started.isoformat() if r.started else None, finished=r.finished)
                for r in found
            ]
        )

    @routes.get("/runs/{run}", tags=["runs"], response_model=RunDetails)
    def details(run: str) -> dict[str, Any]:
        """What came of a run, by name, the beginning of one, or ``last``."""
        return snapshots.get(run)

    @routes.get("/runs/{run}/events", tags=["runs"], response_class=StreamingResponse)
    async def follow(run: str) -> StreamingResponse:
        """``progress`` events with the same object, at most one a second, until the run has ended."""
        if following >= MOST_FOLLOWERS:
            raise Refused(503, f"{MOST_FOLLOWERS} visitors follow runs already; try again in a while", "Busy")
        first = await run_in_threadpool(snapshots.get, run)
        return StreamingResponse(progress(first), media_type="text/event-stream")

    async def progress(told: dict[str, Any]) -> AsyncIterator[str]:
        nonlocal following
        following += 1
        try:
            yield event("progress", told)
            said, last = time.monotonic(), told
            while told["running"]:
                await asyncio.sleep(1.0)
                told = await run_in_threadpool(snapshots.get, told["run"])
                if told != last:
                    yield event("progress", told)
                    said, last = time.monotonic(), told
                elif time.monotonic() - said > _KEEP_OPEN_S:
                    yield ": it works\n\n"
                    said = time.monotonic()
        finally:
            following -= 1

    @routes.post("/ingest", status_code=202, tags=["ingest"])
    def ingest(order: IngestOrder) -> Started:
        """Starts a run over a file or folder; 403 where nothing may be indexed, 409 while a run works."""
        path = allowed.find(order.root, order.path)
        return Started(run=ingester.start(path, allowed.roots[order.root], order.settings.language))

    @routes.delete("/runs/{run}", status_code=202, tags=["ingest"])
    def stop(run: str) -> Started:
        """Stops a run that this server started; what was finished stays."""
        if not allowed.any:
            raise Refused(403, "indexing is off; start the server with --allow-ingest NAME=FOLDER", "NotAllowed")
        name = find(library.archive, run).name
        own = ingester.of(name)
        if own is None or not own.alive:
            raise Refused(409, f"run {name} is none that this server started and that still works", "NotRunning")
        own.stop()
        snapshots.forget()
        return Started(run=name)

    routes.include_router(uploads.router(allowed))
    return routes
