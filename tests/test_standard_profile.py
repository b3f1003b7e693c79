"""The profile ``standard`` from a hub to answers: its repositories hold models of the same kinds, smaller ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import onnx_models
import pytest
from hub_server import Hub
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import ProfileKey
from vidrag.store.errors import ModelMissing
from vidrag.store.weights import models
from vidrag.store.weights.known import RECORDED
from world import VIDRAG

SPEECH, TEXTS, PICTURES, THINGS = (
    "Systran/faster-whisper-small", "intfloat/multilingual-e5-small", "Xenova/clip-vit-base-patch32",
    "Xenova/owlvit-base-patch32",
)  # fmt: skip
SHIPPED = Path(str(resources.files("vidrag.jobs") / "standard.toml"))
Run = Callable[..., subprocess.CompletedProcess[str]]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub() as made:
        made.commit(TEXTS, files_of(onnx_models.text_encoder(tmp_path / "texts")) | {"README.md": b"# A model"})
        made.commit(PICTURES, files_of(onnx_models.colours(tmp_path / "pictures", "quantized")))
        made.commit(THINGS, files_of(onnx_models.owl(tmp_path / "things", variant="quantized")))
        yield made


@pytest.fixture
def run(hub: Hub, tmp_path: Path, child_env: dict[str, str]) -> Run:
    """The command of a user whose home is empty."""

    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in child_env.items() if not k.startswith(("HF_", "HUGGING", "VIDRAG_OFFLINE"))}
        env |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "VIDRAG_CACHE": str(tmp_path / "cache")}
        env |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "127.0.0.1", **more}
        own = tmp_path / "standard.toml"  # a model of other weights cannot have the revision that is pinned
        own.write_text(re.sub(r"@[0-9a-f]{40}", "", SHIPPED.read_text()))
        words = tuple("standard.toml" if w == "standard" else w for w in words)
        ran = subprocess.run([VIDRAG, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280)
        assert "Traceback" not in ran.stdout + ran.stderr and "unexpected" not in ran.stderr, ran.stderr
        return ran

    return call


def test_weights_are_pinned_where_their_hashes_are_on_record() -> None:
    text = SHIPPED.read_text()
    pinned = set(re.findall(r"hf:(\S+@[0-9a-f]{40})", text))
    assert pinned == RECORDED.keys() and len(pinned) == text.count("hf:") - 1  # nobody has published OWL-ViT's
    assert all(re.fullmatch("[0-9a-f]{64}", sha) for files in RECORDED.values() for sha in files.values())


@pytest.mark.long
def test_from_a_hub_to_an_answer(hub: Hub, run: Run, sample: Path, tmp_path: Path) -> None:
    """One command fetches what the profile reads and no more; then no network is needed; beside ``embedded`` in one
    archive nothing is decoded twice.
    """
    try:
        whisper = models.folder_of("whisper-base-ct2")
    except ModelMissing as e:
        pytest.skip(str(e))
    hub.commit(SPEECH, {n: (whisper / n).read_bytes() for n in os.listdir(whisper)})
    told = run("models", "pull", "--profile", "standard")
    assert told.returncode == 0, told.stderr
    assert f"hf:{SPEECH}\n  " in told.stdout and told.stdout.count("licence: mit") == 4
    assert "profile standard.toml: all weights are here" in told.stdout
    assert {"model.bin", "onnx/model.onnx", "onnx/vision_model_quantized.onnx"} <= set(hub.fetched)
    assert "README.md" not in hub.fetched
    hub.fetched.clear()
    assert run("models", "pull", "--profile", "standard").returncode == 0 and hub.fetched == []
    hub.up = False
    assert "ready" in run("--offline", "doctor", "--profile", "standard").stdout
    assert run("--offline", "ingest", "archive", str(sample), "--no-ray").returncode == 0
    ran = run("--offline", "ingest", "archive", str(sample), "--no-ray", "--profile", "standard", "--json")
    assert ran.returncode == 0, ran.stderr
    archive = Archive.open(tmp_path / "archive")
    own, other = (archive.under(ProfileKey(n)).shard(archive.ids()[0]).manifest for n in ("standard", "embedded"))
    same = [s for s in own.current if own.current[s] == other.current[s]]
    assert {"media", "frames", "text"} <= set(same) and "speech" not in same
    answer = json.loads(run("--offline", "ask", "archive", "Where are the lockers?", "-p", "standard", "--json").stdout)
    assert answer["profile"] == "standard" and answer["evidence"]
    found = run("--offline", "search", "archive", "red", "--kind", "frames", "--profile", "standard", "--json")
    assert found.returncode == 0, found.stderr
    seen = (
        "--offline",
        "ask",
        "archive",
        "How many red mugs are there?",
        "-o",
        "one",
        "-o",
        "five",
        "-p",
        "standard",
        "--json",
    )
    answer = json.loads(run(*seen).stdout)
    assert any(e["kind"] == "detection" and "red mug" in e["text"] for e in answer["evidence"])
    (tmp_path / "frame.jpg").write_bytes(archive.shard(archive.ids()[0]).jpeg(0))
    found = run("--offline", "search", "archive", "--image", "frame.jpg", "--profile", "standard", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["hits"][0]["score"] > 0.95


@pytest.mark.long
def test_what_cannot_be_fetched_is_named_and_the_rest_is_fetched(hub: Hub, run: Run, tmp_path: Path) -> None:
    """A repository that is not there, and a hub that is away: a line each, exit code 5."""
    hub.gated.add(PICTURES)
    told = run("models", "pull", "--profile", "standard")
    said = {line for line in told.stderr.splitlines() if line.startswith("vidrag: ")}
    assert told.returncode == 5 and len(said) == 2 and all(f"'hf:{r}" in " ".join(said) for r in (SPEECH, PICTURES))
    assert any("accept its licence on its page, then: hf auth login" in line for line in said)
    assert "profile standard.toml: 2 weights are missing, see above" in told.stdout
    assert "onnx/model.onnx" in hub.fetched
    hub.up = False
    shutil.rmtree(tmp_path / "hf")
    told = run("models", "pull", "--profile", "standard")
    assert told.returncode == 5 and told.stderr.count("\n") == 4
    ran = run("ingest", "archive", str(tmp_path), "--profile", "standard")
    assert ran.returncode in (2, 5) and ran.stderr.count("\n") == 1
