"""MiniLM-L6 in int8 ONNX: 384 dimensions, mean-pooled, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..engines import EngineOptions, identity
from ..errors import ModelMissing
from ..fingerprints import digest
from ..vectors import Vectors
from ..weights import models
from . import EncoderSpec, onnx_session, well_formed
from .pooling import mean_pooled

DIM = 384


class MiniLMOptions(EngineOptions):
    """``max_tokens``: longer texts are cut there (the model was trained to 256).  ``model``: a weights reference."""

    runtime = frozenset({"threads", "batch_size"})
    model: str = "minilm-l6-int8"
    max_tokens: int = Field(256, ge=8, le=512)
    batch_size: int = Field(16, ge=1, le=256)


@lru_cache(maxsize=2)
def _loaded(model: str, threads: int) -> tuple[Any, Any]:
    """Session and tokenizer, shared by every encoder of this process that reads the same file."""
    files = models.files(model)
    if missing := {"model.onnx", "tokenizer.json"} - set(files):
        raise ModelMissing(f"{model}: holds no {' and no '.join(sorted(missing))}")
    tokenizer = onnx_session.tokenizer(files["tokenizer.json"])
    tokenizer.no_padding()  # the file asks for 128 each time, which would dilute the mean
    tokenizer.no_truncation()
    return onnx_session.session(files["model.onnx"], threads), tokenizer


class MiniLM:
    """all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0); vectors as in Reimers & Gurevych, 2019."""

    Options = MiniLMOptions
    requires = ("onnxruntime", "tokenizers")
    extra = "query"

    @staticmethod
    def weights(options: MiniLMOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: MiniLMOptions) -> None:
        self.options = options
        self._session, self._tokenizer = _loaded(options.model, options.threads)
        self._inputs = {i.name for i in self._session.get_inputs()}
        ident = identity("text_encoder", "minilm", options.model_dump())
        self.spec = EncoderSpec("minilm", digest(ident), DIM)

    def documents(self, texts: Sequence[str]) -> Vectors:
        ids = [e.ids for e in self._tokenizer.encode_batch([well_formed(t) for t in texts])]
        return mean_pooled(ids, self._hidden, DIM, self.options.max_tokens, self.options.batch_size)

    def _hidden(self, ids: list[Sequence[int]]) -> NDArray[np.float32]:
        tokens = np.array(ids, np.int64)
        feed = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        found: NDArray[np.float32] = self._session.run(None, {k: v for k, v in feed.items() if k in self._inputs})[0]
        return found

    queries = documents

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(well_formed(text), add_special_tokens=False).ids)
