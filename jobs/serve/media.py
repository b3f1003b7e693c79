"""Original files of videos: where they may be read, how browsers are told what is in them, and streams made of them.

Paths in a manifest are data: a foreign archive may name any file or object.  So an original is served only where this
user's own runs on this machine have indexed it, or where it lies below a folder that was given.
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
from ...ingest.sources import Location
from ...store.archive.manifest import Manifest
from ...store.errors import MediaError, UsageError
from ...store.records import MediaInfo
from ...store.shell import is_address
from ...store.storage.objects.access import split_url
from ..runs.known import Ingested
from .errors import Refused

State = Literal["here", "missing", "changed", "outside"]
LONGEST_CLIP = 600.0
LONGEST_SOUND = 1800.0
"""Seconds of sound that are encoded anew before a file plays."""
_LARGEST_COPY = 2 << 30
_IN_MP4 = {"h264", "vp9", "av1"}
_SOUND_IN_MP4 = {"aac", "mp3", "opus", "flac"}
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
    """Where the file of a video is: ``location`` where it may be served, None in every other ``state``, which
    ``message`` explains.  ``mime``: its type with codecs, a best guess for a browser's ``canPlayType``.
    """

    state: State
    message: str
    mime: str
    location: Location | None = None


class Originals:
    """The original files of an archive that may be served."""

    def __init__(self, ingested: Ingested, media: Sequence[str] = ()) -> None:
        """``media``: folders, on a disk or in a bucket, below which files may be served; ``OLD=NEW`` says that what was
        below OLD is below NEW.

        Raises :class:`~vidrag.store.errors.UsageError` for a folder that is not there.
        """
        self._ingested = ingested
        self._moved = [(old, new) for old, sign, new in (m.partition("=") for m in media) if sign]
        self._roots = [_root(m.partition("=")[2] or m) for m in media]

    def find(self, manifest: Manifest) -> Original:
        """The original of a video, the newest path first."""
        told = mime(manifest)
        found = Original("missing", "The original is not where it was indexed; --media OLD=NEW says where it is.", told)
        for named in manifest.source.paths:
            for path in (*self._elsewhere(named), named):
                if is_address(path):  # whether it has changed is seen when it is read
                    if self._may_be_served(path, named, manifest.video):
                        return Original("here", "", told, Location(path))
                    found = Original("outside", _OUTSIDE, told) if found.state == "missing" else found
                    continue
                status = _status(path)
                if status is None:
                    continue
                if not self._may_be_served(path, named, manifest.video):
                    found = Original("outside", _OUTSIDE, told) if found.state == "missing" else found
                elif status.st_size != manifest.source.bytes:
                    found = Original("changed", "The original has changed since it was indexed.", told)
                else:
                    return Original("here", "", told, Location(path))
        return found

    def _elsewhere(self, named: str) -> list[str]:
        moved = ((old.rstrip("/"), new.rstrip("/")) for old, new in self._moved)
        return [new + named[len(old) :] for old, new in moved if _is_below(named, old)]

    def _may_be_served(self, path: str, named: str, video: str) -> bool:
        if path == named and self._ingested.holds(named, video):
            return True
        real = path if is_address(path) else os.path.realpath(path)
        return any(_is_below(real, root) for root in self._roots)


_OUTSIDE = "The original lies outside of the folders that may be shown; --media FOLDER adds one."


def _root(named: str) -> str:
    if is_address(named):
        scheme, bucket, key = split_url(named)
        return f"{scheme}://{bucket}/{key}".rstrip("/")
    if not Path(named).is_dir():
        raise UsageError(f"--media {named}: is no folder; name one that holds the videos, or OLD=NEW")
    return str(Path(named).resolve())


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


def can_be_copied(manifest: Manifest) -> bool:
    """Whether the pictures of a file fit into an MP4 as they are, and making that takes no more than a wait.

    AVI does not tell when each picture is shown, which a copy would have to.
    """
    media = media_info(manifest)
    if media is None or media.video_codec not in _IN_MP4 or media.format == "avi":
        return False
    if manifest.source.bytes > _LARGEST_COPY:
        return False
    return _sound_fits(media) or manifest.duration <= LONGEST_SOUND


def _sound_fits(media: MediaInfo) -> bool:
    return all(a.codec in _SOUND_IN_MP4 for a in media.audio[:1])


def copy_command(path: Path, manifest: Manifest, to: str) -> list[str]:
    """FFmpeg's words for the same pictures in an MP4 file ``to``; sound that does not fit is encoded anew."""
    media = media_info(manifest)
    sound = ["-c:a", "copy"] if media and _sound_fits(media) else _SOUND
    return [*_reading(path), *_STREAMS, "-c:v", "copy", *sound, "-movflags", "+faststart", "-f", "mp4", "-y", to]


def stream_command(path: Path, start: float, seconds: float | None, *, small: bool) -> list[str]:
    """FFmpeg's words for H.264 and AAC in a fragmented MP4 on stdout, from ``start`` on, ``seconds`` long (None: to the
    end); ``small``: 480 lines at most.
    """
    cut = [] if seconds is None else ["-t", f"{seconds:.3f}"]
    size = ["-vf", "scale=-2:'min(480,trunc(ih/2)*2)'" if small else "scale=trunc(iw/2)*2:trunc(ih/2)*2"]
    return [
        *_reading(path, "-ss", f"{start:.3f}"), *cut, *_STREAMS,
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "26" if small else "20", "-pix_fmt", "yuv420p", *size,
        *_SOUND, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4", "pipe:1",
    ]  # fmt: skip


_STREAMS = ["-map", "0:v:0?", "-map", "0:a:0?", "-sn", "-dn", "-map_metadata", "-1"]
_SOUND = ["-c:a", "aac", "-ac", "2", "-b:a", "128k"]


def _reading(path: Path, *options: str) -> list[str]:
    """The program and its input.

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
    return [
        program, "-nostdin", "-loglevel", "error", "-protocol_whitelist", "file,pipe", "-threads", "1",
        "-f", demuxer, *options, "-i", f"file:{path}",
    ]  # fmt: skip
