"""Which sound track is listened to, opposed channels, previews, and languages that change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_tools import loaded
from media_files import X264, beep, ffmpeg, lavfi
from numpy.typing import NDArray
from vidrag.ingest import media, sound_tracks
from vidrag.ingest.asr import Transcript
from vidrag.ingest.asr.faster_whisper import _missed
from vidrag.ingest.decoder.sound import mono
from vidrag.ingest.media import RATE, MediaOptions
from vidrag.ingest.speech import SpeechOptions
from vidrag.jobs import profile
from vidrag.store.errors import MediaError
from vidrag.store.records import MediaInfo, Segment, SoundTrack, Span

pytestmark = pytest.mark.recognises

OPTIONS = MediaOptions(stall_s=20)
GIVEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "field"


def info_of(*tracks: SoundTrack) -> MediaInfo:
    return MediaInfo("matroska", 9.0, 0.0, False, True, audio=tracks)


def order(info: MediaInfo, **options: Any) -> list[int]:
    return [t.index for t in sound_tracks.in_order(info, SpeechOptions(**options))]


GERMAN = SoundTrack(1, "aac", 2, "ger", None, True)
ENGLISH = SoundTrack(2, "aac", 2, "eng", None, False)
COMMENTARY = SoundTrack(3, "aac", 2, "eng", "Director", False, True)


def test_the_language_that_is_asked_for_comes_first_then_the_default() -> None:
    info = info_of(GERMAN, COMMENTARY, ENGLISH)
    assert order(info) == [1, 2, 3]
    assert order(info, language="en")[:2] == [2, 3]
    assert order(info, audio_track=2) == [3]
    assert sound_tracks.language(info, SpeechOptions()) == "de"
    assert sound_tracks.language(info, SpeechOptions(language="en")) == "en"
    with pytest.raises(MediaError, match="3 sound tracks, not a track 4"):
        order(info, audio_track=4)


class Loud:
    """Hears a sentence wherever there is sound."""

    def transcribe(self, audio: NDArray[np.float32], language: str | None, fallback: str | None = None) -> Transcript:
        return Transcript((Segment(0, 1, "Somebody speaks.", (), "en"),), "en", 1.0)


def test_a_track_without_speech_gives_way_to_the_next_and_a_note_says_so(tmp_path: Path) -> None:
    path = tmp_path / "screen.mkv"
    tracks = [*lavfi("anullsrc=r=16000:cl=mono:d=3"), *beep(1, 3)]
    ffmpeg(*tracks, "-map", "0", "-map", "1", "-c:a", "flac", "-metadata:s:a:1", "title=Mic", path)
    settings = profile.load().ingest
    heard = sound_tracks.heard(path, media.probe(path, OPTIONS), settings, Loud())
    assert [r.text for r in heard.rows] == ["Somebody speaks."]
    assert heard.notes == ("sound track 2 of 2 taken (Mic); no speech on track 1",)
    silent = tmp_path / "silent.mkv"
    ffmpeg(*lavfi("anullsrc=r=16000:cl=mono:d=3"), "-c:a", "flac", silent)
    nothing = sound_tracks.heard(silent, media.probe(silent, OPTIONS), settings, Loud())
    assert (list(nothing.rows), nothing.notes) == ([], ())


def test_opposed_channels_are_heard_and_others_are_mixed_as_ever() -> None:
    voice = np.sin(np.arange(2 * RATE) / 20).astype(np.float32)
    other = np.random.default_rng(0).normal(0, 0.5, 2 * RATE).astype(np.float32)
    assert np.allclose(mono(np.stack([voice, -voice])), voice)
    assert np.allclose(mono(np.stack([voice, -0.9 * voice])), 0.95 * voice)
    assert np.allclose(mono(np.stack([voice, other])), (voice + other) / 2)
    assert np.allclose(mono(np.stack([voice, 0 * voice])), voice / 2)
    assert not mono(np.zeros((2, 100), np.float32)).any()
    assert np.isfinite(mono(np.full((2, 10), np.nan, np.float32))).all()


def test_an_inverted_channel_in_a_file_is_no_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg(*beep(1, 3), "-af", "pan=stereo|c0=c0|c1=-1*c0", "-c:a", "aac", path)
    samples = np.concatenate(list(media.audio(path, media.probe(path, OPTIONS), OPTIONS)))
    assert np.abs(samples[RATE : RATE + 3000]).max() > 0.4


@pytest.mark.parametrize("default", [0, 1])
def test_a_preview_before_the_video_is_not_the_video(default: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    given = [*lavfi("color=red:s=32x24:r=1:d=2"), *lavfi("color=blue:s=64x48:r=10:d=3")]
    flags = [f"-disposition:v:{default}", "default", f"-disposition:v:{1 - default}", "0"]
    codecs = ["-c:v:0", "mjpeg", "-pix_fmt:v:0", "yuvj420p", "-c:v:1", *X264[1:]]
    ffmpeg(*given, "-map", "0", "-map", "1", *codecs, *flags, path)
    info = media.probe(path, OPTIONS)
    assert (info.video_codec, info.width) == ("h264", 64)


def test_what_has_a_voice_and_no_words_is_found() -> None:
    said = [[Segment(0, 5, "a", (), "de")], [Segment(20, 22, "b", (), "de")]]
    assert _missed(said, (Span(0, 5.4),)) == []
    assert _missed(said, (Span(0, 5), Span(7, 10), Span(10.8, 12), Span(20, 22))) == [Span(7, 12)]
    assert _missed(said, (Span(14, 16), Span(18, 19))) == []
    assert _missed(said, (Span(0, 30),)) == [Span(5.5, 19.5), Span(22.5, 30)]


needs_field = pytest.mark.skipif(not GIVEN.is_dir(), reason="../shared/data/field is not there")


def spoken(name: str, **options: Any) -> tuple[list[Segment], tuple[str, ...]]:
    chosen = profile.load("embedded", [f"speech.{k}={v}" for k, v in options.items()])
    path = GIVEN / name
    heard = sound_tracks.heard(path, media.probe(path, OPTIONS), chosen.ingest, loaded("asr", "faster-whisper"))
    return list(heard.rows), heard.notes


@pytest.mark.long
@needs_field
@pytest.mark.parametrize("name", ["70_dvb_stereo_to_51", "66_audiochange", "21_cat_restart", "25_back_5000"])
def test_speech_after_a_change_lies_where_it_is_heard(name: str) -> None:
    rows, _ = spoken(f"{name}.ts")
    starts = [r.start for r in rows if "fellow" in r.text]
    assert starts == pytest.approx([2, 15.3], abs=0.4)
    assert media.probe(GIVEN / f"{name}.ts", OPTIONS).duration == pytest.approx(27, abs=0.2)


@pytest.mark.long
@needs_field
def test_tracks_and_channels_of_real_files() -> None:
    assert "fellow" in spoken("01_phase_aac.mp4")[0][0].text
    rows, notes = spoken("03_obs.mkv")
    assert "fellow" in rows[0].text
    assert notes == ("sound track 2 of 2 taken (Mic); no speech on track 1",)
    assert {r.language for r in spoken("04_two_lang.mkv")[0]} == {"de"}
    rows, notes = spoken("04_two_lang.mkv", language="en")
    assert "fellow" in rows[0].text
    assert notes == ("sound track 2 of 2 taken (eng)",)
    assert "fellow" in spoken("04_two_lang.mkv", audio_track=2)[0][0].text


@pytest.mark.long
@needs_field
def test_each_language_is_recognised_as_itself() -> None:
    rows, _ = spoken("02_multilingual.mp3")
    assert {r.language for r in rows if r.end < 30} == {"en"}
    german = [r for r in rows if r.start > 29]
    assert {r.language for r in german} == {"de"}
    assert "Software" in " ".join(r.text for r in german)
    assert "verwenden" in " ".join(r.text for r in german)
    assert not any(r.flags for r in german)


@pytest.mark.long
@needs_field
@pytest.mark.parametrize("german_first", [True, False])
def test_two_languages_within_half_a_minute_are_both_written(german_first: bool) -> None:
    """Whisper writes the language that it takes for that of the window, and leaves the other out."""
    path = GIVEN / "04_two_lang.mkv"
    info = media.probe(path, OPTIONS)
    german, english = (np.concatenate(list(media.audio(path, info, OPTIONS, t))) for t in info.audio)
    parts = [german[: 12 * RATE], english] if german_first else [english, german[: 12 * RATE]]
    rows = loaded("asr", "faster-whisper").transcribe(np.concatenate(parts), None).segments
    said = {language: " ".join(r.text for r in rows if r.language == language) for language in ("de", "en")}
    assert "country" in said["en"]
    assert "Software" in said["de"]
