"""Phrases that were misheard, options that rows bear out, corrections, order, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest
from vidrag.query.answer.chooser import fitted, weighed
from vidrag.query.answer.extractive import Extractive, ExtractiveOptions
from vidrag.query.answer.ordering import ordered
from vidrag.query.answer.passages import alone
from vidrag.query.answer.support import NAMES, features
from vidrag.query.text.likeness import likeness, numbers_heard, spelt
from vidrag.query.types import Passage, Task
from vidrag.query.understand.options import unlettered
from vidrag.store.records import Evidence

NONE = "The videos do not say"


def like(phrase: str, text: str) -> float:
    return float(likeness([spelt(phrase)], [spelt(text)])[0, 0])


@pytest.mark.parametrize(
    ("phrase", "heard", "else_"),
    [
        ("boat shed", "At the boat head, they found a hammer.", "At the bell workshop, they found a hammer."),
        ("rose garden", "The key to the long garden is lost.", "The key to the clock tower is lost."),
        ("Daniel Reed", "Before leaving, then you'll read hid the map.", "Before leaving, Victor Stone hid the map."),
        ("silver grey hedgehog", "Remember the world's silvery hedgehog?", "Remember the words dark green otter."),
    ],
)
def test_a_misheard_phrase_is_liker_than_another(phrase: str, heard: str, else_: str) -> None:
    assert like(phrase, heard) > like(phrase, else_) + 0.05


def test_numbers_are_there_or_not() -> None:
    assert like("seventy two", "She walked it in 72 minutes.") == 1
    assert like("5559", "Locker 5558") == 0
    assert like("glass house", "the glass house") == 1


@pytest.mark.parametrize("at_least", [0.3, 0.5, 0.9])
def test_what_is_sure_enough_is_not_changed_by_a_bound(at_least: float) -> None:
    phrases = [spelt(p) for p in ("boat shed", "rose garden", "seventy two", "Daniel Reed", "old", "4719", "clock")]
    heard = (
        "At the boat head, 72 men.",
        "The key to the long garden.",
        "Then you'll read hid the map.",
        "An old clock",
    )
    exact = likeness(phrases, [spelt(t) for t in heard])
    bound = likeness(phrases, [spelt(t) for t in heard], at_least)
    assert (exact >= at_least).any() and (exact < at_least).any()
    assert np.array_equal(bound[exact >= at_least], exact[exact >= at_least])
    assert (bound[exact < at_least] < at_least).all()


def row(i: int, text: str, start: float = 0.0, kind: str = "speech", video: str = "a") -> Evidence:
    return Evidence(f"E{i}", kind, video, f"{video}.mp4", start, start + 2, text, 1.0, i)  # type: ignore[arg-type]


def ask(question: str, options: tuple[str, ...], *rows: Evidence, **more: object) -> Task:
    return Task(question=question, options=options, evidence=rows, passages=alone(rows), **more)  # type: ignore[arg-type]


def chosen(task: Task) -> int | None:
    return Extractive(ExtractiveOptions()).answer(task).choice


def test_a_later_correction_wins() -> None:
    question = "How long did Helen Parker need for the ridge path?"
    rows = (
        row(1, "Helen Parker walked the ridge path in 31 minutes.", 10),
        row(2, "A correction: Helen Parker walked the ridge path in 72 minutes, not 31.", 90),
    )
    task = ask(question, ("thirty one", "seventy two", "nineteen", NONE), *rows)
    assert chosen(task) == 1
    by = features(task).values
    assert by[0, 1, NAMES.index("denied")] == 1 and by[1, 0, NAMES.index("outdated")] == 1
    assert by[0, 1, NAMES.index("was")] > 0.9 and by[1, 1, NAMES.index("was")] == 0


def test_a_row_about_another_subject_is_no_answer() -> None:
    options = ("5196", "3818", NONE)
    other = row(1, "Alarm code for the old mill: 3818", kind="text")
    own = row(2, "Alarm code for the bell workshop: 5196", kind="text")
    question, subjects = "What is the alarm code for the bell workshop?", ("alarm code", "bell workshop")
    assert chosen(ask(question, options, other, own, subjects=subjects)) == 0
    assert (
        Extractive(ExtractiveOptions())
        .answer(ask("Where do penguins sleep?", options, other, subjects=("penguins", "sleep")))
        .abstained
    )


def test_what_a_model_believes_counts_beside_the_rows() -> None:
    task = ask("Who keeps the key?", ("Ann", "Bob", NONE), row(1, "The key is kept by Bob."))
    alone_, swayed = weighed(task), weighed(task, (0.98, 0.01, 0.01))
    assert alone_.shares.argmax() == 1 and swayed.shares[0] > alone_.shares[0]
    assert weighed(task, (0.9, 0.05, 0.05), by_rows=False).shares.argmax() == 0
    assert alone_.silent == 2 and float(alone_.shares.sum()) == pytest.approx(1)


def test_the_shipped_chooser_is_whole() -> None:
    """Matches count for an option, denials and corrections against it; its curve says how right it is when sure."""
    chooser = fitted()
    assert chooser.weights["match x covered"] > 0 > chooser.weights["match x denied"]
    assert chooser.weights["match x outdated"] < 0 and chooser.silent > 0
    assert chooser.weights["match x lacks"] < 0 < chooser.weights["tinted"]
    assert 0 <= chooser.answers(0, 0, 0) < chooser.answers(1, 1, 1) <= 1
    assert chooser.fitted["curve"] and chooser.fitted["right"] > 0.5


def test_the_first_and_last_of_the_options_are_told_by_time() -> None:
    rows = (
        row(1, "Plans for the hut", 50, "text"),
        row(2, "The day of the otter", 5, "text"),
        row(3, "How we store wire", 90, "text"),
    )
    options = ("The day of the otter", "How we store wire", "Plans for the hut", NONE)
    last, first = (ordered(ask("Which slide comes ...?", options, *rows, order=o)) for o in ("last", "first"))
    assert last and first and (last.choice, first.choice) == (1, 0)
    assert last.citations == ("E2", "E1", "E3")
    assert ordered(ask("Which slide comes last?", options, *rows[:1], order="last")) is None
    assert ordered(ask("Which slide is blue?", options, *rows)) is None


def test_of_several_rows_the_first_or_the_last_counts_not_the_best() -> None:
    """The otter is mentioned early in other words, and by its whole name at the end."""
    rows = (
        row(1, "Here comes the day of the otter at last", 5),
        row(2, "How we store wire", 50),
        row(3, "The day of the otter", 90),
    )
    options = ("How we store wire", "The day of the otter")
    first = ordered(ask("Which is mentioned first?", options, *rows, order="first"))
    last = ordered(ask("Which is mentioned last?", options, *rows, order="last"))
    assert first and last and (first.choice, last.choice) == (1, 1)


def test_options_keep_their_initials() -> None:
    assert unlettered(["E. coli", "S. aureus"]) == ["E. coli", "S. aureus"]
    assert unlettered(["A. cows", "B. E. coli", "(C) C. elegans"]) == ["cows", "E. coli", "C. elegans"]
    assert unlettered(["A. thaliana", "yeast"]) == ["A. thaliana", "yeast"]


def test_screen_text_about_something_else_is_no_answer() -> None:
    """Where the question names what it asks about; where it only describes it, the row need not hold that."""
    rows = (
        row(1, "Warden of the stone bridge: Martin Webster", kind="text"),
        row(2, "Alarm code for the fish market: 5765", kind="text"),
    )
    options = ("Martin Webster", "Peter Hughes", NONE)
    subjects = ("warden", "fish market")
    task = ask("Who is the warden of the fish market?", options, *rows, subjects=subjects)
    assert chosen(task) == 2
    at = NAMES.index("lacks")
    assert features(task).values[0, :, at].tolist() == [1.0, 1.0]
    told = ask("Who is the warden of the stone bridge?", options, *rows, subjects=("warden", "stone bridge"))
    assert chosen(told) == 0 and features(told).values[0, 0, at] == 0
    unnamed = ask(
        "Who is the warden of the place where fish is sold?", options, *rows, subjects=subjects, described=True
    )
    assert not features(unnamed).values[..., at].any()


def test_what_a_slide_says_of_an_option_counts_by_its_line() -> None:
    slide = row(1, "Emblem of the lower quarry: a rabbit / Looking for the salmon", kind="text")
    task = ask(
        "Which animal is the emblem of the lower quarry?",
        ("salmon", "rabbit", "owl", NONE),
        slide,
        subjects=("emblem", "lower quarry"),
    )
    covered = features(task).values[:, 0, NAMES.index("covered")].tolist()
    assert covered[0] == 0 and covered[1] == covered[2] > 0.5
    assert chosen(task) == 1


def test_a_picture_is_held_against_the_colours_that_options_name() -> None:
    seen = row(1, "water bottle, lamp", kind="frame")
    options = ("a pink toy pig", "a green toy frog", "a clock")
    passage = Passage(
        ids=("E1",),
        link="alone",
        kind="frame",
        video="a",
        start=0.0,
        about=seen.text,
        answer=seen.text,
        rank=1,
        dense=0.0,
        shown=(0.2, 0.2, 0.2),
        tints=(-1, 0.6, 0),
    )
    task = Task(
        question="What does the picture show?", options=options, evidence=(seen,), passages=(passage,), visual=True
    )
    assert features(task).values[:, 0, NAMES.index("tinted")].tolist() == pytest.approx([-1, 0.6, 0])
    assert chosen(task) == 1


def test_two_rows_that_belong_together_answer_together() -> None:
    first = row(1, "Helen Parker hid the spare map at the boat shed.", video="a")
    second = row(2, "Locker number at the boat shed: 6918", kind="text", video="b")
    decoy = row(3, "Locker number at the glass house: 3880", kind="text", video="b")
    rows = (first, second, decoy)
    chain = Passage(
        ids=("E1", "E2"),
        link="chain",
        kind="text",
        video="b",
        start=0.0,
        about=f"{first.text} {second.text}",
        answer=second.text,
        rank=1,
    )
    question = "What is the locker number at the place where Helen Parker hid the spare map?"
    task = Task(question=question, options=("6918", "3880", NONE), evidence=rows, passages=(chain, *alone(rows)))
    draft = Extractive(ExtractiveOptions()).answer(task)
    assert (draft.choice, draft.citations) == (0, ("E1", "E2"))


def test_nothing_to_go_by_is_no_error() -> None:
    assert np.isfinite(features(Task(question="?", options=("a", "b"))).values).all()
    assert Extractive(ExtractiveOptions()).answer(Task(question="Who?", options=("Ann", NONE))).choice == 1
    assert (
        Extractive(ExtractiveOptions())
        .answer(Task(question="Who?", options=("", "🎬", "\x00"), evidence=(row(1, ""),)))
        .choice
        is not None
    )


@pytest.mark.parametrize("phrase, text", [("sea shells", "covered with seashells"), ("lighthouse", "a light house")])
def test_one_word_or_two(phrase: str, text: str) -> None:
    assert like(phrase, text) == 1
    assert like(phrase, "covered with rubber mats") < 0.5


@pytest.mark.parametrize(
    "between, put_right",
    [
        ("We were wrong about that.", True),
        ("We must correct an earlier remark.", True),
        ("It rained all day.", False),
        ("Actually, the view is nice.", False),
        ("Sorry, the old mill has twelve rooms, not nine.", False),
    ],
)
@pytest.mark.parametrize("gap", [3.0, 60.0])
def test_a_mistake_may_be_owned_up_to_in_a_sentence_of_its_own(between: str, put_right: bool, gap: float) -> None:
    rows = (
        row(1, "The crane can lift nineteen tons.", 10),
        row(2, between, 100),
        row(3, "The crane can lift seventy two tons.", 100 + gap),
    )
    task = Task(
        question="How many tons can the crane lift?",
        options=("nineteen", "seventy two"),
        evidence=rows,
        passages=alone(rows),
    )
    outdated = features(task).values[0, :, NAMES.index("outdated")]
    assert outdated.tolist() == [float(put_right and gap < 5), 0, 0]


def test_numbers_are_not_run_together() -> None:
    assert like("315000", "On May 3 15000 people came") == 0
    assert like("12 1234", "code 121 234") < 1


@pytest.mark.parametrize("said, outdated", [("not twelve", 1.0), ("not nineteen", 0.0), ("not a man overboard", 0.0)])
def test_a_correction_may_mishear_who_it_is_about(said: str, outdated: float) -> None:
    """It says that it is one, and takes back the very number."""
    rows = (
        row(1, "Adam Novak stayed under water for twelve seconds.", 10),
        row(2, f"A mistake slipped in before, and an overstate underwater for 93 seconds, {said}.", 90),
    )
    task = Task(
        question="For how long was Adam Novak under water?",
        options=("twelve", "ninety three"),
        evidence=rows,
        passages=alone(rows),
    )
    assert features(task).values[0, :, NAMES.index("outdated")].tolist() == [outdated, 0]


def test_a_number_that_was_misheard_is_told_by_its_sound() -> None:
    """Only where the row denies another number, so that it is known to tell one."""
    text = "The crane can lift high to free turns, not nineteen."
    like = dict(
        zip(
            ("thirty one", "eighty three", "45", "a crane"),
            numbers_heard(("thirty one", "eighty three", "45", "a crane"), text),
            strict=True,
        )
    )
    assert like["eighty three"] > like["thirty one"] and like["45"] == like["a crane"] == 0
    assert numbers_heard(("forty five",), "not 45") == [1.0] and numbers_heard(("forty five",), "") == [0.0]
    options, heard = ("nineteen", "thirty one", "eighty three", NONE), NAMES.index("heard")
    said = features(ask("How many tons can the crane lift?", options, row(1, text))).values[:, 0, heard]
    assert said[2] > 0.3 and said[1] == 0
    plain = features(ask("How many tons can the crane lift?", options, row(1, text.replace(", not nineteen", ""))))
    assert not plain.values[:, 0, heard].any()


def test_how_many_is_answered_by_a_row_with_a_number() -> None:
    seen = row(1, "water bottle, wine bottle, bottles", kind="frame")
    counted = row(2, "3 bottles", kind="detection")
    draft = Extractive(ExtractiveOptions()).answer(
        ask("How many bottles are in the picture?", (), seen, counted, subjects=("bottles",), visual=True)
    )
    assert draft.citations == ("E2",)
    shown = ask("Which bottles are in the picture?", (), seen, counted, subjects=("bottles",), visual=True)
    assert "E1" in Extractive(ExtractiveOptions()).answer(shown).citations


def test_a_phrase_may_be_said_in_other_words_but_not_a_name() -> None:
    price = row(1, "Price of a wooden oar: 9316", kind="text")
    at = NAMES.index("lacks")
    told = features(ask("How much does a wooden oar cost?", ("9316", NONE), price, subjects=("wooden oar cost",)))
    assert told.values[0, 0, at] == 0
    other = features(
        ask("How much does a leather glove cost?", ("9316", NONE), price, subjects=("leather glove cost",))
    )
    assert other.values[0, 0, at] == 1
    flag = row(1, "Flag colour in March: red", kind="text")
    named = features(ask("What is the flag colour in June?", ("red", NONE), flag, subjects=("June", "flag colour")))
    assert named.values[0, 0, at] == 1 and named.values[0, 0, NAMES.index("subject")] == 0
