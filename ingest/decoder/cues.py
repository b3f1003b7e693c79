"""A text track as a SubRip file."""

from __future__ import annotations

from typing import Any

from av.error import FFmpegError

from . import CUES
from .container import failed, opened
from .sending import Sender
from .timeline import Timeline

_PLAIN = frozenset({"subrip", "srt", "webvtt", "text"})
"""Codecs whose packets are text; their decoders drop who speaks."""


def cues(path: str, demuxer: str, index: int, timeline: Timeline, most: int, sender: Sender) -> dict[str, Any]:
    """Sends the cues of one stream, at most ``most`` bytes; returns how it went."""
    tally: dict[str, Any] = {"errors": 0, "first_error": ""}
    sent = 0
    with opened(path, demuxer) as c:
        try:
            for packet in timeline.packets(c, c.streams[index]):
                sender.alive()
                if packet.pts is None or not packet.size:
                    continue
                start = float(packet.pts * packet.time_base)
                try:
                    text = _text(packet)
                except FFmpegError as e:
                    failed(e, tally)
                    continue
                length = float((packet.duration or 0) * packet.time_base)
                if not text:
                    continue
                cue = f"{_clock(start)} --> {_clock(start + length)}\n{text}\n\n".encode()
                sent += len(cue)
                if sent > most:
                    return {**tally, "limit": f"more than {most >> 20} MiB"}
                sender.send(CUES, cue)
        except FFmpegError as e:
            failed(e, tally)
    return tally


def _text(packet: Any) -> str:
    """The text of a packet: as it stands in the file where that is text, else the last field of an event of ASS."""
    if packet.stream.codec_context.name in _PLAIN:
        return bytes(packet).decode("utf-8", "replace")
    events = [cue.ass.decode("utf-8", "replace") for cue in packet.decode()]
    return "\n".join(e.split(",", 8)[-1] for e in events)


def _clock(seconds: float) -> str:
    whole = max(0, round(seconds * 1000))
    return f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"
