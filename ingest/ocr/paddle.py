"""PaddleOCR 3 (Cui et al., 2025, arXiv 2507.05595): its detector and recogniser, on paddle or on onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ...store.encoders import Picture
from ...store.engines import EngineOptions, denormals
from ...store.errors import EngineMissing, ModelMissing, one_line
from ...store.weights import models
from . import Quads
from .crops import crops, shrunk

Language = Literal["default", "arabic", "cyrillic", "devanagari", "el", "eslav", "korean", "latin", "ta", "te", "th"]
_CONFIG = "inference.yml"
_ONNX = "inference.onnx"


class PaddleOptions(EngineOptions):
    """``det_model``, ``rec_model``: folders in PaddleOCR's layout (``inference.yml`` and a model), or ``hf:OWNER/REPO``
    of one.  ``language``: which recogniser is taken where ``rec_model`` is None: ``default`` reads Chinese, English,
    Japanese and European languages, the others a script each, and English.

    ``device``: ``cpu``, ``cuda``, ``cuda:1``; ``auto`` takes a GPU where there is one.  ``engine``: what runs the
    models; ``auto`` is paddle where it is installed and the folders hold models of it, else onnxruntime.  ``mkldnn``:
    paddle's oneDNN on a CPU, which fails in some versions.  ``batch_size``: lines read at a time.

    ``detect_side``: text is looked for in a picture whose shorter side is at most this many pixels; it is read at
    full size.  ``box_score``: least confidence of a box.
    """

    runtime = frozenset({"threads", "device", "batch_size"})
    det_model: str = "hf:PaddlePaddle/PP-OCRv6_medium_det"
    rec_model: str | None = None
    language: Language = "default"
    device: str = Field("auto", pattern=r"^(?:auto|cpu|cuda(?::\d+)?)$")
    engine: Literal["auto", "paddle", "onnxruntime"] = "auto"
    mkldnn: bool = False
    batch_size: int = Field(1, ge=1, le=256)
    detect_side: int = Field(480, ge=32, le=2048)
    box_score: float = Field(0.5, gt=0, le=1)

    @property
    def recogniser(self) -> str:
        """The reference of the recogniser that is meant."""
        if self.rec_model:
            return self.rec_model
        name = "PP-OCRv6_medium_rec" if self.language == "default" else f"{self.language}_PP-OCRv5_mobile_rec"
        return f"hf:PaddlePaddle/{name}"


class Paddle:
    """PaddleOCR's own predictors for finding and reading text; models come from folders alone."""

    Options = PaddleOptions
    requires = ("paddleocr", "cv2")
    extra = "paddleocr"

    @staticmethod
    def weights(options: PaddleOptions) -> Sequence[str]:
        return (options.det_model, options.recogniser)

    @denormals.as_zero()
    def __init__(self, options: PaddleOptions) -> None:
        os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")  # it would look for model hosts
        self.options = options
        det, rec = models.folder_of(options.det_model), models.folder_of(options.recogniser)
        self.backend = _backend(options.engine, (det, rec))
        self.where = _device(options.device, self.backend)
        from paddleocr import TextDetection, TextRecognition

        # the detector would enlarge or shrink pictures: it is told to leave sizes alone
        sizes = {"limit_side_len": 32, "limit_type": "min", "box_thresh": options.box_score}
        self._det = self._predictor(TextDetection, options.det_model, det, sizes)
        self._rec = self._predictor(TextRecognition, options.recogniser, rec, {})

    def _predictor(self, cls: Any, ref: str, folder: Path, more: dict[str, Any]) -> Any:
        name = _model_name(ref, folder)
        onnx = self.backend == "onnxruntime"
        given: dict[str, Any] = {
            "engine": self.backend,
            "device": self.where,
            "cpu_threads": self.options.threads,
            "enable_mkldnn": self.options.mkldnn,
        }
        if onnx:
            given["engine_config"] = {"intra_op_num_threads": self.options.threads, "inter_op_num_threads": 1}
        try:
            return cls(model_name=name, model_dir=str(folder), **given, **more)
        except Exception as e:  # paddlex and onnxruntime raise many types: all mean an unusable folder
            raise ModelMissing(
                f"{ref}: PaddleOCR cannot load it on {self.backend}: cut short, damaged or of another kind "
                f"({type(e).__name__}: {one_line(e, 160)})"
            ) from e

    @denormals.as_zero()
    def detect(self, picture: Picture) -> Quads:
        small = shrunk(picture, self.options.detect_side)
        (found,) = self._det.predict(np.ascontiguousarray(small[..., ::-1]))
        polys = np.asarray(found["dt_polys"], np.float32).reshape(-1, 4, 2)
        h, w = small.shape[:2]
        quads: Quads = np.clip(polys / np.array([w, h], np.float32), 0.0, 1.0)
        return quads

    @denormals.as_zero()
    def recognise(self, picture: Picture, quads: Quads) -> Sequence[tuple[str, float]]:
        out = [("", 0.0)] * len(quads)
        cut = crops(picture, quads)
        order = sorted(cut, key=lambda i: cut[i].shape[1] / cut[i].shape[0])  # equal lengths together: little padding
        if order:
            lines = [np.ascontiguousarray(cut[i][..., ::-1]) for i in order]
            read = self._rec.predict(lines, batch_size=self.options.batch_size)
            for i, line in zip(order, read, strict=True):
                text = str(line["rec_text"]).strip()
                out[i] = (text, min(1.0, max(0.0, float(line["rec_score"])))) if text else ("", 0.0)
        return out


def _backend(wanted: str, folders: Sequence[Path]) -> str:
    """``paddle`` or ``onnxruntime``.  Raises :class:`EngineMissing` where what is wanted is not installed."""
    from importlib.util import find_spec

    has = {name: find_spec(name) is not None for name in ("paddle", "onnxruntime")}
    if wanted == "auto":
        only_onnx = any((f / _ONNX).is_file() and not list(f.glob("*.pdiparams")) for f in folders)
        wanted = "paddle" if has["paddle"] and not only_onnx else "onnxruntime"
    if not has[wanted]:
        package = {"paddle": "paddlepaddle", "onnxruntime": "onnxruntime"}[wanted]
        raise EngineMissing(f"ocr engine 'paddleocr' needs {wanted}; install it with: pip install {package}")
    for f in folders:
        if wanted == "onnxruntime" and f.is_dir() and (f / _CONFIG).is_file() and not (f / _ONNX).is_file():
            raise ModelMissing(
                f"{f}: no {_ONNX} in it, and paddle is not used: pip install paddlepaddle, or name a folder with one"
            )
    return wanted


def _device(name: str, backend: str) -> str:
    """The device in Paddle's words.  Raises :class:`EngineMissing` where it is not there."""
    count = 0
    if name != "cpu" and backend == "paddle":
        import paddle

        count = paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0
    elif name != "cpu":
        import onnxruntime

        count = 8 if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else 0
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= count:
        raise EngineMissing(f"device '{name}' is not there for {backend}; use --set ocr.device=cpu or auto")
    return f"gpu:{number or 0}" if count else "cpu"


def _model_name(ref: str, folder: Path) -> str:
    """The name of the model in ``folder``, as PaddleOCR wants it told.  Raises :class:`ModelMissing`."""
    import yaml

    try:
        told = yaml.safe_load((folder / _CONFIG).read_text("utf-8"))
        return str(told["Global"]["model_name"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as e:
        raise ModelMissing(
            f"{ref}: no readable {_CONFIG} in it; a model folder of PaddleOCR 3 is needed ({one_line(e, 100)})"
        ) from e
