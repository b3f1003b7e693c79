"""A tiny image-text model in the layout of the hub's ONNX repositories: it knows the colours of pictures and words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SIDE = 16
WORDS = {
    "<s>": (0, 0, 0),
    "</s>": (0, 0, 0),
    "?": (0, 0, 0),
    "red": (1, -1, -1),
    "blue": (-1, -1, 1),
    "yellow": (1, 1, -1),
}
PIXELS = {
    "do_resize": True, "do_rescale": True, "do_normalize": True, "do_center_crop": True, "resample": 3,
    "size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE},
    "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
}  # fmt: skip


def colours(folder: Path, variant: str = "", length: int | None = None, mask: bool = False) -> Path:
    """Writes the files; ``length``: texts of so many tokens only; ``mask``: the text model takes an attention mask."""
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    ending = f"_{variant}.onnx" if variant else ".onnx"
    onnx.save(_vision(), folder / "onnx" / f"vision_model{ending}")
    onnx.save(_text(length, mask), folder / "onnx" / f"text_model{ending}")
    (folder / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="?"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    made.save(str(folder / "tokenizer.json"))
    return folder


def _vision() -> Any:
    mean = helper.make_node("GlobalAveragePool", ["pixel_values"], ["mean"])
    flat = helper.make_node("Flatten", ["mean"], ["flat"])
    weights = {"w": np.eye(3, 4, dtype=np.float32), "b": np.array([0, 0, 0, 0.2], np.float32)}
    out = helper.make_node("Gemm", ["flat", "w", "b"], ["image_embeds"])
    shape = ["n", 3, SIDE, SIDE]
    return _model([mean, flat, out], [("pixel_values", TensorProto.FLOAT, shape)], "image_embeds", weights)


def _text(length: int | None, mask: bool) -> Any:
    table = np.array([[*c, 0.1] for c in WORDS.values()], np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    shape = ["n", length or "tokens"]
    inputs = [("input_ids", TensorProto.INT64, shape)]
    weights: dict[str, NDArray[Any]] = {"table": table, "axis": np.array([1], np.int64)}
    if mask:
        inputs.append(("attention_mask", TensorProto.INT64, shape))
        weights["last"] = np.array([2], np.int64)
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["seen"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["seen", "last"], ["seen3"]),
            helper.make_node("Mul", ["rows", "seen3"], ["kept"]),
        ]
    nodes.append(helper.make_node("ReduceSum", ["kept" if mask else "rows", "axis"], ["text_embeds"], keepdims=0))
    return _model(nodes, inputs, "text_embeds", weights)


def _model(nodes: list[Any], inputs: list[tuple[str, int, list[Any]]], told: str, weights: dict[str, Any]) -> Any:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(told, TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
