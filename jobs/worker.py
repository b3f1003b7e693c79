"""What a worker process does: opens the archive, loads engines when they are first needed, takes one task at a time.

Ray actors hold a :class:`Worker`; without Ray this module is the worker's program (see :mod:`.processes`).
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import platform
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from ..ingest.conduct import Conduct
from ..ingest.pipeline import Engines, Outcome, ingest_video
from ..ingest.sources import Location
from ..ingest.stages import GROUPS, IngestSettings
from ..store import models
from ..store.archive import Archive
from ..store.errors import StorageError, VidragError, one_line

log = logging.getLogger("vidrag.jobs")
_LAST_WORDS_S = 60.0
"""Seconds that a step over its time has to be published as failed before the process ends anyhow."""
OVERDUE = 70
"""Exit code of a worker that ended itself because a step took too long."""


@dataclass(frozen=True, slots=True)
class Task:
    """Part of the work on one video: a group of stages.  ``again``: a worker of this run died on it before."""

    location: Location
    group: str | None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker needs to know before its first task; it travels to other machines."""

    location: str
    settings: IngestSettings
    conduct: Conduct
    offline: bool


class Worker:
    """Works on one task after the other; engines stay loaded."""

    def __init__(self, order: Order) -> None:
        models.set_offline(order.offline)
        self._archive = Archive.open(order.location)
        self._engines = Engines(order.settings)
        self._conduct = replace(order.conduct, watch=watch)

    def ready(self) -> bool:
        return True

    def ingest(self, task: Task) -> list[Outcome]:
        try:
            conduct = replace(self._conduct, again=task.again)
            found = ingest_video(task.location, self._archive, self._engines, task.group, conduct)
        except StorageError as e:
            found = failed_task(task, e)
        return [replace(o, host=platform.node()) for o in found]


def failed_task(task: Task, error: BaseException) -> list[Outcome]:
    """The outcome of a task that ended in an exception of its worker."""
    stage = GROUPS[task.group][0] if task.group else "media"
    return [Outcome("", str(task.location), stage, "", "failed", type(error).__name__, one_line(error))]


@contextlib.contextmanager
def watch(seconds: float, overdue: Callable[[], None]) -> Iterator[None]:
    """Ends this process where the context is not left within ``seconds``, after ``overdue`` has been called.

    Should even the watching thread be stuck (an engine that holds the interpreter's lock), the process ends a minute
    later all the same.
    """

    def end() -> None:
        try:
            overdue()
        except VidragError as e:
            log.warning("%s", e)
        os._exit(OVERDUE)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + _LAST_WORDS_S, exit=True, file=_nowhere())
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def _nowhere() -> int:
    global _devnull
    if _devnull is None:
        _devnull = os.open(os.devnull, os.O_WRONLY)
    return _devnull


_devnull: int | None = None


def main() -> None:
    """Serves the parent over an inherited socket until it closes; ends when the parent dies."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    line = Connection(socket.socket(fileno=int(sys.argv[1])).detach())
    with contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        worker = Worker(line.recv())
        line.send(True)
        while True:
            task = line.recv()
            try:
                reply: object = worker.ingest(task)
            except Exception as e:  # whatever it is, the parent makes a row of it
                reply = e if isinstance(e, VidragError) else VidragError(f"{type(e).__name__}: {one_line(e)}")
            line.send(reply)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)  # cleans up, if it can
    time.sleep(5)
    os._exit(1)


if __name__ == "__main__":
    main()
