"""Multiple choice without a language model: which option the rows bear out, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest
from vidrag.query.answer.extractive import Extractive, ExtractiveOptions
from vidrag.query.answer.options import covered, not_said, says_nothing, support, supporting, weighed
from vidrag.query.text.words import terms
from vidrag.query.types import Candidate, Draft, Task
from vidrag.query.understand.options import unlettered
from vidrag.store.records import Evidence

NONE = "The videos do not say"


def row(i: int, text: str, start: float = 0.0, kind: str = "speech", rank: int = 0) -> Evidence:
    return Evidence(f"E{i}", kind, "a", "a.mp4", start, start + 2, text, 1.0, rank or i)  # type: ignore[arg-type]


def ask(question: str, options: tuple[str, ...], *rows: Evidence, **more: object) -> Task:
    return Task(question=question, options=options, evidence=rows, **more)  # type: ignore[arg-type]


def draft(task: Task) -> Draft:
    return Extractive(ExtractiveOptions()).answer(task)


def test_the_option_that_a_row_bears_out_is_chosen_and_the_row_cited() -> None:
    rows = (row(1, "The key is kept by Bob."), row(2, "Ann sings in the choir."))
    found = draft(ask("Who keeps the key?", ("Ann", "Bob", NONE), *rows))
    assert (found.choice, found.citations, found.abstained) == (1, ("E1",), False)
    assert found.text == "Bob. “The key is kept by Bob.” (said, a.mp4 00:00) [E1]"


def test_a_row_that_holds_nothing_of_the_question_counts_little() -> None:
    """Numbers of another thing are no answer where a row about the thing asked for has one."""
    options = ("5196", "3818", NONE)
    other = row(1, "Length of the harbour wall: 3818", kind="text")
    own = row(2, "Alarm code for the bell workshop: 5196", kind="text")
    assert draft(ask("What is the alarm code for the bell workshop?", options, other, own)).choice == 0
    task = ask("What is the alarm code for the bell workshop?", options, other, own)
    own_share, other_share = support(task, "5196")[0], support(task, "3818")[0]
    assert own_share == (pytest.approx(1), "E2")
    assert other_share[1] == "E1" and 0 < other_share[0] < 0.5


def test_where_no_row_holds_an_option_nothing_is_said() -> None:
    options = ("on the moon", NONE)
    found = draft(ask("Where are the lockers?", options, row(1, "Please leave your suitcases downstairs.")))
    assert (found.choice, found.abstained, found.citations) == (1, True, ())
    assert found.text == NONE


def test_what_a_model_believes_counts_beside_the_rows() -> None:
    task = ask("Who keeps the key?", ("Ann", "Bob", NONE), row(1, "The key is kept by Bob."))
    alone, swayed = weighed(task), weighed(task, (0.98, 0.01, 0.01))
    assert alone.shares.argmax() == 1 and swayed.shares[0] > alone.shares[0]
    assert weighed(task, (0.9, 0.05, 0.05), by_rows=False).shares.argmax() == 0
    assert alone.silent == 2 and float(alone.shares.sum()) == pytest.approx(1)


def test_the_nearer_rows_lie_to_an_option_the_likelier_it_is() -> None:
    """Where words do not decide."""
    shares = [
        weighed(ask("What grows here?", ("moss", "lichen"), row(1, "It is green."), option_near=near)).shares[0]
        for near in ((1.0, 3.0), (2.0, 2.0), (3.0, 1.0))
    ]
    assert shares[0] < 0.4 < shares[1] < 0.6 < shares[2]


def picture(*affinity: float) -> Candidate:
    return Candidate(kind="frame", video="a", name="a.mp4", start=0, end=1, text="", score=3.0, affinity=affinity)


def test_a_picture_decides_only_what_is_asked_of_the_picture() -> None:
    options = ("a red hat", "a green coat")
    task = ask("What is he wearing?", options, pictured=(picture(0.2, 0.4), picture(0.3, 0.3)), visual=True)
    assert weighed(task).shares.argmax() == 1
    spoken = ask("What is he talking about?", options, pictured=(picture(0.2, 0.4),))
    assert weighed(spoken).shares.tolist() == [0.5, 0.5]
    best_first = ask("What?", options, pictured=(picture(0.2, 0.4), picture(0.4, 0.2)), visual=True)
    assert weighed(best_first).shares.argmax() == 1


def test_every_option_has_a_row_to_cite() -> None:
    """The best ranked one where none holds its words."""
    told = weighed(
        ask("Who?", ("Zoe", "Bob"), row(1, "Bob.", rank=2), row(2, "It rains.", rank=3), row(3, "Nobody.", rank=1))
    )
    assert told.ids == [("E3",), ("E1",)]


@pytest.mark.parametrize(
    "wanted, text, share",
    [
        ("blue staircase", "next to the blue staircase", 1.0),
        ("blue staircase", "next to the blue wall", 0.5),
        ("blue staircase", "it rains", 0.0),
        ("lighthouse", "the lighthose keeper", 0.7),
        ("4719", "locker 4718", 0.0),
        ("seventy two", "in 72 minutes", 1.0),
        ("", "anything", 0.0),
    ],
)
def test_how_much_of_a_phrase_a_row_holds(wanted: str, text: str, share: float) -> None:
    """A longer word that is nearly the same counts in part, a number is there or not."""
    assert covered(terms(wanted), terms(text), {}) == pytest.approx(share)


def test_rare_words_count_more() -> None:
    weight = dict(zip(terms("blue staircase"), (1.0, 3.0), strict=True))
    assert covered(terms("blue staircase"), terms("the staircase"), weight) == pytest.approx(0.75)


def test_rows_that_bear_out_an_answer_come_best_first() -> None:
    rows = (row(1, "A blue wall."), row(2, "The lockers are next to the blue staircase."), row(3, "The staircase."))
    task = ask("Where are the lockers?", (), *rows)
    assert supporting(task, "next to the blue staircase", near=0.05) == ("E2", "E1", "E3")
    assert supporting(task, "next to the blue staircase") == ("E2",)
    assert supporting(task, "on the moon") == ()


@pytest.mark.parametrize(
    "option, none",
    [
        (NONE, True), ("It is not mentioned.", True), ("none of these", True), ("cannot be determined", True),
        ("unknown", True), ("He did not say goodbye", False), ("a nun", False), ("", False),
    ],
)  # fmt: skip
def test_an_option_may_say_that_nothing_is_said(option: str, none: bool) -> None:
    assert not_said(("one", option, "two")) == (1 if none else None)


@pytest.mark.parametrize(
    "answer, silent",
    [
        ("The video does not mention it.", True),
        ("It is not stated.", True),
        ("Not mentioned in the evidence.", True),
        ("Es wird nicht erwähnt.", True),
        ("No se menciona en el vídeo.", True),
        ("没有提到。", True),
        ("At nine. The price is not mentioned.", False),
        ("Nothing rhymes with orange.", False),
        ("", False),
    ],
)
def test_a_written_answer_may_say_that_nothing_is_said(answer: str, silent: bool) -> None:
    assert says_nothing(answer) is silent


def test_options_keep_their_initials() -> None:
    assert unlettered(["E. coli", "S. aureus"]) == ["E. coli", "S. aureus"]
    assert unlettered(["A. cows", "B. E. coli", "(C) C. elegans"]) == ["cows", "E. coli", "C. elegans"]
    assert unlettered(["A. thaliana", "yeast"]) == ["A. thaliana", "yeast"]


def test_nothing_to_go_by_is_no_error() -> None:
    assert np.isfinite(weighed(Task(question="?", options=("a", "b"))).shares).all()
    odd = Task(question="Who?", options=("", "🎬", "\x00"), evidence=(row(1, ""),))
    assert draft(odd).choice is not None


@pytest.mark.parametrize("options, choice", [(("Ann", NONE), 1), (("Ann", "Bob"), None)])
def test_without_rows_nothing_is_said(options: tuple[str, ...], choice: int | None) -> None:
    found = draft(Task(question="Who?", options=options))
    assert (found.choice, found.abstained, found.citations) == (choice, True, ())
