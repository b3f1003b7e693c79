"""Ingest that goes on: what comes is indexed when it is finished; a limit, a hook and metrics beside it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from vidrag.ingest.pipeline import Outcome
from vidrag.ingest.sources import Location
from vidrag.ingest.stages import GROUPS
from vidrag.jobs.runs.metrics import MetricsFile, text
from vidrag.jobs.runs.plan import Item, plan
from vidrag.jobs.runs.run import Progress
from vidrag.jobs.runs.scheduler import Supply
from vidrag.jobs.runs.watch import Watch
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import UsageError
from world import World, clip, until

MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp41"


def put(path: Path, data: bytes = MP4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


class Watched:
    """A watch in a thread: the names of each round, and what it warned of."""

    def __init__(self, folder: Path, **times: float) -> None:
        self.rounds: list[list[str]] = []
        self.warnings: list[str] = []
        self._on = True
        self.watch = Watch([str(folder)], lambda: plan([str(folder)]), self.warnings.append, **times)
        self._thread = Thread(target=self._run)

    def _run(self) -> None:
        for found in self.watch.rounds(lambda: self._on):
            self.rounds.append(sorted(i.location.name for i in found.items))

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False
        self.watch._event.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def see(self, *rounds: list[str]) -> None:
        until(lambda: self.rounds == list(rounds), 30)


def test_what_comes_and_what_changes(tmp_path: Path) -> None:
    """Each once, also in new folders, long before the folders would be looked through; what stays the same never."""
    (tmp_path / "in").mkdir()
    with Watched(tmp_path / "in", poll_s=1000, settle_s=0.2) as seen:
        seen.see([])
        put(tmp_path / "in/a.mp4")
        seen.see([], ["a.mp4"])
        put(tmp_path / "in/new/b.mp4")
        seen.see([], ["a.mp4"], ["b.mp4"])
        put(tmp_path / "in/notes.txt", b"no video")
        put(tmp_path / "in/a.mp4", MP4 + b"more")
        seen.see([], ["a.mp4"], ["b.mp4"], ["a.mp4"])
        (tmp_path / "in/new/b.mp4").unlink()
        time.sleep(1)
        seen.see([], ["a.mp4"], ["b.mp4"], ["a.mp4"])
    assert seen.warnings == []


def test_a_file_that_grows_is_taken_when_it_is_finished(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with Watched(tmp_path / "in", poll_s=1000, settle_s=1.0) as seen:
        seen.see([])
        with (tmp_path / "in/growing.mp4").open("wb") as out:
            for _ in range(20):
                out.write(MP4)
                out.flush()
                time.sleep(0.1)
                assert seen.rounds == [[]]
        seen.see([], ["growing.mp4"])


def test_without_file_events_the_folders_are_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the kernel has no more watches to give."""
    import watchdog.observers

    def start(self: Any) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(watchdog.observers.Observer, "start", start)
    (tmp_path / "in").mkdir()
    with Watched(tmp_path / "in", poll_s=0.2, settle_s=0.1) as seen:
        seen.see([])
        put(tmp_path / "in/a.mp4")
        seen.see([], ["a.mp4"])
    assert seen.warnings == ["no file events (inotify watch limit reached); the folders are looked through every 0 s"]


def test_a_folder_that_is_away_for_a_while(tmp_path: Path) -> None:
    """It is told once, and what has come meanwhile is found; one that never was there is a mistake."""
    (tmp_path / "in").mkdir()
    with Watched(tmp_path / "in", poll_s=0.3, settle_s=0.1) as seen:
        seen.see([])
        put(tmp_path / "in/a.mp4")
        seen.see([], ["a.mp4"])
        (tmp_path / "in").rename(tmp_path / "away")
        until(lambda: seen.warnings)
        time.sleep(1)
        put(tmp_path / "away/b.mp4")
        (tmp_path / "away").rename(tmp_path / "in")
        seen.see([], ["a.mp4"], ["b.mp4"])
    assert len(seen.warnings) == 1 and "in" in seen.warnings[0] and "looking again" in seen.warnings[0]
    with pytest.raises(UsageError, match="nowhere"):
        next(Watch([str(tmp_path / "nowhere")], lambda: plan([str(tmp_path / "nowhere")]), print).rounds())


def test_when_the_time_is_up_nothing_new_is_begun() -> None:
    """What was begun is finished: a hashed file gets its parts."""
    items = [Item(Location(f"/films/{i}.mp4"), 1000) for i in range(5)]
    groups, time_is_up = list(GROUPS), [False]
    supply = Supply(items, lambda: time_is_up[0])
    first = supply.take(groups, lambda _: True)
    assert first is not None and first.task.group is None
    time_is_up[0] = True
    assert supply.take(groups, lambda _: True) is None and supply.not_begun == 4
    supply.hashed(first, None)
    parts = [supply.take(groups, lambda _: True) for _ in range(3)]
    assert [p.task.location.name if p else None for p in parts] == ["0.mp4", "0.mp4", None]
    assert supply.left(groups) == 0


def metric(told: str) -> dict[str, float]:
    """Values of the text format, which must hold: a help and a type before the first value of each name."""
    lines = told.splitlines()
    found = {}
    for line in lines:
        if not line.startswith("#"):
            match = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[a-z_]+"\})? (-?[0-9.e+-]+)', line)
            assert match, line
            assert any(x.startswith(f"# HELP {match[1]} ") for x in lines) and f"# TYPE {match[1]} gauge" in lines
            found[match[1] + (match[2] or "")] = float(match[3])
    return found


def test_metrics(tmp_path: Path) -> None:
    progress = Progress(5, 5000)
    outcome = Outcome("v", "/films/0.mp4", "speech", "f", "ok", rows=7, seconds=1.0, media_seconds=60.0)
    for i, status in enumerate(("ok", "failed", "kept")):
        item = Item(Location(f"/films/{i}.mp4"), 1000)
        progress.part(item, 1.0)
        progress.video(item, [outcome if status == "ok" else Outcome("v", "", "speech", "f", status)])
    found = metric(text(progress, True, 1000.0))
    states = {s: found[f'vidrag_ingest_videos{{state="{s}"}}'] for s in ("indexed", "failed", "up_to_date", "waiting")}
    assert states == {"indexed": 1, "failed": 1, "up_to_date": 1, "waiting": 2}
    assert found['vidrag_ingest_rows{stage="speech"}'] == 7 and found["vidrag_ingest_media_seconds"] == 60
    assert found["vidrag_ingest_running"] == 1 and "vidrag_ingest_eta_seconds" in found
    file = MetricsFile(tmp_path / "vidrag.prom")
    file.update(progress)
    before = (tmp_path / "vidrag.prom").read_text()
    file.update(progress)  # too early for another one
    assert (tmp_path / "vidrag.prom").read_text() == before
    file.update(progress, running=False)
    assert metric((tmp_path / "vidrag.prom").read_text())["vidrag_ingest_running"] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["vidrag.prom"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.make(tmp_path)
    clip(tmp_path / "in/a.mp4", 440, "red")
    return made


def names(world: World) -> Callable[[], list[str]]:
    def now() -> list[str]:
        if not (world.root / "archive/archive.json").exists():
            return []
        return sorted(e.name for e in Archive.open(world.root / "archive").catalogue().entries() if e.state == "ok")

    return now


@pytest.mark.long
def test_the_command_goes_on_until_it_is_stopped(world: World) -> None:
    """A video that comes, one that is replaced; the hook hears of each run, the metrics stand; Ctrl-C ends it."""
    clip(world.root / "later.mp4", 600, "blue")
    hook = "cat >> hook.jsonl && echo >> hook.jsonl"
    process = world.start(
        "ingest", "archive", "in", "--no-ray", "--watch", "--nice", "5", "--hook", hook, "--metrics", "vidrag.prom"
    )
    try:
        found = names(world)
        until(lambda: found() == ["a.mp4"], 100)
        shutil.move(world.root / "later.mp4", world.root / "in/b.mp4")
        until(lambda: found() == ["a.mp4", "b.mp4"], 100)
        until(lambda: len((world.root / "hook.jsonl").read_text().splitlines()) == 2)
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "watching in; stop with Ctrl-C" in err and "Traceback" not in err
    told = [json.loads(line) for line in (world.root / "hook.jsonl").read_text().splitlines()]
    assert [(t["videos"], t["exit_code"], t["archive"]) for t in told] == [(1, 0, "archive")] * 2
    assert out.count("1 of 1 videos indexed") == 2
    metrics = metric((world.root / "vidrag.prom").read_text())
    assert metrics['vidrag_ingest_videos{state="indexed"}'] == 1 and metrics["vidrag_ingest_running"] == 0


@pytest.mark.long
def test_the_command_stops_when_its_time_is_up(world: World) -> None:
    """Nothing is begun; the next run does it.  A hook that fails changes no code."""
    ran = world.run("ingest", "archive", "in", "--no-ray", "--limit-hours", "0", "--hook", "exit 7")
    assert ran.returncode == 0 and "0 of 1 videos indexed" in ran.stdout
    assert "the time is up: 1 video left" in ran.stdout and "the hook ended with code 7: exit 7" in ran.stderr
    ran = world.run("ingest", "archive", "in", "--no-ray", "--limit-hours", "0", "--json")
    assert json.loads(ran.stdout)["not_begun"] == 1
    assert world.run("ingest", "archive", "in", "--no-ray", "--limit-hours", "1").returncode == 0
    assert names(world)() == ["a.mp4"]


@pytest.mark.parametrize("wrong", [["--watch", "--dry-run"], ["--watch", "--files-from", "list"]])
def test_what_excludes_each_other(world: World, wrong: list[str]) -> None:
    ran = world.run("ingest", "archive", "in", *wrong)
    assert ran.returncode == 2 and "--watch excludes" in ran.stderr and not (world.root / "archive").exists()
