"""Clocks that restart, fall or jump, and sound whose format changes: everything lies on one axis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_files import X264, beep, ffmpeg, lavfi
from vidrag.ingest import media
from vidrag.ingest.decoder.timeline import MOST_PARTS, Part, Timeline, _part_of
from vidrag.ingest.media import RATE, MediaOptions
from vidrag.store.records import MediaInfo

OPTIONS = MediaOptions(stall_s=20)
CODECS = {
    "ts": (*X264, "-c:a", "aac"),
    "mpg": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "mkv": (*X264, "-c:a", "aac"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
}


def recording(path: Path, colour: str, seconds: float, at: float, *more: str) -> Path:
    """Pictures of one colour, and a beep that starts at ``at``."""
    rate = "24" if path.suffix == ".mpg" else "10"
    ffmpeg(
        *lavfi(f"color={colour}:s=64x48:r={rate}:d={seconds:g}"), *beep(at, seconds), "-ar", "48000",
        *CODECS[path.suffix[1:]], *more, path,
    )  # fmt: skip
    return path


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    return path


def heard(path: Path) -> tuple[MediaInfo, list[float], media.Audio]:
    """What the file is, the seconds at which sound starts after silence, and how reading it went."""
    info = media.probe(path, OPTIONS)
    sound = media.audio(path, info, OPTIONS)
    samples = np.concatenate(list(sound))
    loud = np.convolve(np.abs(samples), np.ones(160) / 160, "same") > 0.05
    starts = np.flatnonzero(loud[1:] & ~loud[:-1]) / RATE
    return info, [float(s) for i, s in enumerate(starts) if i == 0 or s - starts[i - 1] > 0.1], sound


def colours(path: Path, info: MediaInfo) -> list[tuple[float, str]]:
    """When the picture becomes red, green or blue."""
    out: list[tuple[float, str]] = []
    for frame in media.frames(path, info, OPTIONS, 10, 64):
        name = ("red", "green", "blue")[int(frame.picture.reshape(-1, 3).mean(0).argmax())]
        if not out or out[-1][1] != name:
            out.append((frame.time, name))
    return out


@pytest.mark.parametrize("kind", CODECS)
def test_two_recordings_that_were_joined_lie_end_to_end(kind: str, tmp_path: Path) -> None:
    """Each begins at 0 of its own clock."""
    a = recording(tmp_path / f"a.{kind}", "red", 4, 1)
    b = recording(tmp_path / f"b.{kind}", "blue", 5, 2)
    info, starts, sound = heard(joined(tmp_path / f"all.{kind}", a, b))
    assert info.duration == pytest.approx(9, abs=0.3)
    assert starts == pytest.approx([1, 6], abs=0.25)
    assert [n for _, n in colours(tmp_path / f"all.{kind}", info)] == ["red", "blue"]
    assert sound.coverage == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", ["ts", "mpg"])
def test_three_recordings_that_were_joined(kind: str, tmp_path: Path) -> None:
    a = recording(tmp_path / f"a.{kind}", "red", 4, 1)
    b = recording(tmp_path / f"b.{kind}", "blue", 5, 2)
    c = recording(tmp_path / f"c.{kind}", "lime", 3, 0.5)
    path = joined(tmp_path / f"all.{kind}", a, b, c)
    info, starts, sound = heard(path)
    assert info.duration == pytest.approx(12, abs=0.3)
    assert starts == pytest.approx([1, 6, 9.5], abs=0.25)
    shown = colours(path, info)
    assert [name for _, name in shown] == ["red", "blue", "green"]
    assert [time for time, _ in shown] == pytest.approx([0, 4, 9], abs=0.25)
    assert sound.coverage == pytest.approx(1, abs=0.02)
    assert sound.end == pytest.approx(12, abs=0.3)


@pytest.mark.parametrize(("first", "second"), [(5000, 0), (0, 5000), (95_000, 10), (100, 60)])
def test_a_clock_that_falls_or_jumps(first: int, second: int, tmp_path: Path) -> None:
    a = recording(tmp_path / "a.ts", "red", 4, 1, "-output_ts_offset", str(first))
    b = recording(tmp_path / "b.ts", "blue", 5, 2, "-output_ts_offset", str(second))
    info, starts, _ = heard(joined(tmp_path / "all.ts", a, b))
    assert info.duration == pytest.approx(9, abs=0.3)
    assert starts == pytest.approx([1, 6], abs=0.25)
    assert [name for _, name in colours(tmp_path / "all.ts", info)] == ["red", "blue"]


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("ts", "-c:a aac -ac 1 -ar 48000", "-c:a aac -ac 2 -ar 44100"),
        ("ts", "-c:a ac3 -ac 2", "-c:a ac3 -ac 6"),
        ("mp3", "-c:a libmp3lame -ar 44100 -ac 1", "-c:a libmp3lame -ar 48000 -ac 2"),
        ("aac", "-c:a aac -ar 48000 -ac 2", "-c:a aac -ar 48000 -ac 1"),
    ],
)
def test_a_changed_format_of_sound_shifts_nothing(kind: str, first: str, second: str, tmp_path: Path) -> None:
    """As where a stereo advert stands in a mono programme."""
    start = 0 if kind == "ts" else None
    parts = []
    for i, (form, at) in enumerate(((first, 1), (second, 2), (first, 1))):
        parts.append(tmp_path / f"{i}.{kind}")
        moved = ["-output_ts_offset", str(5 * i)] if start is not None else []
        ffmpeg(*beep(at, 5), *form.split(), "-write_xing", "0", *moved, parts[-1]) if kind == "mp3" else ffmpeg(
            *beep(at, 5), *form.split(), *moved, parts[-1]
        )
    _, starts, sound = heard(joined(tmp_path / f"all.{kind}", *parts))
    assert starts == pytest.approx([1, 7, 11], abs=0.25)
    assert sound.end == pytest.approx(15, abs=0.4)


def test_what_cannot_be_read_behind_the_first_recording_shows_in_the_coverage(tmp_path: Path) -> None:
    """Two Flash files in one: no demuxer reads the second, and nobody is told that all was heard."""
    for name, seconds in (("a", 4), ("b", 5)):
        given = [*lavfi(f"testsrc2=s=64x48:r=10:d={seconds}"), *beep(1, seconds), "-ar", "44100"]
        ffmpeg(*given, "-c:v", "flv", "-c:a", "libmp3lame", tmp_path / f"{name}.flv")
    info, starts, sound = heard(joined(tmp_path / "all.flv", tmp_path / "a.flv", tmp_path / "b.flv"))
    assert starts == pytest.approx([1], abs=0.25)
    assert sound.coverage is not None
    assert sound.coverage < 0.8
    assert "cannot be read" in sound.warning
    assert info.reachable < 0.8


def test_subtitles_lie_on_the_same_axis(tmp_path: Path) -> None:
    for name, text in (("a", "first"), ("b", "second")):
        (tmp_path / f"{name}.srt").write_text(f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n")
        recording(tmp_path / f"{name}.ts", "red", 4, 1)
        given = ["-i", tmp_path / f"{name}.ts", "-i", tmp_path / f"{name}.srt", "-map", "0", "-map", "1"]
        ffmpeg(*given, "-c", "copy", "-c:s", "srt", tmp_path / f"{name}.mkv")
    path = joined(tmp_path / "all.mkv", tmp_path / "a.mkv", tmp_path / "b.mkv")
    info = media.probe(path, OPTIONS)
    text, _ = media.subtitle_text(path, info, info.subtitles[0].index, OPTIONS, 1 << 20)
    cues = [c.split("\n") for c in text.decode().strip().split("\n\n")]
    assert [c[1] for c in cues] == ["first", "second"]
    assert cues[0][0].startswith("00:00:01")
    assert cues[1][0].startswith("00:00:05")


def test_a_stream_that_falls_back_follows_the_others_into_the_newest_part() -> None:
    parts = [Part(0, 15), Part(0, 3, 15)]
    assert _part_of(15.1, parts, 0, 14.9) == 0  # the last packet of a stream that lags behind
    assert _part_of(0.5, parts, 0, 14.9) == 1
    assert _part_of(70_000, parts, 1, 2.9) == 2
    assert len(parts) == 3
    assert _part_of(14.5, parts, 0, 14.9) == 0  # a stamp that falls a little is damage, not a clock


def test_a_file_of_random_stamps_has_a_bounded_number_of_parts() -> None:
    parts, now = [Part(0, 1)], 0
    for i in range(3 * MOST_PARTS):
        now = _part_of(100.0 * (i * 7919 % 1000), parts, now, parts[now].last)
        parts[now].first = parts[now].last = 100.0 * (i * 7919 % 1000)
    assert len(parts) == MOST_PARTS


def test_an_axis_from_a_foreign_manifest_is_checked() -> None:
    known = Timeline([Part(1.5, 9, 0), Part(1.5, 4, 7.5)], {0: [(10, 1)], 1: []})
    assert Timeline.of_json(known.as_json()).as_json() == known.as_json()
    for bad in ({"parts": [], "changes": {}}, {"parts": [[0, 0]], "changes": {"0": [[1, 7]]}}):
        with pytest.raises(ValueError, match="time axis"):
            Timeline.of_json(bad)
