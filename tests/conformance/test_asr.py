"""Every speech recogniser keeps the promises of ``SpeechRecogniser``."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from engine_tools import loaded, names
from numpy.typing import NDArray
from vidrag.ingest.asr import SpeechRecogniser, Transcript

pytestmark = pytest.mark.recognises

RATE = 16_000
FROM, TO = 8.0, 16.0
SLACK = 0.25  # seconds that a time may lie outside of its parent
NEAR = 1.0  # seconds between a word's time and the sentence it belongs to
COARSE = frozenset({"Whisper30s"})  # their rows have the times of a whole chunk, which is what they are for


@pytest.fixture(scope="module", params=names("asr"))
def engine(request: pytest.FixtureRequest) -> Any:
    return loaded("asr", request.param)


@pytest.fixture(scope="module")
def speech(sample_sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Eight seconds of clear speech: two sentences and a pause."""
    return sample_sound[int(FROM * RATE) : int(TO * RATE)]


@pytest.fixture(scope="module")
def heard(engine: SpeechRecogniser, speech: NDArray[np.float32]) -> Transcript:
    return engine.transcribe(speech, None)


def test_the_built_in_and_the_fake_are_there() -> None:
    """The suite runs over the engine of the default profile and the plugin."""
    assert {"faster-whisper", "fake"} <= set(names("asr"))


def test_keeps_the_protocol(engine: Any) -> None:
    assert isinstance(engine, SpeechRecogniser)


@pytest.mark.parametrize("samples", [0, 160, 2 * RATE])
@pytest.mark.parametrize("language", [None, "en"])
def test_silence_gives_no_segments(engine: SpeechRecogniser, samples: int, language: str | None) -> None:
    """Silence of any length, no sound at all included, has no segments and no language."""
    found = engine.transcribe(np.zeros(samples, np.float32), language)
    assert found == Transcript((), None, 0.0)


def test_segments_are_in_order_and_inside(heard: Transcript) -> None:
    """Segments follow each other within the sound, have a text, and are plain Python values."""
    assert heard.segments
    for s in heard.segments:
        assert type(s.start) is float and type(s.end) is float and type(s.text) is str
        assert 0 <= s.start < s.end <= TO - FROM + SLACK
        assert s.text.strip() and s.text == s.text.strip()
    starts = [s.start for s in heard.segments]
    assert starts == sorted(starts)
    ends = [s.end for s in heard.segments]
    assert all(end <= start + SLACK for end, start in zip(ends, starts[1:], strict=False))


def test_words_lie_in_their_segment(heard: Transcript) -> None:
    """Words are in order, inside of their segment, spell its text, and have a probability."""
    for s in heard.segments:
        times = [t for w in s.words for t in (w.start, w.end)]
        assert times == sorted(times)
        assert all(s.start - SLACK <= t <= s.end + SLACK for t in times)
        assert all(0 <= w.probability <= 1 and w.text.strip() == w.text != "" for w in s.words)
        assert all(type(w.start) is float and type(w.probability) is float for w in s.words)
        if s.words:
            assert _letters(" ".join(w.text for w in s.words)) == _letters(s.text)


def test_the_language_is_named(heard: Transcript) -> None:
    assert heard.language == "en"
    assert 0 <= heard.confidence <= 1
    assert all(s.language == "en" for s in heard.segments)


def test_doubt_is_measured_in_range(heard: Transcript) -> None:
    """Measures of doubt are in their range or absent."""
    for s in heard.segments:
        assert s.avg_logprob is None or s.avg_logprob <= 0
        assert s.no_speech_prob is None or 0 <= s.no_speech_prob <= 1
        assert s.compression_ratio is None or s.compression_ratio > 0


def test_voice_is_found_where_words_are(heard: Transcript) -> None:
    """In order, apart, inside of the sound, and around most of what was heard; or the engine says that it cannot."""
    if heard.voiced is None:
        return
    times = [t for v in heard.voiced for t in (v.start, v.end)]
    assert times == sorted(times)
    assert times[0] >= 0 and times[-1] <= TO - FROM + SLACK
    assert all(type(t) is float for t in times)
    assert all(any(v.start < s.end and s.start < v.end for v in heard.voiced) for s in heard.segments)


def test_hears_when_and_what(heard: Transcript, truth: dict[str, Any], engine: Any) -> None:
    """Each sentence that is spoken has a word at its time; real engines hear most of the words too."""
    spoken = [s for shot in truth["shots"] for s in shot["speech"] if s["start"] >= FROM and s["end"] <= TO]
    assert len(spoken) == 2
    times = [FROM + t for s in heard.segments for t in (s.start, s.end)]
    for s in spoken if type(engine).__name__ not in COARSE else ():
        assert any(s["start"] - NEAR <= t <= s["end"] + NEAR for t in times)
    near = TO - FROM if type(engine).__name__ in COARSE else NEAR
    assert abs(min(times) - spoken[0]["start"]) <= near
    assert abs(max(times) - spoken[-1]["end"]) <= near
    words = set(_letters(" ".join(s.text for s in heard.segments)))
    wanted = (
        {"beep"} if type(engine).__module__ == "vidrag_fakes" else set(_letters(" ".join(s["text"] for s in spoken)))
    )
    assert len(wanted & words) >= 0.6 * len(wanted)


def test_same_sound_same_transcript(engine: SpeechRecogniser, speech: NDArray[np.float32], heard: Transcript) -> None:
    """Recognition is deterministic and leaves the sound as it was."""
    before = speech.copy()
    assert engine.transcribe(speech, None) == heard
    assert np.array_equal(speech, before)


def test_a_given_language_is_used(engine: SpeechRecogniser, speech: NDArray[np.float32]) -> None:
    """What the caller says about the language is not doubted."""
    found = engine.transcribe(speech[: 4 * RATE], "en", fallback="de")
    assert found.segments and found.language == "en"


def _letters(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower().replace("'", ""))
