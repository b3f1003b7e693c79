"""What is in a file: streams, sizes, how long it is, and its time axis."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from av.error import FFmpegError
from av.stream import Disposition

from .container import opened, pixel_aspect, start_of, stretched, video_of
from .timeline import INDEXED, scan


def probe(path: str, demuxer: str, max_pixels: int, alive: Callable[[], None]) -> dict[str, Any]:
    """The fields of :class:`~vidrag.store.records.MediaInfo`, or ``too_large`` alone."""
    with opened(path, demuxer) as c:
        video, sounds = video_of(c), [s for s in c.streams.audio if s.codec_context]
        info: dict[str, Any] = {
            "format": demuxer,
            "duration": c.duration / 1_000_000 if c.duration and c.duration > 0 else None,
            "start_time": start_of(c),
            "has_video": video is not None,
            "has_audio": bool(sounds),
            "subtitle_tracks": len(c.streams.subtitles),
            "subtitles": [_subtitle(s) for s in c.streams.subtitles[:64]],
            "audio": [_sound(s, c) for s in sounds[:64]],
            "recorded": next((c.metadata[k][:32] for k in ("creation_time", "date") if k in c.metadata), None),
        }
        if video:
            codec = video.codec_context
            if codec.width * codec.height > max_pixels:
                return {"too_large": f"{codec.width}x{codec.height} pixels"}
            rate = video.average_rate or video.guessed_rate
            info |= {
                "video_index": video.index,
                "fps": float(rate) if rate else None,
                "video_end": _declared_end(video, c),
                "video_codec": codec.name,
            }
            width, height = stretched(codec.width, codec.height, pixel_aspect(video))
            turns = _rotation(c, video)
            info |= {
                "rotation": turns * 90,
                "width": round(height if turns % 2 else width),
                "height": round(width if turns % 2 else height),
            }
    if demuxer not in INDEXED:
        info |= _laid_out(path, demuxer, info, alive)
    return info


def _laid_out(path: str, demuxer: str, info: dict[str, Any], alive: Callable[[], None]) -> dict[str, Any]:
    """The time axis of a file that has no index, and what it says of length and ends."""
    with opened(path, demuxer) as c:
        streams = [s for s in c.streams if s.type in ("video", "audio", "subtitle") and s.codec_context]
        read = [s for s in streams if s.type != "video" or s.index == info.get("video_index")]
        timed = scan(c, read, start_of(c), alive)
    if not timed.ends:
        return {}
    ends = {s: round(e, 6) for s, e in timed.ends.items()}
    return {
        "duration": round(timed.duration, 6),
        "start_time": timed.parts[0].first,
        "timeline": timed.as_json(),
        "video_end": ends.get(info.get("video_index", -1)),
        "read_share": round(timed.read_to / max(1, os.path.getsize(path)), 4) if timed.read_to else None,
        "audio": [{**a, "end": ends.get(a["index"])} for a in info["audio"]],
    }


def _declared_end(stream: Any, container: Any) -> float | None:
    """Where a stream says that it ends; None where it does not say."""
    if not stream.duration or stream.duration < 0:
        return None
    return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - start_of(container)


def _rotation(container: Any, stream: Any) -> int:
    """Quarter turns to the left that players apply, told by the first frame that decodes among the first packets."""
    stream.codec_context.thread_count = 1
    for i, packet in enumerate(container.demux(stream)):
        try:
            for frame in packet.decode():
                return round((frame.rotation or 0) / 90) % 4
        except FFmpegError:
            continue
        if i > 100:
            break
    return 0


def _sound(stream: Any, container: Any) -> dict[str, Any]:
    about = stream.disposition
    return {
        "index": stream.index,
        "codec": stream.codec_context.name,
        "channels": stream.codec_context.channels,
        "language": stream.metadata.get("language", "")[:16] or None,
        "title": stream.metadata.get("title", "")[:100] or None,
        "default": bool(about & Disposition.default),
        "commentary": bool(about & (Disposition.comment | Disposition.visual_impaired | Disposition.descriptions)),
        "end": _declared_end(stream, container),
    }


def _subtitle(stream: Any) -> dict[str, Any]:
    codec = stream.codec_context
    return {
        "index": stream.index,
        "codec": codec.name if codec else "?",
        "text": bool(codec and codec.codec.text_sub),
        "language": stream.metadata.get("language", "")[:16] or None,
        "default": bool(stream.disposition & Disposition.default),
        "forced": bool(stream.disposition & Disposition.forced),
    }
