"""Ray actors as workers, on this machine or over a cluster.

Ray runs a task at least once, sometimes twice at a time; publishing is idempotent, so that is harmless.  Actors are not
restarted by Ray: the pool counts deaths itself and hires another, wherever there is room.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...store.errors import EngineMissing, VidragError, one_line
from .. import machine
from ..places import PoolOptions, lacking, room
from .pool import Event
from .scheduler import WorkerId
from .worker import Order, Place, Task, Worker

_OBJECT_STORE = 100 << 20
_AHEAD = 64
"""Workers of a pool that a full cluster is asked for beyond those that fit: one that scales by itself then grows."""


class RayActors:
    """``address`` None starts Ray on this machine with ``cpus`` CPUs (None: all), else it joins a cluster."""

    def __init__(
        self, order: Order, pools: Mapping[str, PoolOptions], address: str | None = None, cpus: int | None = None
    ) -> None:
        self.order = order
        self.pools: Mapping[str, PoolOptions] = dict(
            sorted(pools.items(), key=lambda p: -p[1].gpus)
        )  # whole GPUs first
        joins = bool(address or os.environ.get("RAY_ADDRESS"))
        self._ahead = _AHEAD if joins else 0
        self._ray = connect(address, cpus, sum(int(p.needs("memory")) * max(1, p.workers) for p in pools.values()))
        nodes = [n["Resources"] for n in self._nodes()]
        if why := lacking(pools, "GPU", [float(n.get("GPU", 0)) for n in nodes]):
            raise VidragError(why)
        # to a cluster more CPUs may come
        if not joins and (why := lacking(pools, "CPU", [float(n.get("CPU", 0)) for n in nodes])):
            raise VidragError(why)
        self._waiting: dict[Any, tuple[Any, bool]] = {}  # reference -> actor, and whether it says that it is ready
        self._actors: dict[Any, str] = {}
        self._ready: dict[Any, str] = {}  # those of them that are, by pool
        self._largest = math.inf  # bytes of memory of a node

    def _nodes(self, avoid: Collection[str] = ()) -> list[dict[str, Any]]:
        return [n for n in self._ray.nodes() if n["Alive"] and n["NodeID"] not in avoid]

    def places(self, pool: str, avoid: Collection[str]) -> int:
        options = self.pools[pool]
        nodes = [n["Resources"] for n in self._nodes(avoid)]
        self._largest = max((n.get("memory", 0.0) for n in nodes if n.get("CPU")), default=math.inf)
        able = [n for n in nodes if n.get("CPU", 0) >= options.cpus and n.get("GPU", 0) >= min(options.gpus, 1)]
        if avoid and not able:
            return 0
        if options.workers:
            return options.workers
        there = {r: sum(n.get(r, 0.0) for n in nodes) for r in ("CPU", "GPU", "memory")}
        fit, ready = {p: room(self.pools, p, there) for p in self.pools}, Counter(self._ready.values())
        # not before, or one pool would take the place of another
        full = not able or all(ready[p] >= (self.pools[p].workers or n) for p, n in fit.items())
        wanted = fit[pool] + (self._ahead if full else 0)
        return min(wanted, options.max_workers) if options.max_workers else wanted

    def hire(self, pool: str, avoid: Collection[str]) -> WorkerId:
        options = self.pools[pool]
        # no more memory than the largest node has: it would be waited for in vain
        memory = min(options.needs("memory"), self._largest)
        actor = (
            self._ray.remote(Worker)
            .options(
                num_cpus=options.cpus,
                num_gpus=options.gpus,
                memory=int(memory) or None,
                max_restarts=0,
                max_task_retries=0,
                label_selector={"ray.io/node-id": f"!in({','.join(sorted(avoid))})"} if avoid else None,
            )
            .remote(replace(self.order, groups=options.groups))
        )
        self._actors[actor] = pool
        self._waiting[actor.ready.remote()] = (actor, True)
        return actor  # type: ignore[no-any-return]

    def give(self, worker: WorkerId, task: Task) -> None:
        self._waiting[worker.work.remote(task)] = (worker, False)  # type: ignore[attr-defined]

    def dismiss(self, worker: WorkerId) -> None:
        self._waiting = {ref: told for ref, told in self._waiting.items() if told[0] is not worker}
        self._gone(worker)
        self._ray.kill(worker)

    def wait(self, seconds: float) -> Sequence[Event]:
        if not self._waiting:
            return []
        done, rest = self._ray.wait(list(self._waiting), num_returns=1, timeout=seconds)
        if done and rest:  # all that has come, at once: with many workers each look costs
            done += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        return [self._event(ref) for ref in done]

    def _event(self, ref: Any) -> Event:
        actor, starting = self._waiting.pop(ref)
        errors = self._ray.exceptions
        try:
            reply = self._ray.get(ref)
            if starting:
                self._ready[actor] = self._actors[actor]
            return Event(actor, "ready" if starting else "done", reply)
        except errors.RayTaskError as e:  # the task raised
            cause = e.cause if isinstance(getattr(e, "cause", None), BaseException) else e
            if not starting:
                return Event(actor, "done", cause)
            why, of_memory = one_line(cause, 200), False
            self._ray.kill(actor)  # it lives, but not as a worker: its code cannot be imported there
        except errors.RayError as e:  # the actor died, or its node: the last line says of what
            of_memory = isinstance(e, errors.OutOfMemoryError)
            told = "its node was running low on memory" if of_memory else str(e).strip().rpartition("\n")[2]
            why = one_line(VidragError(told), 200)
        place = self._place(actor) if starting else None
        self._gone(actor)
        return Event(actor, "died", None, why, place, of_memory)

    def _gone(self, actor: Any) -> None:
        self._actors.pop(actor, None)
        self._ready.pop(actor, None)

    def _place(self, actor: Any) -> Place | None:
        """Where an actor is or was; None where it never got to a node, or where this Ray does not tell."""
        with contextlib.suppress(Exception):  # there is no public way to ask without a dashboard
            told = self._ray._private.state.actors(actor._actor_id.hex())["Address"]
            if told["NodeID"].strip("f"):  # it has one
                return Place(told["NodeID"], told["IPAddress"])
        return None

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors.clear()
        self._ready.clear()
        self._waiting.clear()


def connect(address: str | None = None, cpus: int | None = None, memory: int = 0) -> Any:
    """The ``ray`` module, connected; :class:`EngineMissing` where it is not installed.

    Where it is started here it has the CPUs and the memory that this machine may use, and at least what is asked for.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address or os.environ.get("RAY_ADDRESS"):
        _bring_token()  # before Ray reads its settings, which it does once
    try:
        import ray
    except ImportError as e:
        raise EngineMissing("Ray is not installed: pip install 'vidrag[ray]', or use --no-ray") from e
    if ray.is_initialized():
        return ray
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    _answers(address)
    try:
        if address or os.environ.get("RAY_ADDRESS"):
            ray.init(address=address, **quiet)
        else:
            may = machine.available()
            own: dict[str, Any] = {"num_cpus": cpus or max(1, int(may.cpus)), "object_store_memory": _OBJECT_STORE}
            if may.memory is not None:
                own["_memory"] = max(memory, may.memory - _OBJECT_STORE, _OBJECT_STORE)
            ray.init("local", include_dashboard=False, **own, **quiet)
    except Exception as e:  # Ray raises many types when it cannot start
        where = f"at {address}" if address else "on this machine"
        raise VidragError(f"Ray does not start {where} ({one_line(e, 200)}); --no-ray works without it") from e
    return ray


def _answers(address: str | None) -> None:
    """Raises where nobody listens at ``host:port``: Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as e:
        why = f"nobody answers ({e.strerror or e}); is 'ray start --head' running there?"
        raise VidragError(f"Ray does not start at {address}: {why}; --no-ray works without it") from e


def _bring_token() -> None:
    """Joins with this user's token where there is one: a head that finds it asks for it, a client must be told."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if "RAY_AUTH_MODE" not in os.environ and (named or (Path.home() / ".ray" / "auth_token").is_file()):
        os.environ["RAY_AUTH_MODE"] = "token"
