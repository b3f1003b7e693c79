"""What a language model writes is read with care: nothing that it invents gets into a draft."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vidrag.query.answer.models.replies import letter_mass, read_reply, said_so_far
from vidrag.query.types import Draft

IDS = ("E1", "E2", "E10")
OPTIONS = ("red", "green", "The video does not say")


@pytest.mark.parametrize(
    "text, options, answer, choice, citations",
    [
        ('{"answer": " It is red. ", "citations": ["E2", "[E1]", "E2"]}', 0, "It is red.", None, ("E2", "E1")),
        ('{"choice": "B", "citations": ["E1"]}', 3, "", 1, ("E1",)),
        ('{"choice": "b)", "citations": ["E10"]}', 3, "", 1, ("E10",)),
        ('{"choice": "(C) green", "citations": ["E10"]}', 3, "", 2, ("E10",)),
        ('{"choice": "Green", "citations": ["E10"]}', 3, "", 1, ("E10",)),
        ('Sure!\n```json\n{"answer": "x", "citations": ["E1"]}\n```', 0, "x", None, ("E1",)),
        ('{not this} {"answer": "x", "citations": ["E1"]}', 0, "x", None, ("E1",)),
    ],
)
def test_a_reply_becomes_a_draft(
    text: str, options: int, answer: str, choice: int | None, citations: tuple[str, ...]
) -> None:
    """JSON as asked for, and what models put around it."""
    draft, problem = read_reply(text, OPTIONS[:options], IDS)
    assert draft and problem == ""
    assert (draft.text, draft.choice, draft.citations) == (answer, choice, citations)


@pytest.mark.parametrize(
    "text, options, problem",
    [
        ("", 0, "is empty"),
        (" \n", 2, "is empty"),
        ("The cat sleeps [E2].", 0, "is no JSON object"),
        ("B. Next to the stairs (E1, E10)", 2, "is no JSON object"),
        ("<!DOCTYPE html><p>502 Bad Gateway</p>", 0, "is HTML"),
        ("[1, 2]", 0, "is no JSON object"),
        ('"E1"', 0, "is no JSON object"),
        ('{"answer": "x", "citations": ["E1"', 0, "is no JSON object"),
        ('{"answer": null, "citations": null}', 0, "holds no answer"),
        ('{"answer": ["x"], "citations": ["E1"]}', 0, "holds no answer"),
        ('{"choice": "D", "citations": ["E1"]}', 3, "chooses none of the options"),
        ('{"choice": "Because", "citations": ["E1"]}', 3, "chooses none of the options"),
        ('{"choice": null, "citations": ["E1"]}', 3, "chooses none of the options"),
        ('{"choice": 1, "citations": ["E1"]}', 3, "chooses none of the options"),
        ('{"answer": "' + "x" * 20_000 + '"}', 0, "has 20014 characters"),
    ],
)
def test_what_is_no_answer_is_named(text: str, options: int, problem: str) -> None:
    assert read_reply(text, OPTIONS[:options], IDS) == (None, problem)


def test_a_reply_that_was_cut_off_is_no_answer() -> None:
    """Even where what there is of it can be read."""
    whole = '{"answer": "x", "citations": ["E1"]}'
    assert read_reply(whole, (), IDS, cut=True) == (None, "was cut off after 36 characters")


def test_invented_ids_are_dropped_and_named() -> None:
    draft, problem = read_reply('{"answer": "x", "citations": ["E3", "E1", "E99"]}', (), IDS)
    assert draft and draft.citations == ("E1",)
    assert problem == "cites E3, E99, which do not exist"
    draft, problem = read_reply('{"answer": "x", "citations": ["E7"]}', (), IDS)
    assert draft and draft.citations == () and problem == "cites E7, which does not exist"


def test_an_answer_without_a_row_is_named_where_there_are_rows() -> None:
    told = '{"answer": "x", "citations": "E1"}'
    assert read_reply(told, (), IDS)[1] == "cites no row"
    assert read_reply(told, (), ())[1] == ""


def test_not_answerable_is_an_abstention() -> None:
    """Which needs no row."""
    draft, problem = read_reply('{"answerable": false, "answer": "", "citations": []}', (), IDS)
    assert draft and draft.abstained and problem == ""
    draft, _ = read_reply('{"answerable": true, "answer": "x", "citations": []}', (), IDS)
    assert draft and not draft.abstained


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, '{"answer": 1e999}', "{" * 50_000, '{"answer": "\\']
)
def test_a_hostile_reply_is_no_answer(text: str) -> None:
    """Deep nesting and huge numbers are no way to bring the program down."""
    assert read_reply(text, OPTIONS, IDS)[0] is None
    assert said_so_far(text) == ""


@given(st.text() | st.from_type(dict[str, str | int | list[str] | None]).map(json.dumps), st.integers(0, 3))
def test_whatever_is_written_a_draft_is_sound(text: str, options: int) -> None:
    draft, problem = read_reply(text, OPTIONS[:options], IDS)
    assert draft is not None or problem
    assert draft is None or isinstance(draft, Draft)
    if draft:
        assert set(draft.citations) <= set(IDS)
        assert draft.choice is None or 0 <= draft.choice < options


@given(st.text())
@example("\\")
@example('\\u00e9 is "\\')
def test_an_answer_is_told_as_it_is_written(answer: str) -> None:
    """Each prefix of the reply gives a prefix of the answer, and the whole one the whole answer."""
    for plain in (True, False):
        reply = json.dumps({"citations": ["E1"], "answer": answer}, ensure_ascii=plain)
        for end in range(len(reply)):
            assert answer.startswith(said_so_far(reply[:end]))
        assert said_so_far(reply) == answer


def test_letters_are_found_among_tokens() -> None:
    top = {"A": 0.5, " A": 0.1, "(B": 0.2, "B.": 0.05, "b": 0.01, "AB": 0.3, "D": 0.2, "": 0.1, "飞": 0.1}
    assert letter_mass(top, 3) == pytest.approx([0.6, 0.25, 0.0])
