"""The tasks of a run that are still to be given out: files to hash, parts of videos, and what has to be tried again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ...ingest.pipeline import Identity
from ...ingest.shares import Answers, Share
from ...ingest.sources import Location
from ...ingest.stages import GROUPS
from ...store.errors import VidragError
from .plan import Item
from .worker import Task

WorkerId = Hashable
"""One worker, as its executor names it."""


@dataclass(eq=False, slots=True)
class Job:
    """A task and what became of its tries.  ``deaths``: those of its workers that count against it.  ``nodes``: where
    it failed or they died.  ``errors``: what was wrong with the machines, by worker.
    """

    task: Task
    deaths: int = 0
    ran_out_of_memory: bool = False
    nodes: set[str] = field(default_factory=set)
    errors: dict[WorkerId, VidragError] = field(default_factory=dict)


@dataclass(slots=True)
class _Shared:
    """A task that waits for ``left`` shares of its video."""

    task: Task
    left: int
    given: Answers = field(default_factory=Answers)


def content(item: Item, identity: Identity | None) -> str:
    """The same for two sources exactly where their content is the same; empty where that is not known."""
    return item.like or (f"{item.bytes} {identity.sha256}" if identity else "")


class Supply:
    """A local file is hashed by whoever is free; then its parts are given out before other files are begun.

    Copies of a content that is at work wait until it is done, and then find its result.  What failed or killed its
    worker comes again when all others are out, so that a video that kills its workers keeps none of them from the rest.
    """

    def __init__(self, items: Iterable[Item], over: Callable[[], bool] = lambda: False) -> None:
        """``over``: whether no further file is to be begun; what is at work is finished."""
        self._fresh, self._over = deque(items), over
        self.not_begun = 0
        self._hashing: dict[Location, Item] = {}
        self._parts: dict[str, deque[Task]] = {g: deque() for g in GROUPS}
        self._open: dict[Location, tuple[str, int]] = {}  # content and parts left of each video at work
        self._copies: dict[str, list[tuple[Item, Identity | None]]] = {}  # of each content at work, those that wait
        self._shared: dict[tuple[Location, str | None], _Shared] = {}
        self._again: list[Job] = []

    def take(self, groups: Sequence[str], may: Callable[[Job], bool]) -> Job | None:
        """The next for a worker that takes ``groups``; ``may``: whether it may take what has been tried before."""
        while True:
            if parts := max((self._parts[g] for g in groups), key=len):
                return Job(parts.popleft())
            if self._fresh and self._over():
                self.not_begun += len(self._fresh)
                self._fresh.clear()
            if not self._fresh:
                break
            item = self._fresh.popleft()
            if item.bytes and not item.location.remote:
                self._hashing[item.location] = item
                return Job(Task(item.location, None))
            self._begin(item, None)
        for i, job in enumerate(self._again):
            if job.task.group in groups and may(job):
                return self._again.pop(i)
        return None

    def hashed(self, job: Job, identity: Identity | None) -> None:
        """Goes on with a file; where there is no hash, whoever works on it finds out why."""
        self._begin(self._hashing.pop(job.task.location), identity)

    def _begin(self, item: Item, identity: Identity | None, copy: bool = False) -> None:
        key = content(item, identity)
        if key and not copy:
            if key in self._copies:
                self._copies[key].append((item, identity))
                return
            self._copies[key] = []
        self._open[item.location] = ("" if copy else key, len(GROUPS))
        for group, parts in self._parts.items():
            parts.append(Task(item.location, group, identity=identity))

    def done(self, job: Job) -> None:
        """Notes that a part of a video has ended, in whatever way."""
        key, left = self._open.pop(job.task.location)
        if left > 1:
            self._open[job.task.location] = (key, left - 1)
        elif key:
            for item, identity in self._copies.pop(key):
                self._begin(item, identity, copy=True)

    def share_out(self, job: Job, shares: Sequence[Share]) -> None:
        """Gives out a long video's shares first, and it again when all of them are done."""
        task = job.task
        self._shared[task.location, task.group] = _Shared(task, len(shares))
        self._first(*(replace(task, share=s) for s in shares))

    def answered(self, job: Job, found: Answers | None) -> None:
        """Notes what came of a share: None where nothing did, whose calls are then made with the whole."""
        key = job.task.location, job.task.group
        shared = self._shared[key]
        shared.given.add(found or Answers())
        shared.left -= 1
        if not shared.left:
            del self._shared[key]
            self._first(replace(shared.task, given=shared.given))

    def _first(self, *tasks: Task) -> None:
        self._parts[tasks[0].group or ""].extendleft(reversed(tasks))

    def again(self, job: Job) -> None:
        self._again.append(job)

    def died(self, job: Job, node: str, elsewhere: bool, out_of_memory: bool, tries: int) -> bool:
        """Notes the death of a job's worker; False where the job has had its tries.

        Not counted: a second death on one node where there is another, and the first for want of memory, which the
        other workers of the machine may have taken.
        """
        spared = out_of_memory and not job.ran_out_of_memory
        job.ran_out_of_memory |= out_of_memory
        if not spared and not (elsewhere and node in job.nodes):
            job.deaths += 1
        job.nodes.add(node)
        # one more than the tries: the last one only publishes that the video is given up
        if job.deaths > tries:
            return False
        job.task = replace(job.task, again=True, give_up=job.deaths >= tries)
        self._again.append(job)
        return True

    def withdraw(self, groups: Sequence[str]) -> list[Job]:
        """Takes out all that has been tried before, of these groups."""
        out = [j for j in self._again if j.task.group in groups]
        self._again = [j for j in self._again if j.task.group not in groups]
        return out

    def left(self, groups: Sequence[str]) -> int:
        """How many parts of these groups have not been given out."""
        files = len(self._fresh) + len(self._hashing) + sum(map(len, self._copies.values()))
        again = sum(j.task.group in groups for j in self._again)
        return files * len(groups) + sum(len(self._parts[g]) for g in groups) + again
