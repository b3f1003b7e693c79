"""Pictures that are stored of a video or given by a user, as they are and smaller."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..store.archive.pictures import on_screen
from ..store.errors import EngineMissing, UsageError, one_line

if TYPE_CHECKING:
    from ..store.archive.shard import Shard
    from ..store.encoders import Picture

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Files of pictures that are read."""
_MOST_BYTES, _SIDE = 100 << 20, 1280


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


def given(image: str | os.PathLike[str] | Picture) -> Picture:
    """A picture in a file, or as it is; :class:`~vidrag.store.errors.UsageError` where it is none."""
    if isinstance(image, str | os.PathLike):
        return from_file(image)
    if getattr(image, "dtype", None) != "uint8" or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UsageError("the image is no file name and no array of uint8 with the shape (height, width, 3)")
    return image


def from_file(path: str | os.PathLike[str]) -> Picture:
    """The picture in a file, upright, uint8 ``(H, W, 3)``, RGB, at most 1280 pixels a side.

    Raises :class:`~vidrag.store.errors.UsageError` for what is no picture of :data:`FORMATS`, or too large.
    """
    import numpy as np

    try:
        from PIL import Image, ImageOps
    except ImportError as e:
        raise EngineMissing("reading a picture needs Pillow; install it with: pip install pillow") from e
    file = Path(path)
    try:
        if not file.is_file():
            raise UsageError(f"{file}: {'not a file' if file.exists() else 'no such file'}; name a picture")
        if file.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{file}: larger than {_MOST_BYTES >> 20} MB; make it smaller")
        with Image.open(file, formats=FORMATS) as opened:
            opened.draft("RGB", (_SIDE, _SIDE))
            found = ImageOps.exif_transpose(opened).convert("RGB")
            found.thumbnail((_SIDE, _SIDE))
            return np.asarray(found)
    except UsageError:
        raise
    except Exception as e:  # a decoder may raise anything
        known = ", ".join(FORMATS)
        raise UsageError(f"{file}: not a picture that can be read ({known}): {one_line(e, 100)}") from e
