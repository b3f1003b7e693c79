"""Who speaks reaches everything that shows or exports what is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from media_files import with_tone
from vidrag.jobs.cli.ask_commands import _print
from vidrag.query.answer.prompts import row
from vidrag.query.types import Answer, Request
from vidrag.store.archive.archive import Archive
from vidrag.store.records import Evidence
from world import World

CUES = """WEBVTT

1
00:00:01.000 --> 00:00:03.000
Anna Smith: The harbour office opens at nine.

2
00:00:04.000 --> 00:00:06.000
Bob Lee: Bring the blue folder.
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World.make(tmp_path_factory.mktemp("speakers"))
    given = Path(__file__).resolve().parents[2] / "shared" / "data" / "field"
    (world.root / "in").mkdir()
    name = "GMT20230202-120000_Recording"
    if given.is_dir():
        for ending in ("mp4", "transcript.vtt"):
            shutil.copyfile(given / f"{name}.{ending}", world.root / "in" / f"{name}.{ending}")
    else:
        with_tone(world.root / "in" / f"{name}.mp4", 8)
        (world.root / "in" / f"{name}.transcript.vtt").write_text(CUES)
    assert world.run("ingest", "archive", "in", "--no-ray").returncode == 0
    return world


def asked(world: World, *arguments: str) -> Any:
    ran = world.run(*arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_archive_holds_them(world: World) -> None:
    (shard,) = Archive.open(world.root / "archive").shards()
    assert [(s.speaker, s.text) for s in shard.speech] == [
        ("Anna Smith", "The harbour office opens at nine."), ("Bob Lee", "Bring the blue folder."),
    ]  # fmt: skip
    assert shard.texts("speech")[1] == ("Bob Lee: Bring the blue folder.", False)


def test_they_are_shown(world: World) -> None:
    assert "00:01-00:03  Anna Smith: The harbour office opens at nine." in asked(
        world, "show", "archive", "GMT20230202-120000_Recording"
    )
    told = json.loads(asked(world, "show", "archive", "GMT20230202-120000_Recording", "--json"))
    assert [r["speaker"] for r in told["transcript"]] == ["Anna Smith", "Bob Lee"]


@pytest.mark.long
def test_they_are_searched_and_found(world: World) -> None:
    """By what they say, and among what one of them says."""
    for more in ((), ("--speaker", "bob")):
        told = json.loads(asked(world, "search", "archive", "blue folder", "--kind", "speech", "--json", *more))
        assert (told["hits"][0]["speaker"], told["hits"][0]["text"]) == ("Bob Lee", "Bring the blue folder.")
    told = json.loads(asked(world, "search", "archive", "blue folder", "--json", "--speaker", "Anna Smith"))
    assert {h["speaker"] for h in told["hits"]} <= {"Anna Smith"}
    assert "said by Bob Lee: Bring the blue folder." in asked(world, "search", "archive", "blue folder")
    assert asked(world, "index", "archive", "--rebuild")
    told = json.loads(
        asked(world, "search", "archive", "blue folder", "-k", "speech", "--json", "--set", "search.index_rows=1")
    )
    assert told["hits"][0]["speaker"] == "Bob Lee" and told["indexed_rows"] >= 2


def test_a_name_alone_finds_what_its_bearer_says(world: World) -> None:
    told = json.loads(asked(world, "search", "archive", "Bob Lee", "--kind", "speech", "--json"))
    assert [(h["speaker"], h["text"]) for h in told["hits"][:1]] == [("Bob Lee", "Bring the blue folder.")]


def test_answers_say_who(world: World) -> None:
    told = json.loads(asked(world, "ask", "archive", "What are people to bring?", "--json"))
    assert {e["text"]: e["speaker"] for e in told["evidence"] if e["kind"] == "speech"} == {
        "The harbour office opens at nine.": "Anna Smith", "Bring the blue folder.": "Bob Lee",
    }  # fmt: skip


def test_printed_answers_say_who(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    archive = Archive.open(world.root / "archive")
    (video,) = archive.ids()
    rows = tuple(
        Evidence(f"E{i}", "speech", video, "a.mp4", s.start, s.end, s.text, 1, i, speaker=s.speaker)
        for i, s in enumerate(archive.shard(video).speech, 1)
    )
    _print(
        Answer(
            question="Who?",
            text="Bob.",
            choice=None,
            abstained=False,
            citations=("E2",),
            evidence=rows,
            request=Request(),
        ),
        archive,
        more=False,
    )
    assert "a.mp4 00:04-00:06  said by Bob Lee: Bring the blue folder.\n" in capsys.readouterr().out


def test_models_are_told_who(world: World) -> None:
    said = Evidence("E1", "speech", "0" * 16, "a.mp4", 1, 2, "Bring it.", 1, 1, speaker='Bob "B" Lee')
    assert row(said) == '[E1] 00:01 said by "Bob \\"B\\" Lee": "Bring it."'


@pytest.mark.long
def test_every_export_carries_them(world: World) -> None:
    asked(world, "export", "archive", "lines", "--format", "jsonl")
    (path,) = (world.root / "lines").iterdir()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["speaker"] for r in rows if r["kind"] == "speech"] == ["Anna Smith", "Bob Lee"]
    asked(world, "export", "archive", "subtitles", "--format", "srt")
    (path,) = (world.root / "subtitles").iterdir()
    assert "\nBob Lee: Bring the blue folder.\n" in path.read_text()
    (world.root / "questions.jsonl").write_text(json.dumps({"id": 1, "question": "What are people to bring?"}) + "\n")
    asked(world, "batch", "archive", "questions.jsonl", "--output", "answers.jsonl")
    (answer,) = map(json.loads, (world.root / "answers.jsonl").read_text().splitlines())
    assert {e["speaker"] for e in answer["evidence"] if e["kind"] == "speech"} == {"Anna Smith", "Bob Lee"}
    assert asked(world, "answers", "archive")
