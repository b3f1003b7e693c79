"""``vidrag search`` and ``vidrag index`` as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import vidrag
from chapter_tools import FAKE
from index_tools import put
from vidrag.store.archive.archive import Archive
from vidrag.store.records import Segment
from world import World, clip

HIT = [
    "rank", "kind", "video", "row", "name", "start", "end", "text", "before", "after", "score", "near", "doubts",
    "frame", "path", "speaker", "thumbnail",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World.make(tmp_path_factory.mktemp("made"))
    clip(world.root / "in" / "red.mp4", 440, "red")
    clip(world.root / "in" / "blue.mp4", 500, "blue")
    ran = world.run("ingest", "archive", "in", "--no-ray")
    assert ran.returncode == 0, ran.stderr
    talks = Archive.create(world.root / "talks")
    for name, said in TALKS.items():
        put(talks, name, segments=said, encoder=FAKE)
    return world


TALKS = {
    "board 2024-03-05.mp4": [
        Segment(0, 4, "The museum is in the hall.", language="en", speaker="Anna Smith"),
        Segment(60, 64, "The museum is on the roof.", language="en", speaker="Bob Lee"),
        Segment(4000, 4004, "Das Museum ist im Keller.", language="de", speaker="Anna Smith"),
    ],
    "tour_20240506.mp4": [Segment(30, 34, "The museum is by the door.", language="en")],
    "no day.mp4": [Segment(0, 4, "The museum is under the stairs.", language="en")],
}


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


@pytest.mark.long
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


@pytest.mark.long
def test_frames_like_a_picture(world: World) -> None:
    """A frame that the archive stores is most like itself; a program finds the same."""
    seen = told(world, "search", "archive", "beep", "--kind", "frame", "--thumbnails", "pictures")["hits"]
    stored = seen or told(world, "search", "archive", "beep", "--thumbnails", "pictures")["hits"]
    picture = stored[0]["thumbnail"]
    found = told(world, "search", "archive", "--image", picture)
    assert found["query"] == picture and found["kinds"] == ["frame"]
    assert found["hits"][0]["score"] == pytest.approx(1, abs=0.01) and {h["kind"] for h in found["hits"]} == {"frame"}
    opened = vidrag.open(world.root / "archive", str(world.root / "fake.toml"))
    assert [f.row for f in opened.search(image=world.root / picture)] == [h["row"] for h in found["hits"]]
    for more in ({"text": "x"}, {"kinds": ["speech"]}, {"language": "en"}):
        with pytest.raises(vidrag.UsageError, match="image"):
            opened.search(image="y", **more)  # type: ignore[arg-type]


@pytest.mark.long
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


@pytest.mark.long
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


HALL, ROOF, CELLAR = (s.text for s in TALKS["board 2024-03-05.mp4"])
DOOR, STAIRS = (TALKS[name][0].text for name in ("tour_20240506.mp4", "no day.mp4"))
FILTERS: dict[str, tuple[list[str], set[str]]] = {
    "none": ([], {HALL, ROOF, CELLAR, DOOR, STAIRS}),
    "one video": (["--video", "no day.mp4"], {STAIRS}),
    "two videos": (["-V", "no day.mp4", "-V", "tour_20240506.mp4"], {STAIRS, DOOR}),
    "from": (["--from", "1:01"], {ROOF, CELLAR}),
    "from an hour on": (["--from", "1:02:30"], {CELLAR}),
    "to": (["--to", "30"], {HALL, STAIRS}),
    "from and to": (["--from", "20", "--to", "40.5"], {DOOR}),
    "a language": (["--language", "de"], {CELLAR}),
    "a language in capitals": (["--language", "EN"], {HALL, ROOF, DOOR, STAIRS}),
    "a speaker": (["--speaker", "Anna Smith"], {HALL, CELLAR}),
    "a part of a name": (["--speaker", "lee"], {ROOF}),
    "a speaker in a language": (["--speaker", "Anna", "--language", "en"], {HALL}),
    "since a day": (["--since", "2024-03-06"], {DOOR}),
    "since the day": (["--since", "2024-05-06"], {DOOR}),
    "until a day": (["--until", "2024-03-05"], {HALL, ROOF, CELLAR}),
    "between two days": (["--since", "2024-03-01", "--until", "2024-12-31"], {HALL, ROOF, CELLAR, DOOR}),
}


@pytest.mark.parametrize("chosen", FILTERS)
def test_a_search_is_narrowed(chosen: str, made: World) -> None:
    """The day of recording is in the names; a video without one is left out where a day is asked for."""
    arguments, wanted = FILTERS[chosen]
    found = told(made, "search", "talks", "museum", "--kind", "speech", *arguments)
    assert {h["text"] for h in found["hits"]} == wanted


@pytest.mark.long
def test_pages(made: World) -> None:
    """Each goes on where the one before ended, and says whether there is another."""
    pages = [told(made, "search", "talks", "museum", "-k", "speech", "--top", "2", "--page", str(n)) for n in (1, 2, 3)]
    assert [[h["rank"] for h in p["hits"]] for p in pages] == [[1, 2], [3, 4], [5]]
    assert [(p["page"], p["more"]) for p in pages] == [(1, True), (2, True), (3, False)]
    assert len({h["text"] for p in pages for h in p["hits"]}) == 5
    first = made.run("search", "talks", "museum", "-k", "speech", "--top", "2").stdout
    assert first.splitlines()[-1] == "more: --page 2"
    last = made.run("search", "talks", "museum", "-k", "speech", "--top", "2", "--page", "4")
    assert (last.returncode, last.stdout) == (0, "page 4: nothing more matches\n")


def test_nothing_matches(made: World) -> None:
    """No row is listed only because it is the nearest."""
    assert told(made, "search", "talks", "zebra crossing")["hits"] == []
    ran = made.run("search", "talks", "zebra crossing")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "nothing matches\n", "")


MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "no archive": (["search", "nowhere", "x"], 2, "nowhere: no such archive"),
    "no archive to index": (["index", "nowhere"], 2, "nowhere: no such archive"),
    "empty": (["search", "archive", " \n"], 2, "the text is empty"),
    "nothing": (["search", "archive"], 2, "give a text to look for, or a picture"),
    "text and picture": (["search", "archive", "x", "--image", "fake.toml"], 2, "not both"),
    "no such picture": (["search", "archive", "--image", "gone.png"], 2, "gone.png: no such file"),
    "no picture": (["search", "archive", "--image", "fake.toml"], 2, "not a picture that can be read"),
    "speech like a picture": (["search", "archive", "--image", "x", "-k", "speech"], 2, "leave out other kinds"),
    "a picture's language": (["search", "archive", "--image", "x", "--language", "en"], 2, "leave out other kinds"),
    "only signs": (["search", "archive", "?!"], 2, "the text is empty"),
    "too long": (["search", "archive", "x" * 10_001], 2, "shorten it"),
    "a kind that there is not": (["search", "archive", "x", "--kind", "smell"], 2, "'smell'"),
    "none wanted": (["search", "archive", "x", "--top", "0"], 2, "--top"),
    "pictures to a file": (["search", "archive", "beep", "--thumbnails", "fake.toml"], 2, "is a file"),
    "an unknown option": (["search", "archive", "x", "-s", "search.nope=1"], 2, "unknown option 'nope'"),
    "no videos": (["search", "none", "x"], 2, "no videos yet"),
    "page none": (["search", "archive", "x", "--page", "0"], 2, "--page 0"),
    "times reversed": (["search", "talks", "x", "--from", "90", "--to", "1:00"], 2, "the end is not after the start"),
    "no time": (["search", "talks", "x", "--from", "soon"], 2, "--from soon: give seconds or a clock time"),
    "no clock time": (["search", "talks", "x", "--from", "9:99"], 2, "--from 9:99: give seconds or a clock time"),
    "no hour": (["search", "talks", "x", "--to", "1:70:00"], 2, "--to 1:70:00: give seconds or a clock time"),
    "a time below zero": (["search", "talks", "x", "--to=-5"], 2, "--to -5: give seconds or a clock time"),
    "beyond the end": (["search", "talks", "x", "--from", "3:00:00"], 2, "lies beyond the end"),
    "an unknown speaker": (["search", "talks", "x", "--speaker", "Eve"], 2, "'Eve'; known are Anna Smith, Bob Lee"),
    "an unknown language": (["search", "talks", "x", "--language", "fr"], 2, "'fr'; known are de, en"),
    "nothing of these days": (
        ["search", "talks", "x", "--since", "2030-01-01"],
        2,
        "no video was recorded on these days; they are from 2024-03-05 to 2024-05-06",
    ),
    "no day is known": (["search", "archive", "x", "--until", "2030-01-01"], 2, "no day of recording is known"),
    "a day that is none": (["search", "talks", "x", "--since", "yesterday"], 2, "--since yesterday: give a day as"),
    "a day that there is not": (["search", "talks", "x", "--until", "2024-02-30"], 2, "give a day as YYYY-MM-DD"),
    "days reversed": (
        ["search", "talks", "x", "--since", "2024-05-01", "--until", "2024-04-30"],
        2,
        "the last day is before the first",
    ),
    "no such video": (["search", "talks", "x", "--video", "nope"], 2, "no video 'nope'"),
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


@pytest.mark.long
def test_any_text(world: World) -> None:
    """Odd text is only text."""
    for text in ("日本語", "' OR 1=1 --", "a\0b"[:1], "%s %d", "\udcff x", "-- beep", "x" * 5000):
        ran = world.run("search", "archive", "--json", "-p", "fake.toml", "--", text, fake=False)
        assert ran.returncode == 0, ran.stderr
        json.loads(ran.stdout)
