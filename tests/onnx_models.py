"""Tiny models in the layout of the hub's ONNX repositories: one knows colours of pictures and words, others words."""

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
    _save_tokenizer(list(WORDS), folder)
    return folder


def _save_tokenizer(words: list[str], folder: Path) -> None:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="?"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    made.save(str(folder / "tokenizer.json"))


KNOWN = (
    "<s> </s> ? the are was next to lockers blue staircase where near which annual tax report late locker is code of "
    "what 4719 has on second floor a cat query passage"
).split()


def text_encoder(
    folder: Path, variant: str = "", output: str = "last_hidden_state", types: bool = False, scaled: bool = False
) -> Path:
    """A text model that gives each known word a direction of its own.

    ``output``: its name; ``sentence_embedding`` is pooled by the model; ``types``: it wants token types as well;
    ``scaled``: all numbers are rounded to steps of the largest one of the batch, as some int8 models do.
    """
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    table = np.random.default_rng(0).normal(size=(len(KNOWN), 16)).astype(np.float32)
    table[:6] *= 0.05
    table[KNOWN.index("a")] *= 3
    nodes, inputs = _masked("attention_mask")
    weights: dict[str, NDArray[Any]] = {"table": table, "last": np.array([2], np.int64)}
    if types:
        inputs.append(("token_type_ids", TensorProto.INT64, ["n", "tokens"]))
    shape = ["n", "tokens", 16]
    if output == "sentence_embedding":
        weights["axis"] = np.array([1], np.int64)
        nodes.append(helper.make_node("ReduceSum", ["kept", "axis"], [output], keepdims=0))
        shape = ["n", 16]
    elif scaled:
        nodes += [
            helper.make_node("DynamicQuantizeLinear", ["kept"], ["small", "scale", "zero"]),
            helper.make_node("DequantizeLinear", ["small", "scale", "zero"], [output]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["kept"], [output]))
    ending = f"_{variant}.onnx" if variant else ".onnx"
    onnx.save(_model(nodes, inputs, output, weights, shape), folder / "onnx" / f"model{ending}")
    _save_tokenizer(KNOWN, folder)
    return folder


def cross_encoder(folder: Path, outputs: int = 1) -> Path:
    """A model that adds up a number for each known word of the second text."""
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    table = np.random.default_rng(0).normal(size=(len(KNOWN), outputs)).astype(np.float32)
    nodes, inputs = _masked("token_type_ids")
    inputs.append(("attention_mask", TensorProto.INT64, ["n", "tokens"]))
    weights = {"table": table, "last": np.array([2], np.int64), "axis": np.array([1], np.int64)}
    nodes.append(helper.make_node("ReduceSum", ["kept", "axis"], ["logits"], keepdims=0))
    onnx.save(_model(nodes, inputs, "logits", weights, ["n", outputs]), folder / "onnx" / "model.onnx")
    _save_tokenizer(KNOWN, folder)
    return folder


CELLS = 4
OWL_SIDE = 64


def owl(folder: Path, kind: str = "owlvit", mask: bool = True, boxes: str = "pred_boxes", variant: str = "") -> Path:
    """A detector that holds the mean colour of each of 4 x 4 cells of a picture against the colours that a text names;
    what names none fits a little everywhere.
    """
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    step = OWL_SIDE // CELLS
    centres = [[(x + 0.5) / CELLS, (y + 0.5) / CELLS, 1 / CELLS, 1 / CELLS] for y in range(CELLS) for x in range(CELLS)]
    weights = {
        "table": np.array(list(WORDS.values()), np.float32), "axis": np.array([1], np.int64),
        "cells": np.array([1, 3, CELLS * CELLS], np.int64), "four": np.array([4], np.float32),
        "two": np.array([-2], np.float32), "places": np.array([centres], np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("AveragePool", ["pixel_values"], ["means"], kernel_shape=[step, step], strides=[step, step]),
        helper.make_node("Reshape", ["means", "cells"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["colours"], perm=[0, 2, 1]),
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axis"], ["texts"], keepdims=0),
        helper.make_node("Transpose", ["texts"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["colours", "turned"], ["fits"]),
        helper.make_node("Mul", ["fits", "four"], ["scaled"]),
        helper.make_node("Add", ["scaled", "two"], ["logits"]),
        helper.make_node("Identity", ["places"], [boxes]),
    ]
    inputs = [
        ("input_ids", TensorProto.INT64, ["texts", "tokens"]),
        ("pixel_values", TensorProto.FLOAT, [1, 3, OWL_SIDE, OWL_SIDE]),
    ]
    if mask:
        inputs.append(("attention_mask", TensorProto.INT64, ["texts", "tokens"]))
        nodes.append(helper.make_node("Identity", ["attention_mask"], ["mask_is_read"]))
    made = _model(nodes, inputs, "logits", weights, [1, CELLS * CELLS, "texts"])
    made.graph.output.append(helper.make_tensor_value_info(boxes, TensorProto.FLOAT, [1, CELLS * CELLS, 4]))
    onnx.save(made, folder / "onnx" / (f"model_{variant}.onnx" if variant else "model.onnx"))
    (folder / "config.json").write_text(
        json.dumps({"model_type": kind, "text_config": {"max_position_embeddings": 16}})
    )
    size = {"size": [OWL_SIDE, OWL_SIDE], "do_center_crop": False, "crop_size": OWL_SIDE}
    (folder / "preprocessor_config.json").write_text(json.dumps({**PIXELS, **size}))
    _save_tokenizer(list(WORDS), folder)
    return folder


def _masked(by: str) -> tuple[list[Any], list[tuple[str, int, list[Any]]]]:
    """Rows of ``table`` for each token, times one of the inputs: ``kept``."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", [by], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["seen", "last"], ["seen3"]),
        helper.make_node("Mul", ["rows", "seen3"], ["kept"]),
    ]
    shape = ["n", "tokens"]
    return nodes, [("input_ids", TensorProto.INT64, shape), (by, TensorProto.INT64, shape)]


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


def _model(
    nodes: list[Any],
    inputs: list[tuple[str, int, list[Any]]],
    told: str,
    weights: dict[str, Any],
    shape: list[Any] | None = None,
) -> Any:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(told, TensorProto.FLOAT, shape or ["n", 4])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
