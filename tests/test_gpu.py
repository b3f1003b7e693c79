"""Engines on a GPU held against themselves on the CPU (``make test-gpu``): half precision, memory that runs out, CUDA
for CTranslate2, fractions of a GPU by Ray.  Weights are random or come with packages; no network is needed.

``VIDRAG_TEST_DEVICE=cpu`` runs what a CPU can, which shows that the checks themselves work.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engine_tools import chained_chat, loaded, needed  # noqa: E402
from vidrag.query.types import Message  # noqa: E402
from vidrag.store import engines  # noqa: E402
from vidrag.store.archive.archive import Archive  # noqa: E402
from vidrag.store.weights import models  # noqa: E402
from world import World  # noqa: E402

DEVICE = os.environ.get("VIDRAG_TEST_DEVICE", "cuda")
ON_GPU = DEVICE.startswith("cuda")
HALF = "float16" if ON_GPU else "bfloat16"
PICTURES = [np.random.default_rng(i).integers(0, 255, (120, 160, 3), np.uint8) for i in range(8)]
TEXTS = ["a red cat", "two dogs on a table", "the staircase", "nobody is here"]
THINGS = ["cat", "red mugs", "the staircase"]

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(ON_GPU and not torch.cuda.is_available(), reason="torch sees no GPU; VIDRAG_TEST_DEVICE=cpu"),
]
needs_gpu = pytest.mark.skipif(not ON_GPU, reason="only a GPU shows it")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(models, "_offline", True)


def both(kind: engines.Kind, name: str, **options: Any) -> tuple[Any, Any]:
    """The same engine there in half precision, and on the CPU in single."""
    there = loaded(kind, name, {**needed(kind, name), "device": DEVICE, "dtype": HALF, **options})
    here = loaded(kind, name, {**needed(kind, name), "device": "cpu", "dtype": "float32", **options})
    return there, here


def alike(one: Any, other: Any) -> float:
    return float((np.asarray(one) * np.asarray(other)).sum(1).min())


def test_pictures_and_texts_have_the_same_vectors() -> None:
    there, here = both("image_text_encoder", "open_clip")
    assert alike(there.images(PICTURES).vectors, here.images(PICTURES).vectors) > 0.99
    assert alike(there.queries(TEXTS), here.queries(TEXTS)) > 0.99


def test_texts_have_the_same_vectors() -> None:
    there, here = both("text_encoder", "transformers")
    assert alike(there.documents(TEXTS), here.documents(TEXTS)) > 0.99


def test_rows_have_the_same_scores() -> None:
    there, here = both("reranker", "cross-encoder")
    assert np.allclose(there.scores("which cat?", TEXTS), here.scores("which cat?", TEXTS), atol=0.05)


@pytest.mark.parametrize("name", ["owlv2", "grounding-dino"])
def test_detectors_find_the_same(name: str) -> None:
    """Boxes of random weights mean nothing, but they lie where they lay."""
    more = {"text_threshold": 0.0} if name == "grounding-dino" else {}
    there, here = both("detector", name, threshold=0.0, overlap=1.0, **more)
    for picture in PICTURES[:2]:
        found, expected = there.detect(picture, THINGS), here.detect(picture, THINGS)
        assert found and abs(len(found) - len(expected)) <= max(2, len(expected) // 10)
        assert found[0].score == pytest.approx(expected[0].score, abs=0.05)


def test_a_model_that_sees_answers() -> None:
    made = engines.load(
        "chat", "transformers", {"model": str(chained_chat("qwen2_5_vl")), "device": DEVICE, "dtype": HALF}
    )
    import cv2

    shown = tuple(bytes(cv2.imencode(".jpg", p)[1]) for p in PICTURES[:3])
    asked = [Message(role="user", text="What is this?", images=shown)]
    from random_chat import SAID

    told = list[str]()
    assert made.complete(asked, tell=told.append).text == SAID == "".join(told)
    assert made.first_token(asked).top["B"] == pytest.approx(0.27, abs=0.05)


def test_speech_is_the_same_words(sample_sound: Any, truth: dict[str, Any]) -> None:
    """CTranslate2 on the device: as many words of the truth as on the CPU, but for one in twenty."""
    options = {**needed("asr", "whisperx"), "align": "never", "chunk_size": 8}
    wanted = [w for shot in truth["shots"] for s in shot.get("speech", ()) for w in _words(s["text"])]

    def heard(device: str) -> float:
        found = loaded("asr", "whisperx", {**options, "device": device}).transcribe(sample_sound, "en")
        said = {w for s in found.segments for w in _words(s.text)}
        return sum(w in said for w in wanted) / len(wanted)

    assert heard(DEVICE) > heard("cpu") - 0.05 and heard(DEVICE) > 0.85


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


@needs_gpu
def test_memory_that_runs_out_halves_the_batch() -> None:
    """The real error, of a card that gives this process little: the same vectors, and a note."""
    many = PICTURES * 64
    roomy = both("image_text_encoder", "open_clip", batch_size=16)[0].images(many).vectors
    tight = both("image_text_encoder", "open_clip", batch_size=len(many))[0]
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + (200 << 20)) / whole)
        found = tight.images(many).vectors
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert alike(found, roomy) > 0.99
    assert any("out of memory, batches of" in n for n in tight.notes)


@needs_gpu
@pytest.mark.timeout(400)
def test_halves_of_a_gpu_for_two_pools(sample: Path, tmp_path: Path) -> None:
    """Ray gives sound and pictures half a card each; the archive is complete."""
    pytest.importorskip("ray")
    world = World.make(tmp_path)
    chosen = {
        "asr": ("whisperx", {**needed("asr", "whisperx"), "align": "never", "device": DEVICE}),
        "image_text_encoder": ("open_clip", {**needed("image_text_encoder", "open_clip"), "device": DEVICE}),
    }
    settings = [f"{kind}={name}" for kind, (name, _) in chosen.items()]
    settings += [f"{kind}.{k}={v}" for kind, (_, more) in chosen.items() for k, v in more.items()]
    settings += ["ocr=fake", "text_encoder=fake", "pools.sound.gpus=0.5", "pools.visual.gpus=0.5"]
    ran = world.run("ingest", "archive", sample, *(a for s in settings for a in ("--set", s)), fake=False, timeout=380)
    assert ran.returncode == 0, ran.stderr
    made = Archive.open(world.root / "archive")
    shard = made.shard(made.ids()[0])
    assert shard.speech and shard.frames
    assert all(c.status in ("ok", "none") for c in shard.status().values())


def test_figures(sample_sound: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What it costs here: pictures, texts and seconds of sound a second; for docs/engines.md."""
    there, _ = both("image_text_encoder", "open_clip", batch_size=64)
    listener = loaded("asr", "whisperx", {**needed("asr", "whisperx"), "align": "never", "device": DEVICE})
    told = {
        "device": torch.cuda.get_device_name(0) if ON_GPU else "cpu",
        "dtype": HALF,
        "open_clip ViT-B-32, pictures a second": _rate(lambda: there.images(PICTURES * 16), 128),
        "whisperx base, seconds of sound a second": _rate(lambda: listener.transcribe(sample_sound, "en"), 93),
    }
    with capsys.disabled():
        print("\n" + json.dumps(told))
    assert all(v > 0 for v in told.values() if isinstance(v, float))


def _rate(work: Callable[[], Any], count: int) -> float:
    work()
    began = time.perf_counter()
    work()
    return round(count / (time.perf_counter() - began), 1)
