"""A video file as pictures, sound and subtitles on one time axis, decoded in child processes with limits.

Second 0 is the container's start: the earliest of its streams.  A stream that starts late has its first frame or sample
late; nothing is shifted to fit.  Where the file's clock restarts or jumps, its parts lie end to end
(:mod:`..decoder.timeline`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import Picture
from ...store.errors import DecoderDied, MediaError, MediaLimit
from ...store.records import MediaInfo, SoundTrack
from ..decoder import CUES, DONE, FRAME, PICTURE, RATE, SOUND
from .contain import Child, MediaOptions, decoding_child, running
from .sniff import sniff

__all__ = ["RATE", "Audio", "MediaOptions", "Sampled", "audio", "frames", "probe", "subtitle_text"]

_LONGEST_DECLARED = 30 * 24 * 3600.0
_SMALL = 4 << 20
"""Bytes of the largest message that is no picture."""


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
    command = decoding_child("probe", path, options, demuxer=demuxer, max_pixels=options.max_pixels)
    raw: dict[str, Any] = {}
    with running(command, options, path.name) as child:
        for _, data in child.messages(_SMALL):
            raw = child.told(data)
    try:
        if too_large := raw.pop("too_large", None):
            raise MediaLimit(f"{path.name}: declares {too_large}, more than the {options.max_pixels} allowed")
        if not raw["has_video"] and not raw["has_audio"]:
            raise MediaError(f"{path.name}: holds neither video nor audio")
        if raw["duration"] and raw["duration"] > _LONGEST_DECLARED:
            raw |= {"duration": None, "video_end": None, "audio": [{**a, "end": None} for a in raw["audio"]]}
        return MediaInfo.of(raw)
    except (ValueError, TypeError, KeyError, AttributeError) as e:
        raise DecoderDied(f"{path.name}: the decoder's answer makes no sense ({type(e).__name__})") from e


def _axis(info: MediaInfo) -> dict[str, Any]:
    """The time axis of a file as :class:`~..decoder.timeline.Timeline` reads it."""
    return dict(info.timeline) or {"parts": [[info.start_time, 0.0]], "changes": {}}


class Frames:
    """Sampled frames in order; after the last one, ``end``, ``errors`` and ``first_error`` tell how it went."""

    def __init__(
        self, path: Path, info: MediaInfo, options: MediaOptions, rate: float, max_side: int, since: float = 0.0
    ) -> None:
        self.path, self.options = path, options
        self.end = 0.0
        self.errors = self.corrupt = self.decoded = 0
        self.first_error = ""
        limits = {"max_side": max_side, "max_pixels": options.max_pixels, "max_hours": options.max_hours}
        given = {"demuxer": info.format, "index": info.video_index, "timeline": _axis(info)}
        self._command = decoding_child("frames", path, options, **given, **limits, rate=rate, since=since)

    def __iter__(self) -> Iterator[Sampled]:
        largest = PICTURE.size + 3 * self.options.max_pixels
        with running(self._command, self.options, self.path.name) as child:
            for kind, data in child.messages(largest):
                if kind == DONE:
                    self._tally(child, data)
                elif kind == FRAME:
                    frame = self._frame(data)
                    self.end = max(self.end, frame.time)
                    yield frame

    def _frame(self, data: bytes) -> Sampled:
        try:
            time, width, height = PICTURE.unpack_from(data)
            return Sampled(time, np.frombuffer(data, np.uint8, offset=PICTURE.size).reshape(height, width, 3))
        except ValueError as e:
            raise DecoderDied(f"{self.path.name}: the decoder sent a picture of another size") from e

    def _tally(self, child: Child, data: bytes) -> None:
        told = child.told(data)
        try:
            self.end, self.errors, self.corrupt = float(told["end"]), int(told["errors"]), int(told["corrupt"])
            self.first_error, self.decoded = str(told["first_error"]), int(told["frames"])
        except (KeyError, TypeError, ValueError) as e:
            raise DecoderDied(f"{self.path.name}: the decoder's answer makes no sense ({type(e).__name__})") from e


def frames(
    path: Path, info: MediaInfo, options: MediaOptions, rate: float, max_side: int, since: float = 0.0
) -> Frames:
    """Frames of the video stream, at most ``rate`` a second, decoded in order, longer side at most ``max_side``.

    ``since``: the second from which on; the file is read from there where it can be, and a few may be missing then.
    """
    return Frames(path, info, options, rate, max_side, since)


class Audio:
    """Blocks of sound in order; afterwards ``end`` is the number of seconds that were read, ``coverage`` the share of
    the track that could be decoded (None where that cannot be told), and ``warning`` says what went wrong.
    """

    def __init__(self, path: Path, info: MediaInfo, options: MediaOptions, track: SoundTrack) -> None:
        self.path, self.options = path, options
        self.end = 0.0
        self.coverage: float | None = None
        self.warning = ""
        self._declared, self._reachable = track.end, info.reachable
        given = {"demuxer": info.format, "index": track.index, "timeline": _axis(info)}
        self._command = decoding_child("sound", path, options, **given, max_hours=options.max_hours)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """float32 ``(n,)`` mono blocks at 16 kHz; sample 0 of the first block is second 0, gaps are silence."""
        samples = 0
        with running(self._command, self.options, self.path.name) as child:
            for kind, data in child.messages(_SMALL):
                if kind == DONE:
                    self._tally(child.told(data), samples)
                elif kind == SOUND:
                    block = np.frombuffer(data[: len(data) // 4 * 4], np.float32)
                    samples += len(block)
                    self.end = samples / RATE
                    yield np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)

    def _tally(self, told: dict[str, Any], samples: int) -> None:
        try:
            decoded, packets, end = float(told["decoded"]), float(told["packets"]), float(told["end"])
            errors, first = int(told["errors"]), str(told["first_error"])
        except (KeyError, TypeError, ValueError) as e:
            raise DecoderDied(f"{self.path.name}: the decoder's answer makes no sense ({type(e).__name__})") from e
        if errors and not samples:
            raise MediaError(f"{self.path.name}: no sound of it decodes ({first})")
        expected = packets + max(0.0, (self._declared or 0.0) - end)
        if expected:  # a codec's first samples are for its own use: a tenth of a second is never missed
            self.coverage = round(min(1.0, (decoded + 0.1) / expected, self._reachable), 4)
        if errors:
            self.warning = f"{errors} times its sound does not decode ({first})"
        elif self._reachable < 1:
            self.warning = f"what follows the first {self._reachable:.0%} of the file cannot be read"
        elif self.coverage is not None and self.coverage < 0.95:
            self.warning = f"its sound ends at {self.end:.1f} s of {self._declared or expected:.1f} s"


def audio(path: Path, info: MediaInfo, options: MediaOptions, track: SoundTrack | None = None) -> Audio:
    """One sound track, by default the first, mixed to mono at 16 kHz."""
    return Audio(path, info, options, track or info.audio[0])


def subtitle_text(path: Path, info: MediaInfo, index: int, options: MediaOptions, most: int) -> tuple[bytes, str]:
    """The text track that is stream ``index`` as a SubRip file on the video's time axis, and a warning where it broke
    off.

    Raises :class:`MediaError` where nothing of it can be read, :class:`MediaLimit` for more than ``most`` bytes.
    """
    given = {"demuxer": info.format, "index": index, "timeline": _axis(info), "most": most}
    found, told = bytearray(), dict[str, Any]()
    with running(decoding_child("cues", path, options, **given), options, path.name) as child:
        for kind, data in child.messages(_SMALL):
            if kind == DONE:
                told = child.told(data)
            elif kind == CUES:
                found += data
    warning = str(told.get("first_error") or "")
    if warning and not found:
        raise MediaError(f"{path.name}: subtitle stream {index} cannot be read ({warning})")
    return bytes(found), warning
