"""Tells whether a file of weights is what its name says, by its head and its size: cheap, before any work."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

_WEIGHTS = (".bin", ".safetensors", ".onnx", ".gguf", ".pt", ".pth", ".pdiparams", ".tflite", ".pb", ".ckpt")
_HEAD = 100 << 20
"""Bytes; the head of a safetensors file is smaller, and JSON files of models are."""


def problem(path: Path) -> str:
    """What is wrong with a file of a model, for a sentence that begins with its name; empty where nothing shows."""
    try:
        size = path.stat().st_size
        if path.suffix == ".safetensors":
            return _safetensors(path, size)
        if path.name.endswith(".index.json"):
            return _index(path)
        if path.suffix == ".json" and ("config" in path.name or "tokenizer" in path.name) and size < _HEAD:
            json.loads(path.read_bytes())
        if path.suffix in (".pt", ".pth") or path.name.startswith("pytorch_model"):
            return _pickled(path)
        if path.suffix in (".onnx", ".gguf") and not _begins(path, b"GGUF" if path.suffix == ".gguf" else b"\x08"):
            return f"is no {path.suffix[1:].upper()} file, or empty"
        return "" if size or path.suffix not in (".bin", ".pb", ".tflite", ".pdiparams") else "is empty"
    except FileNotFoundError:
        return "is missing"
    except OSError as e:
        return f"cannot be read ({e.strerror or e})"
    except (ValueError, RecursionError):
        return "is no valid JSON: cut short or damaged"


def holds_weights(path: Path) -> bool:
    """True for a file that holds weights, by its name."""
    return path.suffix in _WEIGHTS


def _begins(path: Path, head: bytes) -> bool:
    with path.open("rb") as f:
        return f.read(len(head)) == head


def _safetensors(path: Path, size: int) -> str:
    with path.open("rb") as f:
        length = f.read(8)
        count = struct.unpack("<Q", length)[0] if len(length) == 8 else 0
        if not 2 <= count <= min(_HEAD, size - 8):
            return "is no safetensors file: cut short or damaged"
        try:
            head = json.loads(f.read(count))
            end = max((int(t["data_offsets"][1]) for n, t in head.items() if n != "__metadata__"), default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            return "has a damaged head"
    return "" if size == 8 + count + end else f"is cut short: it has {size} bytes of {8 + count + end}"


def _index(path: Path) -> str:
    """Of weights in several files: names those that are not there."""
    try:
        named = {str(n) for n in json.loads(path.read_bytes())["weight_map"].values()}
    except (TypeError, KeyError, AttributeError):
        return "names no files"
    missing = sorted(n for n in named if not (path.parent / n).is_file())
    return f"names files that are not there ({missing[0]})" if missing else ""


def _pickled(path: Path) -> str:
    """Of torch: a ZIP file, whose end would be missing if it was cut short; or the form before it."""
    return "" if zipfile.is_zipfile(path) or _begins(path, b"\x80\x02") else "is no file of torch: cut short or damaged"
