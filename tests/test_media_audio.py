"""Sound: 16 kHz mono on the container's time axis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_files import X264, beep, ffmpeg, lavfi, overwritten, with_tone
from vidrag.ingest import media
from vidrag.ingest.media import RATE, MediaOptions
from vidrag.ingest.sound_tracks import in_order
from vidrag.ingest.speech import SpeechOptions

OPTIONS = MediaOptions(stall_s=20)
CODECS = {"a.mkv": ["-c:a", "flac"], "a.mp4": ["-c:a", "aac", "-b:a", "64k"], "a.ts": ["-c:a", "mp2", "-ar", "48000"]}


def sound(path: Path, options: MediaOptions = OPTIONS) -> np.ndarray:
    info = media.probe(path, options)
    source = media.audio(path, info, options, in_order(info, SpeechOptions())[0])
    blocks = list(source)
    assert all(b.dtype == np.float32 and b.ndim == 1 for b in blocks)
    whole = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    assert source.end == pytest.approx(len(whole) / RATE)
    return whole


def beeps(samples: np.ndarray) -> list[float]:
    """Seconds at which sound starts after silence."""
    loud = np.convolve(np.abs(samples), np.ones(160) / 160, "same") > 0.1
    starts = np.flatnonzero(loud[1:] & ~loud[:-1]) / RATE
    return [round(float(s), 3) for i, s in enumerate(starts) if i == 0 or s - starts[i - 1] > 0.1]


@pytest.mark.parametrize("name", CODECS)
def test_a_beep_is_found_where_it_sounds(name: str, tmp_path: Path) -> None:
    ffmpeg(*lavfi("testsrc2=s=64x48:r=10:d=3"), *beep(1, 3), *X264, *CODECS[name], tmp_path / name)
    samples = sound(tmp_path / name)
    assert beeps(samples) == pytest.approx([1], abs=0.05)
    assert len(samples) / RATE == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("name", CODECS)
def test_sound_that_starts_late_is_preceded_by_silence(name: str, tmp_path: Path) -> None:
    """Pictures at 0 s, sound from 2 s on, a beep one second into it: it is heard at 3 s."""
    late = [*lavfi("testsrc2=s=64x48:r=10:d=5"), "-itsoffset", "2", *beep(1, 3)]
    ffmpeg(*late, *X264, *CODECS[name], tmp_path / name)
    samples = sound(tmp_path / name)
    assert beeps(samples) == pytest.approx([3], abs=0.05)
    assert np.abs(samples[: int(1.9 * RATE)]).max() < 0.01


def test_a_hole_in_the_sound_is_silence(tmp_path: Path) -> None:
    """Packets for seconds 1 to 2 are missing: the beep at 2.5 s stays there."""
    path = tmp_path / "a.mkv"
    hole = "asetnsamples=320,aselect='not(between(t,1,1.99))'"
    ffmpeg(*lavfi("testsrc2=s=64x48:r=10:d=3"), *beep(2.5, 3), "-af", hole, *X264, "-c:a", "pcm_s16le", path)
    assert beeps(sound(path)) == pytest.approx([2.5], abs=0.05)


def test_sound_longer_than_the_pictures_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg(*lavfi("testsrc2=s=64x48:r=10:d=1"), *beep(5, 6), *X264, "-c:a", "aac", path)
    samples = sound(path)
    assert len(samples) / RATE == pytest.approx(6, abs=0.1)
    assert beeps(samples) == pytest.approx([5], abs=0.05)


@pytest.mark.parametrize("default", [0, 1])
def test_of_several_tracks_the_default_one_is_heard(default: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    other = 1 - default
    flags = [f"-disposition:a:{default}", "default", f"-disposition:a:{other}", "0"]
    tracks = [*beep(0.5, 3), *beep(1.5, 3)]
    ffmpeg(*tracks, "-map", "0", "-map", "1", "-c:a", "flac", *flags, path)
    info = media.probe(path, OPTIONS)
    assert [t.default for t in info.audio] == [default == 0, default == 1]
    assert beeps(sound(path)) == pytest.approx([0.5 + default], abs=0.05)


def test_the_default_track_of_several_in_mp4(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    tracks = [*lavfi("testsrc2=s=64x48:r=10:d=3"), *beep(0.5, 3), *beep(1.5, 3)]
    ffmpeg(*tracks, "-map", "0", "-map", "1", "-map", "2", *X264, "-c:a", "aac", path)
    assert beeps(sound(path)) == pytest.approx([0.5], abs=0.05)


def test_silence_is_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg(*lavfi("anullsrc=r=22050:cl=stereo:d=1"), "-t", "1", "-c:a", "aac", path)
    samples = sound(path)
    assert len(samples) > 0.9 * RATE
    assert np.abs(samples).max() < 1e-4


def test_both_channels_are_heard(tmp_path: Path) -> None:
    """A beep on the left and one on the right both come through the mix to mono."""
    path = tmp_path / "a.wav"
    left, right = (f"if(between(t,{at},{at + 0.2}),0.9*sin(2*PI*880*t),0)" for at in (0.5, 1.5))
    ffmpeg(*lavfi(f"aevalsrc='{left}|{right}':s=44100:d=2"), path)
    assert beeps(sound(path)) == pytest.approx([0.5, 1.5], abs=0.05)


def test_broken_numbers_become_silence(tmp_path: Path) -> None:
    """NaN and infinite samples never reach a recogniser."""
    path = tmp_path / "a.wav"
    ffmpeg(*lavfi("sine=r=16000:d=1"), "-c:a", "pcm_f32le", path)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 8 + 4000
    data[at : at + 8] = np.array([np.nan, np.inf], np.float32).tobytes()
    path.write_bytes(data)
    assert np.isfinite(sound(path)).all()


def test_damage_in_the_middle_keeps_the_rest_and_says_so(tmp_path: Path) -> None:
    path = with_tone(tmp_path / "a.mp4", 4, "320x180")
    overwritten(path)
    source = media.audio(path, media.probe(path, OPTIONS), OPTIONS)
    seconds = sum(len(b) for b in source) / RATE
    assert seconds == pytest.approx(4, abs=0.3)
    assert source.warning


def test_a_truncated_file_is_heard_up_to_the_cut(tmp_path: Path) -> None:
    path = with_tone(tmp_path / "a.mp4", 4, "320x180", "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = media.audio(path, media.probe(path, OPTIONS), OPTIONS)
    assert 0.5 < sum(len(b) for b in source) / RATE < 3.9
    assert source.warning
    assert str(tmp_path) not in source.warning
