"""A transformer that reads tokens, as an ONNX file with its tokenizer: what text encoders and re-rankers share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..engines import EngineOptions
from ..engines.pretrained import head
from ..errors import ModelMissing, one_line
from .onnx_files import located, reference
from .onnx_session import session, tokenizer

NAME = "model"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_PROBES = "a b c d e f g h".split()


class OnnxTextModelOptions(EngineOptions):
    """``model``: a folder, or ``hf:OWNER/REPO`` of one.  ``variant``: which of several it holds, by what stands in the
    file name after ``model_`` (``int8``, ``quantized``, ``fp16``); ``plain`` is the file with nothing there.
    ``max_tokens``: what is longer is cut there.
    """

    runtime = frozenset({"threads", "batch_size"})
    model: str
    variant: str = Field("auto", pattern=r"^[A-Za-z0-9_]+$")
    max_tokens: int = Field(512, ge=8, le=32_768)
    batch_size: int = Field(16, ge=1, le=256)

    def reference(self, kind: str) -> str:
        """The weights reference of a model for engines of ``kind``."""
        return reference(self.model, self.variant, (NAME,), f"{kind}.variant")


class OnnxTextModel:
    """A folder in the layout of the hub, see :mod:`.onnx_files`, opened for an engine of ``kind``.

    ``wanted``: names of the output to take, the first one that is there.  Raises :class:`ModelMissing` where the files
    are not there or do not fit.
    """

    def __init__(self, options: OnnxTextModelOptions, kind: str, wanted: Sequence[str]) -> None:
        self._batch = options.batch_size
        self.folder, found = located(options.model, options.variant, (NAME,), f"{kind}.variant")
        self._path = self.folder / "onnx" / f"{NAME}{found}"
        self._session = session(self._path, options.threads)
        self._inputs = [i.name for i in self._session.get_inputs()]
        outputs = [o.name for o in self._session.get_outputs()]
        self._told = next((n for n in wanted if n in outputs), "")
        if not self._told or not {"input_ids"} <= set(self._inputs) <= set(_INPUTS):
            takes, gives = ", ".join(self._inputs), ", ".join(outputs)
            raise ModelMissing(
                f"{self._path}: takes {takes} and gives {gives}; needed are {_INPUTS[0]} and {wanted[0]}"
            )
        self.tokenizer = tokenizer(self.folder / "tokenizer.json")
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        limit = head(self.folder / "config.json").get("max_position_embeddings")
        self.limit: int | None = limit if isinstance(limit, int) and limit > 8 else None

    @cached_property
    def exact(self) -> bool:
        """True where a text gives the same numbers whatever is read with it: some int8 models scale by all that is in a
        batch.
        """
        read = self.tokenizer.encode_batch(_PROBES)
        same = [r for r in read if len(r.ids) == len(read[0].ids)]
        return bool(np.allclose(self._run(same), np.concatenate([self._run([r]) for r in same]), atol=1e-6))

    def read(self, texts: Sequence[Any], take: Callable[[NDArray[Any]], NDArray[Any]]) -> list[Any]:
        """What ``take`` makes of the output for each of ``texts`` (tokens as the tokenizer gives them).

        Texts of equally many tokens are read together, so that nothing is padded.
        """
        out: list[Any] = [None] * len(texts)
        same: dict[int, list[int]] = defaultdict(list)
        for i, text in enumerate(texts):
            same[len(text.ids)].append(i)
        size = self._batch if self._batch > 1 and self.exact else 1
        for places in same.values():
            for first in range(0, len(places), size):
                part = places[first : first + size]
                for i, row in zip(part, take(self._run([texts[i] for i in part])), strict=True):
                    out[i] = row
        return out

    def _run(self, texts: Sequence[Any]) -> NDArray[np.float32]:
        read = {
            "input_ids": [t.ids for t in texts],
            "attention_mask": [t.attention_mask for t in texts],
            "token_type_ids": [t.type_ids for t in texts],
        }
        feed = {name: np.array(read[name], np.int64) for name in self._inputs}
        try:
            out = np.asarray(self._session.run([self._told], feed)[0], np.float32)
        except Exception as e:  # the runtime has a type for each way to fail
            raise ModelMissing(f"{self._path}: does not run on what its tokenizer gives ({one_line(e, 160)})") from e
        if len(out) != len(texts) or not np.isfinite(out).all():
            raise ModelMissing(f"{self._path}: {self._told} is not what was asked for; write or fetch it again")
        return out


def name_of(model: str) -> str:
    """The name of a model without where it lies."""
    return Path(model.removeprefix("hf:").partition("@")[0]).name
