"""Cross-encoders as ONNX files, on the CPU and without torch; see :mod:`.cross_encoder`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ....store.encoders import well_formed
from ....store.encoders.onnx_text_model import OnnxTextModel, OnnxTextModelOptions
from ....store.engines import identity
from ....store.errors import ModelMissing
from ....store.fingerprints import digest

KIND: Final = "reranker"


class OnnxCrossEncoderOptions(OnnxTextModelOptions):
    """``model``: with one output or two (the last one is taken).  ``max_tokens``: of question and row together; the
    longer of them is cut.  ``variant``: see the base class.
    """

    model: str = "hf:cross-encoder/mmarco-mMiniLMv2-L12-H384-v1"


class OnnxCrossEncoder:
    """One model reads question and row together (Nogueira and Cho, 2019, arXiv 1901.04085) through onnxruntime."""

    Options = OnnxCrossEncoderOptions
    requires = ("onnxruntime", "tokenizers")
    extra = "query"

    @staticmethod
    def weights(options: OnnxCrossEncoderOptions) -> Sequence[str]:
        return (options.reference(KIND),)

    def __init__(self, options: OnnxCrossEncoderOptions) -> None:
        self.options = options
        self._model = OnnxTextModel(options, KIND, ("logits",))
        limit = min(options.max_tokens, self._model.limit or options.max_tokens)
        self._model.tokenizer.enable_truncation(limit, strategy="longest_first")
        self.identity = digest(identity(KIND, "onnx", options.model_dump()))
        if (outputs := self._logits(well_formed("a"), ["b"])[0].size) > 2:
            raise ModelMissing(
                f"{options.model}: has {outputs} outputs, a re-ranker has one (or two: no and yes); "
                "name a cross-encoder made for ranking"
            )

    def scores(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        found = self._logits(well_formed(question), [well_formed(t) for t in texts])
        return np.array([r[-1] - (r[0] if r.size == 2 else 0) for r in found], np.float32)

    def _logits(self, question: str, texts: Sequence[str]) -> list[NDArray[Any]]:
        read = self._model.tokenizer.encode_batch([(question, t) for t in texts])
        return self._model.read(read, lambda out: out.reshape(len(out), -1))
