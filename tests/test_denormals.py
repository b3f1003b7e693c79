"""Engines on ONNX Runtime compute with 0 for denormal numbers: the first session of a process settles it."""

from __future__ import annotations

import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper
from vidrag.store.encoders.onnx_session import IDENTITY

LOADED = """
import sys
import numpy as np
from vidrag.store import engines
engines.load(*sys.argv[1:3], {})
print(float(np.float32(1e-39) * np.ones(1, np.float32)[0]))
"""


@pytest.mark.parametrize(("kind", "name"), [("ocr", "rapidocr"), ("asr", "faster-whisper"), ("text_encoder", "minilm")])
def test_whichever_engine_comes_first(kind: str, name: str) -> None:
    told = subprocess.run([sys.executable, "-c", LOADED, kind, name], capture_output=True, text=True, check=True).stdout
    assert float(told) == 0.0


def test_without_a_session_denormals_are_kept() -> None:
    """Else the test above would show nothing."""
    code = "import numpy as np; print(float(np.float32(1e-39) * np.ones(1, np.float32)[0]))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(told) > 0


def test_the_model_that_is_opened_first_is_what_its_comment_says() -> None:
    one = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", one[:1], one[1:])
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    assert onnx.load_from_string(IDENTITY) == made
