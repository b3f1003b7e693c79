"""Which demuxer a file needs, from its magic bytes alone: never from its name, never from FFmpeg's own guess.

FFmpeg's probing can be led to playlists and scripts that open other files; a forced demuxer cannot.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import BinaryIO

from ...store.errors import NotAVideo, one_line

HEAD = 4096
_LONG_HEAD = 1 << 16
"""Read where the first bytes say nothing: a transport stream may begin with the rest of something else."""
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
_PHOTO_BRANDS = {
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1", b"miaf",
    b"avif", b"avis", b"avio", b"avci", b"avcs", b"crx ", b"jpeg", b"jxl ",
}  # fmt: skip
_PHOTO = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|8BPS|\xff\x0a|\0\0\0\x0c(?:JXL|jP  )|"
    rb"BM.{4}\0\0\0\0",
    re.DOTALL,
)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MAGIC = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"OggS", "ogg"),
    (b"FLV\x01", "flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"fLaC", "flac"),
    (b"caff\0\x01\0\0", "caf"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "mxf"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x00\x00\x01\xb3", "mpegvideo"),
)
_NAL = re.compile(rb"\0\0\x01(..)", re.DOTALL)
_PACKETS = (188, 192, 204)
"""Bytes of a transport stream from one sync byte to the next: plain, with a time code, with error correction."""
_TAGGED = {"mp3", "aac", "flac", "ac3", "eac3"}
"""What may stand behind an ID3 tag; their demuxers pass over it."""


def demuxer_of(head: bytes) -> str | None:
    """FFmpeg's name of the demuxer for a file that starts with ``head``; None for anything not known here.

    What stands behind an ID3 tag is told only as far as ``head`` goes, see :func:`sniffed`.
    """
    if head.startswith(b"ID3"):
        end = _tag_end(head)
        inner = demuxer_of(head[end:]) if end < len(head) else None
        return inner if inner in _TAGGED else "mp3"
    if _is_mov(head):
        return "mov"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"AVIX"):
        return "avi"
    if head.startswith((b"RIFF", b"RF64")) and head[8:12] == b"WAVE":
        return "wav"
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if re.match(rb"\x1f\x07\0[\x3f\xbf].{76}[\x20-\x3f]\x07", head, re.DOTALL):  # a header block, then a subcode block
        return "dv"
    return _stream(head)


def _stream(head: bytes) -> str | None:
    """The demuxer of a stream without a container."""
    if _is_transport(head):
        return "mpegts"
    if re.match(rb"\0?\0\0\x01", head):
        return _annex_b(head)
    if head.startswith(b"\x0b\x77") and head.find(b"\x0b\x77", 6) > 0 and head[5] >> 3 <= 16:
        return "ac3" if head[5] >> 3 <= 10 else "eac3"
    if re.match(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", head):
        return "mp3"
    if re.match(rb"\xff[\xf0\xf1\xf8\xf9]", head):
        return "aac"
    return None


def _tag_end(head: bytes) -> int:
    """Where an ID3v2 tag ends that ``head`` starts with; its size has seven bits a byte."""
    if len(head) < 10 or max(head[6:10]) > 127:
        return len(head)
    a, b, c, d = head[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if head[5] & 0x10 else 0)


def _is_mov(head: bytes) -> bool:
    """True where ``head`` starts with a box of a sane size and no photo's brand, and is no text."""
    kind, size = head[4:8], int.from_bytes(head[:4])
    if kind not in _BOXES or is_text(head):
        return False
    if kind == b"ftyp":
        return 8 <= size <= HEAD and head[8:12] not in _PHOTO_BRANDS
    if kind == b"mdat":  # of any size: 0 goes to the end of the file, 1 has its size behind
        return size < 2 or size >= 8
    if not 8 <= size < 1 << 29:
        return False
    following = head[size + 4 : size + 8]
    return kind == b"moov" or len(following) < 4 or bool(re.fullmatch(rb"[A-Za-z0-9 \xa9]{4}", following))


def _is_transport(head: bytes) -> bool:
    """True for sync bytes a packet apart; nine of them where the file was cut in the middle of a packet."""
    for size in _PACKETS:
        aligned = 4 if size == 192 else 0
        if len(head) > aligned + 4 * size and all(head[aligned + i * size] == 0x47 for i in range(5)):
            return True
    return any(
        re.search(rb"(?=\x47(?:.{%d}\x47){8})" % (size - 1), head, re.DOTALL) and not is_text(head) for size in _PACKETS
    )


def _annex_b(head: bytes) -> str | None:
    """``h264`` or ``hevc`` where one of the first units describes a sequence as that codec does."""
    for unit in list(_NAL.finditer(head))[:8]:
        first, second = unit[1]
        if first & 0x80:
            return None
        if first in (0x42, 0x40) and second == 0x01:  # SPS or VPS of layer 0
            return "hevc"
        if first & 0x1F == 7 and first & 0x60 and second in (66, 77, 88, 100, 110, 122, 144, 244, 44):  # SPS, profile
            return "h264"
    return None


def is_text(head: bytes) -> bool:
    """True where nothing in ``head`` is a character that no text holds; UTF-16 says so with its first two bytes."""
    return not _CONTROL.search(head) or (head[:2] in (b"\xff\xfe", b"\xfe\xff") and 0 in head[2:4])


def is_photo(head: bytes) -> bool:
    """True for a still picture of any kind, HEIC and AVIF included."""
    return bool(_PHOTO.match(head)) or (head[4:8] == b"ftyp" and head[8:12] in _PHOTO_BRANDS)


def sniffed(file: BinaryIO) -> tuple[str | None, bytes]:
    """The demuxer for an open file, and the first bytes behind its ID3 tags."""
    head, tag = file.read(HEAD), False
    for _ in range(4):  # writers put one tag before another
        if not head.startswith(b"ID3"):
            break
        tag = True
        file.seek(_tag_end(head) - len(head), 1)
        following = file.read(HEAD)
        if not following:
            return "mp3", head
        head = following
    name = demuxer_of(head)
    if tag:
        return name if name in _TAGGED else "mp3", head
    if name is None and len(head) == HEAD and not is_photo(head) and not is_text(head):
        name = demuxer_of(head + file.read(_LONG_HEAD - HEAD))
    return name, head


def kind_of(head: bytes) -> str:
    """What a file is that starts with ``head`` and is no video, in a user's words."""
    return "a photo" if is_photo(head) else "text" if is_text(head) else "of an unknown kind"


def sniff(path: Path) -> str:
    """The demuxer for ``path``; :class:`NotAVideo` with the reason where there is none."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotAVideo(f"{path.name}: not a regular file")
        with path.open("rb") as f:
            name, head = sniffed(f)
    except OSError as e:
        raise NotAVideo(f"{one_line(e)}") from e
    if not head:
        raise NotAVideo(f"{path.name}: the file is empty")
    if name:
        return name
    raise NotAVideo(f"{path.name}: not a video (it is {kind_of(head)})")
