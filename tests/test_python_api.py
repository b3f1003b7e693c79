"""``import vidrag``: what Python programs and notebooks use."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
import vidrag
from chapter_tools import FAKE
from index_tools import put
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.schema import SCHEMAS
from vidrag.store.records import PERCEIVED, Segment, clock
from world import World, clip

LIGHT = """
import sys
before = set(sys.modules)
import vidrag
dir(vidrag)
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))
print(sorted(name for name in sys.modules if name.startswith("vidrag.")))
"""
EVIL = '<script>alert(1)</script> & "quotes"'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World.make(tmp_path_factory.mktemp("api"))
    clip(made.root / "in" / "red.mp4", 440, "red")
    clip(made.root / "in" / "blue & co.mp4", 500, "blue")
    return made


@pytest.fixture(scope="module")
def report(world: World) -> vidrag.IngestReport:
    done = list[tuple[str, int, int]]()
    paths = [world.root / "in", world.root / "fake.toml"]
    with pytest.MonkeyPatch.context() as patch:  # workers are child processes that need the fakes too
        patch.setenv("PYTHONPATH", world.env["PYTHONPATH"])
        made = vidrag.ingest(
            world.root / "archive", paths[0], str(paths[1]), workers=1, on_video=lambda *told: done.append(told)
        )
    assert sorted(Path(d[0]).name for d in done) == ["blue & co.mp4", "red.mp4"] and done[-1][1:] == (2, 2)
    return made


@pytest.fixture(scope="module")
def opened(world: World, report: vidrag.IngestReport) -> vidrag.VideoArchive:
    return vidrag.open(world.root / "archive", str(world.root / "fake.toml"))


@pytest.fixture(scope="module")
def talks(world: World) -> vidrag.VideoArchive:
    made = Archive.create(world.root / "talks")
    said = [
        Segment(0, 4, "The museum is in the hall.", language="en", speaker="Anna Smith"),
        Segment(60, 64, "The museum is on the roof.", language="en", speaker="Bob Lee"),
        Segment(90, 94, "Das Museum ist im Keller.", language="de", speaker="Anna Smith"),
    ]
    put(made, "board 2024-03-05.mp4", segments=said, encoder=FAKE)
    put(made, "tour_20240506.mp4", segments=[Segment(30, 34, f"The museum {EVIL}")], encoder=FAKE)
    return vidrag.open(world.root / "talks", str(world.root / "fake.toml"))


def plain(answer: vidrag.Answer) -> dict[str, object]:
    """The answer as JSON has it, without what is never twice the same."""
    told: dict[str, object] = json.loads(json.dumps(answer.as_json()))
    return told | {"timings": {}}


def test_importing_costs_nothing() -> None:
    """No numpy, no pydantic: nothing beyond the standard library, and nothing below ``vidrag``."""
    done = subprocess.run([sys.executable, "-P", "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['vidrag']", "[]"]


def test_names_are_all_there() -> None:
    assert set(vidrag.__all__) <= set(dir(vidrag))
    assert all(getattr(vidrag, name) is not None for name in vidrag.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", vidrag.__version__)
    for name in ("open", "open_async", "VideoArchive", "Answer", "SearchResults", "IngestReport"):
        assert getattr(vidrag, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vidrag.nothing  # type: ignore[attr-defined]


def test_ingest_is_a_function_and_a_package() -> None:
    """In whichever order they are first used."""
    for first in ("import vidrag.ingest.media", "vidrag.ingest", "from vidrag.ingest import media"):
        code = f"import vidrag\n{first}\nfrom vidrag.ingest import media\nimport vidrag.ingest.media as other\n"
        code += "assert vidrag.ingest.media is media is other and callable(vidrag.ingest)\n"
        code += "try:\n vidrag.ingest('a', [])\nexcept vidrag.UsageError as e:\n print(e)"
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "no videos in" in done.stdout, (first, done.stderr)


def test_ingest_reports(report: vidrag.IngestReport, world: World) -> None:
    """The same object as the command's JSON; doing it again does nothing."""
    assert (report.videos, report.kept, report.failed) == (2, 0, []) and report.rows["frames"] >= 2
    assert "2 of 2 videos indexed" in str(report)
    again = world.run("ingest", "archive", "in", "--no-ray", "--json")
    told = json.loads(again.stdout)
    assert told.keys() == report.as_json().keys() and told["kept"] == 2


def test_ingest_tells_of_what_fails(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", world.env["PYTHONPATH"])
    (tmp_path / "bad.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + bytes(100))
    profile = str(world.root / "fake.toml")
    told = vidrag.ingest(tmp_path / "archive", [tmp_path / "bad.mp4", tmp_path / "none.mp4"], profile, workers=1)
    assert told.videos == 1 and told.failed[0]["source"].endswith("bad.mp4")
    assert "failed: " in str(told) and f"not looked at: {tmp_path / 'none.mp4'}" in str(told)
    with pytest.raises(vidrag.UsageError, match="no videos in"):
        vidrag.ingest(tmp_path / "archive", [], profile)


def test_an_answer_is_the_command_line_s(opened: vidrag.VideoArchive, world: World) -> None:
    answer = opened.ask("What does the beep say?")
    ran = world.run("ask", "archive", "What does the beep say?", "--json")
    told = json.loads(ran.stdout)
    assert plain(answer) == told | {"timings": {}}
    assert str(answer) == world.run("ask", "archive", "What does the beep say?").stdout.rstrip("\n")
    assert [r.id for r in answer.cited()] == told["citations"] != []


def test_a_notebook_shows_pictures_and_no_markup_of_videos(
    opened: vidrag.VideoArchive, talks: vidrag.VideoArchive
) -> None:
    answer = opened.ask("What does the sign say?", ["blue & co.mp4"])
    html = answer._repr_html_()
    cited = answer.cited()[0]
    times = f"{clock(cited.start)}–{clock(cited.end)}, {PERCEIVED[cited.kind]}"
    assert f"<b>{cited.id}</b> blue &amp; co.mp4<br>{times}" in html
    assert html.count("data:image/jpeg;base64,") == len(answer.cited()) and len(html) < 40_000
    results = talks.search("museum", videos=["tour_20240506.mp4"])
    assert EVIL in results[0].text
    for shown in (results._repr_html_(), talks.ask("Where is the museum?", ["tour_20240506.mp4"])._repr_html_()):
        assert "<script" not in shown and "&lt;script&gt;" in shown


def test_a_search_has_the_filters_of_the_command(talks: vidrag.VideoArchive, world: World) -> None:
    assert [h.text for h in talks.search("museum", speaker="bob")] == ["The museum is on the roof."]
    assert {h.start for h in talks.search("museum", language="de")} == {90}
    assert {h.start for h in talks.search("museum", start="0:50", end=70)} == {60}
    assert {h.name for h in talks.search("museum", since=date(2024, 4, 1))} == {"tour_20240506.mp4"}
    assert {h.name for h in talks.search("museum", until="2024-04-01")} == {"board 2024-03-05.mp4"}
    assert {h.kind for h in talks.search("museum", kinds=["speech"])} == {"speech"}
    first, second = talks.search("museum", top=1), talks.search("museum", top=1, page=2)
    assert len(first) == len(second) == 1 and first.more and second[0].rank == 2
    ran = json.loads(world.run("search", "talks", "museum", "--json").stdout)
    own = json.loads(json.dumps(talks.search("museum").as_json()))
    assert [{**h, "thumbnail": None} for h in own["hits"]] == ran["hits"] and own["rows"] == ran["rows"]
    printed = world.run("search", "talks", "museum").stdout
    assert str(talks.search("museum")) == printed.rstrip("\n")
    with pytest.raises(vidrag.UsageError, match="YYYY-MM-DD"):
        talks.search("museum", since="yesterday")
    with pytest.raises(vidrag.UsageError, match="1 to 1000"):
        talks.search("museum", top=0)


def test_videos_rows_and_frames(opened: vidrag.VideoArchive, talks: vidrag.VideoArchive) -> None:
    names = [v.name for v in opened.videos()]
    assert names == ["blue & co.mp4", "red.mp4"] and [v.name for v in opened.videos("red")] == ["red.mp4"]
    assert [v.name for v in opened.videos(sort="-name")] == names[::-1] and opened.videos(status="failed") == []
    for kind, schema in ((k, SCHEMAS[k]) for k in ("speech", "text", "labels", "chapters")):
        table = opened.rows("red.mp4", kind)  # type: ignore[arg-type]
        assert table.schema.names == schema.names and len(table) >= 1
    frames = opened.rows("red.mp4", "frames")
    picture = opened.frame("red.mp4", 0.0)
    assert frames["picture"][0].as_py()["crc32"] == zlib.crc32(picture) and picture == opened.frame("red.mp4", "0:00")
    shape = cv2.imdecode(np.frombuffer(opened.frame("red.mp4", 99, width=80), np.uint8), cv2.IMREAD_COLOR).shape
    assert shape == (48, 80, 3)
    assert len(talks.rows("tour_20240506.mp4", "frames")) == 0
    assert talks.rows("tour_20240506.mp4", "text", ["text"]).schema.names == ["text"]
    with pytest.raises(vidrag.UsageError, match="no frames"):
        talks.frame("tour_20240506.mp4", 0)
    with pytest.raises(vidrag.UsageError, match="known are speech"):
        opened.rows("red.mp4", "frame")  # type: ignore[arg-type]
    with pytest.raises(vidrag.UsageError, match="no column 'x'"):
        opened.rows("red.mp4", "text", ["x"])
    with pytest.raises(vidrag.NoSuchVideo):
        opened.rows("green.mp4")


def test_mistakes_are_named(opened: vidrag.VideoArchive, tmp_path: Path) -> None:
    with pytest.raises(vidrag.NotAnArchive):
        vidrag.open(tmp_path)
    with pytest.raises(vidrag.UsageError, match="give a list, for example videos="):
        opened.ask("What?", "red.mp4")
    with pytest.raises(vidrag.VidragError):
        opened.ask("")
    assert "archive" in repr(opened) and "fake" in repr(opened)


def test_asyncio_and_threads(world: World, opened: vidrag.VideoArchive) -> None:
    """Many at a time get what one gets."""
    question = "What does the beep say?"
    alone = plain(opened.ask(question))

    async def many() -> list[vidrag.Answer]:
        archive = await vidrag.open_async(world.root / "archive", str(world.root / "fake.toml"))
        rows, videos, frame, found = await asyncio.gather(
            archive.rows("red.mp4"), archive.videos(), archive.frame("red.mp4", 0), archive.search("beep", top=1)
        )
        assert len(rows) >= 1 and len(videos) == 2 and frame[:2] == b"\xff\xd8" and len(found) == 1
        return await asyncio.gather(*(archive.ask(question) for _ in range(8)))

    answers = asyncio.run(many())
    with ThreadPoolExecutor(8) as pool:
        answers += pool.map(opened.ask, [question] * 8)
    assert all(plain(a) == alone for a in answers)
