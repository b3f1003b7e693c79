"""OWL-ViT and OWLv2 as ONNX files, on the CPU and without torch: find what a phrase names (Minderer et al., 2022, arXiv
2205.06230; 2023, arXiv 2306.09683).

The layout is that of the hub's ONNX repositories (Optimum, transformers.js): ``onnx/model*.onnx``, ``tokenizer.json``,
``preprocessor_config.json``, ``config.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ....store.encoders import Picture
from ....store.encoders.onnx_files import located, reference
from ....store.encoders.onnx_session import session, tokenizer
from ....store.encoders.pixels import Pixels
from ....store.engines import EngineOptions, identity
from ....store.engines.pretrained import head
from ....store.errors import EngineFailed, ModelMissing, one_line
from ....store.fingerprints import digest
from ....store.records import Detection
from .phrases import LEAST_SIDE, best_first, check_prompt, corners, detections, out_of_square, phrase, phrases

KIND: Final = "detector"
_NAME, _SETTING, _LENGTH = "model", f"{KIND}.variant", 16
_INPUTS, _OUTPUTS = ("input_ids", "pixel_values", "attention_mask"), ("logits", "pred_boxes")


class OnnxOwlOptions(EngineOptions):
    """``model``: a folder, or ``hf:OWNER/REPO`` of one.  ``variant``: which of several it holds, by what stands in the
    file name after ``model_`` (``quantized``, ``fp16``); ``plain`` is the file with nothing there.  ``threshold``: the
    least score of a detection.  ``overlap``: of two boxes of one thing that share more than this (intersection over
    union) the weaker is dropped.  ``prompt``: what the model reads for a phrase, which stands for ``{}``.
    """

    model: str = "hf:Xenova/owlvit-base-patch32"
    variant: str = Field("auto", pattern=r"^[A-Za-z0-9_]+$")
    threshold: float = Field(0.1, ge=0, le=1)
    overlap: float = Field(0.5, ge=0, le=1)
    prompt: str = "a photo of a {}"


class OnnxOwl:
    """Each patch of the picture is a box, named by the phrase whose vector it fits best."""

    Options = OnnxOwlOptions
    requires = ("onnxruntime", "tokenizers", "PIL")
    extra = "query"

    @staticmethod
    def weights(options: OnnxOwlOptions) -> Sequence[str]:
        return (reference(options.model, options.variant, (_NAME,), _SETTING),)

    def __init__(self, options: OnnxOwlOptions) -> None:
        check_prompt(options.prompt, "onnx-owl")
        self.options = options
        folder, found = located(options.model, options.variant, (_NAME,), _SETTING)
        self._path = folder / "onnx" / f"{_NAME}{found}"
        config = head(folder / "config.json")
        if (kind := config.get("model_type")) not in ("owlvit", "owlv2"):
            raise ModelMissing(f"{options.model}: is of the type '{kind}'; detector=onnx-owl reads owlvit and owlv2")
        self._square = kind == "owlv2"  # a picture lies at the top left of a black square
        self._pixels = Pixels.of(head(folder / "preprocessor_config.json"), options.model)
        self._session = session(self._path, options.threads)
        inputs = {i.name: i for i in self._session.get_inputs()}
        outputs = [o.name for o in self._session.get_outputs()]
        if not set(_INPUTS[:2]) <= set(inputs) <= set(_INPUTS) or not set(_OUTPUTS) <= set(outputs):
            takes, gives = ", ".join(inputs), ", ".join(outputs)
            raise ModelMissing(f"{self._path}: takes {takes} and gives {gives}; needed are {', '.join(_INPUTS)}")
        self._masked = "attention_mask" in inputs
        self._tokenizer = tokenizer(folder / "tokenizer.json")
        told = config.get("text_config")
        longest = told.get("max_position_embeddings", _LENGTH) if isinstance(told, dict) else _LENGTH
        self._tokenizer.enable_truncation(longest)
        asked = self._tokenizer.padding or {}
        self._tokenizer.enable_padding(
            length=longest, pad_id=asked.get("pad_id", 0), pad_token=asked.get("pad_token", "!")
        )
        self.identity = digest(identity(KIND, "onnx-owl", options.model_dump()))
        try:
            self._see(np.zeros((8, 8, 3), np.uint8), ["a", "b"])
        except EngineFailed as e:
            raise ModelMissing(str(e)) from e

    def knows(self, entity: str) -> str | None:
        return phrase(entity)

    def detect(self, picture: Picture, entities: Sequence[str]) -> tuple[Detection, ...]:
        wanted = phrases(entities)
        if not wanted or min(picture.shape[:2]) < LEAST_SIDE:
            return ()
        scores, boxes = self._see(picture, wanted)
        return best_first(detections(scores, boxes, wanted, self.options.threshold), self.options.overlap)

    def _see(self, picture: Picture, wanted: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores ``(n_boxes, n_wanted)`` and corners ``(n_boxes, 4)``; :class:`EngineFailed` for anything else."""
        read = self._tokenizer.encode_batch([self.options.prompt.replace("{}", w) for w in wanted])
        height, width = picture.shape[:2]
        if self._square:
            square = np.zeros((max(height, width), max(height, width), 3), np.uint8)
            square[:height, :width] = picture
            picture = square
        feed: dict[str, Any] = {
            "input_ids": np.array([r.ids for r in read], np.int64), "pixel_values": self._pixels([picture])
        }  # fmt: skip
        if self._masked:
            feed["attention_mask"] = np.array([r.attention_mask for r in read], np.int64)
        try:
            logits, boxes = (np.asarray(o, np.float32)[0] for o in self._session.run([*_OUTPUTS], feed))
        except Exception as e:  # the runtime has a type for each way to fail
            raise EngineFailed(f"{self._path}: does not run on what its folder's files say ({one_line(e, 160)})") from e
        if logits.ndim != 2 or logits.shape[1] != len(wanted) or boxes.shape != (len(logits), 4):
            raise EngineFailed(
                f"{self._path}: gives logits {logits.shape} and boxes {boxes.shape} for {len(wanted)} phrases"
            )
        found = corners(boxes)
        if self._square:
            found = out_of_square(found, height, width)
        return 1 / (1 + np.exp(-np.clip(logits, -50, 50))), found
