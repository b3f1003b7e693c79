"""Ingest over a Ray cluster of two nodes on this machine: workers, nodes, drivers die; each video is indexed once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from media_files import with_tone
from ray_nodes import Nodes
from vidrag.store.archive.archive import Archive
from world import World, until

pytestmark = pytest.mark.long

CLIPS = 8
SLOW = ("--set=asr=trouble", "--set=asr.delay_s=1.5")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips") / "in"
    folder.mkdir()
    for i in range(CLIPS):
        with_tone(folder / f"clip{i}.mp4", 1, f"{64 + 16 * i}x48")
    return folder


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    env = World.make(tmp_path_factory.mktemp("env")).env
    with Nodes({**env, "RAY_memory_usage_threshold": "0.98"}) as cluster:
        for count in (1, 2):  # one after the other: side by side they may take the same ports
            cluster.add()
            cluster.wait_for(count)
        yield cluster


@pytest.fixture
def world(tmp_path: Path, clips: Path, nodes: Nodes) -> World:
    (tmp_path / "in").symlink_to(clips)
    made = World.make(tmp_path)
    made.env |= nodes.token  # the mode follows from it
    return made


def begun(world: World, nodes: Nodes, *more: str) -> subprocess.Popen[str]:
    """A run that has done its first video."""
    run = world.start("ingest", "archive", "in", "--ray", nodes.address, *SLOW, *more)
    assert run.stdout
    for line in run.stdout:
        if line.startswith("[1/"):
            return run
    raise AssertionError(run.communicate()[1])


def complete(world: World, run: subprocess.Popen[str]) -> dict[str, Any]:
    """Waits for the end; every video is indexed, once, and every byte is right."""
    out, err = run.communicate(timeout=240)
    assert run.returncode == 0, (out, err)
    assert world.run("verify", "archive").returncode == 0
    shards = list(Archive.open(world.root / "archive").shards())
    assert len(shards) == CLIPS
    assert all({c.status for c in s.status().values()} <= {"ok", "none"} for s in shards)
    assert all(len({c.stage for c in s.manifest.cells}) == len(s.manifest.cells) for s in shards)
    told: dict[str, Any] = json.loads(world.run("report", "archive", "--json").stdout)
    return told


def test_two_nodes_share_the_work_and_a_killed_worker_is_replaced(world: World, nodes: Nodes) -> None:
    run = begun(world, nodes)
    until(lambda: len(nodes.workers()) >= 2)
    os.kill(nodes.workers()[0], signal.SIGKILL)
    told = complete(world, run)
    assert told["failed"] == 0 and told["videos"] == CLIPS
    again = world.run("ingest", "archive", "in", "--ray", nodes.address, *SLOW, "--json")
    assert json.loads(again.stdout)["kept"] == CLIPS


def test_a_killed_driver_leaves_what_was_done(world: World, nodes: Nodes) -> None:
    run = begun(world, nodes)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    until(lambda: not nodes.workers())
    (left,) = json.loads(world.run("runs", "archive", "--json").stdout)
    assert not left["finished"] and 1 <= left["videos"] < CLIPS
    began = time.time()
    told = complete(world, world.start("ingest", "archive", "in", "--ray", nodes.address, *SLOW))
    assert told["kept"] >= left["videos"], time.time() - began


def test_a_lost_node_costs_what_was_in_flight(world: World, nodes: Nodes) -> None:
    """The rest goes on elsewhere, and a node that joins later is used."""
    run = begun(world, nodes)
    nodes.kill(nodes.nodes[0])
    nodes.add()
    told = complete(world, run)
    assert told["failed"] == 0


def pools(world: World, sound: str, visual: str) -> None:
    """Adds pools to the profile of fakes."""
    with (world.root / "fake.toml").open("a") as f:
        f.write(f'[pools.sound]\ngroups = ["sound"]\n{sound}\n[pools.visual]\ngroups = ["visual"]\n{visual}\n')


def test_gpus_that_the_cluster_does_not_have_are_one_line(world: World, nodes: Nodes) -> None:
    pools(world, "gpus = 0.5", "gpus = 1")
    ran = world.run("ingest", "archive", "in", "--ray", nodes.address)
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 1 and "want more GPUs than there are: sound 1 x 0.5, visual 1 x 1; there are 0" in line
    assert "--set pools.sound.gpus=0 --set pools.visual.gpus=0" in line


def test_workers_are_placed_by_shares_of_gpus(world: World, nodes: Nodes) -> None:
    """Two GPUs, though there are none: two workers for sound share one, one for pictures has the other."""
    pools(world, "gpus = 0.5", "gpus = 1")
    node = nodes.add(cpus=3, gpus=2)
    try:
        nodes.wait_for(3 + len(nodes.nodes) - 1)
        run = begun(world, nodes, "--set=asr.how=gpu")
        until(lambda: len(nodes.workers()) >= 3)
        complete(world, run)
    finally:
        nodes.kill(node)
    archive = Archive.open(world.root / "archive")
    heard = {s.speech[0].text for s in archive.shards()}
    assert len(heard) == 1 and heard <= {"gpu 0", "gpu 1"}  # the halves are of one GPU, the other was taken


@pytest.mark.slow
def test_a_worker_that_takes_too_much_memory_is_ended_by_ray(tmp_path: Path, clips: Path) -> None:
    """Its video is given up after the tries it has, the others are indexed, the machine is spared."""
    world = World.make(tmp_path)
    (tmp_path / "in").mkdir()
    for clip in sorted(clips.iterdir())[:3]:
        (tmp_path / "in" / clip.name).symlink_to(clip)
    with_tone(tmp_path / "in" / "greedy.mp4", 2)
    memory = psutil.virtual_memory()
    limit = (memory.total - memory.available + (3 << 30)) / memory.total
    watched = {"RAY_memory_usage_threshold": f"{limit:.3f}", "RAY_memory_monitor_refresh_ms": "100"}
    with Nodes({**world.env, **watched}) as cluster:
        for count in (1, 2):
            cluster.add()
            cluster.wait_for(count)
        world.env |= cluster.token
        more = ("--set=asr=trouble", "--set=asr.how=memory", "--set=run.attempts=2", "--json")
        ran = world.run("ingest", "archive", "in", "--ray", cluster.address, *more, timeout=280)
    assert ran.returncode == 3, ran.stderr
    (bad,) = json.loads(ran.stdout)["failed"]
    # told by the step where its worker got as far as to begin it, else by the run that saw the workers die
    assert (Path(bad["source"]).name, bad["error"]) == ("greedy.mp4", "WorkerDied") and "died" in bad["message"]
    assert world.run("verify", "archive").returncode == 0
    assert len(list(Archive.open(tmp_path / "archive").shards())) == 4


def test_no_such_cluster_is_one_line(world: World) -> None:
    ran = world.run("ingest", "archive", "in", "--ray", "127.0.0.1:1")
    assert ran.returncode == 1 and "Ray does not start at 127.0.0.1:1" in ran.stderr
