"""Kinds of workers, and how many of each there is room for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from ..store.options import Options
from .machine import Machine

Resource = Literal["CPU", "GPU", "memory"]
_UNIT: Mapping[Resource, tuple[str, int]] = {"CPU": ("cpus", 1), "GPU": ("gpus", 1), "memory": ("memory_mb", 1 << 20)}


class PoolOptions(Options):
    """Workers of one kind.  ``groups``: what they take (``visual``, ``sound``).  ``workers``: how many; 0 for as many
    as ``cpus``, ``gpus`` and ``memory_mb`` allow, which each of them is given (fractions of a GPU are fine; 0: is not
    bounded by it).  ``max_workers``: how many at most on a cluster, which is asked for as many as there is work, so
    that one that scales by itself grows; 0 for as many as it gives.
    """

    groups: tuple[Literal["visual", "sound"], ...] = ("visual", "sound")
    workers: int = Field(0, ge=0, le=100_000)
    max_workers: int = Field(0, ge=0, le=100_000)
    cpus: float = Field(1.0, ge=0, le=1024)
    gpus: float = Field(0.0, ge=0, le=64)
    memory_mb: int = Field(0, ge=0)

    def needs(self, resource: Resource) -> float:
        """What one worker is given of a resource; memory in bytes."""
        field, unit = _UNIT[resource]
        return float(getattr(self, field)) * unit


def room(pools: Mapping[str, PoolOptions], pool: str, there: Mapping[str, float]) -> int:
    """How many workers of ``pool`` fit where so much of each resource is there, in equal shares with other pools.

    One at least: what is too small for one by the numbers may still do.  A resource that is not told is no limit.
    """
    options = pools[pool]
    limits = [
        there[r] / options.needs(r) / sum(p.needs(r) > 0 for p in pools.values())
        for r in _UNIT
        if r in there and options.needs(r)
    ]
    return max(1, int(min(limits, default=1)))


def local_room(pools: Mapping[str, PoolOptions], pool: str, machine: Machine, gpus: int) -> int:
    """How many workers of ``pool`` this machine takes, or as many as it says.  GPUs count where there are any."""
    there: dict[str, float] = {"CPU": machine.cpus}
    if machine.memory is not None:
        there["memory"] = float(machine.memory)
    if gpus:
        there["GPU"] = float(gpus)
    return pools[pool].workers or room(pools, pool, there)


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
