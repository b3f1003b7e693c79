"""One client, many servers: OpenAI, vLLM, llama.cpp and Ollama as recorded, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chat_dialects import DIALECTS, LETTERS, MODEL, PICTURES, asked, running
from engine_tools import loaded
from vidrag.query.answer.answering import draft_of
from vidrag.query.answer.models import TooMuch
from vidrag.query.answer.models.replies import json_object
from vidrag.query.types import Message, Task
from vidrag.store.errors import EngineFailed
from vidrag.store.records import Evidence

ROWS = (
    Evidence("E1", "speech", "0" * 16, "talk.mp4", 1.0, 4.0, "The lockers are next to the blue staircase.", 0.9, 1),
    Evidence("E2", "speech", "0" * 16, "talk.mp4", 5.0, 8.0, "Please leave your suitcases downstairs.", 0.4, 2),
)
OPTIONS = ("in the cafe", "next to the blue staircase")
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}
LONG = "word " * 2000


@pytest.fixture(scope="module", params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(dialect: str) -> Iterator[str]:
    with running(dialect) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def client(url: str, **options: Any) -> Any:
    return loaded("chat", "openai", {"base_url": url, "model": MODEL, "retries": 0, "timeout_s": 10, **options})


def test_a_free_answer_comes_whole_and_in_pieces(dialect: str, url: str) -> None:
    """With its counts, also from a stream, where the server has them; what was refused is not asked for again."""
    engine, told = client(url), list[str]()
    task = Task(question="Where are the lockers?", evidence=ROWS)
    whole = draft_of(engine, task)
    before = len(asked(url))
    streamed = draft_of(engine, Task(question=task.question, evidence=ROWS, tell=told.append))
    assert whole.text == streamed.text == "The lockers are next to the blue staircase." == told[-1]
    assert whole.citations == streamed.citations == ("E1",) and len(told) > 1
    assert (whole.usage.read, whole.usage.written) == (11, 7)
    assert streamed.usage.read == (0 if dialect in ("old_vllm", "old_ollama") else 11)
    more = {"old_vllm": 1}.get(dialect, 0)  # it has refused the counts of a stream
    assert len(asked(url)) == before + 1 + more
    draft_of(engine, task)
    assert len(asked(url)) == before + 2 + more


def test_an_option_is_chosen_by_letters_or_by_json(dialect: str, url: str) -> None:
    engine = client(url, by_rows=False)
    draft = draft_of(engine, Task(question="Where are the lockers?", options=OPTIONS, evidence=ROWS))
    assert draft.choice == 1 and draft.citations == ("E1",)
    assert bool(draft.scores) is (dialect in LETTERS)
    assert any("no token probabilities" in n for n in draft.notes) is (dialect not in LETTERS)
    count = len(asked(url))
    assert draft_of(engine, Task(question="Where are the lockers?", options=OPTIONS, evidence=ROWS)).choice == 1
    assert len(asked(url)) - count == (2 if dialect in LETTERS else 1)


def test_a_schema_is_sent_as_far_as_the_server_takes_it(dialect: str, url: str) -> None:
    reply = client(url).complete([Message(role="user", text="Reply as JSON.")], schema=SCHEMA)
    assert json_object(reply.text) is not None
    sent = asked(url)[-1]
    assert sent["response_format"]["type"] == ("json_object" if dialect == "old_vllm" else "json_schema")
    assert "guided_json" not in sent and "format" not in sent  # vLLM passes over the one, Ollama's /v1 over the other
    limit = "max_completion_tokens" if dialect == "openai_thinks" else "max_tokens"
    assert sent[limit] == 300 and ("temperature" in sent) is (dialect != "openai_thinks")


def test_what_is_thought_is_no_reply(url: str) -> None:
    """Without a schema the servers think aloud."""
    draft = draft_of(client(url, json_schema=False), Task(question="Where are the lockers?", evidence=ROWS))
    assert draft.text == "The lockers are next to the blue staircase."


def test_pictures_are_data_urls(url: str) -> None:
    shown = tuple((e.id, b"\xff\xd8\xff\xd9") for e in ROWS)
    draft = draft_of(
        client(url, images=True, frames=8), Task(question="Where are the lockers?", evidence=ROWS, pictures=shown)
    )
    assert draft.citations == ("E1",)
    parts = asked(url)[-1]["messages"][-1]["content"]
    assert [p["type"] for p in parts] == ["image_url", "image_url", "text"]
    assert parts[0]["image_url"]["url"] == "data:image/jpeg;base64,/9j/2Q=="


def test_too_many_pictures_are_halved(dialect: str, url: str) -> None:
    """vLLM takes as many as it was started for."""
    shown = tuple((f"00:{i:02}", b"\xff\xd8\xff\xd9") for i in range(12))
    draft = draft_of(
        client(url, images=True, frames=12), Task(question="Where are the lockers?", evidence=ROWS, pictures=shown)
    )
    sent = sum(p["type"] == "image_url" for p in asked(url)[-1]["messages"][-1]["content"])
    limited = dialect == "vllm"
    assert sent == (3 if limited else 12) and (sent <= PICTURES or not limited)
    assert any("with 3 pictures" in n for n in draft.notes) is limited


def test_a_prompt_that_is_too_long_loses_rows(dialect: str, url: str) -> None:
    """Where the server says so: Ollama cuts it without a word, and the old vLLM of the tests has no limit."""
    rows = (ROWS[0], Evidence("E2", "speech", "0" * 16, "talk.mp4", 5.0, 8.0, LONG, 0.4, 2))
    draft = draft_of(client(url), Task(question="Where are the lockers?", evidence=rows))
    says_so = dialect in ("openai_thinks", "vllm", "llama_cpp")
    assert any("with 1 row" in n for n in draft.notes) is says_so and draft.citations == ("E1",)
    if says_so:
        with pytest.raises(TooMuch):
            client(url).complete([Message(role="user", text=LONG)])


def test_an_unknown_model_is_named(dialect: str, url: str) -> None:
    if dialect == "llama_cpp":
        pytest.skip("serves its one model under any name")
    with pytest.raises(EngineFailed, match="other") as caught:
        client(url, model="other").complete([Message(role="user", text="Hi")])
    assert "404" in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_address_is_told(url: str) -> None:
    """Without ``/v1``, say."""
    with pytest.raises(EngineFailed, match="404"):
        client(url.removesuffix("/v1")).complete([Message(role="user", text="Hi")])


def test_further_fields_are_sent_as_they_are(url: str) -> None:
    engine = client(url, extra={"chat_template_kwargs": {"enable_thinking": False}}, thinking_tokens=100)
    engine.complete([Message(role="user", text="Hi")], max_tokens=50)
    sent = asked(url)[-1]
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert sent.get("max_tokens", sent.get("max_completion_tokens")) == 150
    assert engine.identity != client(url).identity
