"""What a question costs: a cold one beside its imports, a warm one beside encoding its text."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...query.asker import Asker
from . import machine, spread
from .query import Recorder

_PARTS = ("vidrag.query.asker", "vidrag.jobs.build", "vidrag.jobs.cli.ask_commands", "typer", "pydantic")
_LIBRARIES = (
    "numpy", "pyarrow.parquet", "faiss", "onnxruntime", "tokenizers", "bm25s", "Stemmer", "rapidfuzz", "text_to_num",
    "cv2",
)  # fmt: skip


def run(asker: Asker, vidrag: Path, archive: str, questions: Sequence[str], runs: int) -> dict[str, Any]:
    """``vidrag`` is the program.  The first question warms everything up and is not counted."""
    return {
        "bench": "ask",
        "machine": machine(),
        **_cold(vidrag, archive, questions[0], runs),
        **_warm(asker, questions),
    }


def _cold(vidrag: Path, archive: str, question: str, runs: int) -> dict[str, Any]:
    """Whole processes, one after the other in turn: the question, and its imports alone."""
    ask = [str(vidrag), "ask", archive, question, "--json"]
    bare = [sys.executable, "-c", f"import {', '.join((*_PARTS, *_LIBRARIES))}"]
    asked, imported = [], []
    for _ in range(runs + 1):
        asked.append(_wall(ask))
        imported.append(_wall(bare))
    ratios = [a / b for a, b in zip(asked[1:], imported[1:], strict=True)]
    return {
        "cold_ask_s": spread(asked[1:]),
        "imports_s": spread(imported[1:]),
        "cold_ask_over_imports": spread(ratios),
    }


def _wall(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def _warm(asker: Asker, questions: Sequence[str]) -> dict[str, Any]:
    """Each further question, and encoding alone the texts that it encoded."""
    text, picture = Recorder(asker.text_encoder), Recorder(asker.image_text_encoder)
    asker.text_encoder, asker.image_text_encoder = text, picture
    asker.ask(questions[0])
    asked, encoded = [], []
    for question in questions[1:]:
        text.batches, picture.batches = [], []
        began = time.perf_counter()
        asker.ask(question)
        asked.append(time.perf_counter() - began)
        began = time.perf_counter()
        text.again()
        picture.again()
        encoded.append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(asked, encoded, strict=True)]
    return {
        "warm_questions": len(asked),
        "warm_ask_s": spread(asked),
        "encode_s": spread(encoded),
        "warm_ask_over_encode": spread(ratios),
    }
