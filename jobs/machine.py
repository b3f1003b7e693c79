"""How much of this machine vidrag may use: affinity, and the limits of its control groups with all their ancestors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Machine:
    """``cpus``: fractions come from quotas.  ``memory``: bytes that are free for us; None where that is not known."""

    cpus: float
    memory: int | None


def available(root: Path = _ROOT) -> Machine:
    """What may be used now.  ``root``: the folder that holds ``proc`` and ``sys``."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpus = [float(affinity)]
    for group in _groups(root, "cpu"):
        told = [*_words(group / "cpu.max"), *_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")]
        if len(told) == 2 and all(t.isdecimal() for t in told):  # without a limit it is "max", or -1
            cpus.append(int(told[0]) / int(told[1]))
    memory = [_field(root / "proc/meminfo", "MemAvailable:", 1024)]
    for group in _groups(root, "memory"):
        limits = [w for n in ("max", "high", "limit_in_bytes") for w in _words(group / f"memory.{n}")]
        used = [*_words(group / "memory.current"), *_words(group / "memory.usage_in_bytes")]
        cached = [_field(group / "memory.stat", n) or 0 for n in ("inactive_file", "total_inactive_file")]
        memory += [max(0, int(n) - int(used[0]) + max(cached)) for n in limits if n.isdecimal() and used]
    known = [m for m in memory if m is not None]
    return Machine(min(cpus), min(known, default=None))


def oom_kills(root: Path = _ROOT) -> int:
    """How many processes of our control group (else: of the machine) the kernel has killed for want of memory."""
    counts = [
        _field(group / name, "oom_kill")
        for group in _groups(root, "memory")
        for name in ("memory.events", "memory.oom_control")
    ]
    return next((c for c in reversed(counts) if c is not None), _field(root / "proc/vmstat", "oom_kill") or 0)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups of this process for a controller, of both versions, each after those that it is in.

    Only the mount itself where ours is not below it: in a container that is told its path on the host.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mounts = [root / "sys/fs/cgroup" / m for m in ((controllers, controller) if controllers else ("unified", ""))]
        group = next((m for m in mounts if m.is_dir()), mounts[0])
        for part in path.split("/..")[0].rstrip("/").split("/"):  # what is above the mount cannot be seen
            group = group / part
            if group.is_dir():
                yield group


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _words(path: Path) -> list[str]:
    return _read(path).split()


def _field(path: Path, name: str, unit: int = 1) -> int | None:
    """The number after ``name`` in a file of names and numbers."""
    rows = (line.split() for line in _read(path).splitlines())
    return next((int(r[1]) * unit for r in rows if len(r) > 1 and r[0] == name and r[1].isdecimal()), None)
