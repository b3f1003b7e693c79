"""Looking after an archive by the command: verify, gc, rm, export, runs, report, a dry run."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from media_files import with_tone
from vidrag.ingest.stages import STAGES
from vidrag.store.archive.archive import Archive
from world import World


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two videos and a file that is none, indexed once."""
    root = tmp_path_factory.mktemp("made")
    world = World.make(root)
    (root / "in").mkdir()
    with_tone(root / "in" / "one.mp4", 1)
    with_tone(root / "in" / "two.mp4", 1.4, "80x48")
    (root / "in" / "junk.mp4").write_text("This is not a video.")
    for path in (root / "in").iterdir():
        os.utime(path, (time.time() - 60, time.time() - 60))
    ran = world.run("ingest", "archive", "in", "--no-ray")
    assert ran.returncode == 3, ran.stderr
    return world


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """A copy to do things to."""
    shutil.copytree(made.root, tmp_path / "w", copy_function=shutil.copy2)
    return World(tmp_path / "w", made.env)


def told(world: World, *arguments: str, code: int = 0) -> Any:
    ran = world.run(*arguments, "--json")
    assert ran.returncode == code, (ran.stdout, ran.stderr)
    return json.loads(ran.stdout)


def files(world: World) -> dict[str, bytes]:
    folder = world.root / "archive"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted((folder / "videos").rglob("*")) if p.is_file()}


def one_file(world: World, pattern: str) -> Path:
    return sorted((world.root / "archive" / "videos").glob(f"*/{pattern}"))[0]


def flip(path: Path, at: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_sound_archive_verifies_and_stays_as_it_is(world: World) -> None:
    before = files(world)
    found = told(world, "verify", "archive")
    assert (found["videos"], found["damage"], found["quarantine"]) == (2, [], "")
    assert found["files"] == 1 + sum(n.endswith((".parquet", ".faiss", ".mjpeg")) for n in before)  # and the catalogue
    assert files(world) == before


@pytest.mark.long
@pytest.mark.parametrize(
    "pattern", ["speech-*.parquet", "speech-*.faiss", "frames-*.parquet", "labels-*.parquet", "chapters-*.parquet"]
)
def test_a_flipped_bit_is_found_set_aside_and_made_again(world: World, pattern: str) -> None:
    path = one_file(world, pattern)
    flip(path)
    key = str(path.relative_to(world.root / "archive"))
    looked = told(world, "verify", "archive", "--read-only", code=4)
    assert [d["key"] for d in looked["damage"]] == [key] and path.exists()
    found = told(world, "verify", "archive", code=4)
    assert [d["key"] for d in found["damage"]] == [key]
    assert not path.exists() and (world.root / "archive" / "quarantine" / key).exists()
    assert told(world, "verify", "archive")["damage"] == []
    told(world, "ingest", "archive", "in", "--no-ray", code=3)
    assert told(world, "verify", "archive")["damage"] == []
    shards = list(Archive.open(world.root / "archive").shards())
    assert all(len(s.status()) == len(STAGES) for s in shards) and all(s.speech for s in shards)


def test_a_damaged_newest_manifest_gives_way_to_the_one_before(world: World) -> None:
    path = sorted((world.root / "archive" / "videos").glob("*/manifest-*"))[-1]
    flip(path, len(path.read_bytes()) // 2)
    found = told(world, "verify", "archive", code=4)
    assert [Path(d["key"]).name for d in found["damage"]] == [path.name]
    assert told(world, "verify", "archive")["damage"] == []
    told(world, "ingest", "archive", "in", "--no-ray", code=3)
    assert all(len(s.status()) == len(STAGES) for s in Archive.open(world.root / "archive").shards())


def test_a_missing_file_is_damage(world: World) -> None:
    path = one_file(world, "frames-*.faiss")
    path.unlink()
    (damage,) = told(world, "verify", "archive", code=4)["damage"]
    assert damage["problem"] == "is missing" and damage["key"].endswith(path.name)


def test_nothing_young_or_needed_is_collected(world: World) -> None:
    before = files(world)
    assert told(world, "gc", "archive")["removed"] == []
    assert files(world) == before


@pytest.mark.long
def test_results_of_earlier_options_are_collected_after_the_grace_period(world: World) -> None:
    told(world, "ingest", "archive", "in", "--no-ray", "--set", "sampling.jpeg_quality=40", code=3)
    now = set(files(world))
    would = told(world, "gc", "archive", "--grace", "0s", "--dry-run")
    assert set(files(world)) == now and any("frames-" in k for k in would["removed"])
    gone = told(world, "gc", "archive", "--grace", "0s")
    left = set(files(world))
    assert {k for k in gone["removed"] if "frames-" in k} == {f"videos/{n[7:]}" for n in now - left if "frames-" in n}
    assert told(world, "verify", "archive")["damage"] == []
    shards = list(Archive.open(world.root / "archive").shards())
    assert all(len(s.manifest.cells) == len(STAGES) for s in shards)
    assert told(world, "gc", "archive", "--grace", "0s")["removed"] == []


@pytest.mark.long
def test_a_reader_keeps_what_it_has_open_through_a_collection(world: World) -> None:
    archive = Archive.open(world.root / "archive")
    held = archive.shard(archive.find("one.mp4"))
    told(world, "ingest", "archive", "in", "--no-ray", "--set", "asr.word=boop", code=3)
    told(world, "gc", "archive", "--grace", "1h")
    assert {s.text for s in held.speech} == {"beep"}
    assert {s.text for s in archive.shard(held.video).speech} == {"boop"}


@pytest.mark.long
def test_a_removed_video_is_gone_and_can_come_back(world: World) -> None:
    assert world.run("rm", "archive", "one.mp4").returncode == 2  # asks first
    ran = world.run("rm", "archive", "one", "--yes")
    assert ran.returncode == 0 and "one.mp4" in ran.stdout
    assert [r["names"] for r in told(world, "ls", "archive")] == [["two.mp4"]]
    assert world.run("show", "archive", "one.mp4").returncode == 2
    assert (world.root / "in" / "one.mp4").exists()
    assert told(world, "ingest", "archive", "in", "--no-ray", code=3)["kept"] == 1
    assert len(told(world, "ls", "archive")) == 2 and world.run("show", "archive", "one.mp4").returncode == 0
    assert told(world, "verify", "archive")["damage"] == []


@pytest.mark.long
def test_an_exported_archive_answers_alike(world: World) -> None:
    ran = world.run("export", "archive", "copy", "--video", "two.mp4")
    assert ran.returncode == 0, ran.stderr
    assert [r["names"] for r in told(world, "ls", "copy")] == [["two.mp4"]]
    assert told(world, "verify", "copy")["damage"] == []
    one, other = (told(world, "show", a, "two.mp4") for a in ("archive", "copy"))
    assert one["chapters"] == other["chapters"] != []
    assert one["transcript"] == other["transcript"] and one["pictures"] == other["pictures"]
    assert world.run("export", "archive", "archive").returncode == 2
    assert world.run("export", "archive", "x", "--format", "pdf").returncode == 2


def test_rows_are_exported_as_lines_and_subtitles(world: World) -> None:
    assert world.run("export", "archive", "rows", "--format", "jsonl").returncode == 0
    rows = [json.loads(x) for x in (world.root / "rows" / "one.jsonl").read_text().splitlines()]
    assert {r["kind"] for r in rows} == {"speech", "frame", "chapter"} and {r["name"] for r in rows} == {"one.mp4"}
    assert world.run("export", "archive", "subs", "--format", "srt").returncode == 0
    text = (world.root / "subs" / "one.srt").read_text()
    assert text.startswith("1\n00:00:00,000 --> 00:00:0") and "beep" in text


@pytest.mark.long
def test_runs_and_reports(world: World) -> None:
    (run,) = told(world, "runs", "archive")
    assert (run["videos"], run["done"], run["failed"], run["finished"]) == (3, 2, 1, True)
    report = told(world, "report", "archive", code=3)
    assert report["causes"] == {"NotAVideo": 1} and report["stages"]["frames"]["ok"] == 2
    assert [Path(s["source"]).name for s in report["slowest"]]
    assert told(world, "report", "archive", run["run"][:15], code=3) == report
    written = (world.root / "archive" / "runs" / f"{run['run']}.txt").read_text()
    assert written == world.run("report", "archive").stdout
    assert world.run("report", "archive", "nope").returncode == 2


@pytest.mark.long
def test_a_dry_run_says_what_is_missing_and_does_nothing(world: World) -> None:
    before = files(world)
    new = told(world, "ingest", "nowhere", "in", "--dry-run")
    assert (new["new"], new["cells"]["frames"], new["unreadable_in_sample"]) == (3, 3, 1)
    assert not (world.root / "nowhere").exists()
    told(world, "ingest", "archive", "in", "--no-ray", code=3)  # a copy has other inodes: looked at once
    for path in (world.root / "in").iterdir():
        os.utime(path, (time.time() - 60, time.time() - 60))
    time.sleep(2.1)
    told(world, "ingest", "archive", "in", "--no-ray", code=3)
    assert told(world, "ingest", "archive", "in", "--dry-run")["up_to_date"] == 3
    other = told(world, "ingest", "archive", "in", "--dry-run", "--set", "asr.word=boop")
    assert {s: other["cells"][s] for s in ("speech", "speech_vectors", "chapters")} == dict.fromkeys(
        ("speech", "speech_vectors", "chapters"), 3
    )
    chapters = told(world, "ingest", "archive", "in", "--dry-run", "--set", "chapters.most=7")
    assert (chapters["cells"]["chapters"], chapters["cells"]["frames"]) == (3, 1)  # the third file is no video
    assert other["partly"] == 2 and other["new"] == 1
    assert {n: d for n, d in files(world).items() if n in before} == before


@pytest.mark.long
def test_distrust_reads_everything_again(world: World) -> None:
    told(world, "ingest", "archive", "in", "--no-ray", code=3)
    again = told(world, "ingest", "archive", "in", "--no-ray", "--rehash", code=3)
    assert again["kept"] == 2 and len(again["failed"]) == 1
