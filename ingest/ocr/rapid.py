"""PP-OCR (PaddleOCR) in ONNX through RapidOCR: no torch, no paddle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from ...store.encoders import Picture
from ...store.engines import EngineOptions, denormals
from ...store.weights import models
from . import Quads
from .crops import shrunk


class RapidOptions(EngineOptions):
    """``detect_side``: text is looked for in a picture whose shorter side is at most this many pixels; it is read at
    full size.  ``box_score``: least confidence of a box.
    """

    model: str = "ppocrv6-small"
    detect_side: int = Field(480, ge=32, le=2048)
    box_score: float = Field(0.5, ge=0, le=1)


class Rapid:
    """RapidOCR's detector and recogniser, called one after the other."""

    Options = RapidOptions
    requires = ("rapidocr", "onnxruntime", "cv2")
    extra = "ingest"

    @staticmethod
    def weights(options: RapidOptions) -> Sequence[str]:
        return (options.model,)

    @denormals.as_zero()  # threads of the runtime inherit it from the one that makes them
    def __init__(self, options: RapidOptions) -> None:
        from rapidocr import RapidOCR

        files = models.files(options.model)
        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        self.options = options
        # by default the detector enlarges the shorter side to 736 pixels: it is told to leave sizes alone
        self._ocr = RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.use_cls": False,
                "Det.limit_side_len": 32,
                "Det.limit_type": "min",
                "Det.box_thresh": options.box_score,
                "Det.model_path": str(files["det.onnx"]),
                "Rec.model_path": str(files["rec.onnx"]),
                "EngineConfig.onnxruntime.intra_op_num_threads": options.threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    @denormals.as_zero()
    def detect(self, picture: Picture) -> Quads:
        import cv2

        small = shrunk(picture, self.options.detect_side)
        found: Any = self._ocr.text_det(cv2.cvtColor(small, cv2.COLOR_RGB2BGR)).boxes
        if found is None or not len(found):
            return np.zeros((0, 4, 2), np.float32)
        quads = np.asarray(found, np.float32) / np.array(small.shape[1::-1], np.float32)
        return np.clip(quads, 0.0, 1.0)

    @denormals.as_zero()
    def recognise(self, picture: Picture, quads: Quads) -> Sequence[tuple[str, float]]:
        import cv2

        if not len(quads):
            return []
        h, w = picture.shape[:2]
        corners = quads * np.array([w, h], np.float32)
        crops = self._ocr.crop_text_regions(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), corners)
        usable = [i for i, c in enumerate(crops) if c.size and min(c.shape[:2]) >= 2]
        out = [("", 0.0)] * len(quads)
        if usable:
            read = self._ocr.recognize_txt([crops[i] for i in usable])
            for i, text, score in zip(usable, read.txts, read.scores, strict=True):
                out[i] = (str(text).strip(), float(score))
        return out
