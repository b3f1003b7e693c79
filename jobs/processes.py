"""A crew of plain processes on this machine, for ``--no-ray``: a crash or a kill of one costs its task one try."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from .pool import Event, Hand, PoolOptions, local_gpus
from .worker import OVERDUE, Order, Task

_POLITE_S = 4.0
"""Seconds that workers have to clean up when the run is stopped."""


@dataclass(eq=False, slots=True)
class _Process:
    process: subprocess.Popen[bytes]
    line: Connection
    ready: bool = False


class Processes:
    """Workers are this Python running :mod:`.worker`; orders and outcomes travel over a socket pair."""

    def __init__(self, order: Order, pools: Mapping[str, PoolOptions]) -> None:
        self.order, self.pools = order, pools
        self._hands: list[_Process] = []
        self._gpus, self._hired = local_gpus(), 0

    def places(self, pool: str) -> int:
        options = self.pools[pool]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = cores / len(self.pools) / max(options.cpus, 0.001)
        if options.gpus and self._gpus:
            share = min(share, len(self._gpus) / sum(p.gpus > 0 for p in self.pools.values()) / options.gpus)
        return options.workers or max(1, int(share))

    def hire(self, pool: str) -> Hand:
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
        hand = _Process(process, Connection(ours.detach()))
        self._hands.append(hand)
        self._send(hand, self.order)
        return hand

    def give(self, hand: Hand, task: Task) -> None:
        assert isinstance(hand, _Process)
        self._send(hand, task)

    def _send(self, hand: _Process, what: object) -> None:
        try:
            hand.line.send(what)
        except OSError:
            return  # it died: wait() says so

    def wait(self, seconds: float) -> Sequence[Event]:
        ready = set(wait([h.line for h in self._hands], seconds))
        return [self._event(h) for h in list(self._hands) if h.line in ready]

    def _event(self, hand: _Process) -> Event:
        try:
            told = hand.line.recv()
        except (EOFError, OSError):
            self._hands.remove(hand)
            hand.line.close()
            return Event(hand, "died", why=_cause(hand.process.wait()))
        if not hand.ready:
            hand.ready = True
            return Event(hand, "ready")
        return Event(hand, "done", told)

    def close(self) -> None:
        for hand in self._hands:
            hand.line.close()  # an idle worker ends
            hand.process.terminate()
        deadline = time.monotonic() + _POLITE_S
        for hand in self._hands:
            try:
                hand.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                hand.process.kill()
                hand.process.wait()
        self._hands.clear()


def _cause(code: int) -> str:
    if code == OVERDUE:
        return "a step took too long"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
