"""Stored pictures of a video: which one is on screen at a time, and smaller ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..store.errors import UsageError

if TYPE_CHECKING:
    from ..store.archive.shard import Shard
    from ..store.records import Frame


def on_screen(frames: Sequence[Frame], time: float) -> int | None:
    """The number of the frame shown at ``time``, the first one before there is any; None where none is stored."""
    if not frames:
        return None
    return max(0, bisect_right(frames, time, key=lambda f: f.start) - 1)


def picture(shard: Shard, time: float, width: int = 0) -> bytes:
    """The JPEG on screen at ``time``, at most ``width`` pixels wide (0: as it is stored).

    Raises :class:`~vidrag.store.errors.UsageError` where no frames are stored.
    """
    number = on_screen(shard.frames, time)
    if number is None:
        raise UsageError(f"no frames of {shard.name} are stored")
    return scaled(shard.jpeg(number), width)


def scaled(data: bytes, width: int) -> bytes:
    """A JPEG at most ``width`` pixels wide; 0, or what is no picture: as it is."""
    import cv2
    import numpy as np

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if width else None
    if picture is None or picture.shape[1] <= width:
        return data
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
