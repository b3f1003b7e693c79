"""A removal that was cut short: the video is gone for whoever lists, asks, checks or copies, and nothing fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fault_child import VIDEO
from fault_tools import Fault, Hands, Scene, Trial
from media_files import with_tone
from vidrag.jobs.export import to_archive
from vidrag.store.archive.archive import Archive
from world import World


def test_a_removal_cut_short_hides_the_video(hands: Hands, tmp_path: Path) -> None:
    """Killed before each of its last calls; readers of every kind pass over what is left."""
    trial = Trial(hands, Scene("old", "removed", removes=True), tmp_path)
    left = 0
    for nth in range(trial.calls - 4, trial.calls + 1):
        assert trial.strike(Fault("k", nth))["exit"] == -9
        archive = Archive.open(trial.at)
        if archive.manifest(VIDEO.sha256[:16]) is not None:
            continue
        left += any((trial.at / "videos" / VIDEO.sha256[:16]).glob("*.parquet"))
        assert VIDEO.sha256[:16] not in archive.ids()
        assert [s.name for s in archive.shards()] == ["other.mp4"]
        assert to_archive(archive, archive.ids(), str(tmp_path / f"copy{nth}")) == 1
    assert left  # else this test shows nothing


@pytest.fixture
def world(tmp_path: Path) -> World:
    with_tone(tmp_path / "one.mp4", 1)
    with_tone(tmp_path / "two.mp4", 1, "80x48")
    world = World.make(tmp_path)
    assert world.run("ingest", "archive", "one.mp4", "two.mp4", "--no-ray").returncode == 0
    return world


@pytest.mark.slow
@pytest.mark.parametrize("nth", [4, 12, 14, 16, 18, 20, 22])
def test_the_command_after_a_removal_that_was_killed(nth: int, world: World, library: Path) -> None:
    """By the real command; whatever is left after the kill, the next one completes the removal."""
    (one,) = (s.video for s in Archive.open(world.root / "archive").shards() if s.name == "one.mp4")
    folder = world.root / "archive" / "videos" / one
    fault = {"ROOT": str(world.root / "archive"), "NTH": str(nth), "HOW": "k"}
    env = {"LD_PRELOAD": str(library), **{f"VIDRAG_FAULT_{k}": v for k, v in fault.items()}}
    assert world.run("rm", "archive", one, "--yes", **env).returncode == -9
    listed = json.loads(world.run("ls", "archive", "--json").stdout)
    asked = world.run("ask", "archive", "What is said?", "--json")
    assert asked.returncode == 0, asked.stderr
    assert {e["name"] for e in json.loads(asked.stdout)["evidence"]} <= {n for r in listed for n in r["names"]}
    assert world.run("verify", "archive").returncode == 0
    assert world.run("export", "archive", "copy").returncode == 0
    assert world.run("rm", "archive", one, "--yes").returncode in ((0,) if len(listed) == 2 else (0, 2))
    assert [r["names"] for r in json.loads(world.run("ls", "archive", "--json").stdout)] == [["two.mp4"]]
    assert world.run("gc", "archive", "--grace", "0s").returncode == 0
    assert not folder.exists() or not any(folder.iterdir())
