"""What becomes of replies that are not what was asked for: asked again once, then the evidence answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from chat_server import ChatServer, completion, knowing, obliging, serving, streamed
from engine_tools import loaded
from vidrag.query.answer.answering import draft_of
from vidrag.query.answer.models.remembered import RememberingModel, ReplyCache, remembering
from vidrag.query.answer.options import supporting
from vidrag.query.types import Task
from vidrag.store.errors import EngineFailed
from vidrag.store.records import Evidence

ROWS = (
    Evidence("E1", "speech", "0" * 16, "talk.mp4", 1.0, 4.0, "Please leave your suitcases downstairs.", 0.4, 2),
    Evidence("E2", "speech", "0" * 16, "talk.mp4", 5.0, 8.0, "The lockers are next to the blue staircase.", 0.9, 1),
    Evidence("E3", "text", "0" * 16, "talk.mp4", 5.0, 9.0, "Locker code: 4719", 0.3, 3),
)
OPEN = Task(question="Where are the lockers?", evidence=ROWS)
CHOICE = Task(question="Where are the lockers?", options=("in the cafe", "next to the blue staircase"), evidence=ROWS)
GOOD = '{"answer": "Next to the blue staircase.", "answerable": true, "citations": ["E2"], "choice": "B"}'


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as running:
        yield running


def engine(server: ChatServer, **options: Any) -> Any:
    return loaded("chat", "openai", {"base_url": server.url, "model": "m", "retries": 0, "timeout_s": 5, **options})


def saying(server: ChatServer, replies: Sequence[str], why: str = "stop") -> None:
    """Replies in order; the last one stays."""

    def respond(request: dict[str, Any]) -> Any:
        turn = sum(m["role"] == "assistant" for m in request["messages"])
        text = replies[min(turn, len(replies) - 1)]
        return completion(text, why if turn == 0 else "stop")

    server.respond = respond


BAD = {
    "prose": "They are next to the staircase [E2].",
    "empty": "",
    "HTML": "<html><body>502 Bad Gateway</body></html>",
    "half": '{"answer": "Next to the bl',
    "long": json.dumps({"answer": "x" * 30_000, "citations": ["E2"]}),
    "no such row": GOOD.replace("E2", "E9"),
    "no row": GOOD.replace('"E2"', ""),
    "a list": "[1, 2, 3]",
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("task", [OPEN, CHOICE], ids=["open", "choice"])
def test_a_bad_reply_is_asked_for_again(server: ChatServer, kind: str, task: Task) -> None:
    """Once, in the same conversation, with what was wrong; the good one counts, and nothing is said of it."""
    saying(server, [BAD[kind], GOOD])
    draft = draft_of(engine(server, logprobs=False), task)
    assert draft.citations == ("E2",)
    assert draft.choice == (1 if task.options else None)
    assert not any("reply" in n for n in draft.notes if "JSON reply, once" not in n)
    roles = [m["role"] for m in server.requests[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"] and len(server.requests) == 2
    assert len(server.requests[1]["messages"][2]["content"]) <= 500


def test_a_reply_that_was_cut_is_asked_for_again(server: ChatServer) -> None:
    saying(server, [GOOD, GOOD], why="length")
    assert draft_of(engine(server), OPEN).usage.calls == 2
    assert "was cut off" in server.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize("kind", ["prose", "empty", "HTML", "half", "long", "a list"])
def test_two_bad_replies_fail(server: ChatServer, kind: str) -> None:
    """The asker then answers from evidence alone."""
    saying(server, [BAD[kind]])
    with pytest.raises(EngineFailed, match="also when asked again"):
        draft_of(engine(server), OPEN)
    assert len(server.requests) == 2


@pytest.mark.parametrize("kind, told", [("no such row", "E9"), ("no row", "cites no row")])
def test_two_replies_without_rows_are_marked(server: ChatServer, kind: str, told: str) -> None:
    """The answer counts, the row that bears it out is cited."""
    saying(server, [BAD[kind]])
    draft = draft_of(engine(server), OPEN)
    assert told in draft.notes[0] and "also when asked again" in draft.notes[0]
    assert draft.citations == ("E2",)


def test_the_better_of_two_is_taken(server: ChatServer) -> None:
    saying(server, [GOOD.replace('"E2"', '"E3", "E8"'), BAD["HTML"]])
    assert draft_of(engine(server), OPEN).text == "Next to the blue staircase."


def test_an_answer_cites_the_row_that_bears_it_out(server: ChatServer) -> None:
    """Also where the model names the one beside; a row that says nothing of it goes."""
    saying(server, [GOOD.replace("E2", "E3")])
    assert draft_of(engine(server), OPEN).citations == ("E2",)


def test_what_no_row_bears_out_keeps_the_rows_that_the_model_names(server: ChatServer) -> None:
    saying(server, ['{"answer": "Im Keller.", "answerable": true, "citations": ["E1"]}'])
    assert draft_of(engine(server), OPEN).citations == ("E1",)


def test_without_rows_the_model_is_not_asked(server: ChatServer) -> None:
    draft = draft_of(engine(server), Task(question="Where are the lockers?"))
    assert draft.abstained and server.requests == []


def test_an_answer_is_told_as_it_is_written(server: ChatServer) -> None:
    """Always from its start; a second try begins anew."""
    replies = ["no JSON", GOOD]
    server.respond = lambda r: streamed(replies[sum(m["role"] == "assistant" for m in r["messages"])])
    told = list[str]()
    draft = draft_of(engine(server), Task(question=OPEN.question, evidence=ROWS, tell=told.append))
    assert draft.text == told[-1] == "Next to the blue staircase."
    assert len(told) > 2 and all(draft.text.startswith(t) for t in told)


def test_half_a_stream_is_asked_for_again(server: ChatServer) -> None:
    server.respond = lambda r: streamed(GOOD, end=len(r["messages"]) > 2)
    assert draft_of(engine(server), Task(question=OPEN.question, evidence=ROWS, tell=lambda _: None)).citations == (
        "E2",
    )
    assert len(server.requests) == 2


def test_rows_that_bear_out_an_option_come_best_first() -> None:
    assert supporting(CHOICE, "next to the blue staircase") == ("E2",)
    assert supporting(CHOICE, "4719 downstairs", most=3, near=0.1) == ("E3", "E1")
    assert supporting(CHOICE, "on the moon") == ()


# Kept replies


def remembers(server: ChatServer, location: Any = None, **options: Any) -> RememberingModel:
    made = remembering(engine(server, **options), location)
    assert isinstance(made, RememberingModel)
    return made


@pytest.mark.parametrize("task", [OPEN, CHOICE, Task(question=OPEN.question, evidence=ROWS, tell=lambda _: None)])
def test_the_same_question_is_asked_once(server: ChatServer, task: Task, tmp_path: Any) -> None:
    """Also by the next process, and in words that come one by one; the answer is the same."""
    server.respond = knowing("next to the blue staircase")
    first = draft_of(remembers(server, tmp_path / "replies.sqlite"), task)
    asked = len(server.requests)
    second = draft_of(remembers(server, tmp_path / "replies.sqlite"), task)
    assert len(server.requests) == asked > 0
    assert second.usage.calls == second.usage.cached == first.usage.calls
    assert (second.text, second.choice, second.scores, second.citations, second.usage.replies) == (
        (first.text, first.choice, first.scores, first.citations, first.usage.replies)
    )
    assert first.usage.cached == second.usage.read == 0


@pytest.mark.parametrize(
    "options, task",
    [
        ({"model": "another"}, OPEN),
        ({"temperature": 0.5}, OPEN),
        ({"json_schema": False}, OPEN),
        ({}, Task(question="Where are the suitcases?", evidence=ROWS)),
        ({}, Task(question=OPEN.question, evidence=ROWS[:2])),
        ({}, CHOICE),
    ],
)
def test_another_model_or_question_is_asked(server: ChatServer, tmp_path: Any, options: Any, task: Task) -> None:
    draft_of(remembers(server, tmp_path / "r.sqlite"), OPEN)
    draft_of(remembers(server, tmp_path / "r.sqlite", **options), task)
    assert len(server.requests) >= 2


@pytest.mark.parametrize("kind", ["prose", "empty", "HTML", "half"])
def test_a_bad_reply_is_not_kept(server: ChatServer, tmp_path: Any, kind: str) -> None:
    """The next time brings a better one, perhaps."""
    saying(server, [BAD[kind]])
    with pytest.raises(EngineFailed):
        draft_of(remembers(server, tmp_path / "r.sqlite"), OPEN)
    server.respond = obliging
    assert draft_of(remembers(server, tmp_path / "r.sqlite"), OPEN).usage.calls == 1


def test_no_memory_where_none_is_wanted(server: ChatServer) -> None:
    assert not isinstance(remembering(engine(server, remember=False), None), RememberingModel)
    assert not isinstance(remembering(loaded("chat", "extractive"), None), RememberingModel)


@pytest.mark.parametrize("row", ["not JSON", "[1, 2]", '["x"]', '["x", {"A": "much"}]', "", None])
def test_a_damaged_reply_is_asked_for_again(server: ChatServer, tmp_path: Any, row: str | None) -> None:
    import sqlite3

    draft_of(remembers(server, tmp_path / "r.sqlite"), OPEN)
    raw = sqlite3.connect(tmp_path / "r.sqlite")
    raw.execute("UPDATE replies SET reply=?", (row,))
    raw.commit()
    raw.close()
    assert draft_of(remembers(server, tmp_path / "r.sqlite"), OPEN).citations
    assert len(server.requests) == 2


def test_the_longest_unused_replies_go_first(tmp_path: Any) -> None:
    import sqlite3

    from vidrag.query.types import Reply

    cache = ReplyCache(tmp_path / "r.sqlite", most=20)
    for i in range(20):
        cache.put(f"old {i:03}", Reply(text=str(i)))
    raw = sqlite3.connect(tmp_path / "r.sqlite")
    raw.execute("UPDATE replies SET used=1")
    raw.commit()
    assert cache.find("old 007") is not None  # used now
    for i in range(100):
        cache.put(f"new {i:03}", Reply(text=str(i)))
        cache.find("old 007")
        if i == 15:
            assert cache.find("old 007") is not None and cache.find("old 019") is None
    assert 20 <= raw.execute("SELECT count(*) FROM replies").fetchone()[0] <= 24
