"""Text encoders of Hugging Face transformers: Contriever, E5, BGE, MiniLM and their kin.  Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ..engines import identity, pretrained
from ..engines.devices import Batches, TorchOptions, device, dtype, set_threads
from ..fingerprints import digest
from ..vectors import Vectors, normalised
from . import EncoderSpec, well_formed
from .sentence_folder import SentenceFolder


class TransformerOptions(TorchOptions):
    """``model``: a folder, or ``hf:facebook/contriever`` and the like.  ``pooling``: ``auto`` takes what a
    sentence-transformers folder says, the mean over tokens otherwise (Contriever's).  ``query_prefix`` and
    ``document_prefix``: None takes those of the folder (E5's ``query: ``), which are empty elsewhere.  ``max_tokens``:
    longer texts are cut there.  ``remote_code``: let the model bring its own Python code.
    """

    model: str = "hf:facebook/contriever"
    pooling: Literal["auto", "mean", "cls"] = "auto"
    query_prefix: str | None = None
    document_prefix: str | None = None
    max_tokens: int = Field(512, ge=8, le=32_768)
    remote_code: bool = False


class TransformerEncoder:
    """Any encoder that ``AutoModel`` loads; pooled, of norm 1 (Contriever: Izacard et al., 2021, arXiv 2112.09118)."""

    Options = TransformerOptions
    requires = ("torch", "transformers")
    extra = "transformers"

    @staticmethod
    def weights(options: TransformerOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: TransformerOptions) -> None:
        self.options = options
        folder = pretrained.folder(options.model, "text_encoder", options.remote_code)
        self._where = device(options.device)
        set_threads(options.threads)
        self._model, self._tokenizer = _loaded(folder, options, self._where)
        told = SentenceFolder.of(folder)
        self._pooling = told.pooling if options.pooling == "auto" else options.pooling
        limit = getattr(self._model.config, "max_position_embeddings", None) or options.max_tokens
        self._limit = min(options.max_tokens, told.max_tokens or options.max_tokens, limit)
        query, document = options.query_prefix, options.document_prefix
        ident = identity("text_encoder", "transformers", options.model_dump())
        self.spec = EncoderSpec(
            Path(options.model.removeprefix("hf:")).name,
            digest(ident),
            int(self._model.config.hidden_size),
            told.query if query is None else query,
            told.document if document is None else document,
        )
        self._batches = Batches(f"text encoder {self.spec.name}", options.batch_size)

    @property
    def notes(self) -> list[str]:
        """What the user should know of the work so far."""
        return self._batches.notes

    def documents(self, texts: Sequence[str]) -> Vectors:
        return self._encoded([self.spec.document_prefix + well_formed(t) for t in texts])

    def queries(self, texts: Sequence[str]) -> Vectors:
        return self._encoded([self.spec.query_prefix + well_formed(t) for t in texts])

    def _encoded(self, texts: Sequence[str]) -> Vectors:
        out = np.zeros((len(texts), self.spec.dim), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # equal lengths together: little padding
        rows = self._batches.run([texts[i] for i in order], self._batch)
        for i, row in zip(order, rows, strict=True):
            out[i] = row
        return normalised(out)

    def _batch(self, texts: Sequence[str]) -> list[Vectors]:
        import torch

        read = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._limit, return_tensors="pt"
        ).to(self._where)
        with torch.inference_mode():
            hidden = self._model(**read).last_hidden_state.float()
        if self._pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = read["attention_mask"][..., None].float()
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return list(pooled.cpu().numpy())

    def count_tokens(self, text: str) -> int:
        read = self._tokenizer(well_formed(text), add_special_tokens=False, truncation=False, verbose=False)
        return len(read["input_ids"])


def _loaded(folder: Path, options: TransformerOptions, where: str) -> tuple[Any, Any]:
    """Model and tokenizer from a folder; see :mod:`vidrag.store.engines.pretrained`."""
    tokenizer = pretrained.processor("AutoTokenizer", folder, options.model, options.remote_code)
    model = pretrained.model(
        "AutoModel",
        folder,
        options.model,
        options.remote_code,
        unused=("pooler", "position_ids"),
        dtype=dtype(options.dtype, where),
    )
    return model.to(where), tokenizer
