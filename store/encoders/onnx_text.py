"""Text encoders as ONNX files: E5, BGE, GTE, MiniLM and their kin, on the CPU and without torch.

Any repository of sentence-transformers with a folder ``onnx`` will do; see :mod:`.onnx_files`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..engines import EngineOptions, identity
from ..fingerprints import digest
from ..vectors import Vectors, normalised
from . import EncoderSpec, well_formed
from .onnx_files import reference
from .onnx_text_model import NAME, OnnxTextModel, name_of
from .sentence_folder import SentenceFolder

_SETTING = "text_encoder.variant"


class OnnxTextOptions(EngineOptions):
    """``model``: a folder, or ``hf:OWNER/REPO`` of one.  ``variant``: which of several it holds, by what stands in the
    file name after ``model_`` (``int8``, ``quantized``, ``fp16``); ``plain`` is the file with nothing there.
    ``pooling``: ``auto`` takes what the folder says, the mean over tokens otherwise.  ``query_prefix`` and
    ``document_prefix``: None takes those of the folder.  ``max_tokens``: longer texts are cut there.
    """

    runtime = frozenset({"threads", "batch_size"})
    model: str = "hf:intfloat/multilingual-e5-small"
    variant: str = Field("auto", pattern=r"^[A-Za-z0-9_]+$")
    pooling: Literal["auto", "mean", "cls"] = "auto"
    query_prefix: str | None = None
    document_prefix: str | None = None
    max_tokens: int = Field(512, ge=8, le=32_768)
    batch_size: int = Field(16, ge=1, le=256)


class OnnxText:
    """Sentence encoders (Reimers and Gurevych, 2019, arXiv 1908.10084) through onnxruntime."""

    Options = OnnxTextOptions
    requires = ("onnxruntime", "tokenizers")
    extra = "query"

    @staticmethod
    def weights(options: OnnxTextOptions) -> Sequence[str]:
        return (reference(options.model, options.variant, (NAME,), _SETTING),)

    def __init__(self, options: OnnxTextOptions) -> None:
        self.options = options
        wanted = ("last_hidden_state", "token_embeddings", "sentence_embedding")
        (ref,) = self.weights(options)
        self._model = OnnxTextModel(ref, options.model, options.variant, _SETTING, wanted, options.threads)
        told = SentenceFolder.of(self._model.folder)
        self._cls = (told.pooling if options.pooling == "auto" else options.pooling) == "cls"
        self._limit = min(options.max_tokens, *filter(None, (told.max_tokens, self._model.limit)), 32_768)
        query, document = options.query_prefix, options.document_prefix
        ident = identity("text_encoder", "onnx", options.model_dump())
        self.spec = EncoderSpec(
            name_of(options.model),
            digest(ident),
            0,
            told.query if query is None else query,
            told.document if document is None else document,
        )
        dim = self._encoded(["dimensions"]).shape[1]
        self.spec = dataclasses.replace(self.spec, dim=dim)

    def documents(self, texts: Sequence[str]) -> Vectors:
        return self._encoded([self.spec.document_prefix + well_formed(t) for t in texts])

    def queries(self, texts: Sequence[str]) -> Vectors:
        return self._encoded([self.spec.query_prefix + well_formed(t) for t in texts])

    def _encoded(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.spec.dim), np.float32)
        read = self._model.tokenizer.encode_batch(list(texts))
        cut = [_Tokens.of(r, self._limit) for r in read]
        return normalised(np.stack(self._model.read(cut, self.options.batch_size, self._pooled)))

    def _pooled(self, out: NDArray[Any]) -> NDArray[Any]:
        if out.ndim == 2:  # the model pools by itself
            return out
        pooled: NDArray[Any] = out[:, 0] if self._cls else out.mean(1)
        return pooled

    def count_tokens(self, text: str) -> int:
        return len(self._model.tokenizer.encode(well_formed(text), add_special_tokens=False).ids)


@dataclasses.dataclass(frozen=True, slots=True)
class _Tokens:
    """A text cut to a length; its last token, which marks the end, stays."""

    ids: list[int]
    attention_mask: list[int]
    type_ids: list[int]

    @classmethod
    def of(cls, read: Any, limit: int) -> _Tokens:
        def cut(row: list[int]) -> list[int]:
            return row if len(row) <= limit else [*row[: limit - 1], row[-1]]

        return cls(cut(read.ids), cut(read.attention_mask), cut(read.type_ids))
