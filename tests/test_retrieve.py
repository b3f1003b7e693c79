"""Which rows may answer a question, in what order, and how likely they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from chapter_tools import FAKE
from hypothesis import given
from hypothesis import strategies as st
from index_tools import put
from store_tools import SPEC
from vidrag.query.find import windows as windows_module
from vidrag.query.find.background import PRIOR, UNIT, Background, background
from vidrag.query.find.finding import Finder
from vidrag.query.find.retrieve import (
    EXACT,
    OTHER_LANGUAGE,
    Retrieved,
    RetrieveOptions,
    _lead_of_text,
    _reply,
    beside,
    fewness,
    likely,
    may_be_used,
    published,
    query_vectors,
    retrieve,
    score,
    spread,
)
from vidrag.query.find.rows import RowSet
from vidrag.query.text.words import terms
from vidrag.query.types import Found, Grounds, Request
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders import TextEncoder
from vidrag.store.encoders.e5 import E5, E5Options
from vidrag.store.records import Segment
from vidrag.store.vectors import Vectors, normalised

TALK = [
    "Please leave your suitcases downstairs.", "The lockers are next to the blue staircase.",
    "Two sisters run the cafe on the roof.", "They make plum cake every Saturday.",
    "Anna repaired the clock in the tower.", "The ferry leaves the harbour at noon.",
]  # fmt: skip
NONE = np.zeros((0, 64), np.float32)


@pytest.fixture(scope="module")
def e5() -> E5:
    return E5(E5Options())


def opened(archive: Archive, encoder: TextEncoder, said: Sequence[Any] = (), written: Sequence[str] = ()) -> RowSet:
    """One video's rows; ``said``: sentences, or whole segments."""
    segments = [s for s in said if isinstance(s, Segment)]
    texts = [s for s in said if isinstance(s, str)]
    video = put(archive, "talk.mp4", texts, written, encoder=encoder, segments=segments)
    return RowSet([archive.shard(video)], encoder.spec)


def found(rows: RowSet, encoder: TextEncoder, question: str, *, again: Any = None, **options: Any) -> Retrieved:
    chosen = RetrieveOptions(**options)
    scored = Finder(encoder, chosen).score(rows, question, encoder.queries([question])[0], rows.sample)
    return retrieve(rows, question, scored, [], chosen, may_be_used(rows, chosen), again)


def texts(rows: RowSet, got: Retrieved) -> list[str]:
    return [rows.rows[h.at].text for h in got.hits]


# Rows and their windows


def test_windows_hold_about_sixty_words_and_overlap(archive: Archive) -> None:
    """Each begins in the middle of the one before; every row stands in one or two."""
    said = [f"apple banana cherry garlic lemon {i}" for i in range(60)]
    rows = opened(archive, FAKE, said)
    w = rows.windows
    words = rows.lengths
    for first, last in zip(w.first.tolist(), w.last.tolist(), strict=True):
        assert words[first:last].sum() >= windows_module.WINDOW or last == len(said)
        assert words[first : last - 1].sum() < windows_module.WINDOW
    assert (np.diff(w.first) > 0).all() and (w.first[1:] < w.last[:-1]).all()
    assert w.first[0] == 0 and w.last[-1] == len(said)
    for at in range(len(said)):
        assert all(w.first[k] <= at < w.last[k] for k in w.of[:, at].tolist())
    assert {len(set(of)) for of in w.of.T.tolist()} == {1, 2}


def test_windows_end_at_a_pause_and_where_the_kind_changes(archive: Archive) -> None:
    said = [
        Segment(0, 2, "one two"),
        Segment(2, 4, "three four"),
        Segment(40, 42, "five six"),
        Segment(42, 44, "seven"),
    ]
    rows = opened(archive, FAKE, said, ["eight nine", "ten eleven"])
    assert list(zip(rows.windows.first.tolist(), rows.windows.last.tolist(), strict=True)) == [
        (0, 2), (2, 4), (4, 5), (5, 6)
    ]  # fmt: skip


def test_the_vector_of_a_window_is_the_mean_of_its_rows_by_their_words(archive: Archive) -> None:
    rows = opened(archive, FAKE, ["lockers", "next to the blue staircase in the hall"])
    vectors, weight = rows.vectors[0], rows.lengths[:, None]
    assert np.allclose(rows.window_vectors, normalised((vectors * weight).sum(0, keepdims=True)), atol=1e-5)
    assert weight[1] > weight[0]


def test_rows_of_no_video_are_no_error() -> None:
    rows = RowSet([], FAKE.spec)
    assert rows.lexical(["locker"])[0].shape == (0,) and rows.language is None
    assert len(rows.windows.first) == 0 and published(rows, {}, RetrieveOptions()) == []


@pytest.mark.parametrize(
    "said, language",
    [
        (TALK, "en"),
        (["Die Schränke sind neben der Treppe und der Tür.", "Wir haben das nicht gewusst.", "Yes of course."], "de"),
        (["入口在哪里", "我们不知道"], "zh"),
        (["4719"], None),
    ],
)
def test_the_language_of_the_rows_is_that_of_most(said: list[str], language: str, archive: Archive) -> None:
    assert opened(archive, FAKE, said).language == language


def test_how_much_of_a_question_a_row_holds(archive: Archive) -> None:
    """Rare words count more; one that no row holds counts most."""
    rows = opened(archive, FAKE, ["the red locker", "the blue locker", "the green locker"])
    red, locker = rows.rarity(terms("red")[0]), rows.rarity(terms("locker")[0])
    assert rows.rarity("zebra") > red > locker > 0
    assert rows.covered(terms("red locker"), 0) == 1
    assert rows.covered(terms("red locker"), 1) == pytest.approx(locker / (red + locker))
    assert rows.covered([], 0) == 0
    assert rows.covered(terms("red locker"), 1, around=True) == 1  # the row before has the other word


@pytest.mark.parametrize(
    "asked, spelled",
    [
        ("stiarcase", "staircase"),
        ("stairacse", "staircase"),
        ("lokcer", "locker"),
        ("locker", "locker"),
        ("cafr", "cafe"),
        ("zebra", "zebra"),
        ("cot", "cot"),
        ("4718", "4718"),
        ("caf", "caf"),
        ("who runs the caf", "runs cafe"),
        ("wich locker", "locker"),
        ("wich", "wich"),
    ],
)
def test_a_slip_of_the_pen_is_read_as_the_rows_spell_it(asked: str, spelled: str, archive: Archive) -> None:
    """Words of other rows stay as they are; short words and numbers are never bent."""
    rows = opened(archive, FAKE, [*TALK, "The cat has number 4719."])
    assert rows.spelling.of(terms(asked)) == terms(spelled)


def test_a_word_that_the_encoder_knows_is_no_slip(archive: Archive, e5: E5) -> None:
    """However near it is to one that is said: what is one token to the encoder is spelled right."""
    rows = opened(archive, e5, [*TALK, "The king sat on a strong chair."])

    def sought(question: str) -> tuple[str, ...]:
        return Finder(e5, RetrieveOptions()).score(rows, question, e5.queries([question])[0], rows.sample).words

    assert sought("What kind of string?") == ("kind", "string")
    assert sought("Which lokcer is strogn?") == ("locker", "strong")


def test_a_word_is_found_in_its_other_form_beside_others(archive: Archive) -> None:
    rows = opened(archive, FAKE, ["She spent a week in space.", "The king sat by the door."])
    assert rows.spelling.of(["spend", "week"], {"spend"}) == ["spent", "week"]
    assert rows.spelling.of(["spend", "door"], {"spend"}) == ["spend", "door"]
    assert rows.spelling.of(["kind", "week"], {"kind"}) == ["kind", "week"]


def test_of_two_words_the_one_is_meant_that_stands_beside_others(archive: Archive) -> None:
    """However often the other one is said."""
    rows = opened(archive, FAKE, ["A long walk.", "A long day.", "The battery is worth it, they say: lohnt."])
    assert rows.spelling.of(terms("lont battery")) == terms("lohnt battery")
    assert rows.spelling.of(["lont"]) == ["long"]


# The scale of nearness


def test_the_level_of_a_question_is_that_of_unrelated_text(e5: E5) -> None:
    """Sentences of the language, the more moved towards the rows of the archive the more of these there are."""
    scale, query = background(e5), e5.queries(["Where are the lockers?"])[0]
    alone = scale.level(query, np.zeros((0, e5.spec.dim), np.float32), "en")
    assert alone == pytest.approx(float((scale.vectors["en"] @ query).mean()), abs=1e-6)
    row = e5.documents(["The lockers are next to the blue staircase."])
    near = float(row[0] @ query)
    levels = [scale.level(query, np.repeat(row, n, 0), "en") for n in (1, 10, PRIOR, 5000)]
    assert alone < levels[0] < levels[1] < levels[2] < levels[3] < near
    assert levels[2] == pytest.approx((alone + near) / 2, abs=1e-5)
    every = np.concatenate(list(scale.vectors.values())) @ query
    assert scale.level(query, row[:0], "xx") == scale.level(query, row[:0], None)
    assert scale.level(query, row[:0], None) == pytest.approx(float(every.mean()), abs=1e-6)


def test_nearness_is_a_share_of_the_way_to_the_question() -> None:
    """The same for encoders whose cosines lie anywhere."""
    for level in (0.0, 0.5, 0.8):
        way = np.array([level, level + (1 - level) / 2, 1.0])
        assert Background.nearness(way, level) == pytest.approx([0, 0.5 / UNIT, 1 / UNIT])
    assert np.isfinite(Background.nearness(np.array([1.0]), 1.0)).all()


def test_an_answer_lies_well_above_the_level_and_other_rows_do_not(archive: Archive, e5: E5) -> None:
    rows = opened(archive, e5, TALK)
    for question, answer in (
        ("Where are the lockers?", 1),
        ("When does the ferry leave?", 5),
        ("Who runs the cafe?", 2),
    ):
        by = Finder(e5, RetrieveOptions()).score(rows, question, e5.queries([question])[0], rows.sample)
        assert int(by.near.argmax()) == answer and by.near[answer] > 2
        assert np.delete(by.near, answer).max() < by.near[answer] - 1


# How likely


GROUNDS = st.builds(Grounds, near=st.floats(-5, 5), held=st.floats(0, 1), few=st.floats(0, 5))


@given(GROUNDS, st.sampled_from(["near", "held", "few"]), st.floats(0.1, 5))
def test_the_nearer_the_more_words_and_the_fewer_rows_the_likelier(grounds: Grounds, what: str, more: float) -> None:
    raised = replace(grounds, **{what: getattr(grounds, what) + more})
    assert 0 < likely(grounds) <= likely(raised) <= 1
    if likely(raised) < 0.999:
        assert likely(grounds) < likely(raised)


def test_few_rows_are_counted_up_to_a_hundred() -> None:
    assert fewness(0) == fewness(1) > fewness(2) > fewness(50) > fewness(99) > fewness(100) == fewness(10**6) == 0


def test_rows_of_something_else_do_not_answer(archive: Archive, e5: E5) -> None:
    rows = opened(archive, e5, TALK)
    assert found(rows, e5, "Where are the lockers?").sure > 0.7
    assert found(rows, e5, "How many moons does Jupiter have?").sure < 0.3
    got = found(rows, e5, "Where are the lockers?")
    assert got.sure == pytest.approx(likely(got.grounds)) and got.grounds.held == 1
    assert got.grounds.few == fewness(len(TALK))


def test_a_question_in_another_language_is_not_held_to_its_words(archive: Archive, e5: E5) -> None:
    rows = opened(archive, e5, TALK)
    got = found(rows, e5, "Wann verlässt die Fähre den Hafen?")
    assert texts(rows, got)[0] == TALK[5] and got.grounds.held == OTHER_LANGUAGE


def test_without_rows_nothing_is_likely(archive: Archive) -> None:
    rows = opened(archive, FAKE, [Segment(0, 1, "the lockers", flags=("no_speech",))])
    got = found(rows, FAKE, "Where are the lockers?")
    assert (got.hits, got.sure) == ([], 0.0)
    assert texts(rows, found(rows, FAKE, "Where are the lockers?", doubtful=True)) == ["the lockers"]


# The order of rows


@pytest.mark.parametrize(
    "question, row",
    [
        ('Who says "silver grey hedgehog"?', "Remember the words silver-grey hedgehog, she whispered to nobody."),
        ("What is EIP8058?", "Then came number EIP-8058 of that list and we went home."),
        ("Who has the phone number 030 1234567?", "Write down 030-123 45 67 please and go."),
    ],
)
def test_what_is_written_exactly_outranks_what_lies_near(question: str, row: str, archive: Archive, e5: E5) -> None:
    """And is sure to answer."""
    said = [*TALK, "Who says what about hedgehogs?", "What is a proposal?", "Who has a phone number?", row]
    rows = opened(archive, e5, said)
    got = found(rows, e5, question)
    assert texts(rows, got)[0] == row
    assert got.hits[0].score - got.hits[1].score > EXACT / 2 and got.sure >= 0.9


def test_words_decide_where_vectors_do_not(archive: Archive) -> None:
    """Rows whose vectors are random are ranked by the words that they hold; the rarer word counts more."""
    video = put(archive, "a.mp4", ["the red locker", "the blue locker", "the blue door", "it rains"], seed=1)
    rows = RowSet([archive.shard(video)], SPEC)
    query = np.zeros(SPEC.dim, np.float32)
    scale = Background({"en": np.zeros((1, SPEC.dim), np.float32)})
    asked = "Which locker is red?"
    by = score(rows, asked, terms(asked), query, scale, rows.sample, RetrieveOptions(method="bm25"))
    assert np.argsort(-by.score).tolist()[:2] == [0, 1] and by.score[0] > by.score[1] > by.score[3]


def test_rows_that_say_the_same_come_last(archive: Archive, e5: E5) -> None:
    rows = opened(archive, e5, [TALK[1], TALK[1], *TALK[2:], TALK[1]])
    order = texts(rows, found(rows, e5, "Where are the lockers?"))
    assert order[0] == TALK[1] and TALK[1] not in order[1:5] and order[5:] == [TALK[1], TALK[1]]
    assert TALK[1] not in texts(rows, found(rows, e5, "Where are the lockers?", top_k=4))[1:]


def test_screen_text_has_no_lead_over_speech(archive: Archive) -> None:
    """Where slides lie nearer to whatever is asked their lead is taken off, the more surely the more there are."""
    rows = opened(archive, FAKE, ["it rains", "it snows"], [f"slide {i}" for i in range(10)])
    near = np.array([0.0, 2.0] + [3.0] * 10)
    assert _lead_of_text(rows, near).tolist() == [0, 0] + [1.0] * 10
    assert not _lead_of_text(rows, np.array([4.0, 4.0] + [3.0] * 10)).any()
    slides_alone = RowSet([archive.shard(put(archive, "b.mp4", [], ["one", "two"], encoder=FAKE))], FAKE.spec)
    assert not _lead_of_text(slides_alone, np.array([3.0, 4.0])).any()


@pytest.mark.parametrize("asks", ["Where do we find the lockers?", "And the lockers, where are they？", "“Lockers?”"])
def test_a_row_that_asks_gives_way_to_what_follows(asks: str, archive: Archive) -> None:
    said = [Segment(0, 2, asks), Segment(2, 4, "Beside the blue stairs downstairs."), Segment(9, 11, "It rains.")]
    rows = opened(archive, FAKE, said)
    usable = np.ones(3, bool)
    assert _reply(rows, 0, usable) == 1 and _reply(rows, 1, usable) == 1
    got = texts(rows, found(rows, FAKE, "Where are the lockers?"))
    assert got[0] == "Beside the blue stairs downstairs." and got[-1] == asks


def test_a_row_that_asks_stays_where_nothing_answers(archive: Archive) -> None:
    """After a pause, where the next row is not to be used or asks as well, and at the end."""
    said = [
        Segment(0, 2, "Where?"), Segment(20, 22, "Who?"), Segment(22, 24, "And why?"),
        Segment(24, 26, "Because the old ferry is late."),
        Segment(26, 28, "When?"),
    ]  # fmt: skip
    rows = opened(archive, FAKE, said)
    usable = np.array([True, True, True, False, True])
    assert [_reply(rows, at, usable) for at in range(5)] == [0, 1, 2, 3, 4]
    assert _reply(rows, 2, np.ones(5, bool)) == 3


def test_a_reply_may_come_after_a_word_or_two(archive: Archive) -> None:
    """Which say nothing; but not after many, or a pause."""
    said = ["Where are the lockers?", "Well.", "Now.", "Beside the blue stairs downstairs."]
    rows = opened(archive, FAKE, [Segment(2 * i, 2 * i + 2, t) for i, t in enumerate(said)])
    assert _reply(rows, 0, np.ones(4, bool)) == 3
    assert _reply(rows, 0, np.array([True, True, False, True])) == 0
    late = put(archive, "b.mp4", segments=[Segment(9 * i, 9 * i + 2, t) for i, t in enumerate(said)], encoder=FAKE)
    assert _reply(RowSet([archive.shard(late)], FAKE.spec), 0, np.ones(4, bool)) == 0
    talk = [said[0], *["Well."] * 5, said[-1]]
    long = put(archive, "c.mp4", segments=[Segment(2 * i, 2 * i + 2, t) for i, t in enumerate(talk)], encoder=FAKE)
    assert _reply(RowSet([archive.shard(long)], FAKE.spec), 0, np.ones(7, bool)) == 0


def test_what_is_said_again_and_again_is_no_reply(archive: Archive) -> None:
    thanks = "Thank you, Mr. Chair."
    said = [
        *[thanks, "The harbour wall was mended in March."] * 10,
        "When is the ferry?",
        thanks,
        "It leaves at nine o'clock.",
    ]
    rows = opened(archive, FAKE, [Segment(2 * i, 2 * i + 2, t) for i, t in enumerate(said)])
    assert rows.substance[0] < rows.substance[-1] and rows.substance.sum() == pytest.approx(rows.lengths.sum())
    assert rows.rows[_reply(rows, 20, np.ones(len(said), bool))].text == said[-1]


def test_rows_beside_each_other(archive: Archive) -> None:
    said = [Segment(0, 2, "a"), Segment(2.5, 4, "b"), Segment(30, 31, "c")]
    rows = opened(archive, FAKE, said, ["d", "e"])
    assert beside(rows, 0, 1) and beside(rows, 1, 0)
    assert not beside(rows, 1, 2) and not beside(rows, 2, 3) and not beside(rows, 3, 4)


def test_a_reranker_reads_more_rows_than_are_kept(archive: Archive, e5: E5) -> None:
    rows, read = opened(archive, e5, TALK), list[str]()

    def again(texts: Sequence[str]) -> np.ndarray:
        read.extend(texts)
        return np.array([float("plum" in t) for t in texts], np.float32)

    got = found(rows, e5, "Where are the lockers?", again=again, top_k=2, reranked=9)
    assert len(read) == 6 and TALK[3] in texts(rows, got) and len(got.hits) == 2
    assert texts(rows, found(rows, e5, "Where are the lockers?", again=lambda t: None, top_k=1)) == [TALK[1]]


# The published method, and every row


def test_the_published_method_takes_what_exceeds_the_threshold(archive: Archive) -> None:
    """Nearest first; the nearest of the others follow where they are too few."""
    rows = opened(archive, FAKE, ["the lockers", "the lockers are blue", "it rains", "bread"], ["lockers"])
    queries = query_vectors(FAKE.queries(["the lockers"])[0], None, [])
    few = published(rows, queries, RetrieveOptions(method="dense", threshold=0.6, at_least=0))
    told = [rows.rows[h.at].text for h in few]
    assert told[0] == "the lockers" and sorted(told[1:]) == ["lockers", "the lockers are blue"]
    assert [h.score for h in few] == sorted((h.score for h in few), reverse=True) and few[-1].score > 0.6
    assert len(published(rows, queries, RetrieveOptions(method="dense", threshold=0.6, at_least=4))) == 4
    assert len(published(rows, queries, RetrieveOptions(method="dense", threshold=0.6, top_k=1))) == 1


def test_the_published_queries_are_means(e5: E5) -> None:
    question, asr, thing = e5.queries(["Where are the lockers?", "lockers", "staircase"])
    made = query_vectors(question, asr, [thing])
    assert np.allclose(made["speech"], normalised((question + asr) / 2))
    assert np.allclose(made["text"], normalised((question + thing) / 2))
    assert np.array_equal(query_vectors(question, None, [])["speech"], question)


@given(st.integers(0, 300))
def test_every_beginning_of_a_spread_is_even(count: int) -> None:
    order = spread(range(count))
    assert sorted(order) == list(range(count))
    for n in (2, 4, 8):
        if count >= 4 * n:
            gaps = np.diff(sorted(order[:n]))
            assert gaps.max() <= 2 * count / n


# What is encoded


class Noting:
    """The fake encoder, which keeps what it encodes."""

    def __init__(self) -> None:
        self.spec, self.documents, self.encoded = FAKE.spec, FAKE.documents, list[str]()

    def queries(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        return FAKE.queries(texts)


REQUEST = Request(asr="the watermill was repaired", det=("watermill",))


@pytest.mark.parametrize(
    "options, encoded",
    [
        ({}, ["Who?", "Who? Ann", "Who? Bob"]),
        ({"by_options": False}, ["Who?"]),
        ({"method": "dense"}, ["Who?", "Who? Ann", "Who? Bob", "the watermill was repaired", "watermill"]),
        ({"method": "dense", "by_options": False}, ["Who?", "the watermill was repaired", "watermill"]),
    ],
)
def test_only_what_is_compared_is_encoded(options: dict[str, Any], encoded: list[str]) -> None:
    """The request in its own words only where the profile retrieves as published."""
    to = Noting()
    sought = Finder(to, RetrieveOptions(**options)).encode("Who?", REQUEST, ("Ann", "Bob"))  # type: ignore[arg-type]
    assert to.encoded == encoded
    assert len(sought.vectors) == (1 if "by_options" in options else 3)
    assert (sought.queries is not None) == ("method" in options)


def test_every_row_where_all_are_wanted(archive: Archive) -> None:
    """Evenly spread, without those that are doubtful."""
    said = [Segment(i, i + 1, f"row {i}", flags=("no_speech",) if i == 3 else ()) for i in range(8)]
    rows, finder = opened(archive, FAKE, said), Finder(FAKE, RetrieveOptions(method="all"))
    got: Found = finder.find(rows, finder.encode("Who?", Request(), ()), Request(), NONE, None)
    assert sorted(c.text for c in got.rows) == [f"row {i}" for i in range(8) if i != 3]
    assert {c.text for c in got.rows[:2]} == {"row 0", "row 5"}
