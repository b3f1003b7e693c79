"""Opens a file with a demuxer that is given, never guessed, and says which of its streams matter."""

from __future__ import annotations

from typing import Any

import av
from av.error import FFmpegError
from av.stream import Disposition

_NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image | Disposition.dependent
_STILLS = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff"})
"""Codecs of cover art and previews: beside another codec they are not the video."""


_UNTIMED = frozenset({"h264", "hevc"})
"""Demuxers of files without a clock: FFmpeg takes 25 pictures a second, whatever the stream itself says."""


def opened(path: str, demuxer: str) -> Any:
    """The container; no other file or address is opened for it."""
    options = {"protocol_whitelist": "file"}
    if demuxer == "mov":
        options |= {"enable_drefs": "0", "use_absolute_path": "0"}
    found = av.open(path, format=demuxer, options=options, metadata_errors="replace")
    if demuxer not in _UNTIMED or not found.streams.video:
        return found
    rate = found.streams.video[0].codec_context.framerate
    if not rate or not 1 <= rate <= 240 or rate == found.streams.video[0].average_rate:
        return found
    found.close()
    return av.open(path, format=demuxer, options={**options, "framerate": str(rate)}, metadata_errors="replace")


def reason(error: FFmpegError) -> str:
    """What FFmpeg says of an error, without the path."""
    log: Any = error.log  # (level, who, what) or None
    said = f" ({log[2].strip()})" if log else ""
    return f"{(error.strerror or type(error).__name__).lower()}{said}"


def failed(error: FFmpegError, tally: dict[str, Any]) -> None:
    """Counts an error."""
    tally["errors"] += 1
    tally["first_error"] = tally["first_error"] or reason(error)


def decoded(packet: Any, tally: dict[str, Any]) -> list[Any]:
    """What a packet holds; nothing, and an error counted, where it does not decode."""
    try:
        return list(packet.decode())
    except FFmpegError as e:
        failed(e, tally)
        return []


def start_of(container: Any) -> float:
    return (container.start_time or 0) / 1_000_000


def video_of(container: Any) -> Any | None:
    """The stream that players show: no cover, no preview, the default one, the largest; None where there is none."""

    def rank(stream: Any) -> tuple[bool, bool, int, int]:
        codec = stream.codec_context
        default = bool(stream.disposition & Disposition.default)
        return codec.name in _STILLS, not default, -codec.width * codec.height, stream.index

    found = [s for s in container.streams.video if s.codec_context and not s.disposition & _NO_VIDEO]
    return min(found, key=rank, default=None)


def pixel_aspect(stream: Any) -> float:
    """Width over height of one pixel; 1 where the stream says nothing sensible."""
    sar = stream.sample_aspect_ratio
    return float(sar) if sar and 0.1 < float(sar) < 10 else 1.0


def stretched(width: int, height: int, aspect: float) -> tuple[float, float]:
    """Size with square pixels, never smaller than the coded one."""
    return width * max(aspect, 1.0), height * max(1 / aspect, 1.0)
