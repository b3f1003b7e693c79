"""A crew of Ray actors, on this machine or over a cluster.

Ray runs a task at least once, sometimes twice at a time; publishing is idempotent, so that is harmless.  Actors are not
restarted by Ray: the pool counts deaths itself and hires another, wherever there is room.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..store.errors import EngineMissing, VidragError, one_line
from .pool import Event, Hand, PoolOptions, lacking
from .worker import Order, Task, Worker

_OBJECT_STORE = 100 << 20


class RayCrew:
    """``address`` None starts Ray on this machine with ``cpus`` CPUs (None: all), else it joins a cluster."""

    def __init__(
        self, order: Order, pools: Mapping[str, PoolOptions], address: str | None = None, cpus: int | None = None
    ) -> None:
        self.order = order
        self.pools: Mapping[str, PoolOptions] = dict(
            sorted(pools.items(), key=lambda p: -p[1].gpus)
        )  # whole GPUs first
        self._ray = connect(address, cpus)
        nodes = [n["Resources"] for n in self._ray.nodes() if n["Alive"]]
        if why := lacking(pools, "GPU", [float(n.get("GPU", 0)) for n in nodes]):
            raise VidragError(why)
        alone = not (address or os.environ.get("RAY_ADDRESS"))  # to a cluster more CPUs may come
        if alone and (why := lacking(pools, "CPU", [float(n.get("CPU", 0)) for n in nodes])):
            raise VidragError(why)
        self._cpus = cpus
        self._waiting: dict[Any, tuple[Any, bool]] = {}  # reference -> actor, and whether it says that it is ready
        self._actors: dict[Any, None] = {}

    def places(self, pool: str) -> int:
        options = self.pools[pool]
        if options.workers:
            return options.workers
        there = self._ray.cluster_resources()
        limits = []
        for name, each in (("CPU", options.cpus), ("GPU", options.gpus), ("memory", options.memory_mb * 2**20)):
            if each:
                limits.append(there.get(name, 0.0) / each / self._sharing(name))
        return max(1, int(min(limits, default=1)))

    def _sharing(self, resource: str) -> int:
        """How many pools draw on a resource."""
        field = {"CPU": "cpus", "GPU": "gpus", "memory": "memory_mb"}[resource]
        return max(1, sum(bool(getattr(p, field)) for p in self.pools.values()))

    def hire(self, pool: str) -> Hand:
        options = self.pools[pool]
        actor = (
            self._ray.remote(Worker)
            .options(
                num_cpus=options.cpus,
                num_gpus=options.gpus,
                memory=options.memory_mb * 2**20 or None,
                max_restarts=0,
                max_task_retries=0,
            )
            .remote(self.order)
        )
        self._actors[actor] = None
        self._waiting[actor.ready.remote()] = (actor, True)
        return actor  # type: ignore[no-any-return]

    def give(self, hand: Hand, task: Task) -> None:
        self._waiting[hand.ingest.remote(task)] = (hand, False)  # type: ignore[attr-defined]

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
            told = self._ray.get(ref)
            return Event(actor, "ready") if starting else Event(actor, "done", told)
        except errors.RayTaskError as e:  # the task raised
            cause = e.cause if isinstance(getattr(e, "cause", None), BaseException) else e
            if not starting:
                return Event(actor, "done", cause)
            why = one_line(cause, 200)
        except errors.RayError as e:  # the actor died, or its node: the last line says of what
            why = one_line(VidragError(str(e).strip().rpartition("\n")[2]), 200)
        self._actors.pop(actor, None)
        return Event(actor, "died", why=why)

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors.clear()
        self._waiting.clear()


def connect(address: str | None = None, cpus: int | None = None) -> Any:
    """The ``ray`` module, connected; :class:`EngineMissing` where it is not installed."""
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
            count = cpus or len(os.sched_getaffinity(0))
            ray.init("local", num_cpus=count, object_store_memory=_OBJECT_STORE, include_dashboard=False, **quiet)
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
