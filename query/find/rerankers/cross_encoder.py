"""Cross-encoders of Hugging Face transformers: one model reads question and row together and writes one number.

Nogueira and Cho, 2019 (arXiv 1901.04085); ms-marco MiniLM, BGE re-rankers and their kin.  Needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ....store.engines import identity, pretrained
from ....store.engines.devices import Batches, TorchOptions, device, dtype, set_threads
from ....store.errors import ModelMissing
from ....store.fingerprints import digest


class CrossEncoderOptions(TorchOptions):
    """``model``: a folder, or ``hf:BAAI/bge-reranker-v2-m3`` and the like, with one output or two (the last one is
    taken).  ``max_tokens``: of question and row together; rows are cut there.  ``remote_code``: let the model bring its
    own Python code.
    """

    model: str = "hf:cross-encoder/ms-marco-MiniLM-L6-v2"
    max_tokens: int = Field(512, ge=16, le=32_768)
    remote_code: bool = False


class CrossEncoder:
    """Any model that ``AutoModelForSequenceClassification`` loads with one or two outputs."""

    Options = CrossEncoderOptions
    requires = ("torch", "transformers")
    extra = "transformers"

    @staticmethod
    def weights(options: CrossEncoderOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: CrossEncoderOptions) -> None:
        self.options = options
        folder = pretrained.folder(options.model, "reranker", options.remote_code)
        self._where = device(options.device)
        set_threads(options.threads)
        self._tokenizer = pretrained.processor("AutoTokenizer", folder, options.model, options.remote_code)
        self._model = pretrained.model(
            "AutoModelForSequenceClassification",
            folder,
            options.model,
            options.remote_code,
            dtype=dtype(options.dtype, self._where),
        ).to(self._where)
        outputs = int(self._model.config.num_labels)
        if outputs > 2:
            raise ModelMissing(
                f"{options.model}: has {outputs} outputs, a re-ranker has one (or two: no and yes); "
                "name a cross-encoder made for ranking"
            )
        limit = getattr(self._model.config, "max_position_embeddings", None) or options.max_tokens
        self._limit = min(options.max_tokens, limit)
        self.identity = digest(identity("reranker", "cross-encoder", options.model_dump()))
        self._batches = Batches(f"reranker {options.model}", options.batch_size)

    @property
    def notes(self) -> list[str]:
        """What the user should know of the work so far."""
        return self._batches.notes

    def scores(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # equal lengths together: little padding
        found = self._batches.run([texts[i] for i in order], lambda batch: self._batch(question, batch))
        out = np.zeros(len(texts), np.float32)
        out[order] = found
        return out

    def _batch(self, question: str, texts: Sequence[str]) -> list[float]:
        import torch

        read: Any = self._tokenizer(
            [question] * len(texts),
            list(texts),
            padding=True,
            truncation="longest_first",
            max_length=self._limit,
            return_tensors="pt",
        ).to(self._where)
        with torch.inference_mode():
            logits = self._model(**read).logits.float()
        scores: list[float] = (logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0)).cpu().tolist()
        return scores
