"""Cross-encoders of transformers: the real class with random weights.  Its order means nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from engine_tools import harmed  # noqa: E402
from random_rerankers import cross_encoder  # noqa: E402
from vidrag.store import engines  # noqa: E402
from vidrag.store.errors import EngineMissing, ModelMissing  # noqa: E402
from vidrag.store.weights import models  # noqa: E402

TEXTS = ["a red cat", "two dogs", "the cat and the dog on the table"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(models, "_offline", True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cross_encoder(tmp_path_factory.mktemp("rerankers") / "one")


def engine(folder: Path, **options: Any) -> Any:
    return engines.load("reranker", "cross-encoder", {"model": str(folder), **options})


def test_scores_are_those_of_the_library(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = engine(folder).scores("which cat?", TEXTS)
    for text, score in zip(TEXTS, found, strict=True):
        with torch.inference_mode():
            told = model(**tokenizer("which cat?", text, return_tensors="pt")).logits[0, 0].item()
        assert score == pytest.approx(told, abs=1e-5)


def test_of_two_outputs_the_second_means_yes(tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path / "two", 2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        no, yes = model(**tokenizer("which cat?", TEXTS[0], return_tensors="pt")).logits[0].tolist()
    assert engine(folder).scores("which cat?", TEXTS)[0] == pytest.approx(yes - no, abs=1e-5)


def test_batches_do_not_change_scores(folder: Path) -> None:
    one, all_at_once = (engine(folder, batch_size=n).scores("which cat?", TEXTS * 5) for n in (1, 16))
    assert np.allclose(one, all_at_once, atol=1e-5)


def test_memory_that_runs_out_halves_the_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(folder, batch_size=8)
    real = made._batch

    def short(question: str, texts: Any) -> Any:
        if len(texts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(question, texts)

    monkeypatch.setattr(made, "_batch", short)
    assert len(made.scores("which cat?", TEXTS * 3)) == 9
    assert "batches of 2" in made.notes[-1]


def test_a_classifier_of_three_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="3 outputs"):
        engine(cross_encoder(tmp_path / "three", 3))


def test_what_cannot_be_used_is_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match="device 'cuda:7' is not there"):
        engine(folder, device="cuda:7")
    for harm, told in (("short", "cannot load it"), ("pickle", "cannot load it"), ("code", "remote_code=true")):
        other = cross_encoder(tmp_path / harm)
        assert harmed(other, harm)
        with pytest.raises(ModelMissing, match=told):
            engine(other)
