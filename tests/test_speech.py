"""Sound in pieces, pieces to words, words to rows of about a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vidrag.ingest.asr import Transcript
from vidrag.ingest.speech import RATE, SpeechOptions, flagged, pieces, recognise, sentences
from vidrag.store.records import Segment, Word, moved

OPTIONS = SpeechOptions()


def blocks(samples: np.ndarray, sizes: Sequence[int]) -> Iterator[np.ndarray]:
    at = 0
    for size in sizes:
        yield samples[at : at + size]
        at += size
    yield samples[at:]


@settings(max_examples=40)
@given(st.integers(0, 9 * RATE), st.lists(st.integers(0, 3 * RATE), max_size=6), st.sampled_from([0.3, 1.0, 2.5, 100]))
def test_every_sample_is_in_one_piece(length: int, sizes: list[int], piece_s: float) -> None:
    """Pieces follow each other without a gap or an overlap, none is too long or empty, and each knows its start."""
    samples = np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)
    found = list(pieces(blocks(samples, sizes), piece_s))
    at = 0
    for start, sound in found:
        assert start == at / RATE
        assert 0 < len(sound) <= piece_s * RATE
        at += len(sound)
    assert at == length
    if found:
        assert np.array_equal(np.concatenate([s for _, s in found]), samples)


@pytest.mark.parametrize("quiet", [8.0, 8.7, 9.4])
def test_pieces_are_cut_in_silence(quiet: float) -> None:
    """The cut falls into the pause of half a second in the last quarter of a piece."""
    samples = np.random.default_rng(1).normal(0, 0.3, 30 * RATE).astype(np.float32)
    samples[int(quiet * RATE) : int((quiet + 0.5) * RATE)] *= 0.001
    second = list(pieces([samples], 10))[1][0]
    assert quiet < second < quiet + 0.5


class Recogniser:
    """Says one word at half a second of each piece and remembers what it was given."""

    def __init__(self, languages: Sequence[tuple[str | None, float]] = (("en", 0.9),)) -> None:
        self.languages = list(languages)
        self.lengths: list[int] = []
        self.fallbacks: list[str | None] = []

    def transcribe(self, audio: np.ndarray, language: str | None, fallback: str | None = None) -> Transcript:
        self.fallbacks.append(fallback)
        guess, sure = self.languages[min(len(self.lengths), len(self.languages) - 1)]
        self.lengths.append(len(audio))
        word = Word(0.5, 0.9, f"word{len(self.lengths)}.", 0.9)
        return Transcript((Segment(0.5, 0.9, word.text, (word,), language or guess),), guess, sure)


def test_times_count_from_the_start_of_the_container() -> None:
    """What is heard half a second into a piece is dated by the piece's own start."""
    sound = np.random.default_rng(1).normal(0, 0.1, 35 * RATE).astype(np.float32)
    options = SpeechOptions(piece_s=10)
    engine = Recogniser()
    rows = list(recognise([sound], engine, options))
    expected = [start + 0.5 for start, _ in pieces([sound], 10)]
    assert [r.start for r in rows] == pytest.approx(expected)
    assert [r.words[0].start for r in rows] == pytest.approx(expected)
    assert [r.words[0].end for r in rows] == pytest.approx([e + 0.4 for e in expected])
    assert sum(engine.lengths) == len(sound)


def test_digital_silence_is_not_recognised() -> None:
    engine = Recogniser()
    assert list(recognise([np.zeros(30 * RATE, np.float32)], engine, SpeechOptions(piece_s=10))) == []
    assert list(recognise([], engine, OPTIONS)) == []
    assert engine.lengths == []


def test_a_sure_guess_of_the_language_helps_doubtful_ones_later() -> None:
    sound = np.full(45 * RATE, 0.1, np.float32)
    engine = Recogniser([(None, 0.0), ("de", 0.95), ("nn", 0.3), ("fr", 0.8)])
    list(recognise([sound], engine, SpeechOptions(piece_s=10)))
    assert engine.fallbacks[:5] == [None, None, "de", "de", "fr"]


def test_shifting_moves_words_and_rows_alike() -> None:
    row = moved(Segment(1, 2, "a b", (Word(1, 1.4, "a", 1), Word(1.5, 2, "b", 1))), 10)
    assert (row.start, row.end) == (11, 12)
    assert [(w.start, w.end) for w in row.words] == [(11, 11.4), (11.5, 12)]


def said(text: str, start: float = 0.0, language: str = "en", pauses: dict[int, float] | None = None) -> Segment:
    """A segment of words of 0.3 s, 0.1 s apart; ``pauses`` adds seconds before the word of that number."""
    words, at = [], start
    for i, w in enumerate(text.split()):
        at += (pauses or {}).get(i, 0.0)
        words.append(Word(at, at + 0.3, w, 0.9))
        at += 0.4
    return Segment(start, at - 0.1, text, tuple(words), language, None, -0.2, 0.1, 1.5)


def texts(rows: Sequence[Segment]) -> list[str]:
    return [r.text for r in rows]


def test_a_row_ends_with_its_sentence() -> None:
    rows = sentences([said("It works. Does it? Yes! He said “go.” Then left")], OPTIONS)
    assert texts(rows) == ["It works.", "Does it?", "Yes!", "He said “go.”", "Then left"]
    assert [(r.start, r.end) for r in rows] == [(r.words[0].start, r.words[-1].end) for r in rows]


def test_sentences_across_segments_are_joined() -> None:
    rows = sentences([said("The engine you see"), said("here weighs six tons.", 1.6)], OPTIONS)
    assert texts(rows) == ["The engine you see here weighs six tons."]


@pytest.mark.parametrize("short", ["Mr.", "Mrs.", "Dr.", "St.", "A.", "vs."])
def test_abbreviations_end_no_row(short: str) -> None:
    assert len(sentences([said(f"Ask {short} Lindgren today")], OPTIONS)) == 1


def test_a_long_pause_ends_a_row_of_four_words() -> None:
    rows = sentences([said("one two three four five six", pauses={4: 1.5})], OPTIONS)
    assert texts(rows) == ["one two three four", "five six"]


def test_fewer_words_need_a_longer_pause() -> None:
    assert len(sentences([said("one two three", pauses={2: 1.5})], OPTIONS)) == 1
    assert texts(sentences([said("one two three", pauses={2: 3.5})], OPTIONS)) == ["one two", "three"]


def test_no_row_is_longer_than_allowed() -> None:
    rows = sentences([said(" ".join(["word"] * 100))], SpeechOptions(sentence_s=5))
    assert all(r.end - r.start <= 5 for r in rows)
    assert sum(len(r.words) for r in rows) == 100


def test_another_language_is_another_row() -> None:
    rows = sentences([said("und jetzt", language="de"), said("and now", 0.8)], OPTIONS)
    assert [(r.language, r.text) for r in rows] == [("de", "und jetzt"), ("en", "and now")]


def test_languages_without_spaces_stay_without() -> None:
    assert texts(sentences([said("你 好 世界", language="zh")], OPTIONS)) == ["你好世界"]


def test_segments_without_word_times_stay_as_they_are() -> None:
    plain = Segment(5, 9, "No words. At all.")
    rows = sentences([said("before it"), plain, said("after it", 9)], OPTIONS)
    assert texts(rows) == ["before it", "No words. At all.", "after it"]
    assert rows[1] == plain


def test_the_most_doubtful_segment_speaks_for_a_row_of_several() -> None:
    doubtful = said("here weighs tons.", 1.6)
    doubtful = Segment(doubtful.start, doubtful.end, doubtful.text, doubtful.words, "en", None, -1.7, 0.6, 2.9)
    row = sentences([said("The engine you see"), doubtful], OPTIONS)[0]
    assert (row.avg_logprob, row.compression_ratio) == (-1.7, 2.9)
    assert flagged(row, OPTIONS).flags == ("low_logprob",)


def test_rows_are_flagged_only_for_a_reason() -> None:
    assert flagged(said("fine."), OPTIONS).flags == ()
    assert flagged(Segment(0, 1, "a subtitle"), OPTIONS).flags == ()


WORDS = st.lists(
    st.tuples(st.sampled_from(["a", "b.", "Dr.", "c?", "1,5", "…", "x"]), st.floats(0, 4), st.booleans()), max_size=40
)


@settings(max_examples=60)
@given(WORDS, st.floats(1, 20), st.floats(0.1, 3))
def test_every_word_is_in_one_row_in_order(words: list[tuple[str, float, bool]], longest: float, pause: float) -> None:
    at, segments, now = 0.0, list[Segment](), list[Word]()
    for text, gap, new in words:
        if new and now:
            segments.append(Segment(now[0].start, now[-1].end, "", tuple(now), "en"))
            now = []
        now.append(Word(at + gap, at + gap + 0.3, text, 0.5))
        at += gap + 0.3
    if now:
        segments.append(Segment(now[0].start, now[-1].end, "", tuple(now), "en"))
    rows = sentences(segments, SpeechOptions(sentence_s=longest, pause_s=pause))
    assert [w for r in rows for w in r.words] == [w for s in segments for w in s.words]
    assert all(len(r.words) == 1 or r.end - r.start <= longest for r in rows)
    assert all(r.words[0].start == r.start and r.words[-1].end == r.end for r in rows)
