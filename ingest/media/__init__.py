"""A video file as pictures and sound on one time axis, decoded in child processes with limits.

Seconds count from the container's start: the earliest of its streams.  A stream that starts late has its first frame
or sample late; nothing is shifted to fit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import Picture
from ...store.errors import DecoderDied, MediaError, MediaLimit
from ...store.records import MediaInfo
from .contain import Child, MediaOptions, decoding_child, limited, running
from .decode import DONE, FRAME
from .program import ffmpeg_program
from .sniff import sniff

__all__ = ["Audio", "MediaOptions", "Sampled", "audio", "frames", "probe"]

RATE = 16_000
"""Samples a second of all audio: float32, mono."""
_BLOCK = RATE * 4 * 4  # bytes read at once: four seconds
_LONGEST_DECLARED = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Sampled:
    """One decoded frame: ``time`` in seconds, ``picture`` uint8 ``(H, W, 3)`` RGB, upright, square pixels."""

    time: float
    picture: Picture


def probe(path: Path, options: MediaOptions) -> MediaInfo:
    """What is in the file.

    Raises :class:`~vidrag.store.errors.NotAVideo`, :class:`MediaLimit` where a declared picture is too large, and
    :class:`MediaError` where FFmpeg cannot open it.
    """
    demuxer = sniff(path)
    command = decoding_child("probe", [demuxer], path, options)
    with running(command, options, path.name) as child:
        told = child.read(1 << 20)
        try:
            child.finish()
        except DecoderDied as e:
            raise type(e)(str(e)) if "hung" in str(e) or "crashed" in str(e) else MediaError(str(e)) from e
    raw: dict[str, Any] = json.loads(told)
    sar = raw.pop("sar", None)
    if raw["has_video"]:
        w, h = raw["width"], raw["height"]
        if w * h > options.max_pixels:
            raise MediaLimit(f"{path.name}: declares {w}x{h} pixels, more than the {options.max_pixels} allowed")
        if sar and sar[0] > 0 and sar[1] > 0 and 0.1 < sar[0] / sar[1] < 10:
            raw["width"] = round(w * max(1.0, sar[0] / sar[1]))
            raw["height"] = round(h * max(1.0, sar[1] / sar[0]))
    elif not raw["has_audio"]:
        raise MediaError(f"{path.name}: holds neither video nor audio")
    if raw["duration"] and raw["duration"] > _LONGEST_DECLARED:
        raw |= {"duration": None, "video_end": None, "audio_end": None}
    return MediaInfo(**raw)


class Frames:
    """Sampled frames in order; after the last one, ``end``, ``errors`` and ``first_error`` tell how it went."""

    def __init__(self, path: Path, info: MediaInfo, options: MediaOptions, rate: float, max_side: int) -> None:
        self.path, self.options = path, options
        self.end = 0.0
        self.errors = self.corrupt = self.decoded = 0
        self.first_error = ""
        wanted = [info.format, info.video_index, rate, max_side, options.max_pixels, options.max_hours]
        self._command = decoding_child("frames", wanted, path, options)

    def __iter__(self) -> Iterator[Sampled]:
        with running(self._command, self.options, self.path.name) as child:
            while True:
                kind = child.read(1)
                if kind == b"F":
                    _, time, w, h = FRAME.unpack(kind + child.read(FRAME.size - 1))
                    data = child.read(w * h * 3)
                    if w * h > self.options.max_pixels or len(data) != w * h * 3:
                        child.finish()
                        raise DecoderDied(f"{self.path.name}: the decoder broke off inside a frame")
                    self.end = max(self.end, time)
                    yield Sampled(time, np.frombuffer(data, np.uint8).reshape(h, w, 3))
                elif kind == b"D":
                    _, n = DONE.unpack(kind + child.read(DONE.size - 1))
                    self._tally(json.loads(child.read(n)))
                    child.finish()
                    return
                else:
                    child.finish()
                    raise DecoderDied(f"{self.path.name}: the decoder ended without a word")

    def _tally(self, told: dict[str, Any]) -> None:
        self.end, self.errors, self.corrupt = told["end"], told["errors"], told["corrupt"]
        self.first_error, self.decoded = told["first_error"], told["frames"]
        if limit := told.get("limit"):
            raise MediaLimit(f"{self.path.name}: {limit}; refused")


def frames(path: Path, info: MediaInfo, options: MediaOptions, rate: float, max_side: int) -> Frames:
    """Frames of the video stream, at most ``rate`` a second, decoded sequentially, longer side at most ``max_side``."""
    return Frames(path, info, options, rate, max_side)


class Audio:
    """Blocks of sound in order; afterwards ``end`` is the number of seconds that were read."""

    def __init__(self, path: Path, info: MediaInfo, options: MediaOptions) -> None:
        self.path, self.options = path, options
        self.end = 0.0
        self.warning = ""
        self._command = limited(_audio_command(path, info), options)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """float32 ``(n,)`` mono blocks at 16 kHz; sample 0 of the first block is second 0, gaps are silence."""
        samples, limit = 0, int(self.options.max_hours * 3600 * RATE)
        with running(self._command, self.options, self.path.name) as child:
            while data := child.read(_BLOCK):
                block = np.frombuffer(data[: len(data) // 4 * 4], np.float32)
                samples += len(block)
                if samples > limit:
                    raise MediaLimit(f"{self.path.name}: longer than {self.options.max_hours:g} hours; refused")
                self.end = samples / RATE
                yield np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
            self._finish(child, samples)

    def _finish(self, child: Child, samples: int) -> None:
        try:
            child.finish()
        except DecoderDied as e:
            if samples == 0 or "hung" in str(e) or "stopped" in str(e):
                raise
            self.warning = str(e)  # broken off in the middle: what came before stays
            return
        self.warning = child.last_words()


def _audio_command(path: Path, info: MediaInfo) -> list[str]:
    import ffmpeg

    name = "file:" + os.fspath(path.absolute())
    given = ffmpeg.input(name, f=info.format, protocol_whitelist="file,pipe", threads=1, **_mov_safe(info.format))
    # async=1 with first_pts=0 puts silence where a stream starts late or has a hole, so that time stays true
    sound = given[f"a:{info.audio_index or 0}"].filter("aresample", **{"async": 1, "first_pts": 0})
    out = sound.output("pipe:1", format="f32le", acodec="pcm_f32le", ac=1, ar=RATE)
    return [str(a) for a in out.global_args("-nostdin", "-v", "error", "-threads", "1").compile(cmd=ffmpeg_program())]


def _mov_safe(demuxer: str) -> dict[str, int]:
    return {"enable_drefs": 0, "use_absolute_path": 0} if demuxer == "mov" else {}


def audio(path: Path, info: MediaInfo, options: MediaOptions) -> Audio:
    """The default audio track, mixed to mono at 16 kHz."""
    return Audio(path, info, options)
