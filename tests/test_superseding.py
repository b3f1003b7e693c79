"""A file that is replaced or completed under its path is one video again; its older content leaves answers at once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from media_files import with_tone
from vidrag.store.archive import names
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.maintenance import collect, verify
from vidrag.store.errors import NoSuchVideo
from vidrag.store.storage.objects.client import Objects
from world import World, clip

GIVEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "field" / "folder"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.make(tmp_path)


def ingest(world: World, *paths: str, archive: str = "archive") -> dict[str, Any]:
    ran = world.run("ingest", archive, *paths, "--no-ray", "--json")
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def listed(world: World) -> dict[str, list[str]]:
    return {r["id"]: r["names"] for r in json.loads(world.run("ls", "archive", "--json").stdout)}


def old_and_new(world: World) -> tuple[Path, Path]:
    for name, frequency, colour in (("old.mp4", 440, "red"), ("new.mp4", 880, "blue")):
        clip(world.root / "made" / name, frequency, colour)
    (world.root / "in").mkdir()
    return world.root / "made/old.mp4", world.root / "made/new.mp4"


def put(source: Path, target: Path) -> str:
    """Replaces a file as a copy does; its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target.with_name("copying"))
    target.with_name("copying").rename(target)
    return str(target)


@pytest.mark.long
def test_new_content_supersedes_the_old_under_one_path(world: World) -> None:
    """One video of that name, said in a line; ``show``, questions and search use it; gc removes the old, not before."""
    old, new = old_and_new(world)
    path = put(old, world.root / "in/talk.mp4")
    ingest(world, "in")
    (first,) = listed(world)
    assert world.run("index", "archive", "--rebuild").returncode == 0
    put(new, world.root / "in/talk.mp4")
    ran = world.run("ingest", "archive", "in", "--no-ray")
    assert ran.returncode == 0
    told = [line for line in ran.stdout.splitlines() if "replaced" in line]
    assert len(told) == 1 and path in told[0] and first in told[0]
    (second,) = listed(world)
    assert second != first
    assert json.loads(world.run("show", "archive", "talk.mp4", "--json").stdout)["id"] == second
    assert json.loads(world.run("show", "archive", path, "--json").stdout)["id"] == second
    for command in (["ask", "archive", "What is said?"], ["search", "archive", "beep"]):
        found = json.loads(world.run(*command, "--json").stdout)
        assert {e["video"] for e in found.get("evidence") or found["hits"]} == {second}
    archive = Archive.open(world.root / "archive")
    with pytest.raises(NoSuchVideo):
        archive.shard(first)
    files = sorted(p.name for p in (world.root / "archive/videos" / first).glob("*.parquet"))
    assert files and not collect(archive, 3600).keys
    assert all(not c.damage for c in verify(archive, archive.ids()))
    assert sorted(p.name for p in (world.root / "archive/videos" / first).glob("*.parquet")) == files
    gone = collect(archive, 0).keys
    assert {f"videos/{first}/{name}" for name in files} < set(gone)
    assert not list((world.root / "archive/videos" / first).iterdir())
    assert list(listed(world)) == [second] and ingest(world, "in")["kept"] == 1


@pytest.mark.long
def test_a_download_that_goes_on(world: World) -> None:
    """Each run takes what is there by then; only the last content is left."""
    old_and_new(world)
    if GIVEN.is_dir():
        stages = [GIVEN / "lecture_partial.mkv", GIVEN / "lecture_full.mkv"]
    else:
        whole = with_tone(world.root / "whole.mkv", 20)
        stages = [world.root / "part.mkv", whole]
        stages[0].write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for i, stage in enumerate(stages):
        target = put(stage, world.root / "in/lecture.mkv")
        os.chmod(target, 0o644)
        told = ingest(world, "in")
        assert len(told["superseded"]) == i
    assert list(listed(world).values()) == [["lecture.mkv"]]
    assert told["superseded"][0]["path"].endswith("in/lecture.mkv")
    assert told["superseded"][0]["new"] in listed(world)


@pytest.mark.long
def test_content_that_lives_on_elsewhere_stays(world: World) -> None:
    """A copy in another folder, found by this run or an earlier one: only the path moves."""
    old, new = old_and_new(world)
    put(old, world.root / "in/talk.mp4")
    put(old, world.root / "in/kept/copy.mp4")
    ingest(world, "in")
    put(new, world.root / "in/talk.mp4")
    assert ingest(world, "in/talk.mp4")["superseded"] == []
    assert sorted(listed(world).values()) == [["copy.mp4"], ["talk.mp4"]]
    assert {e["name"] for e in asked(world, "copy.mp4")} == {"copy.mp4"}
    put(new, world.root / "in/kept/copy.mp4")
    assert len(ingest(world, "in")["superseded"]) == 1
    assert list(listed(world).values()) == [["copy.mp4", "talk.mp4"]]


def asked(world: World, video: str) -> list[dict[str, Any]]:
    ran = world.run("ask", "archive", "What is said?", "--video", video, "--json")
    found: list[dict[str, Any]] = json.loads(ran.stdout)["evidence"]
    return found


@pytest.mark.long
def test_files_that_change_names_are_not_superseded(world: World) -> None:
    """As logs are turned over: each content is at another path of the same run, nothing is computed again."""
    old, new = old_and_new(world)
    put(old, world.root / "in/cam1.mp4")
    put(new, world.root / "in/cam2.mp4")
    ingest(world, "in")
    before = set(listed(world))
    put(new, world.root / "in/cam1.mp4")
    put(old, world.root / "in/cam2.mp4")
    told = ingest(world, "in")
    assert told["superseded"] == [] and told["kept"] == 2
    found = {r["id"]: r["names"] for r in json.loads(world.run("ls", "archive", "--json").stdout)}
    assert set(found) == before and sorted(map(len, found.values())) == [1, 1]
    one = json.loads(world.run("show", "archive", "cam1.mp4", "--json").stdout)
    assert one["paths"] == [str(world.root / "in/cam1.mp4")]


@pytest.mark.long
def test_one_name_in_two_folders_is_two_videos(world: World) -> None:
    old, new = old_and_new(world)
    put(old, world.root / "in/a/talk.mp4")
    put(new, world.root / "in/b/talk.mp4")
    assert ingest(world, "in")["superseded"] == [] and len(listed(world)) == 2


@pytest.mark.long
def test_a_file_that_cannot_be_read_supersedes_nothing(world: World) -> None:
    old, _ = old_and_new(world)
    put(old, world.root / "in/talk.mp4")
    ingest(world, "in")
    (world.root / "in/talk.mp4").write_bytes(b"no video")
    assert world.run("ingest", "archive", "in", "--no-ray").returncode == 3
    assert list(listed(world).values()) == [["talk.mp4"]] and asked(world, "talk.mp4")


@pytest.mark.long
def test_content_that_comes_back_is_indexed_again(world: World) -> None:
    old, new = old_and_new(world)
    seen = []
    for source in (old, new, old):
        put(source, world.root / "in/talk.mp4")
        ingest(world, "in")
        seen.append(next(iter(listed(world))))
        assert list(listed(world).values()) == [["talk.mp4"]] and asked(world, "talk.mp4")
    assert seen[0] == seen[2] != seen[1]


@pytest.mark.long
def test_a_run_that_is_killed_before_it_says_so_is_made_up_for(world: World) -> None:
    """Killed right after the new content was published: the next run takes the old one out."""
    world.env["VIDRAG_CACHE"] = str(world.root / "cache")
    old, new = old_and_new(world)
    put(old, world.root / "in/talk.mp4")
    ingest(world, "in")
    put(new, world.root / "in/talk.mp4")
    shutil.copytree(world.root / "archive", world.root / "before")
    shutil.copytree(world.root / "cache", world.root / "cache before")
    ingest(world, "in")
    (now,) = listed(world)
    shutil.copytree(world.root / "archive/videos" / now, world.root / "before/videos" / now)
    (world.root / f"before/catalogue/{now}-000001").touch()  # put before the version is published
    shutil.rmtree(world.root / "archive")
    (world.root / "before").rename(world.root / "archive")
    shutil.rmtree(world.root / "cache")
    (world.root / "cache before").rename(world.root / "cache")
    assert len(listed(world)) == 2
    assert [s["new"] for s in ingest(world, "in")["superseded"]] == [now]
    assert list(listed(world)) == [now]


@pytest.mark.long
def test_content_at_a_path_that_is_out_of_reach_stays(world: World, tmp_path: Path) -> None:
    """Of another machine, or on a disk that is not there just now: nobody can tell that it has gone."""
    old, new = old_and_new(world)
    put(old, tmp_path / "stick/films/talk.mp4")
    put(old, tmp_path / "in/talk.mp4")
    ingest(world, "in", "stick")
    (tmp_path / "stick").rename(tmp_path / "unplugged")
    put(new, tmp_path / "in/talk.mp4")
    assert ingest(world, "in")["superseded"] == [] and len(listed(world)) == 2


@pytest.mark.long
def test_an_object_that_is_replaced(bucket: str, world: World) -> None:
    old, new = old_and_new(world)
    objects = Objects("s3", bucket[5:])
    for i, source in enumerate((old, new)):
        objects.put("in/talk.mp4", source.read_bytes())
        told = ingest(world, f"{bucket}/in", archive=f"{bucket}/archive")
        assert len(told["superseded"]) == i
    rows = json.loads(world.run("ls", f"{bucket}/archive", "--json").stdout)
    assert [r["names"] for r in rows] == [["talk.mp4"]]


@pytest.mark.long
def test_an_archive_of_an_early_version(world: World) -> None:
    """It knows names of files, not their paths."""
    old, new = old_and_new(world)
    put(old, world.root / "in/talk.mp4")
    ingest(world, "in")
    shutil.rmtree(world.root / "archive/names")
    archive = Archive.open(world.root / "archive")
    names.add(archive.backend, archive.ids()[0], ["talk.mp4"])
    put(new, world.root / "in/talk.mp4")
    assert len(ingest(world, "in")["superseded"]) == 1
