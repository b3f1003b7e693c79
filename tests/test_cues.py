"""What the words of a question say about where and when to look."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vidrag.jobs.evaluate import benchmarks
from vidrag.query.types import Request, Stretch, TimeHint
from vidrag.query.understand.cues import negations, quoted, times
from vidrag.query.understand.decouple import by_rules
from vidrag.query.understand.times import AROUND, in_stretch, named_stretch

BENCHMARKS = Path(__file__).resolve().parents[2] / "shared/data/benchmarks"
LABELS = Path(__file__).parent / "data/decouple_labels.json"


@pytest.mark.parametrize(
    ("question", "hints"),
    [
        ("What is shown right after the red door opens?", [TimeHint(kind="next", text="the red door opens")]),
        ("What follows the slide titled Plans?", [TimeHint(kind="next", text="the slide titled Plans")]),
        ("What comes immediately before the storm?", [TimeHint(kind="previous", text="the storm")]),
        ("What does he do after the dinner?", [TimeHint(kind="after", text="the dinner")]),
        ("What did she do before the dinner?", [TimeHint(kind="before", text="the dinner")]),
        ("What colour is the wall while the man laughs?", [TimeHint(kind="during", text="the man laughs")]),
        ("When did the match take place?", []),
        ("As can be seen, why is it hard?", []),
        ("What is said after 2 minutes?", []),
        ("What happens at 3:20?", []),
        ("Where are the lockers?", []),
    ],
)
def test_events(question: str, hints: list[TimeHint]) -> None:
    """What the question takes as its landmark; a clock time is none."""
    assert list(times(question)) == hints


@pytest.mark.parametrize(
    "question, start, end",
    [
        ("What happens between 10:00 and 12:00?", 600, 720),
        ("What is said from 1:05:00 to 1:10:00?", 3900, 4200),
        ("What is said in 3:00-4:30?", 180, 270),
        ("What is said between 12:00 and 10:00?", 600, 720),
        ("Summarise the first ten minutes.", 0, 600),
        ("What is said in the first 90 seconds?", 0, 90),
        ("What happens in the first minute?", 0, 60),
        ("What is said in the last five minutes?", -300, None),
        ("What happens in the last hour?", -3600, None),
        ("What is said after 20:00?", 1200, None),
        ("What is said before 2:30?", 0, 150),
        ("What is said in minute 12?", 720, 780),
        ("Was wird zwischen 10:00 und 12:00 gesagt?", 600, 720),
        ("Was passiert in den ersten zehn Minuten?", 0, 600),
        ("Was passiert in den letzten fünf Minuten?", -300, None),
        ("Was wird nach 20:00 gesagt?", 1200, None),
        ("¿Qué se dice entre 10:00 y 12:00?", 600, 720),
        ("entre el minuto 2:00 y el 3:00", 120, 180),
        ("de la minute 2:00 à la minute 3:00", 120, 180),
        ("¿Qué pasa en los primeros diez minutos?", 0, 600),
        ("¿Qué pasa en los últimos cinco minutos?", -300, None),
        ("¿Qué se dice en el minuto 12?", 720, 780),
        ("¿Qué se dice después de las 20:00?", 1200, None),
        ("Que dit-on entre 10:00 et 12:00 ?", 600, 720),
        ("Cosa succede nei primi dieci minuti?", 0, 600),
        ("Что говорится между 10:00 и 12:00?", 600, 720),
        ("Что говорится с 10:00 до 12:00?", 600, 720),
        ("Что происходит в первые 10 минут?", 0, 600),
        ("Что происходит в последние 5 минут?", -300, None),
        ("Что происходит после 20:00?", 1200, None),
        ("10:00到12:00之间讲了什么？", 600, 720),
        ("从10:00到12:00讲了什么？", 600, 720),
        ("第12分钟讲了什么？", 720, 780),
        ("What is said after 1h20?", 4800, None),
        ("What is said from minute 10 on?", 600, None),
        ("What is said between minute 3 and minute 5?", 180, 300),
        ("from 5 to 7 minutes", 300, 420),
        ("two minutes before the end", -120, None),
        ("zwischen Minute 3 und 5", 180, 300),
        ("les dix premières minutes", 0, 600),
        ("primi dieci minuti", 0, 600),
        ("a partir del minuto 10", 600, None),
        ("10分钟到12分钟之间说了什么", 600, 720),
        ("最后两分钟", -120, None),
    ],
)
def test_a_stretch_of_time_is_named(question: str, start: float, end: float | None) -> None:
    """Negative seconds count from the end of the video, which None is."""
    found = named_stretch(question)
    assert found is not None and (found.start, found.end, found.instant) == (start, end, False)
    assert not any(c.isdigit() for c in found.rest) and found.words not in found.rest


@pytest.mark.parametrize(
    "question, at",
    [
        ("What happens at 3:20?", 200),
        ("What happens at 1:21:10?", 4870),
        ("Who speaks at 1:02:03 of the lecture?", 3723),
        ("What is said at 12 minutes?", 720),
        ("Was wird um 1:21:10 gesagt?", 4870),
        ("¿Qué se dice a las 1:21:10?", 4870),
        ("Что говорится в 1:21:10?", 4870),
        ("What happens at 0:05?", 5),
        ("What was said at 2m30s?", 150),
        ("What happens at the 30 minute mark?", 1800),
        ("What happened ten minutes in?", 600),
        ("Que dit-on à 12 min 30 ?", 750),
    ],
)
def test_a_moment_stands_for_what_is_around_it(question: str, at: float) -> None:
    found = named_stretch(question)
    assert found is not None and found.instant
    assert (found.start, found.end) == (max(0, at - AROUND), at + AROUND)


@pytest.mark.parametrize(
    "question",
    [
        "Who painted the last supper?",
        "Who was the first man on the moon?",
        "Tell me about Apollo 11.",
        "What is the first thing he says?",
        "When did the last war end?",
        "Who came first?",
        "Is the ratio 16:9 mentioned?",
        "What was the score, 3:2?",
        "What is said in 2010?",
        "How long are the 90 minutes of football?",
        "Does it take 5 to 7 minutes?",
        "Boil the eggs for 10 minutes and 2 more.",
        "Who has 2 horses and 3 minutes?",
        "At what time does the shop open?",
        "Wer war der erste Mann auf dem Mond?",
        "¿Quién fue el primer hombre en la luna?",
        "谁是第一个登上月球的人？",
        "Кто был первым человеком на Луне?",
        "",
        "?",
    ],
)
def test_what_names_no_time(question: str) -> None:
    assert named_stretch(question) is None


def test_the_rest_of_the_question_is_what_is_asked_of_the_stretch() -> None:
    found = named_stretch("What does Anna say about bees between 10:00 and 12:00 of the talk?")
    assert found is not None
    assert (found.words, found.rest) == ("between 10:00 and 12:00", "What does Anna say about bees of the talk?")


@given(st.text())
def test_any_text_names_a_stretch_or_none(text: str) -> None:
    """What is named lies in the order of time, and never before the start."""
    found = named_stretch(text)
    if found is not None and found.start >= 0:
        assert found.end is None or found.start <= found.end


def test_a_stretch_in_a_video() -> None:
    """From its end on where it counts from there; empty where the video is shorter."""
    last = Stretch(start=-60, end=None, words="", rest="")
    assert last.within(100) == (40, 100) and last.within(30) == (0, 30)
    early = Stretch(start=10, end=20, words="", rest="")
    assert early.within(15) == (10, 15)
    first, end = early.within(5)
    assert end <= first
    assert in_stretch(early, 100, 19, 25) and in_stretch(early, 100, 5, 11)
    assert not in_stretch(early, 100, 20, 25) and not in_stretch(early, 100, 5, 10)
    assert in_stretch(last, 100, 39, 41) and not in_stretch(last, 100, 0, 40) and not in_stretch(None, 100, 0, 100)


def test_the_request_holds_the_stretch() -> None:
    found = by_rules("What is said between 10:00 and 12:00?").stretch
    assert found is not None and (found.start, found.end) == (600, 720)
    assert by_rules("Where are the lockers?").stretch is None


def test_negations_and_quotations() -> None:
    assert negations('Which colour is not on the flag, "not red"?') == ("on the flag",)
    assert negations("Which of them is red?") == ()
    assert quoted('Who says "dark green otter" or “blue heron”?') == ["dark green otter", "blue heron"]


@pytest.mark.parametrize(
    "question, kind",
    [
        ("What is written above the door?", "text"),
        ("What does the sign above the door say?", "text"),
        ("What does the man say about the sign?", "speech"),
        ("What is shown on screen while the narrator says goodbye?", "speech"),
        ("What does she call the best sign of spring?", "speech"),
        ("Which picture belongs to the secret sign?", None),
        ("What does the sign on the shed say?", "text"),
        ("What does it say on the sign?", "text"),
        ("What words are on the sign?", "text"),
        ("What text appears on screen?", "text"),
        ("What is the address on the envelope?", "text"),
        ("What does the man holding the card say?", "speech"),
        ("What does the woman on the screen say about rent?", "speech"),
        ("What do the members of the board say about the merger?", "speech"),
    ],
)
def test_where_a_question_looks_for_its_landmark(question: str, kind: str | None) -> None:
    assert by_rules(question).anchor == kind


def test_a_name_before_number_is_not_a_count() -> None:
    assert by_rules("What is the telephone number of the place with the umbrella?").type == ()
    assert by_rules("What is the number of bottles on the table?").type[0] == "number"


def as_labelled(request: Request) -> dict[str, Any]:
    """A request as labels name it: right after counts as after, right before as before."""
    near = {"next": "after", "previous": "before"}
    return {
        "visual": request.visual or bool(request.det),
        "time": sorted({near.get(t.kind, t.kind) for t in request.time}),
    }


@pytest.mark.long
@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the question files of public benchmarks are not there")
def test_every_question_of_two_benchmarks_is_decoupled() -> None:
    """All 4,875 give a request of the schema; the labelled ones are right as often as the docs say."""
    found = {
        f"videomme/{q.id}": q.question
        for q in benchmarks.READERS["videomme"](BENCHMARKS / "videomme_questions.json").questions
    } | {
        f"mlvu/{i}": q.question
        for i, q in enumerate(benchmarks.READERS["mlvu"](BENCHMARKS / "mlvu_dev_questions.json").questions)
    }
    assert len(found) == 4875
    for question in found.values():
        request = by_rules(question)
        assert json.loads(json.dumps(request.as_json()))["scope"] in ("moment", "whole", "several")
        assert len(request.det) <= 5 and all(t.kind != "at" or t.seconds is not None for t in request.time)
    labels = json.loads(LABELS.read_text("utf-8"))
    requests = {label["id"]: by_rules(found[label["id"]]) for label in labels}
    assert len(requests) == 60
    right = Counter(f for label in labels for f, v in as_labelled(requests[label["id"]]).items() if v == label[f])
    things = [any(t in d or d in t for d in requests[label["id"]].det) for label in labels for t in label["det"]]
    assert right["time"] >= 0.9 * 60 and right["visual"] >= 0.75 * 60 and sum(things) >= 0.75 * len(things)
