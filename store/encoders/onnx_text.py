"""Text encoders as ONNX files: E5, BGE, GTE, MiniLM and their kin, on the CPU and without torch.

Any repository of sentence-transformers with a folder ``onnx`` will do; see :mod:`.onnx_files`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..engines import identity
from ..fingerprints import digest
from ..vectors import Vectors, normalised
from . import EncoderSpec, well_formed
from .onnx_text_model import OnnxTextModel, OnnxTextModelOptions, name_of
from .sentence_folder import SentenceFolder

KIND: Final = "text_encoder"


class OnnxTextOptions(OnnxTextModelOptions):
    """``pooling``: ``auto`` takes what the folder says, the mean over tokens otherwise.  ``query_prefix`` and
    ``document_prefix``: None takes those of the folder.  ``model``, ``variant`` and ``max_tokens``: see the base class.
    """

    model: str = "hf:intfloat/multilingual-e5-small"
    pooling: Literal["auto", "mean", "cls"] = "auto"
    query_prefix: str | None = None
    document_prefix: str | None = None


class OnnxText:
    """Sentence encoders (Reimers and Gurevych, 2019, arXiv 1908.10084) through onnxruntime."""

    Options = OnnxTextOptions
    requires = ("onnxruntime", "tokenizers")
    extra = "query"

    @staticmethod
    def weights(options: OnnxTextOptions) -> Sequence[str]:
        return (options.reference(KIND),)

    def __init__(self, options: OnnxTextOptions) -> None:
        self.options = options
        wanted = ("last_hidden_state", "token_embeddings", "sentence_embedding")
        self._model = OnnxTextModel(options, KIND, wanted)
        told = SentenceFolder.of(self._model.folder)
        self._cls = (told.pooling if options.pooling == "auto" else options.pooling) == "cls"
        self._limit = min(options.max_tokens, *filter(None, (told.max_tokens, self._model.limit)), 32_768)
        query, document = options.query_prefix, options.document_prefix
        ident = identity(KIND, "onnx", options.model_dump())
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
        return normalised(np.stack(self._model.read(cut, self._pooled)))

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
