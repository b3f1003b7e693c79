"""What a language model writes is read with care: nothing that it invents gets into a draft."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vidrag.query.chat import read_reply

IDS = ("E1", "E2", "E10")


@pytest.mark.parametrize(
    "text, options, answer, choice, citations",
    [
        ('{"answer": " It is red. ", "citations": ["E2", "[E1]", "E2"]}', 0, "It is red.", None, ("E2", "E1")),
        ('{"choice": "B", "citations": []}', 3, "", 1, ()),
        ('{"choice": "b)", "citations": ["E10"]}', 3, "", 1, ("E10",)),
        ('{"choice": "D", "citations": ["E1"]}', 3, "", None, ("E1",)),
        ('{"choice": null, "citations": null, "answer": null}', 2, "", None, ()),
        ('{"choice": "A", "citations": "E1"}', 2, "", 0, ()),
        ("The cat sleeps [E2].", 0, "The cat sleeps [E2].", None, ("E2",)),
        ("B. Next to the stairs (E1, E10)", 2, "B. Next to the stairs (E1, E10)", 1, ("E1", "E10")),
        ("", 0, "", None, ()),
        ("", 2, "", None, ()),
        ("[1, 2]", 0, "[1, 2]", None, ()),
        ('"E1"', 0, '"E1"', None, ("E1",)),
    ],
)
def test_a_reply_becomes_a_draft(
    text: str, options: int, answer: str, choice: int | None, citations: tuple[str, ...]
) -> None:
    """JSON as asked for, JSON that is not quite right, and plain prose are all read."""
    draft = read_reply(text, options, IDS)
    assert (draft.text, draft.choice, draft.citations) == (answer, choice, citations)


def test_invented_ids_are_dropped_with_a_note() -> None:
    """An id that does not exist is not cited, and the user hears of it."""
    draft = read_reply('{"answer": "x", "citations": ["E3", "E1", "E99"]}', 0, IDS)
    assert draft.citations == ("E1",)
    assert any("E3" in note and "E99" in note for note in draft.notes)


def test_no_choice_is_noted() -> None:
    assert any("none of the options" in note for note in read_reply("Hm.", 3, IDS).notes)
    assert read_reply("Hm.", 0, IDS).notes == ()


def test_not_answerable_is_an_abstention() -> None:
    assert read_reply('{"answerable": false, "answer": "", "citations": []}', 0, IDS).abstained
    assert not read_reply('{"answerable": true, "answer": "x", "citations": []}', 0, IDS).abstained


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, '{"answer": 1e999}'])
def test_a_hostile_reply_is_read_as_text(text: str) -> None:
    """Deep nesting and huge numbers are no way to bring the program down."""
    assert read_reply(text, 2, IDS).citations == ()


@given(st.text() | st.from_type(dict[str, str | int | list[str] | None]).map(json.dumps), st.integers(0, 26))
def test_whatever_is_written_a_draft_is_sound(text: str, options: int) -> None:
    draft = read_reply(text, options, IDS)
    assert set(draft.citations) <= set(IDS)
    assert draft.choice is None or 0 <= draft.choice < options
