"""Plain processes on this machine as workers, for ``--no-ray``: a crash or a kill of one costs its task one try."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait

from .. import machine
from ..places import PoolOptions, local_gpus, local_room
from .pool import Event
from .scheduler import WorkerId
from .worker import OVERDUE, Order, Task, here

_POLITE_S = 4.0
"""Seconds that workers have to clean up when the run is stopped."""


@dataclass(eq=False, slots=True)
class _Process:
    process: subprocess.Popen[bytes]
    line: Connection
    kills: int
    """How many the kernel had killed for want of memory when this one was last heard of."""
    ready: bool = False


class Processes:
    """Workers are this Python running :mod:`.worker`; orders and outcomes travel over a socket pair."""

    def __init__(self, order: Order, pools: Mapping[str, PoolOptions]) -> None:
        self.order, self.pools = order, pools
        self._workers: list[_Process] = []
        self._gpus, self._hired = local_gpus(), 0
        self._machine = machine.available()  # before workers take their share of it

    def places(self, pool: str, avoid: Collection[str]) -> int:
        return 0 if here().node in avoid else local_room(self.pools, pool, self._machine, len(self._gpus))

    def hire(self, pool: str, avoid: Collection[str]) -> WorkerId:
        env = dict(os.environ)
        if self.pools[pool].gpus and self._gpus:  # in turns, as many as a worker is given
            count = max(1, int(self.pools[pool].gpus))
            own = [self._gpus[(self._hired + i) % len(self._gpus)] for i in range(min(count, len(self._gpus)))]
            env["CUDA_VISIBLE_DEVICES"] = ",".join(own)
            self._hired += count
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if os.environ.get("VIDRAG_DEBUG") else subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=env,
            )
        worker = _Process(process, Connection(ours.detach()), machine.oom_kills())
        self._workers.append(worker)
        self._send(worker, replace(self.order, groups=self.pools[pool].groups))
        return worker

    def give(self, worker: WorkerId, task: Task) -> None:
        assert isinstance(worker, _Process)
        self._send(worker, task)

    def dismiss(self, worker: WorkerId) -> None:
        assert isinstance(worker, _Process)
        self._workers.remove(worker)
        _end([worker])

    def _send(self, worker: _Process, what: object) -> None:
        try:
            worker.line.send(what)
        except OSError:
            return  # it died: wait() says so

    def wait(self, seconds: float) -> Sequence[Event]:
        ready = set(wait([w.line for w in self._workers], seconds))
        return [self._event(w) for w in list(self._workers) if w.line in ready]

    def _event(self, worker: _Process) -> Event:
        try:
            told = worker.line.recv()
        except (EOFError, OSError):
            self._workers.remove(worker)
            worker.line.close()
            code = worker.process.wait()
            of_memory = code == -signal.SIGKILL and machine.oom_kills() > worker.kills
            return Event(worker, "died", why=_cause(code), place=here(), out_of_memory=of_memory)
        worker.kills = machine.oom_kills()
        if not worker.ready:
            worker.ready = True
            return Event(worker, "ready", told)
        return Event(worker, "done", told)

    def close(self) -> None:
        _end(self._workers)
        self._workers.clear()


def _end(workers: Sequence[_Process]) -> None:
    for worker in workers:
        worker.line.close()  # an idle worker ends
        worker.process.terminate()
    deadline = time.monotonic() + _POLITE_S
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


def _cause(code: int) -> str:
    if code == OVERDUE:
        return "a step took too long"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
