"""Disks that are full or read-only, and workers of Ray: the command against the world."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from media_files import pattern, with_tone
from vidrag.ingest.stages import STAGES
from vidrag.store.archive.archive import Archive

VIDRAG = Path(sys.executable).with_name("vidrag")


def vidrag(env: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [VIDRAG, "--offline", *arguments], env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert "Traceback" not in ran.stdout + ran.stderr
    assert "unexpected" not in ran.stderr
    return ran


def mount(*arguments: str | Path) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", "size=1m", "vidrag-test", folder):
        pytest.skip("a small disk needs root and a working 'mount -t tmpfs'")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.long
def test_a_full_disk_is_named_and_leaves_nothing_half(
    disk: Path, tmp_path: Path, fake_profile: Path, child_env: dict[str, str]
) -> None:
    """A typed error that names the path; after room is made, the same command completes the archive."""
    path = pattern(tmp_path / "a.mp4", 3, "320x180", 5)
    command = ["ingest", disk / "archive", path, "--no-ray", "--profile", fake_profile]
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(1000 << 10))
    full = vidrag(child_env, *command)
    assert full.returncode in (1, 3)
    assert "no space left" in full.stdout + full.stderr
    assert str(disk) in full.stdout + full.stderr
    assert full.stderr.count("\n") <= 1
    assert [p for p in disk.rglob("*") if p.name.startswith(".tmp-")] == []
    ballast.unlink()
    assert vidrag(child_env, *command).returncode == 0
    shards = list(Archive.open(disk / "archive").shards())
    assert [set(s.status()) for s in shards] == [set(STAGES)]
    assert shards[0].frames


@pytest.mark.long
def test_a_full_disk_ends_the_run_and_one_too_small_for_a_video_does_not(
    disk: Path, tmp_path: Path, fake_profile: Path, child_env: dict[str, str]
) -> None:
    """One line instead of a failed row for every video; and where only one is too large the others go on."""
    videos = tmp_path / "in"
    videos.mkdir()
    for i in range(6):
        with_tone(videos / f"small{i}.mp4", 1, f"{64 + 16 * i}x48")
    command = ["ingest", disk / "archive", videos, "--no-ray", "--json", "--profile", fake_profile]
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(1000 << 10))
    full = vidrag(child_env, *command)
    assert (full.returncode, full.stdout, full.stderr.count("\n")) == (1, "", 1), full
    assert "no space left" in full.stderr and str(disk) in full.stderr
    pattern(videos / "large.mp4", 90, "640x360", 5)
    ballast.unlink()
    some = vidrag(child_env, *command, "--workers", "1")
    assert some.returncode == 3, some
    told = json.loads(some.stdout)
    assert [(Path(f["source"]).name, f["error"]) for f in told["failed"]] == [("large.mp4", "StorageError")]
    assert told["set_aside"] == [] and len(list(Archive.open(disk / "archive").shards())) >= 6
    assert [p for p in disk.rglob("*") if p.name.startswith(".tmp-")] == []


@pytest.mark.long
def test_a_read_only_archive_refuses_ingest_and_answers_questions(
    disk: Path, tmp_path: Path, fake_profile: Path, child_env: dict[str, str]
) -> None:
    path = with_tone(tmp_path / "a.mp4", 1)
    command = ["ingest", disk / "archive", path, "--no-ray", "--profile", fake_profile]
    assert vidrag(child_env, *command).returncode == 0
    assert mount("-o", "remount,ro", disk)
    refused = vidrag(child_env, *command)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    assert "read-only" in refused.stderr
    for question in ("What is said?", "Is there a red ball?"):
        asked = vidrag(child_env, "ask", disk / "archive", question, "--json", "--profile", fake_profile)
        assert (asked.returncode, asked.stderr) == (0, "")
        assert json.loads(asked.stdout)["evidence"]


@pytest.mark.long
def test_ray_with_two_workers(tmp_path: Path, fake_profile: Path, child_env: dict[str, str]) -> None:
    """Three files, one of them broken: every video and stage is one row of the ledger."""
    (tmp_path / "in").mkdir()
    with_tone(tmp_path / "in" / "one.mp4", 1)
    pattern(tmp_path / "in" / "two.mp4", 1)
    (tmp_path / "in" / "text.mp4").write_text("This is not a video.")
    command = ["ingest", tmp_path / "archive", tmp_path / "in", "--workers", "2", "--json", "--profile", fake_profile]
    ran = vidrag(child_env, *command)
    assert ran.returncode == 3, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["videos"], [Path(f["source"]).name for f in told["failed"]]) == (3, ["text.mp4"])
    rows = pq.read_table(tmp_path / "archive" / "runs" / f"{told['run']}.parquet").to_pylist()
    assert Counter((Path(r["source"]).name, r["stage"]) for r in rows) == Counter(
        (name, stage) for name in ("one.mp4", "two.mp4", "text.mp4") for stage in STAGES
    )
    status = {(Path(r["source"]).name, r["stage"]): r["status"] for r in rows}
    assert status["one.mp4", "speech"] == "ok"
    assert status["two.mp4", "speech"] == "none"
    assert status["text.mp4", "media"] == "failed"
    assert {r["attempts"] for r in rows} == {1}
    shards = list(Archive.open(tmp_path / "archive").shards())
    assert [set(s.status()) for s in shards] == [set(STAGES)] * 2
    assert list((tmp_path / "archive").rglob(".tmp-*")) == []
