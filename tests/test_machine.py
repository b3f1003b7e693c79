"""What this machine lets vidrag use: limits of control groups, laid out as files and, where that may be, real ones."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from media_files import with_tone
from vidrag.jobs import machine
from world import World

GIB = 1 << 30
MEMINFO = f"MemTotal: {64 << 20} kB\nMemFree: 1 kB\nMemAvailable: {32 << 20} kB\n"


def tree(root: Path, cgroup: str, files: Mapping[str, str]) -> Path:
    """A ``proc`` and a ``sys`` with these files below ``sys/fs/cgroup``."""
    told = {"proc/self/cgroup": cgroup, "proc/meminfo": MEMINFO, "proc/vmstat": "nr_free_pages 1\noom_kill 5\n"}
    for name, text in {**told, **{f"sys/fs/cgroup/{n}": t for n, t in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def _sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def test_without_limits_it_is_affinity_and_what_is_free(tmp_path: Path) -> None:
    free = machine.Machine(16.0, 32 * GIB)
    assert machine.available(tree(tmp_path, "", {})) == free
    v2 = {"a/cpu.max": "max 100000\n", "a/memory.max": "max\n", "a/memory.high": "max\n", "a/memory.current": "5\n"}
    assert machine.available(tree(tmp_path / "2", "0::/a\n", v2)) == free
    v1 = {
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": f"{(1 << 63) - 4096}\n",
        "memory/memory.usage_in_bytes": "5\n",
    }
    assert machine.available(tree(tmp_path / "1", "4:memory:/\n3:cpu:/\n", v1)) == free
    assert machine.available(tmp_path / "nowhere") == machine.Machine(16.0, None)


def test_version_2_counts_every_ancestor(tmp_path: Path) -> None:
    """A container's own group may be without limits where the pod's has them."""
    files = {
        "pod/cpu.max": "250000 100000\n",
        "pod/memory.max": f"{8 * GIB}\n",
        "pod/memory.current": f"{5 * GIB}\n",
        "pod/memory.stat": f"anon 1\ninactive_file {1 * GIB}\n",
        "pod/job/cpu.max": "max 100000\n",
        "pod/job/memory.high": f"{6 * GIB}\n",
        "pod/job/memory.max": "max\n",
        "pod/job/memory.current": f"{1 * GIB}\n",
        "pod/job/memory.events": "low 0\noom 3\noom_kill 2\n",
        "other/cpu.max": "1000 100000\n",
    }
    root = tree(tmp_path, "0::/pod/job\n", files)
    assert machine.available(root) == machine.Machine(2.5, 4 * GIB)  # what files hold in memory can be had back
    assert machine.oom_kills(root) == 2


def test_a_container_that_knows_its_path_on_the_host_only(tmp_path: Path) -> None:
    files = {"cpu.max": "50000 100000\n", "memory.max": f"{GIB}\n", "memory.current": f"{2 * GIB}\n"}
    assert machine.available(tree(tmp_path, "0::/kubepods/x/../y\n", files)) == machine.Machine(0.5, 0)


def test_version_1_and_both_at_once(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
        "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        "memory/a/memory.limit_in_bytes": f"{4 * GIB}\n",
        "memory/a/memory.usage_in_bytes": f"{2 * GIB}\n",
        "memory/a/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB}\n",
        "memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n",
        "unified/a/cgroup.procs": "",
    }
    root = tree(tmp_path, "9:name=systemd:/a\n4:memory:/a\n3:cpu,cpuacct:/a\n0::/a\n", files)
    assert machine.available(root) == machine.Machine(3.0, 3 * GIB)
    assert machine.oom_kills(root) == 7


def test_kills_of_the_machine_where_the_group_tells_none(tmp_path: Path) -> None:
    assert machine.oom_kills(tree(tmp_path, "0::/\n", {})) == 5


@contextlib.contextmanager
def group(controller: str, limits: Mapping[str, str]) -> Iterator[Path]:
    """A real control group below ours with these limits, of either version; skips where none may be made."""
    found = list(machine._groups(Path("/"), controller))
    name = f"vidrag-{secrets.token_hex(4)}"
    folder = next((g for f in reversed(found) if (g := f / name) and any((f / n).exists() for n in limits)), None)
    if folder is None:
        pytest.skip(f"no control group for {controller} here")
    try:
        folder.mkdir()
        for file, value in limits.items():
            if (folder / file).exists():
                (folder / file).write_text(value)
    except OSError as e:
        pytest.skip(f"no control group may be made here: {e}")
    try:
        yield folder
    finally:
        folder.rmdir()


def inside(folder: Path, *command: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    """Runs a command in a control group."""
    script = f'echo $$ > "{folder}/cgroup.procs" && exec "$@"'
    return subprocess.run(
        ["sh", "-c", script, "sh", *command], capture_output=True, text=True, timeout=200, check=False, **more
    )  # type: ignore[call-overload, no-any-return]


def test_a_real_limit_of_memory_is_seen() -> None:
    limits = {"memory.max": f"{GIB}", "memory.limit_in_bytes": f"{GIB}"}
    with group("memory", limits) as folder:
        code = "from vidrag.jobs import machine; print(machine.available().memory)"
        told = int(inside(folder, sys.executable, "-c", code).stdout)
    assert GIB // 2 < told < GIB


def test_a_real_quota_of_cpus_is_seen() -> None:
    limits = {"cpu.max": "150000 100000", "cpu.cfs_quota_us": "150000"}
    with group("cpu", limits) as folder:
        code = "from vidrag.jobs import machine; print(machine.available().cpus)"
        cpus = len(os.popen(f"{sys.executable} -c 'import os; print(*os.sched_getaffinity(0))'").read().split())
        assert float(inside(folder, sys.executable, "-c", code).stdout) == min(1.5, cpus)


@pytest.mark.long
def test_a_worker_that_the_kernel_kills_for_want_of_memory(tmp_path: Path) -> None:
    """A video that needs more than there is is given up, after one try more than for other deaths; others go on."""
    world = World.make(tmp_path)
    (tmp_path / "in").mkdir()
    for i in range(2):
        with_tone(tmp_path / "in" / f"short{i}.mp4", 1, f"{64 + 16 * i}x48")
    with_tone(tmp_path / "in" / "greedy.mp4", 2)
    more = ("--set=asr=trouble", "--set=asr.how=memory", "--set=run.attempts=1", "--set=pools.any.memory_mb=300")
    command = world.command("ingest", "archive", "in", "--no-ray", "--json", *more)
    with group("memory", {"memory.max": f"{800 << 20}", "memory.limit_in_bytes": f"{800 << 20}"}) as folder:
        ran = inside(folder, *command, cwd=tmp_path, env=world.env)
    assert ran.returncode == 3, (ran.stdout, ran.stderr)
    (bad,) = json.loads(ran.stdout)["failed"]
    assert (Path(bad["source"]).name, bad["error"]) == ("greedy.mp4", "WorkerDied")
    assert "died 2 times in this step" in bad["message"]
