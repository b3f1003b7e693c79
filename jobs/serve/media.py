"""Original files of videos: where they may be read, how browsers are told what is in them, and streams made of them.

Paths in a manifest are data: a foreign archive may name any file.  So an original is served only where this user's own
runs on this machine have indexed it, or where it lies below a folder that was given.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...ingest.media.sniff import sniff
from ...store.errors import MediaError, UsageError
from ...store.manifest import Manifest
from ...store.records import MediaInfo
from ...store.shell import is_address
from ..known import Ingested
from .errors import Refused

State = Literal["here", "remote", "missing", "changed", "outside"]
LONGEST_CLIP = 600.0
_CODECS = {
    "h264": "avc1.4d401f", "hevc": "hvc1.1.6.L93.B0", "vp8": "vp8", "vp9": "vp09.00.10.08", "av1": "av01.0.05M.08",
    "aac": "mp4a.40.2", "mp3": "mp3", "opus": "opus", "vorbis": "vorbis", "flac": "flac", "ac3": "ac-3",
    "eac3": "ec-3", "prores": "apcn", "mpeg4": "mp4v.20.8", "theora": "theora",
}  # fmt: skip
_WEB = {"vp8", "vp9", "av1", "vorbis", "opus"}
_TYPES = {
    "mov": "video/mp4", "matroska": "video/x-matroska", "ogg": "video/ogg", "avi": "video/x-msvideo",
    "mpegts": "video/mp2t", "flv": "video/x-flv", "asf": "video/x-ms-wmv", "mpeg": "video/mpeg", "wav": "audio/wav",
    "mp3": "audio/mpeg", "flac": "audio/flac", "aac": "audio/aac",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Original:
    """Where the file of a video is: ``path`` where it may be served, None in every other ``state``, which ``message``
    explains.  ``mime``: its type with codecs, a best guess for a browser's ``canPlayType``.
    """

    state: State
    message: str
    mime: str
    path: Path | None = None


class Originals:
    """The original files of an archive that may be served."""

    def __init__(self, ingested: Ingested, media: Sequence[str] = ()) -> None:
        """``media``: folders below which files may be served; ``OLD=NEW`` says that what was below OLD is below NEW.

        Raises :class:`~vidrag.store.errors.UsageError` for a folder that is not there.
        """
        self._ingested = ingested
        self._moved = [(os.path.normpath(old), new) for old, sign, new in (m.partition("=") for m in media) if sign]
        self._roots = [Path(m.partition("=")[2] or m) for m in media]
        for root in self._roots:
            if not root.is_dir():
                raise UsageError(f"--media {root}: is no folder; name one that holds the videos, or OLD=NEW")
        self._roots = [r.resolve() for r in self._roots]

    def find(self, manifest: Manifest) -> Original:
        """The original of a video, the newest path first."""
        told = mime(manifest)
        paths = manifest.source.paths
        if all(is_address(p) for p in paths):
            return Original("remote", "The original is in a bucket and is not played from there.", told)
        found = Original("missing", "The original is not where it was indexed; --media OLD=NEW says where it is.", told)
        for named in (p for p in paths if not is_address(p)):
            for path in (*self._elsewhere(named), named):
                status = _status(path)
                if status is None:
                    continue
                if not self._may_be_served(path, named, manifest.video):
                    message = "The original lies outside of the folders that may be shown; --media FOLDER adds one."
                    found = Original("outside", message, told) if found.state == "missing" else found
                elif status.st_size != manifest.source.bytes:
                    found = Original("changed", "The original has changed since it was indexed.", told)
                else:
                    return Original("here", "", told, Path(path))
        return found

    def _elsewhere(self, named: str) -> list[str]:
        path = os.path.normpath(named)
        return [os.path.join(new, os.path.relpath(path, old)) for old, new in self._moved if _is_below(path, old)]

    def _may_be_served(self, path: str, named: str, video: str) -> bool:
        if path == named and self._ingested.holds(named, video):
            return True
        real = os.path.realpath(path)
        return any(_is_below(real, str(root)) for root in self._roots)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def _status(path: str) -> os.stat_result | None:
    """Of a regular file; None for anything else."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def media_info(manifest: Manifest) -> MediaInfo | None:
    """What the probe found; None where it has failed."""
    cell = manifest.cell("media")
    try:
        return MediaInfo.of(cell.data) if cell and cell.status == "ok" else None
    except (TypeError, AttributeError):
        return None


def mime(manifest: Manifest) -> str:
    """The type of the file with its codecs; empty where nothing is known of it."""
    media = media_info(manifest)
    if media is None:
        return ""
    names = [media.video_codec if media.has_video else None, *(a.codec for a in media.audio[:1])]
    codecs = [n for n in names if n]
    kind = _TYPES.get(media.format, "application/octet-stream")
    if media.format == "matroska" and codecs and set(codecs) <= _WEB:
        kind = "video/webm"
    if not media.has_video:
        kind = kind.replace("video/", "audio/")
    told = ", ".join(_CODECS.get(c, c) for c in codecs)
    return f'{kind}; codecs="{told}"' if told else kind


def stream_command(path: Path, start: float, seconds: float | None, *, small: bool) -> list[str]:
    """FFmpeg's words for H.264 and AAC in a fragmented MP4 on stdout, from ``start`` on, ``seconds`` long (None: to the
    end); ``small``: 480 lines at most.

    The demuxer is the one of the file's magic bytes, so that nothing leads FFmpeg to other files.  Raises
    :class:`.Refused` where there is no FFmpeg program, or the file is no video.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise Refused(503, "making a stream needs the ffmpeg program; install it (apt install ffmpeg)", "NoFFmpeg")
    try:
        demuxer = sniff(path)
    except MediaError as e:
        raise Refused(409, str(e), "NotAVideo") from e
    cut = [] if seconds is None else ["-t", f"{seconds:.3f}"]
    size = ["-vf", "scale=-2:'min(480,trunc(ih/2)*2)'" if small else "scale=trunc(iw/2)*2:trunc(ih/2)*2"]
    return [
        program, "-nostdin", "-loglevel", "error", "-protocol_whitelist", "file,pipe", "-threads", "1",
        "-f", demuxer, "-ss", f"{start:.3f}", "-i", f"file:{path}", *cut,
        "-map", "0:v:0?", "-map", "0:a:0?", "-sn", "-dn", "-map_metadata", "-1",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "26" if small else "20", "-pix_fmt", "yuv420p", *size,
        "-c:a", "aac", "-ac", "2", "-b:a", "128k", "-movflags", "frag_keyframe+empty_moov+default_base_moof",
        "-f", "mp4", "pipe:1",
    ]  # fmt: skip
