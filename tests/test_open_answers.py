"""Open questions of every kind asked of two short videos, with the embedded encoder and no language model."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_tools import put, source_of
from vidrag.ingest.chapter_step import chapter_step
from vidrag.ingest.chapters import ChapterOptions
from vidrag.jobs import build, profile
from vidrag.query.answer.extractive import Extractive, ExtractiveOptions
from vidrag.query.asker import Asker
from vidrag.query.types import Answer, Task
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders.e5 import E5, E5Options
from vidrag.store.errors import NoSuchVideo, UsageError
from vidrag.store.records import Evidence, Segment, clock

HARBOUR = [
    "Welcome to the tour of the old harbour.", "Please leave your suitcases in the locker room downstairs.",
    "The lockers are next to the blue staircase.", "Two sisters run the cafe on the roof of the customs house.",
    "In the cafe they make plum cake every Saturday.", "Anna Berg repaired the clock in the lighthouse tower in 1987.",
    "The lighthouse keeper counted four herons on the pier this morning.",
    "The ferry to the island leaves at noon from the second pier.",
    "A ticket for the ferry costs nine pounds, children travel for free.", "The cafe closes at five o'clock in winter.",
    "Who built the lighthouse?", "It was built by the engineer Peter Hughes after the great storm.",
    "Thank you for coming, and mind the wet steps.",
]  # fmt: skip
GARDEN = [
    "This lecture is about growing vegetables without chemicals.", "Tomatoes need a lot of sun and very little wind.",
    "Slugs come out at night and eat the young salad.", "Compost is made of leaves, grass and kitchen waste.",
    "We water the beds early in the morning.", "In autumn we cover the soil with straw.",
    "The ticket for the garden costs four pounds.",
]  # fmt: skip
SILENCE = "Nothing in these videos clearly says so."
STEP = 20.0
"""Seconds of a sentence."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Two videos with their chapters."""
    where, encoder = Archive.create(tmp_path_factory.mktemp("open") / "archive"), E5(E5Options())
    for name, lines in (("harbour.mp4", HARBOUR), ("garden.mp4", GARDEN)):
        said = [Segment(STEP * i, STEP * i + 19.5, text) for i, text in enumerate(lines)]
        video = put(where, name, segments=said, encoder=encoder)
        with where.staging(source_of(name)) as folder:
            options = ChapterOptions(shortest_s=30, penalty=0.2)
            made = chapter_step(where.shard(video), "c" * 16, options, folder)
            where.publish(source_of(name), made.cells, made.staged)
    return where


@pytest.fixture(scope="module")
def asker(archive: Archive) -> Asker:
    return build.asker(archive, profile.load("embedded"))


def cited(answer: Answer) -> list[str]:
    return [e.text for e in answer.cited()]


def whole(answer: Answer) -> None:
    """What holds of every answer: its ids are those of its rows, and it cites rows or abstains."""
    ids = [e.id for e in answer.evidence]
    assert set(answer.citations) | set(answer.nearest) <= set(ids) and len(set(ids)) == len(ids)
    assert answer.abstained != bool(answer.citations)
    assert set(re.findall(r"\[(E\d+)\]", answer.text)) == set(answer.citations)
    assert answer.confidence is not None and 0 <= answer.confidence <= 1
    assert answer.text and not answer.degraded


# Facts


@pytest.mark.parametrize(
    "question, row",
    [
        ("Where are the lockers?", HARBOUR[2]),
        ("lockers", HARBOUR[2]),
        ("Who repaired the clock?", HARBOUR[5]),
        ("When does the ferry leave?", HARBOUR[7]),
        ("How many herons did the keeper count?", HARBOUR[6]),
        ("What does a ferry tikcet cost?", HARBOUR[8]),
        ("What is compost made of?", GARDEN[3]),
        ("Wer hat die Uhr im Leuchtturm repariert?", HARBOUR[5]),
        ("¿Qué comen las babosas por la noche?", GARDEN[2]),
        ("Кто починил часы?", HARBOUR[5]),
    ],
)
def test_a_fact_is_quoted_with_where_it_is_said(question: str, row: str, asker: Asker) -> None:
    answer = asker.ask(question)
    whole(answer)
    (first, *_), lines = answer.cited(), answer.text.splitlines()
    assert first.text == row and answer.confidence is not None and answer.confidence > 0.5
    at = int(first.start)
    assert lines[0] == f"“{row}” (said, {first.name} {at // 60:02d}:{at % 60:02d}) [{first.id}]"
    assert answer.request.kind == "fact"


def test_what_answers_comes_before_what_asks(asker: Asker) -> None:
    answer = asker.ask("Who built the lighthouse?")
    assert cited(answer)[0] == HARBOUR[11]


def rows_of(*texts: str, speaker: str | None = None) -> tuple[Evidence, ...]:
    """Speech without a pause; the third row is the best one."""
    ranks = (2, 3, 1, 4, 5)
    return tuple(
        Evidence(id=f"E{i}", kind="speech", video="v", name="v.mp4", start=15.0 * i, end=15.0 * i + 15, text=text,
                 score=9.0 if ranks[i] == 1 else 0.0, rank=ranks[i], speaker=speaker)
        for i, text in enumerate(texts)
    )  # fmt: skip


LONG = "word " * 70
QUOTES = [
    (
        ["It rained. No one", "came, so we", "closed the doors at six and", "went home. It rained", "on."],
        "came, so we closed the doors at six and went home.",
        ["E2", "E1", "E3"],
    ),
    (["It rained.", "We waited.", "We closed at six.", "Then home.", "End."], "We closed at six.", ["E2"]),
    (["A.", "We saw Mr. Hill and", "Dr.", "Mayer leave at six. Then", "B."],
     "We saw Mr. Hill and Dr. Mayer leave at six.", ["E2", "E1", "E3"]),
    (["A.", LONG, "no stops in " + LONG, LONG, "B."], f"no stops in {LONG.strip()}", ["E2"]),
    (["一", "下雨了。我们", "六点关门", "回家。再见", "二"], "我们六点关门回家。", ["E2", "E1", "E3"]),
]  # fmt: skip


@pytest.mark.parametrize("texts, quote, ids", QUOTES)
def test_a_quote_is_a_whole_sentence(texts: list[str], quote: str, ids: list[str]) -> None:
    draft = Extractive(ExtractiveOptions()).answer(Task(question="When?", evidence=rows_of(*texts)))
    assert draft.text.startswith(f"“{quote}” (said, v.mp4 ") and list(draft.citations) == ids


def test_a_quote_ends_where_another_speaks() -> None:
    first, second = rows_of("A.", "B", "closed at six and", speaker="Ann"), rows_of("", "", "", "so what", "C")
    draft = Extractive(ExtractiveOptions()).answer(Task(question="When?", evidence=(*first, *second[3:])))
    assert draft.text == "“B closed at six and” (said by Ann, v.mp4 00:15) [E1] [E2]"


@pytest.mark.parametrize(
    "question", ["How many moons does Jupiter have?", "Who is the president of Brazil?", "谁发明了电话？", "x"]
)
def test_where_nothing_answers_that_is_said(question: str, asker: Asker) -> None:
    """The nearest rows are named, and not cited."""
    answer = asker.ask(question)
    whole(answer)
    assert answer.abstained and answer.text == SILENCE and answer.citations == ()
    assert 1 <= len(answer.nearest) <= 3
    ranks = {e.id: e.rank for e in answer.evidence}
    assert [ranks[n] for n in answer.nearest] == sorted(ranks[n] for n in answer.nearest)
    assert answer.as_json()["nearest"] == list(answer.nearest)


def test_an_answer_with_rows_names_no_nearest(asker: Asker) -> None:
    assert asker.ask("Where are the lockers?").nearest == ()


# The whole


@pytest.mark.parametrize(
    "question", ["What is this video about?", "Summarise the video.", "Worum geht es in dem Video?"]
)
def test_an_overview_has_a_line_for_every_chapter(question: str, asker: Asker, archive: Archive) -> None:
    answer = asker.ask(question, ["harbour.mp4"])
    whole(answer)
    chapters = archive.shard(archive.find("harbour.mp4")).chapters
    head, *lines = answer.text.splitlines()
    assert head == "harbour.mp4:" and len(lines) >= len(chapters) > 2
    starts = [e.start for e in answer.cited()]
    assert starts == sorted(starts) and [line.split()[0] for line in lines] == list(map(clock, starts))
    assert all(any(c.start <= start < c.end for start in starts) for c in chapters)
    assert answer.request.kind == "whole" and not answer.abstained


def test_an_overview_of_all_videos(asker: Asker) -> None:
    """Also of one that the question names alone."""
    answer = asker.ask("What are these videos about?")
    whole(answer)
    assert [line for line in answer.text.splitlines() if "“" not in line] == ["harbour.mp4:", "garden.mp4:"]
    named = asker.ask("What is garden.mp4 about?")
    assert {e.name for e in named.evidence} == {"garden.mp4"} and named.text.startswith("garden.mp4:\n")


def test_a_video_is_named_by_the_words_of_its_title(asker: Asker) -> None:
    """In a question about the whole of it; in one about a fact the rows of all are searched."""
    answer = asker.ask("What is the garden video about?")
    whole(answer)
    assert {e.name for e in answer.evidence} == {"garden.mp4"} and answer.request.kind == "whole"
    fact = asker.ask("Did the keeper count any herons in the garden?")
    assert HARBOUR[6] in [e.text for e in fact.evidence] and fact.request.kind == "fact"
    assert {e.name for e in fact.evidence} == {"harbour.mp4", "garden.mp4"}


# A stretch of time


@pytest.mark.parametrize(
    "question, rows",
    [
        ("What is said between 1:00 and 2:00?", HARBOUR[3:6]),
        ("What is said in the first minute?", HARBOUR[:3]),
        ("What happens in the last minute?", HARBOUR[10:]),
        ("Was wird in den ersten zwei Minuten gesagt?", HARBOUR[:6]),
        ("¿Qué se dice entre 1:00 y 2:00?", HARBOUR[3:6]),
        ("Что говорится между 1:00 и 2:00?", HARBOUR[3:6]),
        ("从1:00到2:00讲了什么？", HARBOUR[3:6]),
    ],
)
def test_a_stretch_of_time_is_told_in_order(question: str, rows: list[str], asker: Asker) -> None:
    answer = asker.ask(question, ["harbour.mp4"])
    whole(answer)
    assert cited(answer) == rows and answer.text.splitlines()[0] == "harbour.mp4:"


def test_a_fact_is_looked_for_in_the_stretch_alone(asker: Asker) -> None:
    """The cafe is spoken of before it as well."""
    answer = asker.ask("When does the cafe close, between 2:00 and 4:00?", ["harbour.mp4"])
    whole(answer)
    assert HARBOUR[9] in cited(answer)
    assert all(e.end > 120 and e.start < 240 for e in answer.cited())


@pytest.mark.parametrize(
    "question, words",
    [
        ("What does he say about the moon between 50:00 and 55:00?", "between 50:00 and 55:00"),
        ("What does he say about the moon after 20:00?", "after 20:00"),
        ("Who is the president at 1:21:10?", "at 1:21:10"),
    ],
)
def test_a_time_beyond_the_end_is_told(question: str, words: str, asker: Asker) -> None:
    answer = asker.ask(question, ["harbour.mp4"])
    whole(answer)
    assert answer.abstained and answer.text == f"“{words}” lies beyond the end: harbour.mp4 is 04:19 long."
    longest = asker.ask(question)
    assert longest.text == f"“{words}” lies beyond the end: the longest of the videos is 04:19 long."


def test_a_time_of_day_is_no_time_of_the_video(asker: Asker) -> None:
    """Unless nothing is found that could be meant."""
    answer = asker.ask("Does the ferry leave at 8:30?", ["harbour.mp4"])
    assert cited(answer)[0] == HARBOUR[7] and "beyond the end" not in answer.text
    answer = asker.ask("What happens at 8:30?", ["harbour.mp4"])
    assert answer.abstained and answer.text == "“at 8:30” lies beyond the end: harbour.mp4 is 04:19 long."


# Mentions


def test_every_mention_is_told_and_counted(asker: Asker) -> None:
    answer = asker.ask("Find every mention of the cafe.")
    whole(answer)
    assert answer.text.splitlines()[0] == "harbour.mp4: 3 mentions"
    assert cited(answer) == [HARBOUR[3], HARBOUR[4], HARBOUR[9]]
    ticket = asker.ask("List all mentions of tickets.")
    assert [line for line in ticket.text.splitlines() if line.endswith("mention")] == [
        "harbour.mp4: 1 mention", "garden.mp4: 1 mention"
    ]  # fmt: skip
    assert cited(ticket) == [HARBOUR[8], GARDEN[6]]


def test_no_mention_is_silence(asker: Asker) -> None:
    answer = asker.ask("Find every mention of the submarine.")
    whole(answer)
    assert answer.abstained and answer.text == SILENCE and answer.nearest


# Side by side


def test_videos_are_compared_side_by_side(asker: Asker) -> None:
    answer = asker.ask("Compare the two videos.")
    whole(answer)
    assert [line for line in answer.text.splitlines() if "“" not in line] == ["harbour.mp4:", "garden.mp4:"]
    assert {e.name for e in answer.cited()} == {"harbour.mp4", "garden.mp4"}


def test_what_is_compared_is_in_the_rows_of_both(asker: Asker) -> None:
    answer = asker.ask("Compare the two tickets.")
    whole(answer)
    assert {HARBOUR[8], GARDEN[6]} <= set(cited(answer)) and len(answer.citations) <= 6


# What goes on from something else


@pytest.mark.parametrize(
    "question", ["And what about the other one?", "Tell me more about it.", "Und was noch?", "还有什么？"]
)
def test_a_follow_up_is_asked_to_be_whole(question: str, asker: Asker) -> None:
    answer = asker.ask(question)
    whole(answer)
    assert answer.abstained and "ask it in full" in answer.text and answer.request.kind == "followup"


# Names of files


def test_a_file_that_is_not_there_is_told(asker: Asker) -> None:
    answer = asker.ask("Who is the president in nowhere.mp4?")
    whole(answer)
    assert answer.abstained and answer.text == "No video in this archive is called “nowhere.mp4”."
    assert asker.ask("Where are the lockers in nowhere.mp4?").abstained


def test_a_file_that_is_there_is_the_one_asked(asker: Asker) -> None:
    """Whatever the others hold."""
    answer = asker.ask("How much is a ticket in garden.mp4?")
    assert cited(answer)[0] == GARDEN[6] and {e.name for e in answer.evidence} == {"garden.mp4"}
    with pytest.raises(NoSuchVideo):
        asker.ask("Where are the lockers?", ["nowhere.mp4"])


# Odd questions


@pytest.mark.parametrize("question", ["", " \n\t", "?!", "…", "🎬", "「」", "‮"])
def test_a_question_without_a_word_is_refused(question: str, asker: Asker) -> None:
    with pytest.raises(UsageError, match="the question is empty"):
        asker.ask(question)


@pytest.mark.parametrize(
    "question",
    [
        "\ud800 where are the lockers? \udfff", "𝕨𝕙𝕖𝕣𝕖 𝕒𝕣𝕖 𝕥𝕙𝕖 𝕝𝕠𝕔𝕜𝕖𝕣𝕤", "WHERE ARE THE LOCKERS",
        "where are\x00 the lockers",
        "where are ｔｈｅ ｌｏｃｋｅｒｓ？", "where are the lockers" + "!" * 900,
    ],
)  # fmt: skip
def test_odd_writing_is_read(question: str, asker: Asker) -> None:
    answer = asker.ask(question)
    whole(answer)
    assert HARBOUR[2] in cited(answer)
    assert "\ud800" not in answer.question + answer.text


@settings(max_examples=30)
@given(question=st.text(min_size=1, max_size=60))
def test_any_question_is_answered_or_refused(question: str, asker: Asker) -> None:
    try:
        answer = asker.ask(question)
    except UsageError:
        assert not any(c.isalnum() for c in question)
    else:
        whole(answer)


@settings(max_examples=15)
@given(
    words=st.lists(
        st.sampled_from(["lockers", "cafe", "?", "between 1:00 and 2:00", "every mention of", "not"]), max_size=6
    )
)
def test_any_words_are_answered_or_refused(words: Sequence[str], asker: Asker) -> None:
    try:
        whole(asker.ask(" ".join(words)))
    except UsageError:
        assert not any(c.isalnum() for c in "".join(words))
