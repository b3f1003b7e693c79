"""Which frames are worth keeping.

Samples are compared with the frame kept last, on a small blurred grey picture cut into tiles: a frame is new where its
most changed tile differs enough.  So a line added to a slide counts, film grain does not.  A scene cut is kept at once;
any other change at most every ``min_gap`` seconds, with the time at which it was first seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..store.encoders import Picture
from ..store.options import Options
from ..store.records import MediaInfo
from .media import Sampled

_GATE = (256, 144)
_TILE = 16


class SamplingOptions(Options):
    """``rate``: samples a second that are compared.  ``tile_change``: mean grey difference (0..1) of one tile that
    makes a frame new.  ``cut_change``: mean difference to the sample before that makes a cut.  ``min_gap``: seconds
    between kept frames without a cut.  ``read_side``: longer side of the pictures that OCR reads.  ``stored_side`` and
    ``jpeg_quality``: of the stored pictures.  ``uniform``: keep so many frames at equal steps in time, whatever they
    show, as video-language models and Video-RAG do; what happens between them is not seen.
    """

    rate: float = Field(2.0, gt=0, le=30)
    tile_change: float = Field(0.02, gt=0, le=1)
    cut_change: float = Field(0.12, gt=0, le=1)
    min_gap: float = Field(1.0, ge=0)
    read_side: int = Field(1280, ge=64, le=4096)
    stored_side: int = Field(640, ge=64, le=4096)
    jpeg_quality: int = Field(80, ge=1, le=100)
    uniform: int | None = Field(None, ge=1, le=10_000)

    def identity(self) -> dict[str, Any]:
        """Without ``uniform`` where it is not used: archives of before it existed stay as they are."""
        told = super().identity()
        if self.uniform is None:
            del told["uniform"]
        return told

    def rate_of(self, duration: float) -> float:
        """Samples a second for a video of so many seconds."""
        if self.uniform is None or duration <= 0:
            return self.rate
        return min(30.0, self.uniform / duration)

    def rate_in(self, info: MediaInfo) -> float:
        """Samples a second for the pictures of a file."""
        return self.rate_of(info.video_end or info.end or 0.0)


@dataclass(frozen=True, slots=True)
class Kept:
    """A frame to store: shown from ``start``; ``picture`` uint8 ``(H, W, 3)`` RGB as large as OCR reads it."""

    start: float
    picture: Picture
    change: float
    cut: bool


class Sampler:
    """Chooses among samples in order; counts them in ``seen``."""

    def __init__(self, options: SamplingOptions) -> None:
        self.options = options
        self.seen = 0

    def keep(self, samples: Iterable[Sampled]) -> Iterator[Kept]:
        kept: NDArray[np.float32] | None = None
        before: NDArray[np.float32] | None = None
        waiting: tuple[float, NDArray[np.float32]] | None = None
        last = 0.0
        for sample in samples:
            self.seen += 1
            grey = gate(sample.picture)
            if kept is None or before is None:
                kept, before, last = grey, grey, sample.time
                yield Kept(sample.time, sample.picture, 1.0, True)
                continue
            change = tile_change(grey, kept)
            cut = bool(np.abs(grey - before).mean() >= self.options.cut_change)
            before = grey
            if self.options.uniform is not None:
                kept = grey
                yield Kept(sample.time, sample.picture, change, cut)
                continue
            if change < self.options.tile_change:
                waiting = None
                continue
            if waiting is None or tile_change(grey, waiting[1]) >= self.options.tile_change:
                waiting = (sample.time, grey)
            if cut or sample.time - last >= self.options.min_gap - 1e-6:
                yield Kept(waiting[0], sample.picture, change, cut)
                kept, last, waiting = grey, sample.time, None


def gate(picture: Picture) -> NDArray[np.float32]:
    """The blurred grey picture that is compared: float32 ``(144, 256)``, 0..1."""
    import cv2

    small = cv2.resize(picture, _GATE, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (3, 3), 0)
    out: NDArray[np.float32] = grey.astype(np.float32) / 255
    return out


def tile_change(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean absolute difference of the most changed of 16 x 9 tiles, 0..1."""
    diff = np.abs(a - b)
    h, w = diff.shape
    tiles = diff.reshape(h // _TILE, _TILE, w // _TILE, _TILE).mean(axis=(1, 3))
    return float(tiles.max())


def jpeg(picture: Picture, side: int, quality: int) -> tuple[bytes, int, int]:
    """JPEG bytes, width and height of a picture whose longer side is at most ``side``."""
    import cv2

    h, w = picture.shape[:2]
    scale = min(1.0, side / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = picture if scale == 1.0 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of {w}x{h} pixels cannot be written as JPEG")
    return data.tobytes(), size[0], size[1]
