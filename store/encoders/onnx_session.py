"""ONNX models on the CPU: how every engine here opens them.  Importing this module imports no runtime."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ModelMissing, one_line

IDENTITY = bytes.fromhex(
    "08083a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a02"
    "080142040a00100d"
)
"""The smallest model: its output is its input, one float."""


@cache
def flush_denormals() -> None:
    """Makes this thread compute with 0 for numbers too small to be normal, on which a CPU is a hundred times slower.

    To be called before a library opens a session of its own: of all sessions of a process the first one decides, and
    for the thread that opens it (ONNX Runtime, ``session.set_denormal_as_zero``).  ``vidrag bench denormals`` measures
    what it gains and that nothing else changes.
    """
    import onnxruntime

    onnxruntime.InferenceSession(IDENTITY, _options(1), providers=["CPUExecutionProvider"])


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return options


def session(path: Path, threads: int) -> Any:
    """An ``onnxruntime.InferenceSession``.  Raises :class:`ModelMissing` in one line where the file is no model."""
    import onnxruntime

    flush_denormals()
    options = _options(threads)
    options.log_severity_level = 4  # what it would log comes as an error, too
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # the runtime has a type for each way to fail
        raise ModelMissing(f"{path}: no ONNX model, cut short or damaged ({one_line(e, 160)})") from e


def tokenizer(path: Path) -> Any:
    """A ``tokenizers.Tokenizer``, with the same error."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as e:  # it raises plain exceptions
        raise ModelMissing(f"{path}: no tokenizer, missing or damaged ({one_line(e, 160)})") from e
