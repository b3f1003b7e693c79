"""The client of chat-completion servers: what it sends, and what becomes of every way in which a server can fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import ChatServer, serving
from engine_tools import loaded
from vidrag.query.chat import Message, Reply, Task
from vidrag.store import engines
from vidrag.store.errors import EngineFailed, EngineMissing
from vidrag.store.records import Evidence

SECRET = "sk-do-not-print-me"
ROW = Evidence("E1", "speech", "0" * 16, "talk.mp4", 1, 2, "Lockers are downstairs.", 1, 1)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with serving() as running:
        yield running


def client(server: ChatServer, **options: Any) -> Any:
    return loaded("chat", "openai", {"base_url": server.url, "model": "m", "retries": 0, "timeout_s": 5, **options})


def test_sends_what_was_asked(server: ChatServer) -> None:
    """Model, messages, limits, schema and key go to the server; its text and its counts come back."""
    schema = {"type": "object", "properties": {}}
    said = client(server, temperature=0.5).complete(
        [Message("system", "Be brief."), Message("user", "Hi")], schema=schema, max_tokens=9
    )
    sent = server.requests[0]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("m", 0.5, 9)
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert sent["response_format"]["json_schema"]["schema"] == schema
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert (said.read, said.written) == (11, 7)


def test_the_schema_can_be_left_out(server: ChatServer) -> None:
    """Some servers do not know schemas."""
    client(server, json_schema=False).complete([Message("user", "Hi")], schema={"type": "object"})
    assert "response_format" not in server.requests[0]


def test_pictures_are_sent_inline(server: ChatServer) -> None:
    """Key frames go as data URLs where the engine is told that the model looks."""
    looking = client(server, images=True)
    assert looking.looks is True
    looking.answer(Task("What is it?", (), (ROW,), pictures=(("E1", b"\xff\xd8\xff\xd9"),)))
    content = server.requests[0]["messages"][-1]["content"]
    assert content[0]["image_url"]["url"] == "data:image/jpeg;base64,/9j/2Q=="
    assert "What is it?" in content[-1]["text"]


def test_an_answer_comes_back_as_a_draft(server: ChatServer) -> None:
    draft = client(server).answer(Task("Where are the lockers?", (), (ROW,)))
    assert (draft.text, draft.citations, draft.abstained) == ("Lockers are downstairs.", ("E1",), False)


def test_no_content_is_an_empty_reply(server: ChatServer) -> None:
    """A refusal has no content."""
    server.respond = lambda _: (200, "application/json", _without_content())
    assert client(server).complete([Message("user", "Hi")]) == Reply("", None, None)


def _without_content() -> str:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None}}
    return json.dumps({"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})


@pytest.mark.parametrize(
    "status, kind, body",
    [
        (500, "application/json", '{"error": {"message": "boom"}}'),
        (401, "application/json", '{"error": {"message": "who are you"}}'),
        (429, "text/plain", "slow down"),
        (404, "text/html", "<html>"),
        (200, "text/html", "<html>hello</html>"),
        (200, "application/json", "{"),
        (200, "application/json", "[]"),
        (200, "application/json", "null"),
        (200, "application/json", "{}"),
        (200, "application/json", '{"choices": []}'),
        (200, "application/json", '{"choices": [{"message": null}]}'),
        (200, "application/json", '{"choices": [{"message": {"content": "x"}}], "usage": "none"}'),
        (200, "application/json", '{"choices": [{"message": {"content": ["x"]}}]}'),
        (200, "application/json", '{"choices": "abc"}'),
    ],
)
def test_a_server_that_sends_something_else_has_failed(server: ChatServer, status: int, kind: str, body: str) -> None:
    """Errors and replies that are no chat completion are ``EngineFailed``, without the key."""
    server.respond = lambda _: (status, kind, body)
    with pytest.raises(EngineFailed) as caught:
        client(server).complete([Message("user", "Hi")])
    assert SECRET not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_a_server_that_hangs_has_failed(server: ChatServer) -> None:
    """Within the time-out of a request, whatever the server does afterwards."""
    let_go = threading.Event()

    def hanging(_: Any) -> Any:
        let_go.wait(30)
        return 200, "text/plain", "too late"

    server.respond = hanging
    try:
        with pytest.raises(EngineFailed, match="(?i)time"):
            client(server, timeout_s=0.3).complete([Message("user", "Hi")])
    finally:
        let_go.set()


def test_a_server_that_is_gone_has_failed(server: ChatServer) -> None:
    with serving() as other:
        gone = client(other)
    with pytest.raises(EngineFailed, match=r"127\.0\.0\.1"):
        gone.complete([Message("user", "Hi")])


def test_requests_are_tried_again_as_often_as_told(server: ChatServer) -> None:
    """No retries: one request."""
    server.respond = lambda _: (500, "text/plain", "no")
    with pytest.raises(EngineFailed):
        client(server).complete([Message("user", "Hi")])
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "options, variable",
    [({}, "OPENAI_MODEL"), ({"model": "m"}, "OPENAI_BASE_URL"), ({"base_url": "http://127.0.0.1:9"}, "OPENAI_MODEL")],
)
def test_what_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch, options: dict[str, str], variable: str) -> None:
    """Without a model, or without a key and a server, the message says which variable to set."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EngineMissing, match=variable):
        engines.load("chat", "openai", options)


def test_the_environment_names_server_and_model(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the environment is needed, and no key for a server of one's own."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_MODEL", "from-the-environment")
    monkeypatch.delenv("OPENAI_API_KEY")
    engines.load("chat", "openai", {"retries": 0}).complete([Message("user", "Hi")])
    assert server.requests[0]["model"] == "from-the-environment"
