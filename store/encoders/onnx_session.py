"""ONNX models on the CPU: how every engine here opens them.  Importing this module imports no runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ModelMissing, one_line


def session(path: Path, threads: int) -> Any:
    """An ``onnxruntime.InferenceSession``.  Raises :class:`ModelMissing` in one line where the file is no model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
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
