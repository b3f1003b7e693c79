"""One sound track as float32, mono, 16 kHz, every sample at its second of the time axis."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from . import RATE, SOUND
from .container import decoded, failed, opened
from .sending import Sender
from .timeline import Timeline

HOLE_S = 0.1
"""Sound that comes so much later or earlier than it should is moved; FFmpeg's ``min_hard_comp`` is the same."""
BLOCK = 4 * RATE
"""Samples sent at once."""
_OPPOSED = 0.1
"""Two channels whose mix has less than this share of their own power cancel each other."""


def sound(path: str, demuxer: str, index: int, timeline: Timeline, max_hours: float, sender: Sender) -> dict[str, Any]:
    """Sends the sound; returns how it went.

    ``decoded`` and ``packets``: seconds of sound that were decoded, and that the packets say they hold; ``end``: where
    the last packet ends.
    """
    tally: dict[str, Any] = {"errors": 0, "first_error": "", "decoded": 0.0, "packets": 0.0, "end": 0.0}
    with opened(path, demuxer) as c:
        stream = c.streams[index]
        stream.codec_context.thread_count = 1
        laid = _Laid(sender, int(max_hours * 3600 * RATE))
        try:
            for packet in timeline.packets(c, stream):
                sender.alive()
                length = float((packet.duration or 0) * packet.time_base)
                tally["packets"] += length
                if packet.pts is not None:
                    tally["end"] = max(tally["end"], float(packet.pts * packet.time_base) + length)
                for frame in decoded(packet, tally):
                    tally["decoded"] += frame.samples / frame.sample_rate
                    laid.add(frame)
            laid.close()
        except FFmpegError as e:  # the container itself broke off: keep what came before
            failed(e, tally)
            laid.close()
        except OverflowError:
            tally["limit"] = f"longer than {max_hours:g} hours"
    return tally


class _Laid:
    """Takes decoded frames of any format, also ones that change, and sends samples; holes become silence."""

    def __init__(self, sender: Sender, most: int) -> None:
        self._sender, self._most = sender, most
        self._resampler: Any = None
        self._form: tuple[Any, ...] = ()
        self._clock = 0.0  # the second of the next sample that comes in
        self._out = 0  # samples given out
        self._skip = 0  # samples that lie before what was given out already
        self._held: list[NDArray[np.float32]] = []
        self._size = 0

    def add(self, frame: Any) -> None:
        form = (frame.format.name, frame.layout.name, frame.layout.nb_channels, frame.sample_rate)
        time = float(frame.pts * frame.time_base) if frame.pts is not None else self._clock
        if form != self._form or abs(time - self._clock) > HOLE_S:
            self._flush()
            self._form, self._clock = form, time
            behind = round(time * RATE) - self._out
            self._silence(max(0, behind))
            self._skip = max(0, -behind)
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=RATE)
        self._clock += frame.samples / frame.sample_rate
        frame.pts = None
        self._take(self._resampler.resample(frame))

    def close(self) -> None:
        self._flush()
        self._put(rest=True)

    def _flush(self) -> None:
        if self._resampler is not None:
            self._take(self._resampler.resample(None))
            self._resampler = None

    def _take(self, frames: list[Any]) -> None:
        for frame in frames:
            self._append(frame.to_ndarray())

    def _append(self, channels: NDArray[np.float32]) -> None:
        if self._skip:
            dropped = min(self._skip, channels.shape[1])
            self._skip -= dropped
            channels = channels[:, dropped:]
        self._out += channels.shape[1]
        if self._out > self._most:
            raise OverflowError
        if channels.shape[0] == 1:
            channels = np.repeat(channels, 2, axis=0)
        self._held.append(channels)
        self._size += channels.shape[1]
        if self._size >= BLOCK:
            self._put()

    def _silence(self, samples: int) -> None:
        if self._out + samples > self._most:
            raise OverflowError
        while samples:
            part = min(samples, BLOCK)
            self._append(np.zeros((2, part), np.float32))
            samples -= part

    def _put(self, rest: bool = False) -> None:
        if not self._size:
            return
        whole = np.concatenate(self._held, axis=1)
        ready = whole.shape[1] if rest else whole.shape[1] // BLOCK * BLOCK
        for at in range(0, ready, BLOCK):
            self._sender.send(SOUND, mono(whole[:, at : min(at + BLOCK, ready)]).tobytes())
        self._held, self._size = [whole[:, ready:]], whole.shape[1] - ready


def mono(channels: NDArray[np.float32], chunk: int = RATE // 2) -> NDArray[np.float32]:
    """float32 ``(n,)`` of ``(2, n)``: their mean, or half their difference where they cancel each other.

    Decided for each ``chunk`` samples: a channel of opposite phase is a cable or a plug wired wrongly, and its mean
    with the other is silence.
    """
    left, right = np.nan_to_num(channels, nan=0.0, posinf=0.0, neginf=0.0)
    out: NDArray[np.float32] = (left + right) / 2
    for at in range(0, len(out), chunk):
        part = slice(at, at + chunk)
        own = np.mean(left[part] ** 2) + np.mean(right[part] ** 2)
        if own > 1e-8 and np.mean(out[part] ** 2) < _OPPOSED * own / 2:
            out[part] = (left[part] - right[part]) / 2
    return out
