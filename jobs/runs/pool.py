"""Hands tasks to workers that may die or stand on bad machines: bounded retries, an outcome for every task.

An :class:`Executor` knows how to hire a worker and how to hear of it; :mod:`.ray_cluster` has one of Ray actors,
:mod:`.processes` one of plain processes.  Who works on what, and how often, is decided here.

What is wrong with a machine (no space, no memory, no weights) is not the video's fault: its task goes to another node
where there is one, and a worker that fails so at its start, or on two videos without a success between, is set aside.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ...ingest.pipeline import Identity, Outcome
from ...ingest.shares import Answers, Share
from ...ingest.sources import Location
from ...ingest.stages import GROUPS
from ...store.errors import MACHINE_ERRORS, OutOfMemory, VidragError, WorkerDied
from ..places import PoolOptions
from .scheduler import Job, Supply, WorkerId
from .worker import Place, Ready, Task, failed_task

_STRIKES = 2
"""Videos that a worker may fail for its machine's sake without a success between.  One may only be too large."""
_STILLBORN = 3
"""Workers that may die one after the other on a node before they are ready."""
_PATIENCE_S = 60.0
"""Seconds that tasks wait for workers on their way where nobody else may take them."""


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a worker: it is ``ready`` for a task, has ``done`` one, or ``died``.

    ``reply``: :class:`~.worker.Ready`, or what a task gave: outcomes, a hash, shares, answers, or its error.
    ``place``: where a worker died that never was ready, if that is known.
    """

    worker: WorkerId
    what: Literal["ready", "done", "died"]
    reply: Ready | Identity | list[Outcome] | tuple[Share, ...] | Answers | BaseException | None = None
    why: str = ""
    place: Place | None = None
    out_of_memory: bool = False


class Executor(Protocol):
    """Workers of several pools."""

    pools: Mapping[str, PoolOptions]

    def places(self, pool: str, avoid: Collection[str]) -> int:
        """How many workers of ``pool`` are wanted at most, on nodes not in ``avoid``; changes with a cluster."""
        ...

    def hire(self, pool: str, avoid: Collection[str]) -> WorkerId:
        """Starts a worker on a node not in ``avoid``; an event tells when it is ready."""
        ...

    def give(self, worker: WorkerId, task: Task) -> None: ...

    def dismiss(self, worker: WorkerId) -> None:
        """Ends a worker that has no task; no event tells of it."""
        ...

    def wait(self, seconds: float) -> Sequence[Event]:
        """What has happened, as soon as something has; empty after ``seconds``."""
        ...

    def close(self) -> None:
        """Ends all workers."""
        ...


@dataclass(frozen=True, slots=True)
class SetAside:
    """A worker that is not given work any more, and why."""

    place: Place
    error: VidragError


Done = tuple[Task, list[Outcome]]


def work(
    executor: Executor,
    supply: Supply,
    tries: int,
    tell: Callable[[SetAside], None] = lambda _: None,
    recount_s: float = 10.0,
) -> Iterator[Done]:
    """Outcomes of every part of every video of ``supply``, in any order.

    ``tell`` hears of workers that are set aside.  Raises the cause where no good worker is left.
    """
    try:
        yield from _Scheduler(executor, supply, tries, tell, recount_s).work()
    finally:
        executor.close()


@dataclass(slots=True)
class _Member:
    """A worker; ``place``: None until it is ready; ``failed``: videos, since its last success."""

    pool: str
    hired: float
    place: Place | None = None
    job: Job | None = None
    failed: set[Location] = field(default_factory=set)


@dataclass(slots=True)
class _Node:
    """What went wrong on a node, apart from what a video was to blame for."""

    stillborn: int = 0
    last_stillborn: float = 0.0
    ran_out_of_memory: set[Location] = field(default_factory=set)


class _Scheduler:
    """Who is idle, who is busy with what, and which nodes are to be avoided."""

    def __init__(
        self, executor: Executor, supply: Supply, tries: int, tell: Callable[[SetAside], None], recount_s: float
    ) -> None:
        self._executor, self._supply, self._tries, self._tell = executor, supply, tries, tell
        self._recount_s, self._counted = recount_s, 0.0
        self._members: dict[WorkerId, _Member] = {}
        self._idle: dict[WorkerId, None] = {}
        self._busy = 0
        self._ready: Counter[tuple[str, str]] = Counter()  # of each pool on each node
        self._lost: Counter[tuple[str, str]] = Counter()  # likewise, places that are not filled again
        self._avoid: set[str] = set()
        self._nodes: dict[str, _Node] = {}
        self._cause: VidragError | None = None
        self._stuck_since: float | None = None

    def work(self) -> Iterator[Done]:
        while self._supply.left(tuple(GROUPS)) or self._busy:
            self._hire()
            self._hand_out()
            yield from self._unstick()
            for event in self._executor.wait(1.0):
                yield from self._heard(event)

    def _hire(self) -> None:
        """As many workers as there is room and work for; counted anew every so often."""
        if time.monotonic() - self._counted < self._recount_s:
            return
        self._counted = time.monotonic()
        for pool, options in self._executor.pools.items():
            mine = [w for w, m in self._members.items() if m.pool == pool]
            left = self._supply.left(options.groups)
            if not left:  # a cluster that scales by itself can give back their nodes
                for worker in [w for w in mine if self._members[w].job is None]:
                    self._remove(worker)
                    self._executor.dismiss(worker)
            lost = {node: n for (p, node), n in self._lost.items() if p == pool and node not in self._avoid}
            shun = self._avoid | lost.keys()  # a place that was left empty is not to be filled by the next
            if not any(count and node not in shun for (_, node), count in self._ready.items()):
                shun = self._avoid
            for _ in range(min(self._executor.places(pool, self._avoid) - sum(lost.values()) - len(mine), left)):
                worker = self._executor.hire(pool, shun)
                self._members[worker] = _Member(pool, time.monotonic())

    def _hand_out(self) -> None:
        for worker in list(self._idle):
            member = self._members[worker]
            groups = self._executor.pools[member.pool].groups
            if job := self._supply.take(groups, lambda j, w=worker: self._may(w, j)):  # type: ignore[misc]
                del self._idle[worker]
                member.job = job
                self._busy += 1
                self._executor.give(worker, job.task)

    def _may(self, worker: WorkerId, job: Job) -> bool:
        """True where a worker may try a job again: on a node new to it where there is one, else as a new worker."""
        place = self._members[worker].place
        if self._elsewhere(job):
            return place is not None and place.node not in job.nodes
        return worker not in job.errors

    def _elsewhere(self, job: Job) -> bool:
        """True where workers of a job's group are ready on a node where it has not been tried."""
        pools = self._executor.pools
        return any(
            count and node not in job.nodes and job.task.group in pools[pool].groups
            for (pool, node), count in self._ready.items()
        )

    def _starting(self) -> bool:
        return len(self._members) > self._busy + len(self._idle)

    def _unstick(self) -> Iterator[Done]:
        """Fails what nobody is left for, where nobody is at work; raises the cause where no good worker is left."""
        if self._busy:
            self._stuck_since = None
            return
        self._stuck_since = self._stuck_since or time.monotonic()
        if self._starting() and not (self._idle and time.monotonic() - self._stuck_since > _PATIENCE_S):
            return
        served = {g for w in self._idle for g in self._executor.pools[self._members[w].pool].groups}
        left = self._supply.withdraw(tuple(served))
        for job in left:
            yield from self._ended(job, next(reversed(job.errors.values()), WorkerDied("its workers died")))
        if not left and not self._starting() and self._cause:
            raise type(self._cause)(f"no good worker is left: {self._cause}") from self._cause

    def _heard(self, event: Event) -> Iterator[Done]:
        member = self._members[event.worker]
        job, member.job = member.job, None
        self._busy -= job is not None
        if event.what == "died":
            self._remove(event.worker)
            if job is None:
                self._died_unready(event, member)
            else:
                yield from self._died(event, member, job)
            return
        self._idle[event.worker] = None
        if isinstance(event.reply, Ready):
            self._started(event.worker, member, event.reply)
        elif job is not None:
            yield from self._replied(event.worker, member, job, event.reply)

    def _started(self, worker: WorkerId, member: _Member, ready: Ready) -> None:
        member.place = ready.place
        self._ready[member.pool, ready.place.node] += 1
        if ready.error:
            self._set_aside(worker, ready.error)
            return
        self._avoid.discard(ready.place.node)
        self._node(ready.place.node).stillborn = 0

    def _replied(self, worker: WorkerId, member: _Member, job: Job, reply: object) -> Iterator[Done]:
        assert member.place is not None
        if isinstance(reply, MACHINE_ERRORS):
            member.failed.add(job.task.location)
            if len(member.failed) >= _STRIKES:
                self._set_aside(worker, reply)
        if job.task.group is None:
            self._supply.hashed(job, reply if isinstance(reply, Identity) else None)
            return
        if isinstance(reply, tuple):
            self._supply.share_out(job, reply)
            return
        if isinstance(reply, MACHINE_ERRORS):
            job.errors[worker] = reply
            job.nodes.add(member.place.node)
            if len(job.errors) < self._tries or self._starting() or self._elsewhere(job):
                self._supply.again(job)
                return
        else:
            member.failed.clear()
        yield from self._ended(job, reply)

    def _ended(self, job: Job, reply: object) -> Iterator[Done]:
        """A job that is not tried again: ``reply`` is what it gave, or the error in which it ended."""
        if job.task.share:
            self._supply.answered(job, reply if isinstance(reply, Answers) else None)
            return
        self._supply.done(job)
        if isinstance(reply, BaseException):
            yield job.task, failed_task(job.task, reply)
        else:
            assert isinstance(reply, list)
            yield job.task, reply

    def _died(self, event: Event, member: _Member, job: Job) -> Iterator[Done]:
        assert member.place is not None
        node = member.place.node
        if job.task.group is None:
            self._supply.hashed(job, None)
            return
        if event.out_of_memory:
            victims = self._node(node).ran_out_of_memory
            if victims - {job.task.location} and self._ready[member.pool, node]:
                self._lost[member.pool, node] += 1
                short = f"killed for want of memory ({event.why}); one worker fewer at a time there"
                self._tell(SetAside(member.place, OutOfMemory(short)))
            victims.add(job.task.location)
        if not self._supply.died(job, node, self._elsewhere(job), event.out_of_memory, self._tries):
            yield from self._ended(job, WorkerDied(f"the worker died {job.deaths} times on this video ({event.why})"))

    def _died_unready(self, event: Event, member: _Member) -> None:
        """Counts workers that die before they are ready; those that were started together count as one."""
        place = member.place or event.place or Place("", "an unknown node")
        node = self._node(place.node)
        if member.place is not None or member.hired < node.last_stillborn:
            return
        node.stillborn, node.last_stillborn = node.stillborn + 1, time.monotonic()
        if node.stillborn <= _STILLBORN:
            return
        self._cause = VidragError(f"workers do not start: {event.why}")
        if not place.node:
            raise self._cause
        self._avoid.add(place.node)
        self._tell(SetAside(place, self._cause))

    def _set_aside(self, worker: WorkerId, error: VidragError) -> None:
        """Ends a worker and leaves its place empty; a node without any other is avoided from then on."""
        member = self._members[worker]
        self._remove(worker)
        self._executor.dismiss(worker)
        assert member.place is not None
        node = member.place.node
        self._lost[member.pool, node] += 1
        if not any(count for (_, n), count in self._ready.items() if n == node):
            self._avoid.add(node)
        self._cause = error
        self._tell(SetAside(member.place, error))

    def _remove(self, worker: WorkerId) -> None:
        member = self._members.pop(worker)
        self._idle.pop(worker, None)
        if member.place:
            self._ready[member.pool, member.place.node] -= 1
        self._counted = 0.0  # count anew at once

    def _node(self, name: str) -> _Node:
        return self._nodes.setdefault(name, _Node())
