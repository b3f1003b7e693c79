"""Questions about videos themselves, about what was agreed, and about how they begin and end, with the embedded encoder
and no language model.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from index_tools import SPEC, put
from vidrag.jobs import build, profile
from vidrag.jobs.evaluate import fit
from vidrag.jobs.evaluate.dataset import Place
from vidrag.jobs.evaluate.open_sets import OpenQuestion, OpenSet
from vidrag.query.asker import Asker
from vidrag.query.find.agreed import agreed
from vidrag.query.find.names import titled
from vidrag.query.find.rows import RowSet
from vidrag.query.text.written import asked_for
from vidrag.query.types import Answer
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders.e5 import E5, E5Options
from vidrag.store.records import Segment, Span, TextTrack

MEETING = [
    ("Ines Moll", "Welcome to the spring meeting of the rowing club."),
    ("Ben Okafor", "The winter was mild, and the boathouse roof held."),
    ("Ines Moll", "The new oars cost 340 euros, and the varnish 55 euros."),
    ("Ben Okafor", "Three members have asked for lessons on Sundays."),
    ("Ines Moll", "So, decision: we buy the oars now and the varnish in autumn."),
    ("Ben Okafor", "I'll order the oars on Monday."),
    ("Ines Moll", "Can you write to the lake authority, Ben?"),
    ("Ben Okafor", "The address is lake@authority.example, or 0551 4420 118."),
    ("Ines Moll", "The regatta is on the 14th of June."),
    ("Ben Okafor", "Herons have been seen on the island."),
    ("Ines Moll", "Thank you all, and see you on the water."),
]
SLIDES = [("Oars", 0.0), ("Varnish: 55 euros", 0.0), ("Herons", 60.0), ("club.example/herons", 60.0)]
TALK = ["Bread needs flour, water, salt and time.", "A cold dough rises more slowly and tastes better."]
STEP = 20.0


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Asker:
    """A meeting whose speakers are known, and a short talk."""
    where, encoder = Archive.create(tmp_path_factory.mktemp("kinds") / "archive"), E5(E5Options())
    said = [Segment(STEP * i, STEP * i + 19, t, speaker=s, language="en") for i, (s, t) in enumerate(MEETING)]
    put(where, "meeting-2025-03-04.mp4", segments=said, encoder=encoder)
    put(where, "bread.mp4", segments=[Segment(9.0 * i, 9.0 * i + 8, t) for i, t in enumerate(TALK)], encoder=encoder)
    put(where, "yoga_class.mp4", encoder=encoder)
    return build.asker(where, profile.load("embedded"))


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Asker:
    """The same meeting with slides of a minute each."""
    where, encoder = Archive.create(tmp_path_factory.mktemp("slides") / "archive"), E5(E5Options())
    said = [Segment(STEP * i, STEP * i + 19, t, speaker=s, language="en") for i, (s, t) in enumerate(MEETING)]
    shown = [TextTrack(at, at + 60, text, 0.9, (0, 0, 1, 1)) for text, at in SLIDES]
    put(where, "club.mp4", segments=said, tracks=shown, encoder=encoder)
    return build.asker(where, profile.load("embedded"))


def cited(answer: Answer) -> list[str]:
    assert set(re.findall(r"\[(E\d+)\]", answer.text)) == set(answer.citations) and not answer.abstained
    return [e.text for e in answer.cited()]


@pytest.mark.parametrize(
    "question", ["How long is the video?", "When was it recorded?", "Who speaks?", "Wer spricht?", "谁在说话？"]
)
def test_what_is_known_of_a_video_is_told(question: str, asker: Asker) -> None:
    answer = asker.ask(question, ["meeting-2025-03-04.mp4"])
    assert answer.text.splitlines()[0] == (
        "meeting-2025-03-04.mp4: 03:39 long, recorded on 2025-03-04, language en, "
        "2 speakers: Ines Moll (6 sentences), Ben Okafor (5 sentences)"
    )
    assert cited(answer) == [MEETING[0][1], MEETING[1][1]]


def test_every_video_is_told_of(asker: Asker) -> None:
    answer = asker.ask("Which videos are there?")
    assert {e.name for e in answer.cited()} == {"meeting-2025-03-04.mp4", "bread.mp4"}
    assert answer.text.startswith(f"{len(asker.archive.ids())} videos, ")
    assert "bread.mp4: 00:17 long, speakers not known\n" in answer.text


@pytest.mark.parametrize("question", ["What does the slide about herons say?", "Was steht auf der Folie Herons?"])
def test_a_slide_is_told_whole(question: str, slides: Asker) -> None:
    assert cited(slides.ask(question)) == ["Herons", "club.example/herons"]


def test_all_slides_are_told_where_none_is_named(slides: Asker) -> None:
    assert cited(slides.ask("What is written on the slides?")) == [text for text, _ in SLIDES]


@pytest.mark.parametrize(
    "question", ["What web addresses are shown?", "Which URLs are on the slides?", "What is the website about herons?"]
)
def test_addresses_are_found_by_how_they_look(question: str, slides: Asker) -> None:
    assert cited(slides.ask(question)) == ["club.example/herons"]


def test_without_a_number_nobody_can_be_called(asker: Asker) -> None:
    assert "0551 4420 118" in cited(asker.ask("What is the phone number of the lake authority?"))[0]
    answer = asker.ask("What is the phone number of the baker?", ["bread.mp4"])
    assert answer.abstained and answer.nearest


@pytest.mark.parametrize("question", ["What does Ben say?", "What does Ben ask?"])
def test_what_someone_says_is_all_told(question: str, asker: Asker) -> None:
    assert cited(asker.ask(question)) == [text for who, text in MEETING if who.startswith("Ben")]


def test_rows_of_the_speaker_named_come_first(asker: Asker) -> None:
    answer = asker.ask("What did Ben promise to do about the oars?")
    assert answer.cited()[0].text == "I'll order the oars on Monday."


@pytest.mark.parametrize(
    "question, rows",
    [
        ("What was decided?", {4}), ("Was wurde beschlossen?", {4}), ("decisions of the meeting", {4}),
        ("action items", {5, 6}), ("Who has to do what?", {5, 6}),
    ],
)  # fmt: skip
def test_decisions_and_tasks_are_told(question: str, rows: set[int], asker: Asker) -> None:
    found = cited(asker.ask(question))
    assert {MEETING[i][1] for i in rows} <= set(found) and len(found) <= 4
    assert not {MEETING[i][1] for i in (1, 7, 8, 9)} & {*found} and not {*TALK} & {*found}


CHAT = [
    "Put it on like that.", "It was cold on the train.", "The lake is calm today.", "Herons eat frogs.",
    "My brother lives by the sea.", "The film was long.", "Oars are made of wood.", "Snow fell in April.",
]  # fmt: skip
DECIDED = ["Right, we keep the old boat.", "Good, then we have it repaired.", "Also streichen wir das Boot blau."]
TASKS = ["I'll phone the painter on Monday.", "Tina, could you get a ladder?", "Ich besorge bis Samstag die Farbe."]


@pytest.mark.parametrize("kind, told", [("decided", DECIDED), ("tasks", TASKS)])
def test_decisions_and_tasks_are_told_apart(kind: str, told: list[str], asker: Asker) -> None:
    """From each other and from small talk; the clearest comes first."""
    said = [Segment(STEP * i, STEP * i + 19, t) for i, t in enumerate([*CHAT, *DECIDED, *TASKS, *CHAT[1:]])]
    encoder = asker.text_encoder
    rows = RowSet([asker.archive.shard(put(asker.archive, "boat.mp4", segments=said, encoder=encoder))], encoder.spec)
    found = [rows.rows[at].text for at in agreed(rows, np.ones(len(said), bool), encoder, kind)]
    assert set(found[:2]) < set(told) and len(set(found) & set(told)) >= 2
    assert len(set(found) - set(told)) <= 1
    assert agreed(rows, np.zeros(len(said), bool), encoder, kind) == []


def test_a_decision_on_something_is_a_fact(asker: Asker) -> None:
    answer = asker.ask("What was decided about the varnish?")
    assert MEETING[4][1] in cited(answer) and len(answer.citations) <= 3


@pytest.mark.parametrize(
    "question, row", [("How does the meeting start?", 0), ("Was wird am Ende gesagt?", 10), ("last words", 10)]
)
def test_beginnings_and_ends_are_told(question: str, row: int, asker: Asker) -> None:
    found = cited(asker.ask(question, ["meeting-2025-03-04.mp4"]))
    assert MEETING[row][1] in found and len(found) == 2


@pytest.mark.parametrize(
    "question, row", [("When does the regatta begin?", 8), ("How long did the boathouse roof hold?", 1)]
)
def test_how_something_begins_and_how_long_it_lasts_are_facts(question: str, row: int, asker: Asker) -> None:
    """Where rows speak of it; of the video itself everything else is asked."""
    found = asker.ask(question, ["meeting-2025-03-04.mp4"])
    assert MEETING[row][1] in cited(found) and len(found.citations) <= 3 and "long," not in found.text


def test_what_comes_after_or_before_something_is_told(asker: Asker) -> None:
    after = asker.ask("What is said after the boathouse roof?")
    assert cited(after) == [text for _, text in MEETING[1:5]]
    before = asker.ask("What is said before the herons on the island?")
    assert cited(before) == [text for _, text in MEETING[6:10]]


def test_what_someone_says_is_told_of_them_alone(asker: Asker) -> None:
    answer = asker.ask("What does Ben say?")
    assert cited(answer) and {e.speaker for e in answer.cited()} == {"Ben Okafor"}


def test_a_moment_beyond_the_end_is_told(asker: Asker) -> None:
    """It may be a time of the day where the question asks for anything else."""
    answer = asker.ask("What is said at 9:30 in meeting-2025-03-04.mp4?")
    assert answer.abstained and "lies beyond the end" in answer.text
    assert cited(asker.ask("Was the address told at 9:30?", ["meeting-2025-03-04.mp4"]))


@pytest.mark.parametrize(
    "question, speakers",
    [
        ("What does Ines say about the oars?", {"Ines Moll"}),
        ("Was sagt Ben zu den oars?", {"Ben Okafor"}),
        ("How often does Ben mention the oars?", {"Ben Okafor"}),
        ("How often are the oars mentioned?", {"Ben Okafor", "Ines Moll"}),
        ("What is said about Ben and the lake authority?", {"Ben Okafor", "Ines Moll"}),
        ("Who said something about oars to Ben?", {"Ben Okafor", "Ines Moll"}),
    ],
)
def test_what_someone_says_of_something_is_theirs(question: str, speakers: set[str], asker: Asker) -> None:
    answer = asker.ask(question, ["meeting-2025-03-04.mp4"])
    assert {e.speaker for e in answer.cited()} == speakers


@pytest.mark.parametrize(
    "question, name",
    [("Which video is about baking?", "bread.mp4"), ("Which video is about sport?", "meeting-2025-03-04.mp4")],
)
def test_a_video_about_something_is_the_nearest(question: str, name: str, asker: Asker) -> None:
    """Where none holds the word."""
    answer = asker.ask(question)
    assert answer.request.kind == "whole" and {e.name for e in answer.cited()} == {name}


def test_a_video_of_the_name_is_told_where_nothing_answers(asker: Asker) -> None:
    answer = asker.ask("Who is doing yoga?")
    assert answer.abstained and answer.notes == ("with this in the name: yoga_class.mp4",)
    assert asker.ask("Is there a submarine?").notes == ()


@pytest.mark.parametrize(
    "question, rows",
    [
        ("all prices", [2]),
        ("List all e-mail addresses.", [7]),
        ("Which phone numbers are mentioned?", [7]),
        ("Which dates are mentioned?", [8]),
    ],
)
def test_things_are_found_by_how_they_are_written(question: str, rows: list[int], asker: Asker) -> None:
    assert cited(asker.ask(question)) == [MEETING[i][1] for i in rows]


@pytest.mark.parametrize(
    "question, text, there",
    [
        ("prices", "It is $5", True), ("Preise", "450 Euro", True), ("价格", "八十 88块", True),
        ("prices", "5 people", False),
        ("all links", "see https://a.b", True), ("links", "go to shed.example.org/day", True), ("links", "a.b", False),
        ("e-mail", "write to info at the shed dot org", True), ("prices", "about eighty thousand pounds", True),
        ("phone", "five five one two zero nine four", True),
        ("how do I email her", "mail hello at the leaky tap dot example", True),
        ("phone", "It's oh one six six nine, five five five, three one eight.", True),
        ("phone", "zero one nine one, double five five, oh one four two", True),
        ("phone", "one or two, three or four, in the nineties", False),
        ("links", "mail me@shed.example.org", False), ("phone", "+49 (0)30 23125-14", True),
        ("phone", "in 1987", False),
        ("dates", "14 June", True), ("dates", "bis zum 30. September", True), ("dates", "6月18号", True),
        ("dates", "2025-03-04", True), ("dates", "the 3 marathons", False), ("emails", "no mail here", False),
    ],
)  # fmt: skip
def test_how_things_are_written(question: str, text: str, there: bool) -> None:
    sort = asked_for(question)
    assert sort is not None and sort.held(text) == there


@pytest.mark.parametrize(
    "question, text, language",
    [
        ("número de telefono", "llamar al nueve cinco ocho, cinco cinco cinco, cero siete cuatro", "es"),
        ("Telefon", "die null eins sieben sechs, fünf fünf fünf, drei eins acht", "de"),
        ("téléphone", "zéro un, quarante-deux, cinquante-cinq, douze, trente", "fr"),
    ],
)
def test_numbers_are_read_in_the_language_of_the_video(question: str, text: str, language: str) -> None:
    sort = asked_for(question)
    assert sort is not None and sort.held(text, language) and not sort.held("eins, zwei, un, deux, uno", language)


@pytest.mark.parametrize(
    "question", ["how do i email the authority pls", "lake authority phone number", "Telefonnummer der authority?"]
)
def test_an_address_is_told_of_what_is_asked(question: str, asker: Asker) -> None:
    assert cited(asker.ask(question)) == [MEETING[7][1]]
    assert asker.ask("What is the phone number of the treasurer?").abstained


def test_other_things_have_no_looks_of_their_own() -> None:
    assert asked_for("every mention of the cafe") is None


@pytest.mark.parametrize(
    "question, rest",
    [
        ("How does TS3004c end?", "How does video end?"),
        ("What is the bread talk about?", "What is the video about?"),
        ("Is the talk on bread good?", "Is the video on video good?"),
        ("What is the talk about?", "What is the video about?"),
        ("Worum geht es im Café-Rundgang durch die Kläranlage?", "Worum geht es im video durch die video?"),
        ("summarise bees_in_winter", "summarise video"),
        ("Summarise bread talk 2026-03-17, please.", "Summarise video, please."),
        ("What is said in the first minute?", None),
        ("How does TS3011 end?", None),
        ("Who talks?", None),
        ("How long is 2024?", None),
    ],
)
def test_videos_are_named_by_words_and_marks(question: str, rest: str | None, tmp_path: Path) -> None:
    names = ["TS3004c.mp4", "bread-talk.webm", "klaeranlage-cafe-rundgang-2.mp4", "2024.mp4", "bees-in-winter.mp4"]
    where = Archive.create(tmp_path / "archive")
    rows = RowSet([where.shard(put(where, name)) for name in names], SPEC)
    places, left = titled(question, rows)
    assert (left, len(places)) == ((rest, 1) if rest else (question, 0))


def test_a_question_is_also_asked_of_a_video_without_its_answer(tmp_path: Path) -> None:
    """Rows that share a window with the answer are gone; another video's words do not count."""
    said = [(3600.0 + STEP * i, t) for i, t in enumerate(["We now speak of bees.", "A queen lives for five years."])]
    talk = "A hive stands behind the mill. " * 12
    rows = [Segment(0.0, 60.0, talk), *(Segment(at, at + 19, t) for at, t in said)]
    where, encoder = Archive.create(tmp_path / "archive"), E5(E5Options())
    put(where, "bees.mp4", segments=rows, encoder=encoder)
    put(where, "bread.mp4", segments=[Segment(0.0, 9.0, TALK[0])], encoder=encoder)
    place = Place(video="bees.mp4", modality="any", span=Span(3620.0, 3630.0))
    asked = OpenQuestion(
        id="1", question="How long does a queen live?", kind="fact", lang="en", answerable=True, places=(place,),
        video="bees.mp4", elsewhere="bread.mp4",
    )  # fmt: skip
    asker = build.asker(where, profile.load("embedded"))
    found = {e.way: e for e in fit.grounds(OpenSet(name="x", questions=(asked,), transcripts={}, videos={}), asker)}
    assert {w: e.answerable for w, e in found.items()} == {
        "named": True, "without": False, "all": True, "elsewhere": False
    }  # fmt: skip
    assert found["named"].grounds.held > 0.4 and found["without"].grounds.held == 0
    assert found["without"].grounds.near < found["named"].grounds.near
