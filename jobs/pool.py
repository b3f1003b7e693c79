"""Hands tasks to workers that may die: bounded in flight, bounded retries, an outcome for every task.

A :class:`Crew` knows how to hire a worker and how to hear of it; :mod:`.ray_ingest` has one of Ray actors,
:mod:`.processes` one of plain processes.  Who works on what, and how often, is decided here.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import Field

from ..ingest.pipeline import Outcome
from ..ingest.sources import Location
from ..ingest.stages import GROUPS
from ..store.engines import Options
from ..store.errors import VidragError, WorkerDied
from .worker import Task, failed_task

Hand = Hashable
"""One worker, as its crew names it."""
_STILLBORN = 3  # workers in a row that die before they are ready, for each place of the crew


class PoolOptions(Options):
    """Workers of one kind.  ``groups``: what they take (``visual``, ``sound``).  ``workers``: how many; 0 for as many
    as ``cpus``, ``gpus`` and ``memory_mb`` allow, which each of them is given (fractions of a GPU are fine).
    """

    groups: tuple[Literal["visual", "sound"], ...] = ("visual", "sound")
    workers: int = Field(0, ge=0, le=100_000)
    cpus: float = Field(1.0, ge=0, le=1024)
    gpus: float = Field(0.0, ge=0, le=64)
    memory_mb: int = Field(0, ge=0)


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a worker: it is ``ready`` for a task, has ``done`` one, or ``died``.

    ``reply`` is what a task gave: outcomes, or the error that it raised.
    """

    hand: Hand
    what: Literal["ready", "done", "died"]
    reply: list[Outcome] | BaseException | None = None
    why: str = ""


class Crew(Protocol):
    """Workers of several pools."""

    pools: Mapping[str, PoolOptions]

    def places(self, pool: str) -> int:
        """How many workers of ``pool`` there is room for now; grows and shrinks with a cluster."""
        ...

    def hire(self, pool: str) -> Hand:
        """Starts a worker; an event tells when it is ready."""
        ...

    def give(self, hand: Hand, task: Task) -> None: ...

    def wait(self, seconds: float) -> Sequence[Event]:
        """What has happened, as soon as something has; empty after ``seconds``."""
        ...

    def close(self) -> None:
        """Ends all workers."""
        ...


def lacking(pools: Mapping[str, PoolOptions], resource: Literal["CPU", "GPU"], nodes: Sequence[float]) -> str:
    """Why the workers that must be there at the same time do not fit on ``nodes``, with so much of a resource each.

    Those are one of each pool, or as many as it says.  Empty where they fit: then none waits for another for ever.
    """
    field = "gpus" if resource == "GPU" else "cpus"
    several = len(pools) > 1  # those of one pool may wait for each other: they do the same
    wanted = {
        n: (p.workers or 1 if several else 1, float(getattr(p, field))) for n, p in pools.items() if getattr(p, field)
    }
    # a worker has its GPUs on one node, and a share of one is a share of one GPU
    free = [1.0] * int(sum(nodes)) if resource == "GPU" and all(e <= 1 for _, e in wanted.values()) else list(nodes)
    for count, each in sorted(wanted.values(), key=lambda w: -w[1]):
        for _ in range(count):
            at = next((i for i, f in enumerate(free) if f >= each - 1e-9), None)
            if at is None:
                told = ", ".join(f"{n} {c} x {e:g}" for n, (c, e) in sorted(wanted.items()))
                few = "0" if resource == "GPU" else "0.5"
                less = " ".join(f"--set pools.{n}.{field}={few}" for n in sorted(wanted))
                fewer = " or fewer --workers" if any(c > 1 for c, _ in wanted.values()) else ""
                return (
                    f"the profile's pools want more {resource}s than there are: {told}; there are {sum(nodes):g} on "
                    f"{len(nodes)} nodes; use {less}{fewer}"
                )
            free[at] -= each
    return ""


def local_gpus() -> list[str]:
    """The NVIDIA GPUs of this machine that may be used, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [g for g in given.split(",") if g.strip() not in ("", "-1")]
    found = os.listdir("/dev") if os.path.isdir("/dev") else []
    return sorted(n.removeprefix("nvidia") for n in found if re.fullmatch(r"nvidia\d+", n))


class _Supply:
    """Tasks still to be given out, by group and in order; those whose worker died come again when all others are out,
    so that a video that kills its workers keeps none of them from the rest.
    """

    def __init__(self, paths: Sequence[Location], groups: Sequence[str]) -> None:
        self._paths, self._next = paths, dict.fromkeys(groups, 0)
        self._again: dict[str, deque[Task]] = {g: deque() for g in groups}
        self._deaths: dict[tuple[Location, str | None], int] = {}

    def take(self, groups: Sequence[str]) -> Task | None:
        group = min(groups, key=lambda g: self._next[g])
        at = self._next[group]
        if at < len(self._paths):
            self._next[group] += 1
            return Task(self._paths[at], group)
        return next((self._again[g].popleft() for g in groups if self._again[g]), None)

    def died(self, task: Task, tries: int) -> bool:
        """Notes a death; False where the task has had its tries."""
        key = (task.location, task.group)
        self._deaths[key] = self._deaths.get(key, 0) + 1
        # one more than the tries: the last one only publishes that the video is given up
        if self._deaths[key] > tries:
            return False
        assert task.group is not None
        self._again[task.group].append(Task(task.location, task.group, again=True))
        return True

    def left(self, groups: Sequence[str]) -> int:
        return sum(len(self._again[g]) + len(self._paths) - self._next[g] for g in groups)


def work(
    crew: Crew, waves: Iterable[Sequence[Location]], tries: int, recount_s: float = 10.0
) -> Iterator[tuple[Task, list[Outcome]]]:
    """Outcomes of every group of every path, in any order within a wave; a wave is done before the next begins.

    Raises what concerns every task (missing weights), and :class:`VidragError` where workers do not start.
    """
    staff = _Staff(crew, recount_s)
    try:
        for paths in waves:
            yield from staff.work(_Supply(paths, tuple(GROUPS)), tries)
    finally:
        crew.close()


class _Staff:
    """The workers of a crew: who is idle, who is busy with what."""

    def __init__(self, crew: Crew, recount_s: float) -> None:
        self._crew, self._recount_s = crew, recount_s
        self._busy, self._idle = dict[Hand, Task](), dict[Hand, None]()
        self._pool_of: dict[Hand, str] = {}
        self._stillborn, self._counted = 0, 0.0

    def work(self, supply: _Supply, tries: int) -> Iterator[tuple[Task, list[Outcome]]]:
        self._counted = 0.0
        while supply.left(tuple(GROUPS)) or self._busy:
            self._hire(supply)
            for hand in list(self._idle):
                if task := supply.take(self._crew.pools[self._pool_of[hand]].groups):
                    del self._idle[hand]
                    self._busy[hand] = task
                    self._crew.give(hand, task)
            for event in self._crew.wait(1.0):
                held = self._heard(event)
                if held is not None and (found := _settled(event, held, supply, tries)) is not None:
                    yield held, found

    def _hire(self, supply: _Supply) -> None:
        """As many workers as there is room and work for; counted anew every so often."""
        if time.monotonic() - self._counted < self._recount_s:
            return
        self._counted = time.monotonic()
        for pool, options in self._crew.pools.items():
            have = sum(p == pool for p in self._pool_of.values())
            wanted = min(self._crew.places(pool), have + supply.left(options.groups))
            for _ in range(wanted - have):
                self._pool_of[self._crew.hire(pool)] = pool

    def _heard(self, event: Event) -> Task | None:
        """Notes who is free and who is gone; the task that the worker had."""
        task = self._busy.pop(event.hand, None)
        if event.what != "died":
            self._idle[event.hand], self._stillborn = None, 0
            return task
        self._idle.pop(event.hand, None)
        pool = self._pool_of.pop(event.hand)
        self._counted = 0.0  # hire another at once
        self._stillborn += task is None
        if self._stillborn > _STILLBORN * max(1, self._crew.places(pool)):
            raise VidragError(f"workers do not start: {event.why}")
        return task


def _settled(event: Event, task: Task, supply: _Supply, tries: int) -> list[Outcome] | None:
    """The outcome of a task after an event of its worker; None where it is to be tried again."""
    if event.what == "died":
        if supply.died(task, tries):
            return None
        return failed_task(task, WorkerDied(f"the worker died {tries + 1} times on this video ({event.why})"))
    if isinstance(event.reply, BaseException):
        if isinstance(event.reply, VidragError) and event.reply.exit_code == 5:
            raise event.reply  # missing weights concern every task
        return failed_task(task, event.reply)
    return event.reply or []
