"""What a file is: magic bytes, refusals, and the fields of the probe."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from media_files import TONE, X264, declared_wide, ffmpeg, lavfi, painted, pattern, quarters, turned, with_tone
from vidrag.ingest import media
from vidrag.ingest.media.sniff import demuxer_of, sniff
from vidrag.store.errors import MediaError, MediaLimit, NotAVideo

OPTIONS = media.MediaOptions(stall_s=20)
VIDEO = [*lavfi("testsrc2=s=64x48:r=25:d=0.4")]
SOUND = [*lavfi(f"{TONE}:d=0.4")]

CONTAINERS = {
    "a.mp4": ("mov", [*VIDEO, *SOUND, *X264, "-c:a", "aac"]),
    "fast.mp4": ("mov", [*VIDEO, *X264, "-movflags", "+faststart"]),
    "fragments.mp4": ("mov", [*VIDEO, *X264, "-movflags", "frag_keyframe+empty_moov"]),
    "a.mov": ("mov", [*VIDEO, *X264]),
    "a.mkv": ("matroska", [*VIDEO, "-c:v", "ffv1"]),
    "a.webm": ("matroska", [*VIDEO, "-c:v", "libvpx"]),
    "a.avi": ("avi", [*VIDEO, "-c:v", "mpeg4"]),
    "a.flv": ("flv", [*VIDEO, "-c:v", "flv"]),
    "a.wmv": ("asf", [*VIDEO, "-c:v", "wmv2"]),
    "a.ts": ("mpegts", [*VIDEO, *X264]),
    "a.m2ts": ("mpegts", [*VIDEO, *X264, "-mpegts_m2ts_mode", "1"]),
    "a.mpg": ("mpeg", [*VIDEO, "-c:v", "mpeg2video", "-f", "vob"]),
    "a.mxf": ("mxf", [*VIDEO, "-c:v", "mpeg2video"]),
    "a.wav": ("wav", [*SOUND]),
    "a.flac": ("flac", [*SOUND]),
    "a.ogg": ("ogg", [*SOUND, "-c:a", "libvorbis"]),
    "tagged.mp3": ("mp3", [*SOUND, "-c:a", "libmp3lame"]),
    "bare.mp3": ("mp3", [*SOUND, "-c:a", "libmp3lame", "-id3v2_version", "0", "-write_xing", "0"]),
    "a.aac": ("aac", [*SOUND, "-c:a", "aac", "-f", "adts"]),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_are_known_by_their_bytes(name: str, tmp_path: Path) -> None:
    """Each container gets its own demuxer under a name that says nothing, and the probe opens it."""
    demuxer, made = CONTAINERS[name]
    ffmpeg(*made, tmp_path / name)
    hidden = (tmp_path / name).rename(tmp_path / "no name.txt")
    assert sniff(hidden) == demuxer
    info = media.probe(hidden, OPTIONS)
    assert info.format == demuxer
    assert info.has_video == ("testsrc2" in " ".join(made))
    assert info.has_audio == ("sine" in " ".join(made))


REFUSED = {
    "text": (b"This is not a video, only a line of text.\n", "not a video"),
    "empty": (b"", "empty"),
    "random": (random.Random(1).randbytes(30_000), "not a video"),
    "playlist": (b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:2,\nneighbour.mp4\n#EXT-X-ENDLIST\n", "not a video"),
    "concat script": (b"ffconcat version 1.0\nfile neighbour.mp4\n", "not a video"),
    "url list": (b"[playlist]\nFile1=http://127.0.0.1:PORT/x.mp4\n", "not a video"),
    "bare url": (b"http://127.0.0.1:PORT/x.mp4\n", "not a video"),
    "sdp": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video PORT RTP/AVP 96\n", "not a video"),
    "zeros": (bytes(5000), "not a video"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_disguises_are_refused_and_open_nothing_else(kind: str, tmp_path: Path) -> None:
    """A neighbour that would block whoever opens it stays closed, and nobody connects to the address in the file."""
    os.mkfifo(tmp_path / "neighbour.mp4")
    data, reason = REFUSED[kind]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        (tmp_path / "x.mp4").write_bytes(data.replace(b"PORT", b"%d" % server.getsockname()[1]))
        with pytest.raises(NotAVideo, match=reason) as caught:
            media.probe(tmp_path / "x.mp4", OPTIONS)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", [b"ID3\x04\0\0\0\0\0\0", b"\x1a\x45\xdf\xa3", b"\0\0\0\x18ftypisom", b"OggS", b"fLaC"])
def test_a_playlist_behind_magic_bytes_opens_nothing(head: bytes, tmp_path: Path) -> None:
    """The forced demuxer finds no media in it: an error, not a hang on the neighbour."""
    os.mkfifo(tmp_path / "neighbour.mp4")
    script = b"\n#EXTM3U\n#EXTINF:2,\nneighbour.mp4\nffconcat version 1.0\nfile neighbour.mp4\n"
    (tmp_path / "x.mp4").write_bytes(head + script * 20)
    with pytest.raises(MediaError) as caught:
        media.probe(tmp_path / "x.mp4", media.MediaOptions(stall_s=10))
    assert "hung" not in str(caught.value)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotAVideo, match="No such file"):
        sniff(tmp_path / "missing.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    with pytest.raises(NotAVideo, match="symbolic link"):
        sniff(tmp_path / "loop.mp4")
    with pytest.raises(NotAVideo):
        sniff(tmp_path)


def test_a_pipe_named_like_a_video_does_not_block(tmp_path: Path) -> None:
    """Only regular files are read; opening a FIFO would wait for ever."""
    os.mkfifo(tmp_path / "x.mp4")
    code = (
        "import sys, pathlib; from vidrag.ingest.sources import Location, Opened\n"
        "from vidrag.store.errors import MediaError\n"
        "try: Opened(Location.of(sys.argv[1])).sha256\n"
        "except MediaError: print('refused')"
    )
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path / "x.mp4"], stdout=subprocess.PIPE, text=True)
    try:
        told, _ = child.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        pytest.fail("a FIFO blocks ingest for ever")
    assert told == "refused\n"


def test_few_bytes_are_never_misread() -> None:
    """Every prefix of a known head is an answer or None, never an exception."""
    for head in (b"\0\0\0\x20ftypisom", b"RIFF\0\0\0\0AVI LIST", b"G" * 10, b"\x1a\x45\xdf\xa3", b"\xff\xfb\x90"):
        assert {demuxer_of(head[:n]) for n in range(len(head) + 1)} <= {None, "mov", "avi", "matroska", "mp3"}
    assert demuxer_of(b"RIFF\0\0\0\0ACON") is None


def test_probe_tells_what_is_in_the_file(tmp_path: Path) -> None:
    path = with_tone(tmp_path / "a.mp4", 2, "64x48", "-b:a", "32k")
    info = media.probe(path, OPTIONS)
    assert (info.width, info.height, info.video_codec) == (64, 48, "h264")
    assert [(t.index, t.codec, t.channels) for t in info.audio] == [(1, "aac", 1)]
    assert info.duration == pytest.approx(2, abs=0.1)
    assert info.fps == pytest.approx(10, abs=0.1)
    assert (info.video_index, info.subtitle_tracks) == (0, 0)
    assert (info.rotation, info.start_time) == (0, 0.0)


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    cover = tmp_path / "cover.png"
    ffmpeg(*lavfi("color=red:s=64x64:d=1"), "-frames:v", "1", cover)
    song = tmp_path / "song.mp3"
    ffmpeg(*SOUND, "-i", cover, "-map", "0", "-map", "1", "-c:a", "libmp3lame", "-disposition:v", "attached_pic", song)
    info = media.probe(song, OPTIONS)
    assert (info.has_video, info.has_audio, info.width) == (False, True, None)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_probe_gives_the_displayed_size_of_a_rotated_video(degrees: int, tmp_path: Path) -> None:
    """``width`` and ``height`` are as displayed, after rotation; ``rotation`` says by how much."""
    path = painted(tmp_path / "a.mp4", [0, 0.1], [quarters()] * 2)
    turned(path, degrees)
    info = media.probe(path, OPTIONS)
    assert (info.width, info.height) == ((64, 48) if degrees == 180 else (48, 64))
    assert info.rotation % 180 == degrees % 180
    assert info.rotation != 0


@pytest.mark.parametrize(("sar", "size"), [("2/1", (128, 48)), ("1/2", (64, 96)), ("1/1", (64, 48))])
def test_probe_gives_the_displayed_size_of_an_anamorphic_video(sar: str, size: tuple[int, int], tmp_path: Path) -> None:
    path = pattern(tmp_path / "a.mp4", 0.5, "64x48", 10, *X264, "-vf", f"setsar={sar}")
    info = media.probe(path, OPTIONS)
    assert (info.width, info.height) == size


def test_too_many_declared_pixels_are_refused_before_decoding(tmp_path: Path) -> None:
    path = pattern(tmp_path / "a.mkv", 0.5, "320x256", 10, "-c:v", "ffv1")
    declared_wide(path, 8192, 8192)
    with pytest.raises(MediaLimit, match="8192x8192"):
        media.probe(path, OPTIONS)
    small = pattern(tmp_path / "b.mp4", 0.5)
    with pytest.raises(MediaLimit, match=f"more than the {64 * 48 - 1} allowed"):
        media.probe(small, media.MediaOptions(max_pixels=64 * 48 - 1))
    assert media.probe(small, media.MediaOptions(max_pixels=64 * 48)).width == 64


def test_a_broken_container_is_a_media_error_in_one_clean_line(tmp_path: Path) -> None:
    """The message names the file and the cause; folders and error numbers of FFmpeg help nobody."""
    whole = with_tone(tmp_path / "whole.mp4", 2)
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[:4000])
    with pytest.raises(MediaError) as caught:
        media.probe(path, OPTIONS)
    told = str(caught.value)
    assert told.startswith("cut.mp4: ")
    assert "moov atom not found" in told
    assert str(tmp_path) not in told
    assert "1094995529" not in told
    assert caught.value.permanent


def test_a_container_without_streams_is_refused(tmp_path: Path) -> None:
    box = b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + b"\0\0\0\x08mdat"
    (tmp_path / "x.mp4").write_bytes(box)
    with pytest.raises(MediaError):
        media.probe(tmp_path / "x.mp4", OPTIONS)


@pytest.mark.parametrize(
    "name", ["-dash first.mp4", "ünï 视频  x.mp4", "a\nb.mp4", "quote's \"$x;y.mp4", "file:x.mp4", "%03d.mp4"]
)
def test_odd_names_are_only_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe, frames and sound work under any name, also a relative one."""
    shutil.move(with_tone(tmp_path / "a.mp4", 0.5), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    info = media.probe(Path(name), OPTIONS)
    assert len(list(media.frames(Path(name), info, OPTIONS, 2, 640))) == 1
    assert np.concatenate(list(media.audio(Path(name), info, OPTIONS))).size > 4000
