"""Workers that die, hang or fail, drivers that are killed, runs that meet: what was done stays, the rest goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from media_files import with_tone
from vidrag.store.archive.archive import Archive
from world import World, until

SHORT, LONG = 1.0, 2.0


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short videos, and a long one that engines stumble over."""
    folder = tmp_path_factory.mktemp("clips")
    for i in range(3):
        with_tone(folder / f"short{i}.mp4", SHORT, f"{64 + 16 * i}x48")
    with_tone(folder / "long.mp4", LONG)
    return folder


@pytest.fixture
def world(tmp_path: Path, clips: Path) -> World:
    shutil.copytree(clips, tmp_path / "in")
    for path in (tmp_path / "in").iterdir():  # old enough to be trusted to be unchanged
        os.utime(path, (time.time() - 60, time.time() - 60))
    return World.make(tmp_path)


def ingest(world: World, *more: str, code: int) -> dict[str, Any]:
    ran = world.run("ingest", "archive", "in", "--no-ray", "--json", *more)
    assert ran.returncode == code, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def trouble(how: str, *more: str) -> list[str]:
    return ["--set=asr=trouble", f"--set=asr.how={how}", *(f"--set={m}" for m in more)]


def marks(world: World) -> list[str]:
    return [str(p) for p in (world.root / "archive" / "videos").rglob("*") if p.name.startswith((".tmp-", "try-"))]


def whole(world: World) -> dict[str, set[str]]:
    """The statuses of each video's stages, after everything has been verified."""
    ran = world.run("verify", "archive")
    assert ran.returncode == 0, ran.stdout
    archive = Archive.open(world.root / "archive")
    return {s.name: {c.status for c in s.status().values()} for s in archive.shards()}


@pytest.mark.long
@pytest.mark.parametrize("how", ["kill", "crash"])
def test_a_video_that_kills_its_worker_is_given_up(world: World, how: str) -> None:
    """After the tries it has; the others are done, the next run leaves it alone, and it can be asked for again."""
    told = ingest(world, *trouble(how, "run.attempts=2"), code=3)
    (bad,) = told["failed"]
    assert (Path(bad["source"]).name, bad["stage"], bad["error"]) == ("long.mp4", "speech", "WorkerDied")
    assert "died 2 times" in bad["message"] and "--retry-failed" in bad["message"]
    found = whole(world)
    assert len(found) == 4 and [n for n, s in found.items() if "failed" in s] == ["long.mp4"]
    assert all(".tmp-" in m for m in marks(world))  # what the dead had begun to write: to be collected
    assert world.run("gc", "archive", "--grace", "0s").returncode == 0 and marks(world) == []
    began = time.monotonic()
    again = ingest(world, *trouble(how, "run.attempts=2"), code=3)
    assert [Path(f["source"]).name for f in again["failed"]] == ["long.mp4"]
    assert (again["kept"], again["media_seconds"]) == (3, 0.0)
    assert ingest(world, *trouble("fine", "run.attempts=2"), code=0)["failed"] == []  # other options, other cell
    assert ingest(world, *trouble(how, "run.attempts=2"), "--retry-failed", code=3)["failed"] != []
    assert time.monotonic() - began < 100


@pytest.mark.long
@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_runs_that_are_killed_as_a_whole_cost_no_video_its_tries(kills: int, world: World) -> None:
    """A machine that reboots again and again, mostly while the first videos are in a step: then all are indexed."""
    slow, begun = trouble("fine", "asr.delay_s=2", "run.attempts=2"), set[str]()
    for i in range(kills):
        run = world.start("ingest", "archive", "in", "--no-ray", *slow)
        if i % 5:
            until(lambda: any("try-speech" in m and m not in begun for m in steps(world)), 30)
        time.sleep(0.1 * (i % 7))
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        begun.update(steps(world))
    assert sum("try-speech" in m for m in steps(world)) >= kills * 4 // 5
    told = ingest(world, *slow, code=0)
    assert told["failed"] == [] and told["set_aside"] == []
    assert set(whole(world)) == {"short0.mp4", "short1.mp4", "short2.mp4", "long.mp4"}
    assert not any("try-speech" in m for m in steps(world))  # litter of other runs is gone with success


def steps(world: World) -> list[str]:
    """Marks of steps that were begun and have not ended."""
    return [m for m in marks(world) if "try-" in m]


@pytest.mark.long
def test_a_step_that_hangs_is_stopped_and_told(world: World) -> None:
    told = ingest(world, *trouble("hang", "run.step_timeout_s=3", "run.step_timeout_per_s=0"), code=3)
    (bad,) = told["failed"]
    assert (Path(bad["source"]).name, bad["stage"], bad["error"]) == ("long.mp4", "speech", "StepTimeout")
    assert "no result after 3 s" in bad["message"]
    found = whole(world)
    assert len(found) == 4 and [n for n, s in found.items() if "failed" in s] == ["long.mp4"]
    shard = next(s for s in Archive.open(world.root / "archive").shards() if s.name == "long.mp4")
    assert shard.status()["frames"].status == "ok" and shard.status()["speech"].status == "failed"


@pytest.mark.long
def test_a_failure_is_tried_by_so_many_runs(world: World) -> None:
    """Then it is given up; the count is in the ledger and in the index."""
    for attempt in (1, 2, 3):
        (bad,) = ingest(world, *trouble("raise"), code=3)["failed"]
        report = json.loads(world.run("report", "archive", "--json").stdout)
        assert [f["attempts"] for f in report["failures"]] == [attempt]
        assert ("given up after 3 tries" in bad["message"]) == (attempt == 3)
    (bad,) = ingest(world, *trouble("raise"), code=3)["failed"]
    assert "given up after 3 tries" in bad["message"]
    assert json.loads(world.run("report", "archive", "--json").stdout)["given_up"] == 1
    assert ingest(world, *trouble("raise"), "--retry-failed", code=3)["failed"][0]["message"].count("given up") == 0


def children(pid: int) -> list[int]:
    import psutil

    return [c.pid for c in psutil.Process(pid).children(recursive=True)]


def alive(pids: list[int]) -> list[int]:
    import psutil

    return [p for p in pids if psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE]


def started(world: World, *more: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A run that is in the middle of its videos, and the processes that belong to it."""
    run = world.start("ingest", "archive", "in", "--no-ray", *trouble("fine", "asr.delay_s=1.5"), *more)
    assert run.stdout
    for line in run.stdout:
        if line.startswith("[1/"):
            break
    return run, children(run.pid)


@pytest.mark.long
def test_a_killed_driver_takes_its_workers_along_and_loses_nothing_done(world: World) -> None:
    run, pids = started(world)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    until(lambda: not alive(pids), 15)
    (left,) = json.loads(world.run("runs", "archive", "--json").stdout)
    assert not left["finished"] and left["videos"] >= 1
    done = ingest(world, *trouble("fine", "asr.delay_s=1.5"), code=0)
    assert done["kept"] >= left["videos"]
    assert set(whole(world)) == {"short0.mp4", "short1.mp4", "short2.mp4", "long.mp4"}


@pytest.mark.long
@pytest.mark.parametrize("polite", [signal.SIGTERM, signal.SIGINT])
def test_a_run_stops_cleanly_within_seconds(world: World, polite: int) -> None:
    run, pids = started(world)
    began = time.monotonic()
    os.kill(run.pid, polite)
    _, told = run.communicate(timeout=20)
    assert run.returncode == 130 and "stopped" in told and "Traceback" not in told
    assert time.monotonic() - began < 10
    assert alive(pids) == [] and marks(world) == []
    assert json.loads(world.run("report", "archive", "--json").stdout)["finished"]
    assert ingest(world, *trouble("fine", "asr.delay_s=1.5"), code=0)["failed"] == []
    assert len(whole(world)) == 4


@pytest.mark.long
def test_copies_are_told_as_such_and_made_once(world: World) -> None:
    """In one run; what is of the same size only is a video of its own."""
    data = (world.root / "in" / "short0.mp4").read_bytes()
    for name in ("copy.mp4", "another.mp4"):
        (world.root / "in" / name).write_bytes(data)
    (world.root / "in" / "other.mp4").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (world.root / "in" / "empty.mp4").touch()
    (world.root / "in" / "empty2.mp4").touch()
    ran = world.run("ingest", "archive", "in", "--no-ray")
    lines = [line.split("  ")[0].partition("] ")[2] for line in ran.stdout.splitlines() if line.startswith("[")]
    copies = {line for line in lines if "same content as" in line}
    names = {"short0.mp4", "copy.mp4", "another.mp4"}
    (first,) = names - {line.split(":")[0] for line in copies}
    assert copies == {f"{n}: same content as {first}" for n in names - {first}}
    assert "passed over: 2 empty files" in ran.stdout
    shards = list(Archive.open(world.root / "archive").shards())
    assert len(shards) == 5  # four, and the other of the same size
    assert sorted(len(s.manifest.source.paths) for s in shards) == [1, 1, 1, 1, 3]
    rows = [json.loads(world.run("report", "archive", "--json").stdout)[k] for k in ("videos", "failed", "kept")]
    assert rows == [7, 0, 2]


@pytest.mark.long
def test_two_runs_over_the_same_folder_agree(world: World) -> None:
    runs = [world.start("ingest", "archive", "in", "--no-ray") for _ in range(2)]
    assert [r.communicate(timeout=120)[1] for r in runs] == ["", ""]
    assert [r.returncode for r in runs] == [0, 0]
    assert len(whole(world)) == 4
    archive = Archive.open(world.root / "archive")
    assert all(len({(c.stage) for c in s.manifest.cells}) == len(s.manifest.cells) for s in archive.shards())
