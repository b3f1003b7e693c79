"""What a folder or a prefix holds that is no video is passed over and counted; what cannot be listed is told."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from media_files import TONE, X264, ffmpeg, lavfi, pattern, with_tone
from vidrag.ingest import media
from vidrag.ingest.listing import Listing, listed
from vidrag.ingest.media.sniff import sniff
from vidrag.store.errors import NotAVideo, UsageError
from vidrag.store.storage.objects.client import Objects
from world import World

MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp41"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
AVIF = b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B"
PNG, JPEG, GIF = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe1\0\x18Exif\0\0", b"GIF89a\x01\0\x01\0"
WEBP = b"RIFF\x24\0\0\0WEBPVP8 "
SHORT = media.MediaOptions(stall_s=10)


def put(path: Path, data: bytes = MP4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(listing: Listing) -> list[str]:
    return sorted(f.location.name for f in listing.found)


def walked(folder: Path, *exclude: str) -> tuple[list[str], dict[str, int]]:
    listing = listed([str(folder)], exclude)
    assert listing.unreachable == []
    return names(listing), dict(listing.passed_over)


PASSED_OVER = {
    "photos": {
        "a.heic": HEIC, "a.HEIC": MP4, "b.avif": AVIF, "c.jpg": JPEG, "d.png": PNG, "e.webp": WEBP, "f.gif": GIF,
        "no ending 1": HEIC, "no ending 2": AVIF, "no ending 3": JPEG, "no ending 4": PNG, "no ending 5": WEBP,
        "no ending 6": GIF, "motion photo.jpg": JPEG + MP4, "motion photo.heic": MP4,
    },
    "unfinished downloads": {
        "a.mp4.part": MP4, "b.mkv.crdownload": MP4, "c.mp4.partial": MP4, "d.mp4.download": MP4,
        ".talk.mp4.Ab3xYz": MP4, ".syncthing.talk.mp4.tmp": MP4, "~syncthing~talk.mp4.tmp": MP4,
        "e.mp4.opdownload": MP4, "f.mp4.part-Frag3": MP4,
        "g.mp4.!qB": MP4, "h.mp4.filepart": MP4, "i.download/Content.mp4": MP4, "j.mp4": MP4, "j.mp4.aria2": b"x",
    },
    "AppleDouble files": {"._talk.mp4": b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ", "._x": b"x"},
    "system files": {".DS_Store": b"\0\0\0\x01Bud1", "Thumbs.db": b"x", "desktop.ini": b"x"},
    "system folders": {
        f"{folder}/a.mp4": MP4
        for folder in (
            "@eaDir", "#recycle", ".Trash-1000", "$RECYCLE.BIN", "System Volume Information", ".stfolder",
            ".stversions", "__MACOSX", "lost+found",
        )
    },
    "hidden folders": {".cache/x/audio.wav": b"RIFF\0\0\0\0WAVEfmt ", ".git/a.mp4": MP4},
    "hidden files": {".a.mp4": MP4, ".config.backup": b"x"},
    "texts": {
        "index.ts": b"export const answer: number = 42;\n", "menu.txt": b"The free lunch menu of the week\n",
        "a.mts": b"export {}\n", "qt.ts": b"<?xml version='1.0'?><TS></TS>", "wide": b"The wide range of things\n",
        "README": b"hello\n", "mdat.txt": b"The mdat of it\n", "utf16.ts": "// typed\n".encode("utf-16"),
    },
    "empty files": {"a.mp4": b"", "b.MKV": b"", ".c.mp4.icloud": b"bplist00"},
    "other files": {"a.zip": b"PK\3\4\0\0\0\0", "b.bin": bytes(5000), "c": b"\0\0\0\x08free\0\0\0\0\x01\x02\x03\x04"},
    "archives of vidrag": {"index/archive.json": b"{}", "index/videos/x/a.mp4": MP4},
}  # fmt: skip


@pytest.mark.parametrize("kind", PASSED_OVER)
def test_what_is_no_video_is_passed_over_and_counted(kind: str, tmp_path: Path) -> None:
    """The one video among it is taken."""
    for name, data in PASSED_OVER[kind].items():
        put(tmp_path / name, data)
    put(tmp_path / "real.mp4")
    count = 1 if kind == "archives of vidrag" else len(PASSED_OVER[kind])
    assert walked(tmp_path) == (["real.mp4"], {kind: count})


def test_what_is_named_is_always_taken(tmp_path: Path) -> None:
    """Whatever it is called; and in a folder that is named, whatever that is called."""
    paths = [put(tmp_path / n, d) for kind in PASSED_OVER.values() for n, d in kind.items() if "/" not in n]
    listing = listed([str(p) for p in paths])
    assert len(listing.found) == len(set(paths)) and not listing.passed_over
    put(tmp_path / ".hidden/@eaDir/a.mp4")
    assert walked(tmp_path / ".hidden") == ([], {"system folders": 1})
    assert walked(tmp_path / ".hidden/@eaDir") == (["a.mp4"], {})


def test_subtitles_are_not_counted_as_passed_over(tmp_path: Path) -> None:
    for name in ("a.srt", "a.en.vtt", "a.ass", "a.json3"):
        put(tmp_path / name, b"text")
    put(tmp_path / "a.mp4")
    assert walked(tmp_path) == (["a.mp4"], {})


def test_a_placeholder_of_a_cloud_drive_is_taken_when_it_fills(tmp_path: Path) -> None:
    """Empty, or of the right size without a block on the disk."""
    put(tmp_path / "a.mp4", b"")
    with (tmp_path / "b.mp4").open("wb") as f:
        f.truncate(1 << 20)
    assert walked(tmp_path) == ([], {"empty files": 2})
    put(tmp_path / "a.mp4")
    with (tmp_path / "b.mp4").open("r+b") as f:
        f.write(MP4)
    assert walked(tmp_path) == (["a.mp4", "b.mp4"], {})


def test_a_photo_and_a_text_that_are_named_are_told(tmp_path: Path) -> None:
    for data, why in ((HEIC, "a photo"), (PNG, "a photo"), (b"The free lunch menu of the week\n", "text")):
        with pytest.raises(NotAVideo, match=f"not a video \\(it is {why}\\)"):
            sniff(put(tmp_path / "x.mp4", data))


RAW = {
    "pal.dv": ("dv", [*lavfi("testsrc2=s=720x576:r=25:d=1"), *lavfi(f"{TONE}:d=1"), "-ar", "48000", "-ac", "2"]),
    "ntsc.dv": ("dv", [*lavfi("testsrc2=s=720x480:r=30000/1001:d=1"), "-pix_fmt", "yuv411p"]),
    "a.h264": ("h264", [*lavfi("testsrc2=s=64x48:r=25:d=1"), *X264]),
    "a.264": ("h264", [*lavfi("testsrc2=s=64x48:r=25:d=1"), *X264, "-bsf:v", "h264_metadata=aud=insert", "-f", "h264"]),
    "a.h265": ("hevc", [*lavfi("testsrc2=s=64x48:r=25:d=1"), "-c:v", "libx265", "-x265-params", "log-level=0"]),
    "a.aiff": ("aiff", lavfi(f"{TONE}:d=1")),
    "a.aifc": ("aiff", [*lavfi(f"{TONE}:d=1"), "-c:a", "pcm_s16le", "-f", "aiff"]),
    "a.caf": ("caf", lavfi(f"{TONE}:d=1")),
    "a.ac3": ("ac3", lavfi(f"{TONE}:d=1")),
    "a.eac3": ("eac3", lavfi(f"{TONE}:d=1")),
    "a.m2v": ("mpegvideo", [*lavfi("testsrc2=s=64x48:r=25:d=1"), "-f", "mpeg2video"]),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_pictures_and_sound_are_taken(name: str, tmp_path: Path) -> None:
    """By their first bytes, whatever they are called, and FFmpeg's library and program read them under that name."""
    demuxer, arguments = RAW[name]
    ffmpeg(*arguments, tmp_path / name)
    odd = (tmp_path / name).rename(tmp_path / "no ending")
    assert walked(tmp_path) == (["no ending"], {}) and sniff(odd) == demuxer
    info = media.probe(odd, SHORT)
    assert info.format == demuxer
    if info.has_video:
        assert len(list(media.frames(odd, info, SHORT, 5, 64))) >= 3
    if info.has_audio:
        assert 0.9 < sum(len(b) for b in media.audio(odd, info, SHORT)) / media.RATE < 1.2


@pytest.mark.parametrize("ending, codec", [("h264", "libx264"), ("h265", "libx265")])
def test_raw_pictures_come_as_fast_as_their_stream_says(ending: str, codec: str, tmp_path: Path) -> None:
    """Such a file has no clock: 20 pictures, 10 a second, last two seconds."""
    path = tmp_path / f"a.{ending}"
    ffmpeg(*lavfi("testsrc2=s=64x48:r=10:d=2"), "-c:v", codec, "-pix_fmt", "yuv420p", path)
    info = media.probe(path, SHORT)
    assert info.fps == 10
    assert [f.time for f in media.frames(path, info, SHORT, 2, 64)] == pytest.approx([0, 0.5, 1, 1.5], abs=0.11)


def id3(size: int) -> bytes:
    return b"ID3\x03\0\0" + bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127)) + bytes(size)


@pytest.mark.parametrize("ending, demuxer", [("flac", "flac"), ("aac", "aac"), ("mp3", "mp3")])
@pytest.mark.parametrize("tags", [(100,), (300_000,), (50, 5000)])
def test_sound_behind_a_tag(ending: str, demuxer: str, tags: tuple[int, ...], tmp_path: Path) -> None:
    """Of any length, with a picture of the cover say; the sound is read as it is without the tag."""
    ffmpeg(*lavfi(f"{TONE}:d=1"), tmp_path / f"a.{ending}")
    plain = (tmp_path / f"a.{ending}").read_bytes()
    path = put(tmp_path / "tagged", b"".join(map(id3, tags)) + plain)
    assert sniff(path) == demuxer
    if len(tags) == 1:
        info = media.probe(path, SHORT)
        assert 0.9 < sum(len(b) for b in media.audio(path, info, SHORT)) / media.RATE < 1.3


@pytest.mark.parametrize("packet", [188, 192])
@pytest.mark.parametrize("cut", [1, 100, 187, 1000, 9000])
def test_a_transport_stream_that_was_cut(packet: int, cut: int, tmp_path: Path) -> None:
    """Anywhere in a packet, and with the rest of something else before it."""
    more = ["-mpegts_m2ts_mode", "1"] if packet == 192 else []
    ffmpeg(*lavfi("testsrc2=s=64x48:r=10:d=3"), *X264, "-f", "mpegts", *more, tmp_path / "whole.ts")
    data = (tmp_path / "whole.ts").read_bytes()
    for head in (data[cut:], b"\xff\0" * (cut // 2) + data[packet:]):
        path = put(tmp_path / "in/cut.ts", head)
        assert sniff(path) == "mpegts"
        assert walked(tmp_path / "in")[0] == ["cut.ts"]
        assert media.probe(path, SHORT).has_video


DISGUISES = {
    "dv": b"\x1f\x07\0\x3f" + bytes(76) + b"\x3f\x07\0\x8f",
    "h264": b"\0\0\0\1\x67\x64\0\x0a\0\0\0\1\x68\xeb",
    "hevc": b"\0\0\0\1\x40\x01\x0c\x01\0\0\0\1\x42\x01\x01",
    "aiff": b"FORM\0\0\1\0AIFFCOMM",
    "caf": b"caff\0\1\0\0desc",
    "ac3": b"\x0b\x77\x48\x0d\x0c\x40\x2f\x84\x0b\x77",
    "eac3": b"\x0b\x77\0\xbf\x32\x87\xc0\0\x0b\x77",
    "mpegvideo": b"\0\0\1\xb3\x14\0\xf0\x23",
    "flac": id3(50) + b"fLaC",
}


@pytest.mark.parametrize("demuxer", DISGUISES)
def test_a_script_behind_new_magic_bytes_opens_nothing(demuxer: str, tmp_path: Path) -> None:
    """The forced demuxer finds no address in it: no neighbour is opened, whatever the outcome."""
    os.mkfifo(tmp_path / "neighbour.mp4")
    script = b"\n#EXTM3U\n#EXTINF:2,\nneighbour.mp4\nffconcat version 1.0\nfile neighbour.mp4\n" * 50
    path = put(tmp_path / "x.mp4", DISGUISES[demuxer] + script)
    assert sniff(path) == demuxer
    try:
        info = media.probe(path, SHORT)
        assert info.format == demuxer
        read = media.frames(path, info, SHORT, 2, 64) if info.has_video else media.audio(path, info, SHORT)
        list(read)  # type: ignore[arg-type]
    except media.MediaError as e:
        assert "hung" not in str(e)


def test_patterns_pass_files_over(tmp_path: Path) -> None:
    """Relative to what is named; a file of patterns holds for its folder and below, the innermost one decides."""
    for name in ("a.mp4", "b.mov", "raw/c.mp4", "raw/keep.mp4", "in/raw/d.mp4", "in/e.mp4"):
        put(tmp_path / name)
    assert walked(tmp_path, "*.mov", "/raw/") == (["a.mp4", "d.mp4", "e.mp4"], {"excluded": 2})
    put(tmp_path / ".vidragignore", b"# no drafts\nraw/*\n\n*.mov\n")
    put(tmp_path / "raw/.vidragignore", b"!keep.mp4\n")
    assert walked(tmp_path) == (["a.mp4", "d.mp4", "e.mp4", "keep.mp4"], {"excluded": 2})
    assert walked(tmp_path, "keep.mp4")[0] == ["a.mp4", "d.mp4", "e.mp4"]
    assert names(listed([str(tmp_path / "b.mov")], ["*.mov"])) == ["b.mov"]
    with pytest.raises(UsageError, match="--exclude: "):
        listed([str(tmp_path)], ["!"])


def test_patterns_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd \xff.mp4")))
    put(tmp_path / ".vidragignore", b"odd \xff.mp4\n")
    assert walked(tmp_path) == ([], {"excluded": 1})


def test_below_a_prefix_the_same_rules_hold_by_name(bucket: str) -> None:
    objects = Objects("s3", bucket[5:])
    objects.put("in/.vidragignore", b"*.mov\n")
    kept = ["a.mp4", "deep/b.mkv", "c.ts"]
    other = {
        "x.heic": "photos", "x.mp4.part": "unfinished downloads", "._x.mp4": "AppleDouble files", "notes.txt": "texts",
        ".cache/x/a.wav": "hidden folders", "@eaDir/a.mp4": "system folders", "e.mp4": "empty files",
        "x.mov": "excluded", "index.ts": "texts", "x.zip": "other files",
    }  # fmt: skip
    for name in (*kept, *other):
        data = b"" if name == "e.mp4" else b"export {}\n" if name == "index.ts" else b"G" * 188 * 5
        objects.put(f"in/{name}", data)
    objects.put("in/@eaDir/b.mp4", b"x")  # a folder counts once
    listing = listed([f"{bucket}/in"])
    assert names(listing) == sorted(n.rpartition("/")[2] for n in kept)
    assert dict(listing.passed_over) == {k: list(other.values()).count(k) for k in set(other.values())}


@contextmanager
def _failing(where: Path, error: int, after: int) -> Iterator[Callable[..., Any]]:
    """``os.scandir`` that fails for a folder after so many entries, as a network mount does."""
    real = os.scandir

    class Entries:
        def __init__(self, inner: Any) -> None:
            self.inner, self.left = inner, after

        def __enter__(self) -> Entries:
            return self

        def __exit__(self, *_: object) -> None:
            self.inner.close()

        def __iter__(self) -> Entries:
            return self

        def __next__(self) -> Any:
            if not self.left:
                raise OSError(error, os.strerror(error))
            self.left -= 1
            return next(self.inner)

    def scandir(path: Any = ".") -> Any:
        return Entries(real(path)) if Path(path) == where else real(path)

    yield scandir


@pytest.mark.parametrize("error", [errno.ESTALE, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("after", [0, 1])
def test_a_listing_that_fails_is_told_and_the_rest_goes_on(
    error: int, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "bad/b.mp4", "bad/c.mp4", "good/d.mp4"):
        put(tmp_path / name)
    with _failing(tmp_path / "bad", error, after) as scandir:
        monkeypatch.setattr(os, "scandir", scandir)
        listing = listed([str(tmp_path)])
    assert len(listing.found) == 2 + after and {"a.mp4", "d.mp4"} <= set(names(listing))
    assert [(u.path, u.message) for u in listing.unreachable] == [(str(tmp_path / "bad"), os.strerror(error))]


def test_one_of_two_paths_that_is_missing(tmp_path: Path) -> None:
    put(tmp_path / "a.mp4")
    listing = listed([str(tmp_path), f"{tmp_path}/missing"])
    assert names(listing) == ["a.mp4"] and [u.path for u in listing.unreachable] == [f"{tmp_path}/missing"]
    with pytest.raises(UsageError, match=r"missing: no such file or folder \(and 1 more\)"):
        listed([f"{tmp_path}/missing", f"{tmp_path}/a.mp4/b"])


def test_folders_of_any_depth_are_walked(tmp_path: Path) -> None:
    """Deeper than a call can go."""
    here, depth = os.getcwd(), 1500
    try:
        os.chdir(tmp_path)
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    put(tmp_path / "a.mp4")
    assert walked(tmp_path)[0] == ["a.mp4"]
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.make(tmp_path)


@pytest.mark.long
def test_the_command_says_what_it_passed_over(world: World, tmp_path: Path) -> None:
    """In one line, in its JSON, and with exit code 0; without a video a usage error says the same."""
    (tmp_path / "in").mkdir()
    with_tone(tmp_path / "in/a.mp4", 1)
    for name, data in (("p.heic", HEIC), ("q.jpg", JPEG), ("b.mp4.part", MP4), ("c.mp4", b""), ("d.ts", b"export\n")):
        put(tmp_path / "in" / name, data)
    ran = world.run("ingest", "archive", "in", "--no-ray")
    assert ran.returncode == 0, ran.stderr
    assert "passed over: 2 photos, 1 empty file, 1 text, 1 unfinished download\n" in ran.stdout
    assert "note: empty files may be placeholders" in ran.stdout
    told = json.loads(world.run("ingest", "archive", "in", "nowhere", "--no-ray", "--json").stdout)
    assert told["passed_over"] == {"photos": 2, "empty files": 1, "texts": 1, "unfinished downloads": 1}
    assert told["unreachable"] == [{"path": "nowhere", "message": "no such file or folder"}] and told["kept"] == 1
    (tmp_path / "in/a.mp4").unlink()
    ran = world.run("ingest", "archive", "in", "--no-ray")
    assert ran.returncode == 2 and "no videos in in" in ran.stderr and "2 photos" in ran.stderr
    assert world.run("ingest", "archive", "nowhere", "--no-ray").returncode == 2
    ran = world.run("ingest", "archive", "in", "nowhere", "--no-ray")
    assert ran.returncode == 3 and "not looked at: nowhere: no such file or folder" in ran.stderr


@pytest.mark.long
def test_paths_from_a_file(world: World, tmp_path: Path) -> None:
    """One a line or separated by NUL, of any bytes; a name with a newline needs NUL."""
    raw = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd \xff\n.mp4"))
    pattern(tmp_path / "a.mp4", 1)
    shutil.copy(tmp_path / "a.mp4", raw)
    put(tmp_path / "list", b"a.mp4\n\nmissing.mp4\n")
    ran = world.run("ingest", "archive", "--files-from", "list", "--no-ray", "--json")
    told = json.loads(ran.stdout)
    assert ran.returncode == 3 and told["videos"] == 1 and [u["path"] for u in told["unreachable"]] == ["missing.mp4"]
    command = world.command("ingest", "archive", "--files-from", "-", "--no-ray", "--json")
    given = os.fsencode(raw) + b"\0a.mp4\0"
    done = subprocess.run(command, cwd=tmp_path, env=world.env, input=given, capture_output=True, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["videos"] == 2, done.stderr
    for arguments in (["--files-from", "nowhere"], []):
        assert world.run("ingest", "archive", *arguments, "--no-ray").returncode == 2


@pytest.mark.long
def test_a_folder_without_permission_by_the_command(world: World, tmp_path: Path) -> None:
    """Named, exit code 3, everything else indexed.  Root, who may list every folder, gives that right away first."""
    command = world.command("ingest", "archive", "in", "--no-ray", "--json")
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may list every folder, and there is no setpriv (util-linux) to give that right away")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    for name in ("in/a.mp4", "in/shut/b.mp4", "in/open/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pattern(tmp_path / name, 1, "64x48" if "a" in name else "32x48")
    (tmp_path / "in/to nothing that may be seen").symlink_to(tmp_path / "in/shut/b.mp4")
    (tmp_path / "in/shut").chmod(0)
    try:
        ran = subprocess.run(command, cwd=tmp_path, env=world.env, capture_output=True, text=True, check=False)
    finally:
        (tmp_path / "in/shut").chmod(0o700)
    assert ran.returncode == 3, ran.stderr
    told = json.loads(ran.stdout)
    assert told["videos"] == 2 and told["failed"] == []
    assert sorted(Path(u["path"]).name for u in told["unreachable"]) == ["shut", "to nothing that may be seen"]
    assert {u["message"] for u in told["unreachable"]} == {"Permission denied"}
    assert "in/shut: Permission denied" in ran.stderr
