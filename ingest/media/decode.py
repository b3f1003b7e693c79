"""The child that touches the file with PyAV; run as a script by :mod:`.contain`, under limits.

The parent imports only the message formats from here; PyAV is imported where it is used.

``probe`` writes one JSON line.  ``frames`` writes messages: ``F`` + time (float64) + width, height (uint32) + RGB
bytes, and at the end ``D`` + length + JSON.  Times are seconds from the container's start.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

FRAME = struct.Struct("<cdII")
DONE = struct.Struct("<cI")


def open_container(path: str, demuxer: str) -> Any:
    import av

    options = {"protocol_whitelist": "file"}
    if demuxer == "mov":
        options |= {"enable_drefs": "0", "use_absolute_path": "0"}
    return av.open(path, format=demuxer, options=options, metadata_errors="replace")


def video_streams(container: Any) -> list[Any]:
    """Moving pictures only: cover art is no video."""
    return [s for s in container.streams.video if not _is_cover(s)]


def _is_cover(stream: Any) -> bool:
    return bool(int(stream.disposition) & 0x400)


def _declared_end(stream: Any, container: Any) -> float | None:
    """Where a stream says that it ends; None where it does not say."""
    if not stream.duration or stream.duration < 0:
        return None
    return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - start_of(container)


def start_of(container: Any) -> float:
    return (container.start_time or 0) / 1_000_000


def pixel_aspect(stream: Any) -> float:
    """Width over height of one pixel; 1 where the stream says nothing sensible."""
    sar = stream.sample_aspect_ratio
    return float(sar) if sar and 0.1 < float(sar) < 10 else 1.0


def stretched(width: int, height: int, aspect: float) -> tuple[float, float]:
    """Size with square pixels, never smaller than the coded one."""
    return width * max(aspect, 1.0), height * max(1 / aspect, 1.0)


def _rotation(container: Any, stream: Any) -> int:
    """Quarter turns to the left that players apply, told by the first frame that decodes among the first packets."""
    from av.error import FFmpegError

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


def probe(path: str, demuxer: str, max_pixels: int) -> dict[str, Any]:
    with open_container(path, demuxer) as c:
        videos, audios = video_streams(c), list(c.streams.audio)
        info: dict[str, Any] = {
            "format": demuxer,
            "duration": c.duration / 1_000_000 if c.duration and c.duration > 0 else None,
            "start_time": start_of(c),
            "has_video": bool(videos),
            "has_audio": bool(audios),
            "audio_tracks": len(audios),
            "subtitle_tracks": len(c.streams.subtitles),
            "subtitles": [_subtitle(s) for s in c.streams.subtitles[:64]],
        }
        if videos:
            v = videos[0]
            rate = v.average_rate or v.guessed_rate
            w, h = v.codec_context.width, v.codec_context.height
            if w * h > max_pixels:
                return {"too_large": f"{w}x{h} pixels"}
            width, height = stretched(w, h, pixel_aspect(v))
            info |= {
                "video_index": v.index,
                "fps": float(rate) if rate else None,
                "video_end": _declared_end(v, c),
                "video_codec": v.codec_context.name,
            }
        if audios:
            best = next((i for i, a in enumerate(audios) if int(a.disposition) & 1), 0)
            info |= {
                "audio_index": best,
                "audio_codec": audios[best].codec_context.name,
                "audio_end": _declared_end(audios[best], c),
            }
        if videos:
            turns = _rotation(c, v)
            info |= {
                "rotation": turns * 90,
                "width": round(height if turns % 2 else width),
                "height": round(width if turns % 2 else height),
            }
        return info


def _subtitle(stream: Any) -> dict[str, Any]:
    codec, disposition = stream.codec_context, int(stream.disposition)
    return {
        "index": stream.index,
        "codec": codec.name if codec else "?",
        "text": bool(codec and codec.codec.text_sub),
        "language": stream.metadata.get("language", "")[:16] or None,
        "default": bool(disposition & 0x1),
        "forced": bool(disposition & 0x40),
    }


def sampled(container: Any, index: int, rate: float, max_hours: float, tally: dict[str, Any]) -> Iterator[Any]:
    """Frames at the first time stamp of each ``1/rate`` s, decoded in order without a seek, with their times."""
    from av.error import FFmpegError

    stream = container.streams[index]
    stream.codec_context.thread_count = 1
    offset, due, last = start_of(container), -math.inf, -math.inf
    gap = 1 / float(stream.average_rate or 25)
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except FFmpegError as e:
            tally["errors"] += 1
            tally["first_error"] = tally["first_error"] or str(e)
            continue
        for frame in frames:
            time = float(frame.pts * frame.time_base) - offset if frame.pts is not None else last + gap
            if not math.isfinite(time) or time < last:
                time = max(0.0, last + gap) if math.isfinite(last) else 0.0
            tally["frames"] += 1
            duration = float(frame.duration * frame.time_base) if getattr(frame, "duration", 0) else gap
            tally["end"] = max(tally["end"], time + min(max(duration, 0.0), 60.0))
            last = time
            if time > max_hours * 3600:
                raise OverflowError(f"longer than {max_hours:g} hours")
            if frame.is_corrupt:
                tally["corrupt"] += 1
                continue
            if time + 1e-6 >= due:
                due = (math.floor(time * rate + 1e-6) + 1) / rate
                yield time, frame


def as_displayed(frame: Any, aspect: float, max_side: int) -> Any:
    """RGB uint8 ``(H, W, 3)`` with square pixels, rotated as players show it, its longer side at most ``max_side``."""
    import numpy as np

    w, h = stretched(frame.width, frame.height, aspect)
    scale = min(1.0, max_side / max(w, h))
    size = max(1, round(w * scale)), max(1, round(h * scale))
    picture = frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation="AREA").to_ndarray()
    turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns))


def frames(
    path: str, demuxer: str, index: int, rate: float, max_side: int, max_pixels: int, max_hours: float, out: BinaryIO
) -> None:
    from av.error import FFmpegError

    tally: dict[str, Any] = {"frames": 0, "errors": 0, "corrupt": 0, "first_error": "", "end": 0.0, "sent": 0}
    with open_container(path, demuxer) as c:
        aspect = pixel_aspect(c.streams[index])
        try:
            for time, frame in sampled(c, index, rate, max_hours, tally):
                if frame.width * frame.height > max_pixels:
                    raise OverflowError(f"a frame of {frame.width}x{frame.height} pixels")
                picture = as_displayed(frame, aspect, max_side)
                out.write(FRAME.pack(b"F", max(0.0, time), picture.shape[1], picture.shape[0]))
                out.write(picture.data)
                tally["sent"] += 1
        except FFmpegError as e:  # the container itself broke off: keep what came before
            tally["errors"] += 1
            tally["first_error"] = tally["first_error"] or str(e)
        except OverflowError as e:
            tally["limit"] = str(e)
    told = json.dumps(tally).encode()
    out.write(DONE.pack(b"D", len(told)) + told)
    out.flush()


def main(argv: list[str]) -> int:
    import av
    from av.error import FFmpegError

    verb, *values, path = argv
    av.logging.set_level(av.logging.PANIC)
    try:
        if verb == "probe":
            sys.stdout.write(json.dumps(probe(path, values[0], int(values[1]))) + "\n")
        else:
            demuxer, index, rate, max_side, max_pixels, max_hours = values
            frames(
                path,
                demuxer,
                int(index),
                float(rate),
                int(max_side),
                int(max_pixels),
                float(max_hours),
                sys.stdout.buffer,
            )
        return 0
    except MemoryError:
        sys.stderr.write("needs more memory than allowed\n")
    except FFmpegError as e:
        log: Any = e.log  # (level, who, what) or None
        detail = f" ({log[2].strip()})" if log else ""
        sys.stderr.write(f"{(e.strerror or type(e).__name__).lower()}{detail}\n")
    except (OSError, ValueError, IndexError) as e:
        sys.stderr.write(f"{' '.join(str(e).split())}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
