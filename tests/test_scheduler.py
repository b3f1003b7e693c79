"""Who gets which task: deaths, bad machines, copies, demand; with workers that do as they are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from vidrag.ingest.pipeline import Identity, Outcome
from vidrag.ingest.shares import Answers, Share
from vidrag.ingest.sources import Location
from vidrag.jobs import machine, profile
from vidrag.jobs.places import PoolOptions, lacking, room
from vidrag.jobs.runs import pool
from vidrag.jobs.runs.plan import Item
from vidrag.jobs.runs.pool import Event, SetAside
from vidrag.jobs.runs.processes import Processes
from vidrag.jobs.runs.scheduler import Supply
from vidrag.jobs.runs.worker import Place, Ready, Task, here
from vidrag.store.errors import ModelMissing, OutOfMemory, StorageError, VidragError
from vidrag.store.records import MediaInfo

FULL = StorageError("/tmp: no space left")
Fate = Callable[[Task, str], Any]
"""What a task gives on a node: outcomes, an error, or ``"dies"`` or ``"out of memory"``."""


@dataclass(eq=False)
class Hired:
    """A worker of the script; ``node`` as its executor sees it."""

    number: int
    node: str


class Script:
    """An executor that does as it is told: ``nodes`` says how many workers fit on each, ``fate`` what tasks give.

    ``start``: why workers cannot work on a node (a text: they die there before they are ready).
    """

    def __init__(
        self,
        fate: Fate = lambda task, node: [],
        nodes: Mapping[str, int] | None = None,
        start: Mapping[str, VidragError | str] | None = None,
        hashes: Mapping[str, str] | None = None,
    ) -> None:
        self.pools = {"any": PoolOptions()}
        self.fate, self.nodes, self.start, self.hashes = fate, dict(nodes or {"here": 2}), start or {}, hashes or {}
        self.events: list[Event] = []
        self.hired: list[Hired] = []
        self.alive: list[Hired] = []
        self.given: list[tuple[Task, str]] = []
        self.hashed: list[str] = []
        self.closed = False

    def places(self, pool: str, avoid: Collection[str]) -> int:
        return sum(n for node, n in self.nodes.items() if node not in avoid)

    def hire(self, pool: str, avoid: Collection[str]) -> Hired:
        used = Counter(h.node for h in self.alive)
        free = [n for n, count in self.nodes.items() if n not in avoid and used[n] < count]
        worker = Hired(len(self.hired), free[0] if free else "none")
        self.hired.append(worker)
        self.alive.append(worker)
        wrong, place = self.start.get(worker.node), Place(worker.node, worker.node)
        if isinstance(wrong, str):
            self.alive.remove(worker)
            self.events.append(Event(worker, "died", why=wrong, place=place if wrong != "lost" else None))
        elif free:
            self.events.append(Event(worker, "ready", Ready(place, wrong)))
        return worker

    def give(self, worker: Any, task: Task) -> None:
        if task.group is None:
            self.hashed.append(task.location.name)
            digest = self.hashes.get(task.location.name, task.location.name)
            self.events.append(Event(worker, "done", Identity((1,), digest)))
            return
        self.given.append((task, worker.node))
        what = self.fate(task, worker.node)
        if what in ("dies", "out of memory"):
            self.alive.remove(worker)
            self.events.append(Event(worker, "died", why="gone", out_of_memory=what == "out of memory"))
        else:
            self.events.append(Event(worker, "done", what))

    def dismiss(self, worker: Any) -> None:
        self.alive.remove(worker)

    def wait(self, seconds: float) -> list[Event]:
        return [self.events.pop(0)] if self.events else []

    def close(self) -> None:
        self.closed = True


def items(*names: str) -> list[Item]:
    return [Item(Location(n), 1) for n in names]


def work(
    script: Script, *names: str, tries: int = 2, aside: list[SetAside] | None = None
) -> dict[tuple[str, str | None], list[Outcome]]:
    """What became of each part; each of them once."""
    done = list(pool.work(script, Supply(items(*names)), tries, (aside if aside is not None else []).append))
    assert script.closed
    found = {(t.location.name, t.group): o for t, o in done}
    assert len(found) == len(done)
    return found


def errors(found: dict[tuple[str, str | None], list[Outcome]]) -> Counter[str | None]:
    return Counter(o.error for rows in found.values() for o in rows)


def on(name: str, group: str = "sound") -> Callable[[Task], bool]:
    return lambda task: (task.location.name, task.group) == (name, group)


def test_every_task_has_an_outcome_and_no_more_tries_than_it_may() -> None:
    fates = {"bad": "dies", "odd": RuntimeError("odd")}
    script = Script(lambda task, node: fates.get(task.location.name, []))
    found = work(script, "a", "bad", "odd", "b")
    assert set(found) == {(n, g) for n in ("a", "bad", "odd", "b") for g in ("visual", "sound")}
    assert errors(found) == {"WorkerDied": 2, "RuntimeError": 2}
    tries = [(t.again, t.give_up) for t, _ in script.given if on("bad")(t)]
    assert tries == [(False, False), (True, False), (True, True)]  # the third only publishes that it died twice


def test_workers_that_never_start_are_not_hired_for_ever() -> None:
    for start in ("lost", "no room"):  # on a node that nobody knows, and on one that is known
        script = Script(start={"here": start})
        with pytest.raises(VidragError, match=f"workers do not start: {start}"):
            work(script, "a")
        assert script.closed and len(script.hired) < 20


def test_a_node_on_which_workers_do_not_start_is_left_alone() -> None:
    aside: list[SetAside] = []
    script = Script(nodes={"broken": 2, "good": 2}, start={"broken": "cannot import"})
    assert errors(work(script, *"abcdef", aside=aside)) == {}
    assert [(str(s.place), str(s.error)) for s in aside] == [("broken", "workers do not start: cannot import")]


def test_no_more_workers_are_hired_than_there_is_work() -> None:
    script = Script(nodes={"here": 50})
    assert len(work(script, "a")) == 2
    assert len(script.hired) == 2


def test_copies_wait_for_the_first_of_their_content_and_for_nothing_else() -> None:
    """Nobody hashes before the first worker starts, and each file is hashed once."""
    script = Script(nodes={"here": 4}, hashes={"a": "same", "copy": "same", "another": "same"})
    assert script.hashed == []
    work(script, "a", "copy", "b", "another")
    assert script.hashed == ["a", "copy", "b", "another"]
    order = [t.location.name for t, _ in script.given]
    assert sorted(order[:4]) == ["a", "a", "b", "b"] and sorted(order[4:]) == ["another"] * 2 + ["copy"] * 2
    assert all(t.identity and t.identity.sha256 in ("same", "b") for t, _ in script.given)


def test_objects_with_one_tag_are_copies_and_are_not_hashed() -> None:
    script = Script()
    told = [Item(Location(f"s3://b/{n}"), 1, like=like) for n, like in (("a", "x"), ("copy", "x"), ("c", ""))]
    list(pool.work(script, Supply(told), 2))
    order = [t.location.name for t, _ in script.given]
    assert sorted(order[:4]) == ["a", "a", "c", "c"] and order[4:] == ["copy", "copy"]
    assert all(t.identity is None for t, _ in script.given)


def test_empty_files_are_no_copies() -> None:
    script = Script()
    list(pool.work(script, Supply([Item(Location(n), 0) for n in "ab"]), 2))
    assert {t.location.name for t, _ in script.given[:4]} == {"a", "b"}


def shared(fate: Fate = lambda task, node: Answers({f"{task.share}".encode(): 1})) -> Fate:
    """A fate in which every video is shared out in three: ``fate`` is that of the shares."""
    info = MediaInfo("mov", 30.0, 0.0, True, True)
    three = tuple(Share(info, frozenset({"text"}), at, at + 10) for at in (0.0, 10.0, 20.0))
    return lambda task, node: fate(task, node) if task.share else [] if task.given else three


def test_a_long_video_is_shared_out_and_then_done_before_others_are_begun() -> None:
    script = Script(shared(), {"here": 1})
    found = work(script, "film", "other")
    assert set(found) == {(n, g) for n in ("film", "other") for g in ("visual", "sound")}
    given = [(t.location.name, t.group, bool(t.share), len(t.given.calls) if t.given else 0) for t, _ in script.given]
    names = [name for name, *_ in given]
    assert names == ["film"] * 10 + ["other"] * 10
    for group in ("visual", "sound"):
        mine = [(share, answers) for name, g, share, answers in given if (name, g) == ("film", group)]
        assert mine == [(False, 0), (True, 0), (True, 0), (True, 0), (False, 3)]


@pytest.mark.parametrize("end", ["dies", RuntimeError("odd"), FULL])
def test_a_share_that_comes_to_nothing_is_left_to_the_whole(end: Any) -> None:
    """As often as any task is tried; the outcome of the video is that of the work on the whole."""
    bad = shared(
        lambda task, node: end if task.share and not task.share.start else Answers({f"{task.share}".encode(): 1})
    )
    script = Script(bad, {"here": 2})
    found = work(script, "film")
    assert found == {("film", "visual"): [], ("film", "sound"): []}
    assert [len(t.given.calls) for t, _ in script.given if t.given] == [2, 2]


def test_one_bad_worker_of_eight_fails_nothing() -> None:
    """A full disk answers at once: left alone, it would eat the queue."""
    aside: list[SetAside] = []
    bad: list[Any] = []

    class OneBad(Script):
        def give(self, worker: Any, task: Task) -> None:
            bad[:] = bad or [worker]
            self.fate = lambda t, n: FULL if worker is bad[0] else []
            super().give(worker, task)

    script = OneBad(nodes={"here": 8})
    found = work(script, *map(str, range(1000)), aside=aside, tries=3)
    assert len(found) == 2000 and errors(found) == {}
    assert [(str(s.place), s.error) for s in aside] == [("here", FULL)]
    assert len(script.hired) == 8  # its place is not filled again
    assert len(script.given) == 2000 + 2


def test_the_place_of_a_worker_that_was_set_aside_is_not_filled_again_by_another() -> None:
    """A node of which one worker failed keeps its others; who dies elsewhere is replaced elsewhere."""

    avoided: list[set[str]] = []

    class OneBad(Script):
        def hire(self, pool: str, avoid: Collection[str]) -> Hired:
            avoided.append(set(avoid))
            return super().hire(pool, avoid)

        def give(self, worker: Any, task: Task) -> None:
            last = task.location.name == "29" and not task.again and worker.node == "good"
            self.fate = lambda t, n: FULL if worker is self.hired[0] else "dies" if last else []
            super().give(worker, task)

    script = OneBad(nodes={"bad": 2, "good": 2})
    aside: list[SetAside] = []
    assert errors(work(script, *map(str, range(30)), tries=3, aside=aside)) == {}
    assert [s.place.node for s in aside] == ["bad"] and len(script.hired) >= 5
    assert avoided[:4] == [set()] * 4 and all(a == {"bad"} for a in avoided[4:])


@pytest.mark.parametrize("wrong", [ModelMissing("no weights here"), FULL])
def test_a_bad_node_is_set_aside_before_it_takes_a_task(wrong: VidragError) -> None:
    aside: list[SetAside] = []
    script = Script(nodes={"bad": 4, "good": 2}, start={"bad": wrong})
    assert errors(work(script, *"abcdef", aside=aside)) == {}
    assert {node for _, node in script.given} == {"good"}
    assert {str(s.place) for s in aside} == {"bad"} and len(aside) == 4
    assert Counter(h.node for h in script.hired) == {"bad": 4, "good": 2}  # no new ones on the bad one


def test_tasks_of_a_bad_node_go_to_another() -> None:
    script = Script(lambda task, node: FULL if node == "bad" else [], {"bad": 3, "good": 1})
    aside: list[SetAside] = []
    assert errors(work(script, *"abcdefgh", aside=aside)) == {}
    assert {str(s.place) for s in aside} == {"bad"}
    tried = Counter((t.location, t.group, node) for t, node in script.given)
    assert set(tried.values()) == {1}  # never twice on one node


def test_no_good_worker_ends_the_run_with_the_cause_and_no_failed_rows() -> None:
    for wrong, code in ((FULL, 1), (ModelMissing("no weights here"), 5)):
        script, done = Script(lambda task, node, w=wrong: w, {"a": 4, "b": 4}), []
        with pytest.raises(type(wrong), match="no good worker is left: .*(no space|no weights)") as raised:
            for one in pool.work(script, Supply(items(*map(str, range(1000)))), 3):
                done.append(one)
        assert raised.value.exit_code == code and script.closed
        assert done == [] and len(script.given) <= 2 * 8
        script = Script(nodes={"a": 4, "b": 4}, start={"a": wrong, "b": wrong})
        with pytest.raises(type(wrong), match="no good worker is left"):
            work(script, "x")
        assert script.given == []


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_video_that_is_too_large_for_the_disk_fails_alone(workers: int) -> None:
    script = Script(lambda task, node: FULL if task.location.name == "large" else [], {"here": workers})
    aside: list[SetAside] = []
    found = work(script, "large", *map(str, range(20)), tries=3, aside=aside)
    assert len(found) == 42 and errors(found) == {"StorageError": 2} and aside == []
    assert all(o.source == "large" for rows in found.values() for o in rows if o.error)


def test_a_video_too_large_for_every_node_is_tried_on_each() -> None:
    script = Script(lambda task, node: FULL if task.location.name == "large" else [], dict.fromkeys("abcde", 1))
    found = work(script, "large", *map(str, range(20)), tries=2)
    assert errors(found) == {"StorageError": 2}
    assert Counter(n for t, n in script.given if on("large")(t)) == dict.fromkeys("abcde", 1)


def test_deaths_count_on_distinct_nodes() -> None:
    """One node that kills its workers costs a video one try: the next is elsewhere."""
    script = Script(lambda task, node: "dies" if node == "bad" else [], {"bad": 1, "good": 1})
    assert errors(work(script, "x")) == {}
    tried = [(n, t.again, t.give_up) for t, n in script.given]
    assert tried.count(("bad", False, False)) == tried.count(("good", True, False)) >= 1
    script = Script(lambda task, node: "dies" if on("x")(task) else [], dict.fromkeys("abcdef", 1))
    assert errors(work(script, "x", *"lmno", tries=3)) == {"WorkerDied": 1}
    tried = [node for t, node in script.given if on("x")(t)]
    assert len(tried) == 4 and len(set(tried)) == 4


def test_on_one_node_each_death_counts() -> None:
    script = Script(lambda task, node: "dies" if on("x")(task) else [], {"here": 3})
    assert errors(work(script, "x", *"lmno", tries=3)) == {"WorkerDied": 1}
    assert len([1 for t, _ in script.given if on("x")(t)]) == 4


def test_the_first_death_for_want_of_memory_is_the_machines() -> None:
    """What the others took may have been too much; a video that really needs too much is given up all the same."""
    once = iter(["out of memory"])
    script = Script(lambda task, node: next(once, []) if on("x")(task) else [], {"here": 3})
    assert errors(work(script, "x", tries=1)) == {}
    script = Script(lambda task, node: "out of memory" if on("x")(task) else [], {"here": 3})
    aside: list[SetAside] = []
    assert errors(work(script, "x", *"lmno", tries=2, aside=aside)) == {"WorkerDied": 1}
    assert len([1 for t, _ in script.given if on("x")(t)]) == 4 and aside == []


def test_a_machine_that_runs_out_of_memory_again_has_fewer_workers() -> None:
    killed: set[str] = set()

    class Small(Script):
        def give(self, worker: Any, task: Task) -> None:
            crowded = len(self.alive) > 2 and task.group is not None and task.location.name not in killed
            if crowded:
                killed.add(task.location.name)
            self.fate = lambda t, n: "out of memory" if crowded else []
            super().give(worker, task)

    script = Small(nodes={"here": 4})
    aside: list[SetAside] = []
    assert errors(work(script, *map(str, range(30)), tries=2, aside=aside)) == {}
    assert len(aside) == 2 and all(isinstance(s.error, OutOfMemory) for s in aside)
    assert len(script.alive) <= 2


def test_what_waits_for_others_is_no_reason_to_wait_for_workers_that_never_come() -> None:
    """More were asked for than the cluster has: those on their way keep nobody from work, nor from the end."""

    class Autoscaling(Script):
        def places(self, pool: str, avoid: Collection[str]) -> int:
            return super().places(pool, avoid) + 64

    script = Autoscaling(nodes={"here": 2})
    assert len(work(script, *map(str, range(50)))) == 100
    assert len(script.hired) == 66


def test_plain_processes_are_as_many_as_fit_in_memory_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = profile.load("embedded").pools
    assert pools["any"].memory_mb > 500
    order: Any = None  # nobody is hired
    for cpus, gib, fit in ((8.0, 64, 8), (8.0, 4, 3), (1.5, 64, 1), (8.0, 0, 1)):
        monkeypatch.setattr(machine, "available", lambda c=cpus, g=gib: machine.Machine(c, g << 30))
        made = Processes(order, pools)
        assert made.places("any", ()) == fit
        assert made.places("any", {here().node}) == 0
        wanted = {"any": pools["any"].model_copy(update={"workers": 6})}
        assert Processes(order, wanted).places("any", ()) == 6  # as the user says


def test_shares_of_a_machine() -> None:
    """By whichever resource is short; one worker at least."""
    one = {"any": PoolOptions(memory_mb=700)}
    assert room(one, "any", {"CPU": 8.0}) == 8
    assert room(one, "any", {"CPU": 8.0, "memory": 2e9}) == 2
    assert room(one, "any", {"CPU": 1.5, "memory": 64e9}) == 1
    assert room(one, "any", {"CPU": 8.0, "memory": 1e8}) == 1
    two = {"a": PoolOptions(gpus=0.5), "b": PoolOptions(gpus=0.5, memory_mb=1000)}
    assert [room(two, p, {"CPU": 8.0, "GPU": 2.0, "memory": 3e9}) for p in two] == [2, 2]


@pytest.mark.parametrize(
    ("sound", "visual", "nodes", "fits"),
    [
        ({"gpus": 0.5}, {"gpus": 1}, [2], True),
        ({"gpus": 0.5}, {"gpus": 1}, [1, 1], True),
        ({"gpus": 0.5}, {"gpus": 1}, [1], False),
        ({"gpus": 0.5}, {"gpus": 0.5}, [1], True),
        ({"gpus": 0.6}, {"gpus": 0.6}, [1], False),
        ({"gpus": 0.5, "workers": 3}, {"gpus": 0.5}, [2], True),
        ({"gpus": 0.5, "workers": 4}, {"gpus": 0.5}, [2], False),
        ({"gpus": 2}, {}, [1, 1], False),
        ({"gpus": 2}, {}, [0, 2], True),
        ({}, {}, [0], True),
        ({"gpus": 0.5}, {}, [], False),
    ],
)
def test_pools_that_would_wait_for_each_other_for_ever(
    sound: dict[str, float], visual: dict[str, float], nodes: list[float], fits: bool
) -> None:
    pools = {"sound": PoolOptions(**sound), "visual": PoolOptions(**visual)}  # type: ignore[arg-type]
    told = lacking(pools, "GPU", nodes)
    assert (not told) == fits and "\n" not in told
    assert fits or ("GPUs" in told and "--set pools.sound.gpus=0" in told)


def test_workers_of_one_pool_may_wait_for_each_other() -> None:
    assert not lacking({"any": PoolOptions(workers=8)}, "CPU", [2])
    assert "pools.a.cpus=0.5" in lacking({"a": PoolOptions(), "b": PoolOptions()}, "CPU", [1])
