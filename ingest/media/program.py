"""Which ffmpeg program is used: the one on PATH, else the one inside the imageio-ffmpeg package."""

from __future__ import annotations

import shutil
from functools import cache

from ...store.errors import EngineMissing


@cache
def ffmpeg_program() -> str:
    """Absolute path of the program; :class:`EngineMissing` where there is none."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as e:
        raise EngineMissing("no ffmpeg program: install Debian's ffmpeg, or pip install imageio-ffmpeg") from e
