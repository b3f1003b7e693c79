"""Decoded frames: true times, upright pictures with square pixels, damage kept within bounds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media_files import (
    X264,
    corner_colours,
    declared_long,
    ffmpeg,
    grey,
    lavfi,
    overwritten,
    painted,
    pattern,
    quarters,
    turned,
    with_tone,
)
from vidrag.ingest import media
from vidrag.ingest.media import Frames, MediaOptions, Sampled
from vidrag.store.errors import MediaError, MediaLimit

OPTIONS = MediaOptions(stall_s=20)


def decoded(
    path: Path, rate: float = 30, side: int = 4096, options: MediaOptions = OPTIONS
) -> tuple[list[Sampled], Frames]:
    source = media.frames(path, media.probe(path, options), options, rate, side)
    return list(source), source


def levels(samples: list[Sampled]) -> list[int]:
    return [round(float(s.picture.mean())) for s in samples]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "ffv1")])
@pytest.mark.parametrize("times", [[0.0, 0.1, 0.2, 0.3, 0.4], [0.0, 0.1, 0.2, 1.7, 1.8, 4.0]], ids=["cfr", "vfr"])
def test_times_are_those_of_the_frames(name: str, codec: str, times: list[float], tmp_path: Path) -> None:
    """Each picture comes with its own time stamp; frame number over frame rate is never used."""
    shades = [20 + 35 * i for i in range(len(times))]
    samples, source = decoded(painted(tmp_path / name, times, [grey(s) for s in shades], codec))
    assert [s.time for s in samples] == pytest.approx(times, abs=0.002)
    assert levels(samples) == pytest.approx(shades, abs=3)
    assert (source.decoded, source.errors, source.corrupt) == (len(times), 0, 0)
    assert times[-1] < source.end <= times[-1] + 1


@pytest.mark.parametrize("rate", [0.5, 2, 3, 7])
def test_at_most_rate_frames_a_second_in_order(rate: float, tmp_path: Path) -> None:
    """The first frame of each period of 1/rate seconds, no other."""
    times = sorted({*np.arange(0, 2, 0.1).round(3), 2.05, 2.1, 2.15, 2.2, 4.9, 4.95, 5.0})
    samples, source = decoded(painted(tmp_path / "a.mp4", times, [grey(9 * i % 256) for i in range(len(times))]), rate)
    got = [s.time for s in samples]
    period = [int(t * rate + 1e-6) for t in got]
    assert got == sorted(set(got))
    assert len(set(period)) == len(period)
    assert set(period) == {int(t * rate + 1e-6) for t in times}
    assert got[0] == 0
    assert source.decoded == len(times)


def test_video_that_starts_late_has_its_first_frame_late(tmp_path: Path) -> None:
    """Sound at 0 s, pictures from 3 s on: nothing is shifted to fit."""
    path = tmp_path / "late.mkv"
    late = ["-itsoffset", "3", *lavfi("testsrc2=s=64x48:r=10:d=1"), *lavfi("sine=d=4")]
    ffmpeg(*late, *X264, "-c:a", "flac", "-map", "0", "-map", "1", path)
    samples, source = decoded(path, 2)
    assert samples[0].time == pytest.approx(3, abs=0.05)
    assert source.end == pytest.approx(4, abs=0.1)


def test_a_start_time_is_not_part_of_the_times(tmp_path: Path) -> None:
    """An MPEG transport stream that counts from 100 s has its first frame at 0."""
    path = tmp_path / "a.ts"
    ffmpeg(*lavfi("testsrc2=s=64x48:r=10:d=2"), *X264, "-output_ts_offset", "100", path)
    assert media.probe(path, OPTIONS).start_time > 99
    samples, source = decoded(path, 2)
    assert [s.time for s in samples] == pytest.approx([0, 0.5, 1, 1.5], abs=0.01)
    assert source.end == pytest.approx(2, abs=0.11)


@pytest.mark.parametrize(
    ("degrees", "shown"),
    [
        (90, ["blue", "red", "white", "green"]),
        (180, ["white", "blue", "green", "red"]),
        (270, ["green", "white", "red", "blue"]),
    ],
)
def test_rotated_video_comes_upright(degrees: int, shown: list[str], tmp_path: Path) -> None:
    path = painted(tmp_path / "a.mp4", [0, 0.1], [quarters()] * 2)
    turned(path, degrees)
    samples, _ = decoded(path)
    assert samples[0].picture.shape == ((48, 64, 3) if degrees == 180 else (64, 48, 3))
    assert corner_colours(samples[0].picture) == shown


@pytest.mark.parametrize(("sar", "shape"), [("2/1", (48, 128, 3)), ("1/2", (96, 64, 3))])
def test_anamorphic_video_comes_with_square_pixels(sar: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """The picture is as wide and as high as players show it, as the probe says."""
    path = pattern(tmp_path / "a.mp4", 0.5, "64x48", 10, *X264, "-vf", f"setsar={sar}")
    samples, _ = decoded(path)
    assert samples[0].picture.shape == shape


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_odd_sizes_keep_every_pixel(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    scaled = ["-vf", "scale=65:49", "-pix_fmt", "yuv444p"]
    ffmpeg(*lavfi("testsrc2=s=64x48:r=5:d=0.6"), *scaled, "-c:v", codec, path)
    samples, _ = decoded(path)
    assert [s.picture.shape for s in samples] == [(49, 65, 3)] * 3


def test_two_by_two_pixels(tmp_path: Path) -> None:
    samples, _ = decoded(pattern(tmp_path / "a.mp4", 1, "2x2", 5))
    assert [s.picture.shape for s in samples] == [(2, 2, 3)] * 5


def test_one_frame(tmp_path: Path) -> None:
    samples, source = decoded(painted(tmp_path / "a.mp4", [0], [grey(100)]), 2)
    assert [s.time for s in samples] == [0]
    assert 0 < source.end <= 1


@pytest.mark.parametrize("side", [1, 10, 32, 64, 100])
def test_the_longer_side_is_limited_and_nothing_is_enlarged(side: int, tmp_path: Path) -> None:
    samples, _ = decoded(painted(tmp_path / "a.mp4", [0], [quarters()]), side=side)
    h, w = samples[0].picture.shape[:2]
    assert (h, w) == (max(1, round(48 * min(1, side / 64))), min(64, side))


@pytest.mark.parametrize(
    ("name", "encoder", "level"),
    [
        ("ten.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p10le"], 128),
        ("sixteen.mkv", ["-c:v", "ffv1", "-pix_fmt", "gray16le"], 128),
        ("alpha.mkv", ["-c:v", "ffv1", "-pix_fmt", "bgra"], 128),
        ("alpha.webm", ["-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0"], 128),
    ],
)
def test_deep_and_transparent_pixels_become_rgb(name: str, encoder: list[str], level: int, tmp_path: Path) -> None:
    """10 and 16 bits are scaled to 8, alpha is dropped."""
    path = tmp_path / name
    ffmpeg(*lavfi("color=0x808080:s=64x48:r=5:d=0.4"), *encoder, path)
    samples, _ = decoded(path)
    assert samples[0].picture.dtype == np.uint8
    assert samples[0].picture.shape == (48, 64, 3)
    assert levels(samples) == pytest.approx([level] * 2, abs=4)


def test_what_decodes_around_damage_is_kept_and_the_damage_counted(tmp_path: Path) -> None:
    path = with_tone(tmp_path / "a.mp4", 4, "320x180")
    overwritten(path)
    samples, source = decoded(path, 10)
    assert len(samples) >= 20
    assert samples[0].time == 0
    assert samples[-1].time > 3.5
    assert source.errors + source.corrupt > 0
    assert all(a.time < b.time for a, b in pairwise(samples))


def test_a_truncated_file_gives_what_comes_before_the_cut(tmp_path: Path) -> None:
    path = with_tone(tmp_path / "a.mp4", 4, "320x180", "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples, source = decoded(path, 10)
    assert 1 < samples[-1].time < 3.5
    assert source.end < 3.7


def test_a_huge_declared_duration_costs_nothing(tmp_path: Path) -> None:
    path = with_tone(tmp_path / "a.mp4", 2)
    declared_long(path)
    duration = media.probe(path, OPTIONS).duration
    assert duration is None or duration < 10
    samples, source = decoded(path, 2)
    assert len(samples) == 4
    assert source.end == pytest.approx(2, abs=0.2)


def test_a_picture_that_grows_beyond_the_limit_stops_decoding(tmp_path: Path) -> None:
    """The declared size is allowed, a later frame is not: found before that frame is converted."""
    for size, offset in (("64x48", "0"), ("320x240", "5")):
        source = [*lavfi(f"testsrc2=s={size}:r=10:d=1"), *X264, "-output_ts_offset", offset]
        ffmpeg(*source, tmp_path / f"{size}.ts")
    path = tmp_path / "both.ts"
    path.write_bytes((tmp_path / "64x48.ts").read_bytes() + (tmp_path / "320x240.ts").read_bytes())
    options = MediaOptions(max_pixels=10_000, stall_s=20)
    shapes = []
    with pytest.raises(MediaLimit, match="320x240"):
        for sample in media.frames(path, media.probe(path, options), options, 10, 640):
            shapes.append(sample.picture.shape)
    assert len(shapes) >= 5
    assert set(shapes) == {(48, 64, 3)}


def test_more_hours_than_allowed_are_refused(tmp_path: Path) -> None:
    path = with_tone(tmp_path / "a.mp4", 3)
    options = MediaOptions(max_hours=1 / 3600, stall_s=20)
    with pytest.raises(MediaLimit, match="hours"):
        decoded(path, options=options)
    with pytest.raises(MediaLimit, match="hours"):
        list(media.audio(path, media.probe(path, options), options))


def test_a_video_stream_without_frames_is_no_success(tmp_path: Path) -> None:
    """A file cut off right behind its index decodes to nothing and says so."""
    path = pattern(tmp_path / "a.mp4", 2, "64x48", 10, *X264, "-movflags", "+faststart")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 8])
    try:
        samples, source = decoded(path)
    except MediaError:
        return
    assert samples == []
    assert source.decoded == 0
