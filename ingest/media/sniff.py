"""Which demuxer a file needs, from its magic bytes alone: never from its name, never from FFmpeg's own guess.

FFmpeg's probing can be led to playlists and scripts that open other files; a forced demuxer cannot.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from ...store.errors import NotAVideo, one_line

HEAD = 4096
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}


def demuxer_of(head: bytes) -> str | None:
    """FFmpeg's name of the demuxer for a file that starts with ``head``; None for anything not known here."""
    if head[4:8] in _BOXES:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"AVIX"):
        return "avi"
    if head.startswith((b"RIFF", b"RF64")) and head[8:12] == b"WAVE":
        return "wav"
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(b"FLV\x01"):
        return "flv"
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        return "asf"
    if head.startswith(b"fLaC"):
        return "flac"
    if head.startswith(b"\x06\x0e\x2b\x34\x02\x05\x01\x01"):
        return "mxf"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    for size, first in ((188, 0), (192, 4), (204, 0)):  # transport stream: sync bytes a packet apart
        if len(head) > first + 4 * size and all(head[first + i * size] == 0x47 for i in range(5)):
            return "mpegts"
    if head.startswith(b"ID3") or re.match(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", head):
        return "mp3"
    if re.match(rb"\xff[\xf0\xf1\xf8\xf9]", head):
        return "aac"
    return None


def sniff(path: Path) -> str:
    """The demuxer for ``path``; :class:`NotAVideo` with the reason where there is none."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotAVideo(f"{path.name}: not a regular file")
        with path.open("rb") as f:
            head = f.read(HEAD)
    except OSError as e:
        raise NotAVideo(f"{one_line(e)}") from e
    if not head:
        raise NotAVideo(f"{path.name}: the file is empty")
    if name := demuxer_of(head):
        return name
    kind = "text" if not re.search(rb"[\x00-\x08\x0e-\x1f]", head) else "of an unknown kind"
    raise NotAVideo(f"{path.name}: not a video (it is {kind})")
