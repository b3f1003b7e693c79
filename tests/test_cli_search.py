"""``vidrag search`` and ``vidrag index`` as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from vidrag.store.archive import Archive
from world import World, clip

HIT = [
    "rank", "kind", "video", "name", "start", "end", "text", "before", "after", "score", "dense", "lexical", "doubts",
    "frame", "path", "speaker", "thumbnail",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World.make(tmp_path_factory.mktemp("made"))
    clip(world.root / "in" / "red.mp4", 440, "red")
    clip(world.root / "in" / "blue.mp4", 500, "blue")
    ran = world.run("ingest", "archive", "in", "--no-ray")
    assert ran.returncode == 0, ran.stderr
    return world


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """A copy to do things to."""
    shutil.copytree(made.root, tmp_path / "w", copy_function=shutil.copy2)
    return World(tmp_path / "w", made.env)


def told(world: World, *arguments: str, code: int = 0) -> Any:
    ran = world.run(*arguments, "--json")
    assert ran.returncode == code, (ran.stdout, ran.stderr)
    assert ran.stderr == ""
    return json.loads(ran.stdout)


def test_a_search_with_and_without_an_index(world: World) -> None:
    """The same rows; JSON alone on stdout; pictures that are stored, written where they were asked for."""
    exact = told(world, "search", "archive", "beep", "--thumbnails", "pictures")
    assert exact["videos"] == 2 and exact["indexed_rows"] == 0 and exact["notes"] == []
    assert [h["rank"] for h in exact["hits"]] == list(range(1, len(exact["hits"]) + 1))
    for hit in exact["hits"]:
        assert list(hit) == HIT
        picture = world.root / hit["thumbnail"]
        assert picture.read_bytes()[:2] == b"\xff\xd8" and picture.parent.name == "pictures"
    built = told(world, "index", "archive", "--rebuild")
    assert (built["how"], built["videos"], built["damaged"]) == ("built", 2, [])
    indexed = told(world, "search", "archive", "beep", "-s", "search.index_rows=0")
    assert indexed["indexed_rows"] == indexed["rows"] > 0

    def places(found: Any) -> list[tuple[str, str, float]]:
        return [(h["video"], h["kind"], h["start"]) for h in found["hits"]]

    assert places(indexed) == places(exact)
    assert told(world, "index", "archive")["how"] == "unchanged"


def test_only_some_kinds(world: World) -> None:
    for kind in ("speech", "text", "frame"):
        found = told(world, "search", "archive", "beep", "--kind", kind, "--top", "1")
        assert {h["kind"] for h in found["hits"]} <= {kind} and len(found["hits"]) <= 1
        assert found["kinds"] == [kind]
    plain = world.run("search", "archive", "beep", "--kind", "speech")
    assert plain.returncode == 0
    assert "said: beep" in plain.stdout and "open: mpv --start=" in plain.stdout


def test_a_small_archive_needs_no_index(world: World) -> None:
    ran = world.run("index", "archive")
    assert ran.returncode == 0 and "fewer than 20000" in ran.stdout
    assert not (world.root / "archive" / "index").exists()
    assert "index built (version 1)" in world.run("index", "archive", "--rebuild").stdout


def test_a_damaged_index(world: World) -> None:
    """A note and an answer; verify says which file and sets it aside; the next job makes it again."""
    told(world, "index", "archive", "--rebuild")
    (path,) = (world.root / "archive" / "index").glob("catalogue-*")
    path.write_bytes(path.read_bytes()[:-1])
    found = told(world, "search", "archive", "beep", "-s", "search.index_rows=0")
    assert found["hits"] and "damaged" in found["notes"][0]
    ran = world.run("verify", "archive", fake=False)
    assert ran.returncode == 4 and f"damaged: index/{path.name}" in ran.stdout and "'vidrag index'" in ran.stdout
    assert world.run("verify", "archive", fake=False).returncode == 0
    assert told(world, "index", "archive", "--rebuild")["how"] == "built"
    assert told(world, "verify", "archive")["damage"] == []
    told(world, "index", "archive", "--rebuild")
    removed = told(world, "gc", "archive", "--grace", "0s")["removed"]
    assert any(k.startswith("index/") for k in removed)
    assert told(world, "search", "archive", "beep", "-s", "search.index_rows=0")["notes"] == []


def test_a_damaged_video_stays_outside(world: World) -> None:
    """Exit code 4 of the job; a search goes on without it."""
    opened = Archive.open(world.root / "archive")
    video = opened.find("red.mp4")
    for path in (world.root / "archive" / "videos" / video).glob("speech-*"):
        path.write_bytes(b"x")
    ran = world.run("index", "archive", "--rebuild")
    assert ran.returncode == 4 and f"left out, damaged: archive/videos/{video}" in ran.stdout
    found = told(world, "search", "archive", "beep", "--kind", "speech")
    assert {h["name"] for h in found["hits"]} == {"blue.mp4"} and "left out, damaged" in found["notes"][0]


MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "no archive": (["search", "nowhere", "x"], 2, "nowhere: no such archive"),
    "no archive to index": (["index", "nowhere"], 2, "nowhere: no such archive"),
    "empty": (["search", "archive", " \n"], 2, "the text is empty"),
    "only signs": (["search", "archive", "?!"], 2, "the text is empty"),
    "too long": (["search", "archive", "x" * 10_001], 2, "shorten it"),
    "a kind that there is not": (["search", "archive", "x", "--kind", "smell"], 2, "'smell'"),
    "none wanted": (["search", "archive", "x", "--top", "0"], 2, "--top"),
    "pictures to a file": (["search", "archive", "beep", "--thumbnails", "fake.toml"], 2, "is a file"),
    "an unknown option": (["search", "archive", "x", "-s", "search.nope=1"], 2, "unknown option 'nope'"),
    "no videos": (["search", "none", "x"], 2, "no videos yet"),
    "no such profile": (["index", "archive", "--profile", "nope"], 2, "no profile 'nope'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake: str, world: World) -> None:
    """One clear line on stderr, the documented exit code."""
    Archive.create(world.root / "none")
    arguments, code, words = MISTAKES[mistake]
    ran = world.run(*arguments, fake="--profile" not in arguments)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert words in ran.stderr and ran.stderr.count("\n") == 1


def test_any_text(world: World) -> None:
    """Odd text is only text."""
    for text in ("日本語", "' OR 1=1 --", "a\0b"[:1], "%s %d", "\udcff x", "-- beep", "x" * 5000):
        ran = world.run("search", "archive", "--json", "-p", "fake.toml", "--", text, fake=False)
        assert ran.returncode == 0, ran.stderr
        json.loads(ran.stdout)
