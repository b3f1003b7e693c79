"""Text encoders and re-rankers as ONNX files: what is read of a folder, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
from vidrag.store import engines
from vidrag.store.errors import ModelMissing
from vidrag.store.weights import models

TEXTS = ["the lockers are near", "cat", "", "the annual tax report was late"]


def encoder(folder: Path, **options: Any) -> Any:
    return engines.load("text_encoder", "onnx", {"model": str(folder), **options})


def reranker(folder: Path, **options: Any) -> Any:
    return engines.load("reranker", "onnx", {"model": str(folder), **options})


def test_files_of_any_exporter(tmp_path: Path) -> None:
    """With token types or without; the mean over tokens is that of the model's own pooling."""
    made = [
        encoder(onnx_models.text_encoder(tmp_path / f"{output}-{types}", output=output, types=types))
        for output in ("last_hidden_state", "token_embeddings", "sentence_embedding")
        for types in (False, True)
    ]
    rows = [e.documents(TEXTS) for e in made]
    assert all(e.spec.dim == 16 and r.shape == (4, 16) for e, r in zip(made, rows, strict=True))
    assert all(np.allclose(r, rows[0], atol=1e-6) for r in rows)


def test_what_the_folder_says(tmp_path: Path) -> None:
    """Pooling, prefixes and length of sentence-transformers; options go before them; each makes a space of its own."""
    folder = onnx_models.text_encoder(tmp_path / "bare")
    bare = encoder(folder)
    assert (bare.spec.query_prefix, bare.spec.document_prefix) == ("", "")
    folder = onnx_models.text_encoder(tmp_path / "told")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query: ", "passage": "passage: "}})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 4}))
    told = encoder(folder)
    assert (told.spec.query_prefix, told.spec.document_prefix) == ("query: ", "passage: ")
    assert np.allclose(told.queries(["a cat"]), told.queries(["the lockers"]))  # the first token says nothing here
    mean = encoder(folder, pooling="mean", query_prefix="", document_prefix="")
    assert np.allclose(mean.queries(["the lockers are late"]), mean.queries(["the lockers was late"]))  # cut there
    assert not np.allclose(mean.queries(["the lockers"]), mean.queries(["the cat"]))
    assert len({e.spec.space for e in (bare, told, mean)}) == 3


def test_the_variant_is_named_where_there_are_several(tmp_path: Path) -> None:
    onnx_models.text_encoder(tmp_path, "int8")
    assert encoder(tmp_path).spec.dim == 16
    onnx_models.text_encoder(tmp_path)
    with pytest.raises(ModelMissing, match=r"holds plain, int8; say which: --set text_encoder\.variant=plain"):
        encoder(tmp_path)
    with pytest.raises(ModelMissing, match="no variant 'q4'"):
        encoder(tmp_path, variant="q4")
    assert len({encoder(tmp_path, variant=v).spec.space for v in ("plain", "int8")}) == 2


def test_a_real_model_has_the_vectors_of_its_own_engine(tmp_path: Path) -> None:
    """MiniLM-L6 in 8 bits, as the engine ``minilm`` reads it."""
    own = engines.load("text_encoder", "minilm")
    files = models.files(own.options.model)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/model_int8.onnx").symlink_to(files["model.onnx"])
    (tmp_path / "tokenizer.json").symlink_to(files["tokenizer.json"])
    made = encoder(tmp_path, max_tokens=own.options.max_tokens)
    texts = [*TEXTS, "飞机在跑道上", "word " * 2000, "naïve café 🎬🚀"]
    assert np.allclose(made.documents(texts), own.documents(texts), atol=1e-5)
    assert [made.count_tokens(t) for t in texts] == [own.count_tokens(t) for t in texts]


def test_texts_are_read_one_by_one_where_company_matters(tmp_path: Path) -> None:
    """As in models that scale their numbers by the largest of a batch."""
    folder = onnx_models.text_encoder(tmp_path, scaled=True)
    made = encoder(folder)
    alone = np.concatenate([made.documents([t]) for t in TEXTS])
    assert np.allclose(made.documents(TEXTS), alone, atol=1e-6) and not made._model.exact
    assert encoder(onnx_models.text_encoder(tmp_path / "plain"))._model.exact


def test_two_outputs_are_no_and_yes(tmp_path: Path) -> None:
    """The difference ranks; more are no re-ranker's."""
    one = reranker(onnx_models.cross_encoder(tmp_path / "one"))
    two = reranker(onnx_models.cross_encoder(tmp_path / "two", 2))
    assert one.identity != two.identity and one.scores("where", TEXTS).shape == (4,)
    table = np.random.default_rng(0).normal(size=(len(onnx_models.KNOWN), 2)).astype(np.float32)
    cat, end = table[onnx_models.KNOWN.index("cat")], table[1]
    assert two.scores("where", ["cat"])[0] == pytest.approx((cat + end)[1] - (cat + end)[0], abs=1e-5)
    with pytest.raises(ModelMissing, match="has 3 outputs, a re-ranker has one"):
        reranker(onnx_models.cross_encoder(tmp_path / "three", 3))


def other_model(folder: Path) -> None:
    other = onnx_models.colours(folder.parent / "other")
    (folder / "onnx/model.onnx").write_bytes((other / "onnx/vision_model.onnx").read_bytes())


def other_tokenizer(folder: Path) -> None:
    """One with a token that the model does not have."""
    told = json.loads((folder / "tokenizer.json").read_text())
    told["model"]["vocab"]["?"] = 9999
    (folder / "tokenizer.json").write_text(json.dumps(told))


HARM: dict[str, Callable[[Path], object]] = {
    "no folder 'onnx' in it; name a repository": lambda f: shutil.rmtree(f / "onnx"),
    "cut short or damaged": lambda f: (f / "onnx/model.onnx").write_bytes((f / "onnx/model.onnx").read_bytes()[:-40]),
    "no tokenizer, missing or damaged": lambda f: (f / "tokenizer.json").write_text("{"),
    "needed are input_ids and": other_model,
    "does not run on what its tokenizer gives": other_tokenizer,
}


@pytest.mark.parametrize("says", HARM)
def test_files_that_do_not_fit_are_one_line(tmp_path: Path, says: str) -> None:
    for load, make in ((encoder, onnx_models.text_encoder), (reranker, onnx_models.cross_encoder)):
        folder = make(tmp_path / load.__name__)
        HARM[says](folder)
        with pytest.raises(ModelMissing, match=says) as e:
            made = load(folder)
            made.documents(["dimensions"]) if load is encoder else made.scores("kitten", ["unknown"])
        assert "\n" not in str(e.value) and str(folder) in str(e.value)


def test_no_torch_is_imported(tmp_path: Path) -> None:
    texts, pairs = onnx_models.text_encoder(tmp_path / "t"), onnx_models.cross_encoder(tmp_path / "p")
    code = (
        "import sys\n"
        "from vidrag.store import engines\n"
        f"engines.load('text_encoder', 'onnx', {{'model': {str(texts)!r}}}).queries(['a cat'])\n"
        f"engines.load('reranker', 'onnx', {{'model': {str(pairs)!r}}}).scores('a', ['cat'])\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
