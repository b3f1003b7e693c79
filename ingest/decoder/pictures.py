"""The frames of a video stream, sampled and shown as players show them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from av.error import FFmpegError

from . import FRAME, PICTURE
from .container import decoded, failed, opened, pixel_aspect, stretched
from .sending import Sender
from .timeline import Timeline


def frames(
    path: str,
    demuxer: str,
    index: int,
    timeline: Timeline,
    rate: float,
    max_side: int,
    max_pixels: int,
    max_hours: float,
    sender: Sender,
    since: float = 0.0,
) -> dict[str, Any]:
    """Sends one frame for each ``1/rate`` s at most, from ``since`` on; returns how it went."""
    tally: dict[str, Any] = {"frames": 0, "errors": 0, "corrupt": 0, "first_error": "", "end": 0.0}
    with opened(path, demuxer) as c:
        aspect = pixel_aspect(c.streams[index])
        try:
            if since > 0 and timeline.steady:
                c.seek(round((since + timeline.parts[0].first) / c.streams[index].time_base), stream=c.streams[index])
            for time, frame in _sampled(c, c.streams[index], timeline, rate, max_hours, tally, sender):
                if time < since:
                    continue
                if frame.width * frame.height > max_pixels:
                    raise OverflowError(f"a frame of {frame.width}x{frame.height} pixels")
                picture = _as_displayed(frame, aspect, max_side)
                sender.send(FRAME, PICTURE.pack(max(0.0, time), picture.shape[1], picture.shape[0]), picture.data)
        except FFmpegError as e:  # the container itself broke off: keep what came before
            failed(e, tally)
        except OverflowError as e:
            tally["limit"] = str(e)
    return tally


def _sampled(
    container: Any,
    stream: Any,
    timeline: Timeline,
    rate: float,
    max_hours: float,
    tally: dict[str, Any],
    sender: Sender,
) -> Iterator[tuple[float, Any]]:
    """Frames at the first time stamp of each ``1/rate`` s, decoded in order, with their times."""
    stream.codec_context.thread_count = 1
    due, last = -math.inf, -math.inf
    gap = 1 / float(stream.average_rate or 25)
    for packet in timeline.packets(container, stream):
        sender.alive()
        for frame in decoded(packet, tally):
            time = float(frame.pts * frame.time_base) if frame.pts is not None else last + gap
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


def _as_displayed(frame: Any, aspect: float, max_side: int) -> Any:
    """RGB uint8 ``(H, W, 3)`` with square pixels, rotated as players show it, its longer side at most ``max_side``."""
    w, h = stretched(frame.width, frame.height, aspect)
    scale = min(1.0, max_side / max(w, h))
    size = max(1, round(w * scale)), max(1, round(h * scale))
    picture = frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation="AREA").to_ndarray()
    turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns))
