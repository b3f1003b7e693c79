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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from ...ingest.conduct import Conduct
from ...ingest.pipeline import Engines, Identity, Outcome, answers_of, identity_of, ingest_or_share, ingest_video
from ...ingest.shares import Answers, Share
from ...ingest.sources import Location
from ...ingest.stages import GROUPS, IngestSettings
from ...store import engines
from ...store.archive.archive import Archive
from ...store.errors import MACHINE_ERRORS, OutOfMemory, VidragError, one_line, out_of_memory
from ...store.storage.faults import storage_errors
from ...store.weights import models

log = logging.getLogger("vidrag.jobs")
_LAST_WORDS_S = 60.0
"""Seconds that a step over its time has to be published as failed before the process ends anyhow."""
OVERDUE = 70
"""Exit code of a worker that ended itself because a step took too long."""


_ENGINES: Mapping[str, tuple[engines.Kind, ...]] = {
    "visual": ("ocr", "image_text_encoder", "text_encoder"),
    "sound": ("asr", "text_encoder"),
}
"""What each group of stages loads."""


@dataclass(frozen=True, slots=True)
class Task:
    """Part of the work on one video: a group of stages, or None: to hash it.

    ``identity``: its hash, where it is known.  ``again``: a worker of this run died on it before.  ``give_up``: so many
    of them that the step in which they did is not tried again.  ``share``: engines are to be asked about one stretch
    only; ``given``: what they answered about all of them, None for a video that is not shared out yet.
    """

    location: Location
    group: str | None
    again: bool = False
    give_up: bool = False
    identity: Identity | None = None
    share: Share | None = None
    given: Answers | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker needs to know before its first task; it travels to other machines."""

    location: str
    settings: IngestSettings
    conduct: Conduct
    offline: bool
    groups: tuple[str, ...] = tuple(GROUPS)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker is.  Workers of one ``node`` share its disks, memory and packages."""

    node: str
    host: str

    def __str__(self) -> str:
        return self.host if self.node in ("", self.host) else f"{self.host} (node {self.node[:8]})"


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker that has started; ``error``: why it cannot work where it is."""

    place: Place
    error: VidragError | None = None


class Worker:
    """Works on one task after the other; engines stay loaded."""

    def __init__(self, order: Order) -> None:
        models.set_offline(order.offline)
        self._order, self._engines = order, Engines(order.settings)
        self._conduct = replace(order.conduct, watch=watch)

    def ready(self) -> Ready:
        """Opens the archive and looks for engines and weights, so that no task is spent on a machine without."""
        from .. import build

        kinds = dict.fromkeys(k for g in self._order.groups for k in _ENGINES[g])
        try:
            self._archive = Archive.open(self._order.location)
            build.check_engines({k: getattr(self._order.settings, k) for k in kinds}, here=True)
        except Exception as e:  # whatever it is, nothing can be done here
            return Ready(here(), e if isinstance(e, VidragError) else VidragError(f"{type(e).__name__}: {one_line(e)}"))
        return Ready(here())

    def work(self, task: Task) -> list[Outcome] | Identity | Answers | tuple[Share, ...]:
        """The outcomes of a group of stages; a hash; what was answered about a share; or the shares of a long video,
        which is to be shared out before it is worked on.

        Raises one of :data:`~vidrag.store.errors.MACHINE_ERRORS` for what is not the video's fault.
        """
        try:
            if task.group is None:
                return identity_of(task.location)
            if task.share:
                return answers_of(task.location, self._engines, task.share, self._conduct)
            conduct = replace(self._conduct, again=task.again, give_up=task.give_up)
            about = (self._archive, self._engines, task.group, conduct, task.identity)
            found = (
                ingest_video(task.location, *about, task.given)
                if task.given
                else ingest_or_share(task.location, *about)
            )
            if isinstance(found, tuple):
                return found
        except MACHINE_ERRORS:
            raise
        except Exception as e:
            if out_of_memory(e):
                raise OutOfMemory(f"out of memory ({one_line(e)}); fewer --workers need less") from e
            if isinstance(e, OSError) and not isinstance(e, VidragError):  # of a temporary file: of a video it is typed
                with storage_errors(os.environ.get("TMPDIR", "temporary files")):
                    raise
            raise
        return [replace(o, host=platform.node()) for o in found]


def here() -> Place:
    """Where this process runs: a node of Ray, or this machine."""
    host = platform.node()
    ray = sys.modules.get("ray")
    return Place(ray.get_runtime_context().get_node_id() if ray and ray.is_initialized() else host, host)


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
        line.send(worker.ready())
        while True:
            task = line.recv()
            try:
                reply: object = worker.work(task)
            except Exception as e:  # whatever it is, the parent makes a row of it
                reply = e if isinstance(e, VidragError) else VidragError(f"{type(e).__name__}: {one_line(e)}")
            line.send(reply)
            del reply  # the traceback of an error holds what its step had open


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)  # cleans up, if it can
    time.sleep(5)
    os._exit(1)


if __name__ == "__main__":
    # not by its bare name: what it sends would be of a module __main__, which is another one in the parent
    from . import worker

    worker.main()
