"""Speech that nobody spoke is flagged, speech that somebody spoke is not: on rows made here and on real sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from engine_tools import loaded
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from vidrag.ingest.asr import Transcript
from vidrag.ingest.speech import RATE, SpeechOptions, flagged, loops_flagged, recognise, sentences, settled
from vidrag.store.records import Segment, Span, Word

pytestmark = pytest.mark.recognises

OPTIONS = SpeechOptions()
Sound = NDArray[np.float32]


LOOP = "the mill of the miller by the mill of the miller of the mill of the miller by the mill of the miller by a mill"


def row(text: str = "It works.", sure: float | None = -0.2, silent: float | None = 0.1) -> Segment:
    return Segment(1, 2, text, (), "en", None, sure, silent, 5.0)


def flags(segment: Segment, voiced: tuple[Span, ...] | None = None, **options: float) -> tuple[str, ...]:
    return flagged(segment, SpeechOptions(**options), voiced).flags  # type: ignore[arg-type]


def test_each_measure_has_its_flag() -> None:
    assert flags(row()) == ()
    assert flags(row(sure=-0.81)) == ("low_logprob",)
    assert flags(row(LOOP)) == ("repetitive",)
    assert flags(row(sure=-0.7, silent=0.7)) == ("no_speech",)
    assert flags(row(), (Span(5, 6),)) == ("outside_vad",)
    assert flags(row("and then and then and then")) == ("repeated",)
    assert flags(row(LOOP, sure=-2, silent=0.9), ()) == ("no_speech", "low_logprob", "repetitive", "outside_vad")


def test_clear_speech_is_not_doubted_for_a_high_probability_of_none() -> None:
    """It was seen at 0.41; a sure text counts for more than the other measure, however high."""
    assert flags(row(silent=0.41, sure=-0.6)) == ()
    assert flags(row(silent=0.95, sure=-0.3)) == ()
    assert flags(row(silent=0.95, sure=None)) == ("no_speech",)


def test_thresholds_are_options() -> None:
    assert flags(row(sure=-0.3), low_logprob=-0.25) == ("low_logprob",)
    assert flags(row(LOOP), repetitive=4) == ()
    assert flags(row(sure=-0.4, silent=0.3), no_speech=0.2, sure_logprob=-0.3) == ("no_speech",)
    assert flags(row("never never never never never never"), repeats=7) == ()
    assert flags(row(), (), outside_vad=0) == ()
    assert flags(row(), (Span(1, 1.5),), outside_vad=0.6) == ("outside_vad",)


def test_a_sentence_is_not_doubted_for_what_is_said_beside_it() -> None:
    """A recogniser measures compression over all that it hears in 30 s: a jingle that comes twice there raises it."""
    jingle = "Welcome to the morning show, with news and music from all over the valley."
    rows = [row(jingle), row("Today a new bridge opens."), row(jingle), row("The old one is closed for repairs.")]
    assert [r.flags for r in loops_flagged([flagged(r, OPTIONS) for r in rows], OPTIONS)] == [()] * 4


def test_sentences_that_take_turns_again_and_again_are_a_loop() -> None:
    a, b, c = row("I am here."), row("You are there."), row("What now?")
    assert [bool(r.flags) for r in loops_flagged([c, a, b, a, b, a, b, c], OPTIONS)] == [False, *[True] * 6, False]
    assert not any(r.flags for r in loops_flagged([a, b, a, b, c, a, b], OPTIONS))
    assert [r.text for r in loops_flagged([a, b, c, a, b], OPTIONS)] == [r.text for r in (a, b, c, a, b)]


def test_subtitles_have_no_measures_and_no_doubts() -> None:
    assert flags(Segment(0, 1, "a cue")) == ()


@pytest.mark.parametrize(
    "text",
    ["you you you you you you", "Thank you. Thank you. Thank you.", "the end of the end of the end of it",
     "哈哈哈哈哈哈", "ご視聴ご視聴ご視聴", "a. b. c. d. a. b. c. d. A, B, C, D", "so, ha ha ha ha ha ha he said"],
)  # fmt: skip
def test_a_phrase_said_again_and_again(text: str) -> None:
    assert flags(row(text)) == ("repeated",)


@pytest.mark.parametrize(
    "text",
    ["No, no, no!", "Yes, yes.", "It was very, very, very good.", "row, row, row your boat gently down", "哈哈哈", "",
     "from day to day and week to week", "one two one two", "1 2 3 4 5 6", "谢谢谢谢", "that that is is"],
)  # fmt: skip
def test_emphasis_is_no_loop(text: str) -> None:
    assert flags(row(text)) == ()


@given(st.lists(st.sampled_from("ab"), max_size=40), st.integers(2, 5))
def test_loops_are_found_as_by_brute_force(words: list[str], times: int) -> None:
    def looped() -> bool:
        for n in range(1, 13):
            k = max(times, -(-6 // n))
            for i in range(len(words) - n * k + 1):
                part = words[i : i + n]
                if words[i : i + n * k] == part * k:
                    return True
        return False

    found = "repeated" in flags(row(" ".join(words)), repeats=times)
    if not found:
        assert not looped()
    elif not looped():  # a phrase that breaks off counts where it fills the words
        assert len(words) >= max(6, times)


def test_a_row_said_three_times_on_end_is_a_loop() -> None:
    def said(*texts: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(r.text, r.flags) for r in loops_flagged([row(t) for t in texts], OPTIONS)]

    doubt = ("repeated",)
    assert said("A b.", "A b.", "c") == [("A b.", ()), ("A b.", ()), ("c", ())]
    assert said("x", "A b.", "a b", "A, b!", "y") == [
        ("x", ()), ("A b.", doubt), ("a b", doubt), ("A, b!", doubt), ("y", ()),
    ]  # fmt: skip
    assert said("A b.", "c", "A b.", "c", "A b.") == [(t, ()) for t in ("A b.", "c", "A b.", "c", "A b.")]
    assert said() == []


def test_rows_come_as_soon_as_they_are_known() -> None:
    """Only what may be the begin of a loop of three rows is held back."""
    taken: list[str] = []

    def source() -> Iterator[Segment]:
        for text in "abcdefgh":
            taken.append(text)
            yield row(text)

    assert next(loops_flagged(source(), OPTIONS)).text == "a"
    assert "".join(taken) == "abcde"


def words(*given: tuple[float, float, str]) -> tuple[Word, ...]:
    return tuple(Word(a, b, text, 0.9) for a, b, text in given)


def test_the_time_of_words_counts_not_the_pauses_between_them() -> None:
    said = Segment(0, 20, "It took", words((0, 0.5, "It"), (19.5, 20, "took")), "en")
    assert flags(said, (Span(0, 0.5), Span(19, 21))) == ()
    assert flags(said, (Span(5, 15),)) == ("outside_vad",)
    assert flags(Segment(0, 10, "no word times"), (Span(0, 2),)) == ("outside_vad",)


def test_a_word_before_a_pause_that_belongs_behind_it_is_moved() -> None:
    """As faster-whisper dates the first word of the next stretch of sound."""
    said = Segment(
        63, 88, "empty. It took",
        words((63.4, 64, "empty."), (64.9, 66, "It"), (86, 86.3, "took"), (86.3, 86.7, "days.")),
    )  # fmt: skip
    voiced = (Span(61.8, 64.3), Span(85.7, 90))
    moved = settled(said, voiced, 1.0)
    assert [(w.text, w.start, w.end) for w in moved.words] == [
        ("empty.", 63.4, 64), ("It", 85.7, 86), ("took", 86, 86.3), ("days.", 86.3, 86.7),
    ]  # fmt: skip
    assert [r.text for r in sentences([moved], OPTIONS)] == ["empty.", "It took days."]
    assert settled(said, None, 1.0) == said
    spoken = (*voiced, Span(64.8, 66.2))
    assert settled(said, spoken, 1.0) == said


class Hears:
    """Hears a voice in the first second of each piece of sound and words there and later, each time others."""

    count = 0

    def transcribe(self, audio: Sound, language: str | None, fallback: str | None = None) -> Transcript:
        self.count += 1
        spoken = Segment(0.2, 0.9, "Spoken here.", words((0.2, 0.5, "Spoken"), (0.5, 0.9, f"{self.count}.")), "en")
        invented = Segment(1.5, 2, "Thanks.", words((1.5, 2, f"Thanks{self.count}.")), "en")
        return Transcript((spoken, invented), "en", 0.9, (Span(0, 1),))


def test_the_voice_is_looked_for_in_each_piece() -> None:
    """Times of voice count from the start of a piece, like those of words."""
    sound = np.random.default_rng(1).normal(0, 0.1, 19 * RATE).astype(np.float32)
    found = list(recognise([sound], Hears(), SpeechOptions(piece_s=10)))
    assert len(found) >= 4
    assert [r.flags for r in found] == [(), ("outside_vad",)] * (len(found) // 2)


def noise(seconds: float, level: float) -> Sound:
    return np.random.default_rng(1).normal(0, level, int(seconds * RATE)).astype(np.float32)


def times(seconds: float) -> NDArray[np.float64]:
    return np.arange(int(seconds * RATE)) / RATE


def tones(seconds: float) -> Sound:
    t = times(seconds)
    return (0.3 * np.sin(2 * np.pi * 880 * t) * ((t % 1) < 0.2)).astype(np.float32)


def music(seconds: float) -> Sound:
    """Plucked notes of a minor scale, three harmonics each."""
    t, rng = times(seconds), np.random.default_rng(1)
    out = np.zeros(len(t))
    for start in np.arange(0, seconds, 0.4):
        pitch = rng.choice([220, 261.6, 329.6, 392, 440, 523.2])
        d = np.where((t >= start) & (t < start + 0.8), t - start, np.inf)
        heard = np.isfinite(d)
        out[heard] += sum(np.sin(2 * np.pi * pitch * h * d[heard]) / h for h in (1, 2, 3)) * np.exp(-4 * d[heard])
    return (0.5 * out / np.abs(out).max()).astype(np.float32)


def vowels(seconds: float) -> Sound:
    """A buzz whose resonances wander, at the rate of syllables: a voice without a language."""
    t = times(seconds)
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    first, second = 500 + 300 * np.sin(2 * np.pi * 1.3 * t), 1500 + 600 * np.sin(2 * np.pi * 0.9 * t)
    out = sum(
        np.sin(h * phase) * (np.exp(-(((h * 120 - first) / 200) ** 2)) + np.exp(-(((h * 120 - second) / 250) ** 2)) / 2)
        for h in range(1, 25)
    ) * np.clip(np.sin(2 * np.pi * 2.5 * t), 0, 1)
    return (0.5 * out / np.abs(out).max()).astype(np.float32)


def shuffled(sound: Sound, ms: int) -> Sound:
    """The pieces of ``ms`` milliseconds of a sound in another order."""
    n = ms * RATE // 1000
    pieces = sound[: len(sound) // n * n].reshape(-1, n)
    return (np.random.default_rng(0).permutation(pieces) * np.hanning(n)).ravel().astype(np.float32)


@pytest.fixture(scope="module")
def engine() -> Any:
    return loaded("asr", "faster-whisper")


@pytest.fixture(scope="module")
def voice(sample_sound: Sound) -> Sound:
    """Fifteen seconds of clear speech with pauses."""
    return sample_sound[: 15 * RATE]


NOTHING_SAID: dict[str, Callable[[Sound], Sound]] = {
    "silence": lambda v: np.zeros(15 * RATE, np.float32),
    "hiss": lambda v: noise(15, 0.001),
    "loud noise": lambda v: noise(15, 0.1),
    "a tone": lambda v: (0.3 * np.sin(2 * np.pi * 440 * times(15))).astype(np.float32),
    "beeps": lambda v: tones(15),
    "music": lambda v: music(15),
    "vowels": lambda v: vowels(15),
    "speech in pieces": lambda v: shuffled(v[: 3 * RATE], 150),
    "speech under much noise": lambda v: v + noise(15, 3.2 * float(np.sqrt(np.mean(v**2)))),
}  # fmt: skip


INVENTED = {"vowels", "speech in pieces", "speech under much noise"}
"""Of these, sounds that do make it invent words."""


@pytest.mark.long
@pytest.mark.parametrize("what", NOTHING_SAID)
def test_what_is_invented_is_flagged(what: str, engine: Any, voice: Sound) -> None:
    found = list(recognise([NOTHING_SAID[what](voice)], engine, OPTIONS))
    assert [r.text for r in found if not r.flags] == []
    assert found or what not in INVENTED


def test_a_recogniser_that_listens_to_silence_is_doubted() -> None:
    """Without voice detection half a minute of silence has a word in it, and two reasons to distrust it."""
    found = loaded("asr", "faster-whisper", {"vad": False}).transcribe(np.zeros(30 * RATE, np.float32), None)
    assert found.segments
    for segment in found.segments:
        assert {"no_speech", "outside_vad"} <= set(flagged(segment, OPTIONS, found.voiced).flags)


CLEAR: dict[str, Callable[[Sound], Sound]] = {
    "as it is": lambda v: v,
    "very quiet": lambda v: (v * 0.01).astype(np.float32),
    "over music": lambda v: (v + 0.2 * music(15)[: len(v)]).astype(np.float32),
    "with hiss": lambda v: v + noise(15, 0.003),
}


@pytest.mark.long
@pytest.mark.parametrize("what", CLEAR)
def test_clear_speech_is_not_flagged(what: str, engine: Any, voice: Sound) -> None:
    found = list(recognise([CLEAR[what](voice)], engine, OPTIONS))
    assert len(found) >= 3
    assert [(r.text, r.flags) for r in found if r.flags] == []
