"""Models of open_clip written as ONNX files, and the same vectors without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_tools import loaded
from vidrag.store import engines
from vidrag.store.errors import ModelMissing, StorageError, UsageError, VidragError
from world import World

for module in ("torch", "open_clip", "onnx", "onnxscript"):
    pytest.importorskip(module)
pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]
CLIP = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
TEXTS = [
    "a photo of a cat",
    "",
    "the king’s “open” door &amp; ﬁle",
    "WHERE's  the_red ball?! (yes)",
    "飞机 🎬 naïve",
    "word " * 300,
]


def saved(folder: Path, config: dict[str, Any], pixels: dict[str, Any]) -> Path:
    """A folder in open_clip's layout with random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    told = {"model_cfg": config, "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def siglip(folder: Path) -> Path:
    """SigLIP's kind: a tokenizer of transformers behind a cleaning of its own, pictures squashed, no crop."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<pad>"], show_progress=False)
    made.train_from_iterator(["a photo of a cat", "where is the red ball", "words and more words"], trainer)
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<pad>").save_pretrained(folder)
    text = {
        **CLIP["text_cfg"], "context_length": 16, "vocab_size": 300, "no_causal_mask": True, "pool_type": "last",
        "proj_bias": True, "hf_tokenizer_name": "beside-the-weights", "tokenizer_kwargs": {"clean": "canonicalize"},
    }  # fmt: skip
    config = {**CLIP, "init_logit_bias": -10, "custom_text": True, "text_cfg": text}
    pixels = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    return saved(folder, config, pixels)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("models")
    return {"clip": saved(at / "clip", CLIP, {}), "siglip": siglip(at / "siglip")}


@pytest.mark.parametrize("kind", ["clip", "siglip"])
@pytest.mark.parametrize("precision, alike", [("float32", 0.9999), ("int8", 0.98)])
def test_the_files_give_the_same_vectors(
    kind: str, precision: Any, alike: float, models: dict[str, Path], tmp_path: Path
) -> None:
    """Of pictures of any shape and of texts of any kind."""
    from vidrag.store.encoders.clip_export import export

    done = export(str(models[kind]), None, tmp_path / "out", precision)
    assert done.dim == 64 and min(done.pictures, done.texts) > alike
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    whole = loaded("image_text_encoder", "open_clip", {"model": str(models[kind])})
    twin = loaded("image_text_encoder", "onnx-clip", {"model": str(tmp_path / "out")})
    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (*s, 3)).astype(np.uint8) for s in ((37, 80), (200, 90), (64, 64), (5, 3))]
    assert (whole.images(pictures).vectors * twin.images(pictures).vectors).sum(1).min() > alike
    assert (whole.queries(TEXTS) * twin.queries(TEXTS)).sum(1).min() > alike
    assert twin.spec.space != whole.spec.space


def test_a_video_is_found_by_the_files(models: dict[str, Path], tmp_path: Path, sample: Path) -> None:
    """Written, ingested with and asked: the command says how."""
    world = World.make(tmp_path)
    made = world.run("models", "onnx", str(models["clip"]), "clip-onnx", fake=False, timeout=300)
    assert made.returncode == 0, made.stderr
    switches = made.stdout.splitlines()[-1].removeprefix("use it: ").split()
    assert switches[::2] == ["--set", "--set"]
    ran = world.run("ingest", "archive", str(sample), "--no-ray", *switches, fake=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    found = world.run("search", "archive", "a cat", "--kind", "frame", "--json", *switches, fake=False, timeout=300)
    assert found.returncode == 0 and json.loads(found.stdout), found.stderr


@pytest.mark.parametrize("how", ["there", "link", "no parent", "long name", "no model", "longest", "tokenizer"])
def test_what_cannot_be_written_leaves_nothing(how: str, models: dict[str, Path], tmp_path: Path) -> None:
    from vidrag.store.encoders.clip_export import export

    model, out = str(models["clip"]), tmp_path / "out"
    wanted: type[VidragError] = ModelMissing
    if how == "there":
        (tmp_path / "out").mkdir()
        wanted = UsageError
    elif how == "link":
        out.symlink_to(tmp_path / "nowhere")
        wanted = UsageError
    elif how == "no parent":
        out, wanted = tmp_path / "new" / "out", UsageError
    elif how == "long name":
        out, wanted = tmp_path / ("x" * 250), StorageError
    elif how == "no model":
        model = str(tmp_path / "nothing")
    elif how == "longest":
        model = str(saved(tmp_path / "model", CLIP, {"resize_mode": "longest"}))
    else:
        config = {**CLIP, "text_cfg": {**CLIP["text_cfg"], "tokenizer_kwargs": {"clean": "whitespace"}}}
        model = str(saved(tmp_path / "model", config, {}))
    before = {p.name for p in tmp_path.iterdir()}
    with pytest.raises(wanted) as e:
        export(model, None, out, "float32")
    assert "\n" not in str(e.value)
    assert {p.name for p in tmp_path.iterdir()} == before


def test_an_engine_that_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from vidrag.store.encoders import clip_export
    from vidrag.store.errors import EngineMissing

    monkeypatch.setattr(clip_export, "NEEDS", (*clip_export.NEEDS, "no_such_module"))
    with pytest.raises(EngineMissing, match=r"no_such_module.*vidrag\[onnx-export\]"):
        clip_export.export("x", None, tmp_path / "out", "int8")
    assert engines.find("image_text_encoder", "onnx-clip").extra == "query"


def test_owlv2_as_onnx_finds_what_it_finds_with_torch(tmp_path: Path) -> None:
    """The real class with random weights, written as the hub's ONNX files are: the same boxes, scores and names."""
    import random_detectors
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForZeroShotObjectDetection, PreTrainedTokenizerFast

    folder = random_detectors.owlv2(tmp_path / "owl")
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, pixel_values: Any, attention_mask: Any) -> Any:
            out = self.model(input_ids=input_ids, pixel_values=pixel_values, attention_mask=attention_mask)
            return out.logits, out.pred_boxes

    (folder / "onnx").mkdir()
    ids = torch.ones((2, 16), dtype=torch.int64)
    torch.onnx.export(
        Graph().eval(), (ids, torch.zeros(1, 3, 64, 64), ids), folder / "onnx" / "model.onnx",
        input_names=["input_ids", "pixel_values", "attention_mask"], output_names=["logits", "pred_boxes"],
        dynamic_axes={"input_ids": {0: "texts"}, "attention_mask": {0: "texts"}}, dynamo=False,
    )  # fmt: skip
    own = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    assert own["size"] == {"height": 64, "width": 64}
    (folder / "preprocessor_config.json").write_text(json.dumps(own))  # as repositories of ONNX files have it
    options = {"model": str(folder), "threshold": 0.0, "overlap": 1.0}
    there = engines.load("detector", "owlv2", options)
    read = Tokenizer.from_file(str(folder / "tokenizer.json"))  # the library's own class reads made-up ones otherwise
    there._processor.tokenizer = PreTrainedTokenizerFast(tokenizer_object=read, pad_token="!", model_max_length=16)
    here = engines.load("detector", "onnx-owl", options)
    wanted = ["cat", "red mug", "blue staircase"]
    for shape in ((64, 64, 3), (40, 64, 3)):  # as large as the model sees it: libraries resize each in their own way
        picture = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
        expected, found = there.detect(picture, wanted), here.detect(picture, wanted)
        assert len(found) == len(expected) > 3
        for one in found:
            same = [o for o in expected if o.box == pytest.approx(one.box, abs=1e-4)]
            assert min(abs(o.score - one.score) for o in same) < 1e-4 and one.label in {o.label for o in same}
