"""A video file as pictures and sound on one time axis, decoded in child processes with limits.

Seconds count from the container's start: the earliest of its streams.  A stream that starts late has its first frame
or sample late; nothing is shifted to fit.
"""

from __future__ import annotations

import json
import os
import struct
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

__all__ = ["Audio", "MediaOptions", "Sampled", "audio", "frames", "probe", "subtitle_text"]

RATE = 16_000
"""Samples a second of all audio: float32, mono."""
_BLOCK = RATE * 4 * 4  # bytes read at once: four seconds
_INPUT = "file:INPUT"
"""Stands for the video in a graph of ffmpeg-python, which cannot hold names that are not UTF-8."""
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
    command = decoding_child("probe", [demuxer, options.max_pixels], path, options)
    with running(command, options, path.name) as child:
        told = child.read(1 << 20)
        child.finish()
    try:
        raw: dict[str, Any] = json.loads(told)
        if too_large := raw.pop("too_large", None):
            raise MediaLimit(f"{path.name}: declares {too_large}, more than the {options.max_pixels} allowed")
        if not raw["has_video"] and not raw["has_audio"]:
            raise MediaError(f"{path.name}: holds neither video nor audio")
        if raw["duration"] and raw["duration"] > _LONGEST_DECLARED:
            raw |= {"duration": None, "video_end": None, "audio_end": None}
        return MediaInfo.of(raw)
    except (ValueError, TypeError, KeyError, AttributeError) as e:
        raise DecoderDied(f"{path.name}: the decoder's answer makes no sense ({type(e).__name__})") from e


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
            while frame := self._next(child):
                self.end = max(self.end, frame.time)
                yield frame
            child.finish()

    def _next(self, child: Child) -> Sampled | None:
        """The next frame; None after the last, when the decoder has told how it went."""
        kind = child.read(1)
        try:
            if kind == b"F":
                _, time, w, h = FRAME.unpack(kind + child.read(FRAME.size - 1))
                if w * h > self.options.max_pixels:
                    raise ValueError("a frame larger than allowed")
                picture = np.frombuffer(child.read(w * h * 3), np.uint8).reshape(h, w, 3)
                return Sampled(time, picture)
            _, n = DONE.unpack(kind + child.read(DONE.size - 1))
            self._tally(json.loads(child.read(n)))
            return None
        except (struct.error, ValueError, TypeError, KeyError) as e:
            child.finish()  # says why, where the decoder died
            raise DecoderDied(f"{self.path.name}: the decoder broke off in the middle") from e

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
        except DecoderDied:
            raise
        except MediaError as e:
            if samples == 0:
                raise
            self.warning = str(e)  # broken off in the middle: what came before stays
            return
        self.warning = child.last_words()


def _audio_command(path: Path, info: MediaInfo) -> list[str]:
    import ffmpeg

    given = ffmpeg.input(_INPUT, f=info.format, protocol_whitelist="file,pipe", threads=1, **_mov_safe(info.format))
    # copyts and the shift keep the container's start as second 0, whatever stream starts first; async=1 with
    # first_pts=0 puts silence where the stream starts late or has a hole
    shifted = given[f"a:{info.audio_index or 0}"].filter("asetpts", f"PTS-{info.start_time:.6f}/TB")
    sound = shifted.filter("aresample", **{"async": 1, "first_pts": 0})
    out = sound.output("pipe:1", format="f32le", acodec="pcm_f32le", ac=1, ar=RATE)
    return _words(out, path)


def _words(out: Any, path: Path) -> list[str]:
    """The command line of a graph that reads ``path``, whose name the graph itself could not always hold."""
    graph = out.global_args("-nostdin", "-v", "error", "-copyts", "-threads", "1")
    name = "file:" + os.fspath(path.absolute())
    return [name if a == _INPUT else str(a) for a in graph.compile(cmd=ffmpeg_program())]


def subtitle_text(path: Path, info: MediaInfo, index: int, options: MediaOptions, most: int) -> tuple[bytes, str]:
    """The text track that is stream ``index`` as a SubRip file, and a warning where it broke off.

    Its times count as the container does: ``info.start_time`` is second 0 of everything else.  Raises
    :class:`MediaError` where nothing of it can be read, :class:`MediaLimit` for more than ``most`` bytes.
    """
    import ffmpeg

    given = ffmpeg.input(_INPUT, f=info.format, protocol_whitelist="file,pipe", threads=1, **_mov_safe(info.format))
    out = given[str(index)].output("pipe:1", format="srt", **{"c:s": "subrip"}, flush_packets=1)
    patient = options.model_copy(update={"stall_s": options.stall_s * 10})  # text may be hours apart in a large file
    with running(limited(_words(out, path), patient), patient, path.name) as child:
        data = child.read(most + 1)
        if len(data) > most:
            raise MediaLimit(f"{path.name}: subtitle stream {index} holds more than {most >> 20} MiB; refused")
        try:
            child.finish()
        except DecoderDied:
            raise
        except MediaError as e:
            if not data:
                raise
            return data, str(e)
        return data, child.last_words()


def _mov_safe(demuxer: str) -> dict[str, int]:
    return {"enable_drefs": 0, "use_absolute_path": 0} if demuxer == "mov" else {}


def audio(path: Path, info: MediaInfo, options: MediaOptions) -> Audio:
    """The default audio track, mixed to mono at 16 kHz."""
    return Audio(path, info, options)
