"""EasyOCR: CRAFT (Baek et al., 2019, arXiv 1904.01941) finds text, a CRNN (Shi et al., 2015) reads it.  Needs torch."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ...store.cache_dir import cache_dir
from ...store.encoders import Picture
from ...store.engines import EngineOptions
from ...store.engines.devices import device, set_threads
from ...store.errors import ModelMissing, OptionError, one_line
from ...store.weights import models
from . import Quads
from .crops import crops, shrunk

_HUB = "hub"


class EasyOptions(EngineOptions):
    """``model``: a weights reference or a folder with EasyOCR's ``.pth`` files (whose hashes it checks), or ``hub``:
    its authors' server, once, unless offline.  ``languages``: EasyOCR's codes; which go together is up to its models.
    ``device``: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; ``auto`` takes a GPU where there is one.  ``quantize``: int8
    recogniser on a CPU.  ``score``: lines read with less confidence count as unreadable (published Video-RAG: 0.5).
    ``word_gap``: words further apart than this many heights of a line are lines of their own.

    ``detect_side``: text is looked for in a picture whose shorter side is at most this many pixels; it is read at full
    size.
    """

    runtime = frozenset({"threads", "device"})
    model: str = "easyocr-en"
    languages: tuple[str, ...] = Field(("en",), min_length=1)
    device: str = Field("auto", pattern=r"^(?:auto|cpu|cuda(?::\d+)?|mps)$")
    quantize: bool = True
    score: float = Field(0.0, ge=0, le=1)
    word_gap: float = Field(1.0, gt=0, le=10)
    detect_side: int = Field(480, ge=32, le=2048)


class Easy:
    """EasyOCR's reader, its two steps apart."""

    Options = EasyOptions
    requires = ("easyocr", "torch", "cv2")
    extra = "easyocr"

    @staticmethod
    def weights(options: EasyOptions) -> Sequence[str]:
        return () if options.model == _HUB else (options.model,)

    def __init__(self, options: EasyOptions) -> None:
        self.options = options
        folder = cache_dir() / "weights" / "easyocr" if options.model == _HUB else _folder(options.model)
        where = device(options.device)
        set_threads(options.threads)
        self._reader = _reader(options, folder, where)

    def detect(self, picture: Picture) -> Quads:
        small = shrunk(picture, self.options.detect_side)
        h, w = small.shape[:2]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flat, free = self._reader.detect(np.ascontiguousarray(small), min_size=8, width_ths=self.options.word_gap)
        quads = [[[x0, y0], [x1, y0], [x1, y1], [x0, y1]] for x0, x1, y0, y1 in flat[0]]
        quads += [[list(p) for p in q] for q in free[0]]
        found = np.array(quads, np.float32).reshape(-1, 4, 2) / np.array([w, h], np.float32)
        return np.clip(found, 0.0, 1.0)

    def recognise(self, picture: Picture, quads: Quads) -> Sequence[tuple[str, float]]:
        out = [("", 0.0)] * len(quads)
        for i, line in crops(picture, quads).items():
            out[i] = self._read(line)
        return out

    def _read(self, line: Picture) -> tuple[str, float]:
        import cv2

        grey = cv2.cvtColor(line, cv2.COLOR_RGB2GRAY)
        h, w = grey.shape
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: list[Any] = self._reader.recognize(grey, [[0, w, 0, h]], [], reformat=False)
        text = " ".join(str(f[1]) for f in found).strip()
        sure = min((float(f[2]) for f in found), default=0.0)
        return (text, min(1.0, sure)) if text and sure >= self.options.score else ("", 0.0)


def _folder(ref: str) -> Path:
    folder = models.folder_of(ref)
    if not folder.is_dir():
        raise ModelMissing(f"{ref}: EasyOCR needs a folder of .pth files")
    return folder


def _reader(options: EasyOptions, folder: Path, where: str) -> Any:
    import easyocr

    fetch = options.model == _HUB and not models.offline()
    before = list(sys.path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return easyocr.Reader(
                list(options.languages),
                gpu=False if where == "cpu" else where,
                model_storage_directory=str(folder),
                user_network_directory=str(folder),
                download_enabled=fetch,
                quantize=options.quantize,
                verbose=False,
            )
    except ValueError as e:
        raise OptionError(
            f"ocr=easyocr.languages: {' '.join(str(a) for a in e.args)} (given: {options.languages})"
        ) from e
    except Exception as e:  # EasyOCR, torch and the network raise many types: all mean unusable weights
        raise ModelMissing(
            f"{options.model}: EasyOCR cannot load {', '.join(options.languages)} from it: not there, cut short or "
            f"damaged ({one_line(e, 160)})"
        ) from e
    finally:
        sys.path[:] = before  # it adds the folder of weights
