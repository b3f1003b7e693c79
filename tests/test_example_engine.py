"""The example package: installed by pip, used in an ingest by another process, like anybody's engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from world import World, clip

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "asr-sidecar"
SAID = [
    {"start": 0.1, "end": 0.5, "text": "The ferry leaves at noon."},
    {"start": 0.6, "end": 0.9, "text": "Bring a hat."},
]
USE = ("--set=asr=sidecar", "--set=asr.folder=transcripts")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    if not find_spec("setuptools"):
        pytest.skip("setuptools, which builds the example, is not installed")
    made = World.make(tmp_path_factory.mktemp("world"))
    target = made.root / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps"]
    ran = subprocess.run(
        [*pip, "--no-build-isolation", "--no-index", "--target", str(target), str(copied(made.root))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    made.env["PYTHONPATH"] = os.pathsep.join([str(target), made.env["PYTHONPATH"]])
    clip(made.root / "in" / "red.mp4", 440, "red")
    (made.root / "said.json").write_text(json.dumps({"language": "en", "segments": SAID}))
    return made


def copied(root: Path) -> Path:
    """The package without what an earlier build may have left beside it."""
    to = root / "example"
    to.mkdir()
    for name in ("pyproject.toml", "vidrag_sidecar.py", "README.md"):
        (to / name).write_bytes((EXAMPLE / name).read_bytes())
    return to


def prepared(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidrag_sidecar", *arguments]
    return subprocess.run(command, cwd=world.root, env=world.env, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_its_transcripts_become_speech(world: World) -> None:
    ran = prepared(world, "in/red.mp4", "said.json", "transcripts")
    assert (ran.returncode, ran.stdout) == (0, "1 transcripts in transcripts\n"), ran.stderr
    ran = world.run("ingest", "archive", "in", "--no-ray", *USE)
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(world.run("show", "archive", "red.mp4", "--json").stdout)
    assert [(s["start"], s["text"]) for s in shown["transcript"]] == [(s["start"], s["text"]) for s in SAID]
    (world.root / "said.json").write_text(json.dumps([{**SAID[0], "text": "The ferry leaves at one."}]))
    assert prepared(world, "in/red.mp4", "said.json", "transcripts").returncode == 0
    assert world.run("ingest", "archive", "in", "--no-ray", *USE).returncode == 0
    shown = json.loads(world.run("show", "archive", "red.mp4", "--json").stdout)
    assert [s["text"] for s in shown["transcript"]] == ["The ferry leaves at one."]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", "no transcript"),
        ('[{"start": 1}]', "no transcript"),
        ('[{"start": 2, "end": 1, "text": "x"}]', "ends before"),
    ],
)
def test_a_bad_transcript_is_one_line(text: str, told: str, world: World) -> None:
    (world.root / "bad.json").write_text(text)
    ran = prepared(world, "in/red.mp4", "bad.json", "other")
    assert ran.returncode == 2 and told in ran.stderr and len(ran.stderr.splitlines()) == 1


def test_no_folder_is_one_line(world: World) -> None:
    ran = world.run("ingest", "archive", "in", "--no-ray", "--set=asr=sidecar", "--set=asr.folder=nowhere")
    assert ran.returncode == 5 and "no weights at 'nowhere'" in ran.stderr
    ran = world.run("ingest", "archive", "in", "--no-ray", "--set=asr=sidecar")
    assert ran.returncode == 2 and "folder" in ran.stderr and len(ran.stderr.splitlines()) == 1
