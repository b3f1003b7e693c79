"""The client of chat-completion servers: what it sends, and what becomes of every way in which a server can fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chat_server import SSE, ChatServer, completion, knowing, obliging, serving, streamed
from engine_tools import loaded
from vidrag.query.answer.answering import draft_of
from vidrag.query.types import Message, Reply, Task
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
        [Message(role="system", text="Be brief."), Message(role="user", text="Hi")], schema=schema, max_tokens=9
    )
    sent = server.requests[0]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("m", 0.5, 9)
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert sent["response_format"]["json_schema"]["schema"] == schema
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert (said.read, said.written) == (11, 7)


def test_the_schema_can_be_left_out(server: ChatServer) -> None:
    """Some servers do not know schemas."""
    client(server, json_schema=False).complete([Message(role="user", text="Hi")], schema={"type": "object"})
    assert "response_format" not in server.requests[0]


def test_pictures_are_sent_inline(server: ChatServer) -> None:
    """Key frames go as data URLs where the engine is told that the model looks."""
    looking = client(server, images=True)
    assert looking.looks is True
    draft_of(looking, Task(question="What is it?", evidence=(ROW,), pictures=(("E1", b"\xff\xd8\xff\xd9"),)))
    content = server.requests[0]["messages"][-1]["content"]
    assert content[0]["image_url"]["url"] == "data:image/jpeg;base64,/9j/2Q=="
    assert "What is it?" in content[-1]["text"]


def test_an_answer_comes_back_as_a_draft(server: ChatServer) -> None:
    draft = draft_of(client(server), Task(question="Where are the lockers?", evidence=(ROW,)))
    assert (draft.text, draft.citations, draft.abstained) == ("Lockers are downstairs.", ("E1",), False)


def test_no_content_is_an_empty_reply(server: ChatServer) -> None:
    """A refusal has no content."""
    server.respond = lambda _: (200, "application/json", _without_content())
    assert client(server).complete([Message(role="user", text="Hi")]) == Reply(text="", read=None, written=None)


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
        client(server).complete([Message(role="user", text="Hi")])
    assert SECRET not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_a_server_that_hangs_has_failed(server: ChatServer) -> None:
    """Within the time-out of a request, whatever the server does afterwards."""
    let_go = threading.Event()

    def hanging(_: Any) -> Any:
        let_go.wait(30)
        return 200, "text/plain", "too late"

    server.respond = hanging
    asking = client(server, timeout_s=0.3)
    try:
        for _ in range(2):
            with pytest.raises(EngineFailed, match="(?i)time"):
                asking.complete([Message(role="user", text="Hi")])
        before = len(server.requests)
        with pytest.raises(EngineFailed, match="2 times in a row"):
            asking.complete([Message(role="user", text="Hi")])
        assert len(server.requests) == before  # it is left alone for a while
    finally:
        let_go.set()


def test_a_server_that_is_gone_has_failed(server: ChatServer) -> None:
    with serving() as other:
        gone = client(other)
    with pytest.raises(EngineFailed, match=r"127\.0\.0\.1"):
        gone.complete([Message(role="user", text="Hi")])


def test_requests_are_tried_again_as_often_as_told(server: ChatServer) -> None:
    """No retries: one request."""
    server.respond = lambda _: (500, "text/plain", "no")
    with pytest.raises(EngineFailed):
        client(server).complete([Message(role="user", text="Hi")])
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
    engines.load("chat", "openai", {"retries": 0}).complete([Message(role="user", text="Hi")])
    assert server.requests[0]["model"] == "from-the-environment"


def _dripping(_: Any) -> Any:
    def body() -> Iterator[bytes]:
        yield b'{"choices": '
        for _ in range(200):
            time.sleep(0.05)
            yield b" "

    return 200, "application/json", body()


def test_a_server_that_drips_has_failed(server: ChatServer) -> None:
    """No pause is longer than the time-out; the whole is."""
    server.respond, began = _dripping, time.monotonic()
    with pytest.raises(EngineFailed, match=r"more than 0\.4 s"):
        client(server, timeout_s=0.4).complete([Message(role="user", text="Hi")])
    assert time.monotonic() - began < 5


def test_a_server_that_sends_without_end_has_failed(server: ChatServer) -> None:
    server.respond = lambda _: (200, "application/json", (b" " * (1 << 20) for _ in range(64)))
    with pytest.raises(EngineFailed, match="more than 4 MB"):
        client(server).complete([Message(role="user", text="Hi")])


def test_a_server_that_breaks_off_is_asked_again(server: ChatServer) -> None:
    """As often as told."""
    server.missing = 100
    with pytest.raises(EngineFailed, match="broke off"):
        client(server, retries=2).complete([Message(role="user", text="Hi")])
    assert len(server.requests) == 3


def test_a_wrong_model_is_named(server: ChatServer) -> None:
    server.respond = lambda _: (404, "application/json", '{"error": {"message": "model \'m\' not found"}}')
    with pytest.raises(EngineFailed, match="'m'.*not found"):
        client(server).complete([Message(role="user", text="Hi")])


def test_a_reply_at_its_limit_is_cut(server: ChatServer) -> None:
    server.respond = lambda _: completion("It goes on and", "length")
    assert client(server).complete([Message(role="user", text="Hi")]).cut


def test_pieces_are_told_as_they_come(server: ChatServer) -> None:
    """And the reply is the same as without."""
    server.respond, told = lambda _: streamed("Lockers are downstairs: 飞机."), list[str]()
    reply = client(server).complete([Message(role="user", text="Hi")], tell=told.append)
    assert server.requests[0]["stream"] is True
    assert len(told) > 2 and "".join(told) == reply.text == "Lockers are downstairs: 飞机."
    assert not reply.cut


def test_a_server_that_does_not_stream_is_read_all_the_same(server: ChatServer) -> None:
    server.respond, told = lambda _: completion("Downstairs."), list[str]()
    assert client(server).complete([Message(role="user", text="Hi")], tell=told.append).text == "Downstairs."
    assert told == ["Downstairs."]


@pytest.mark.parametrize("end", [b"", b"data: {", b"data: [1]\n", b"data: {}\n\n", b": ping\n\n", b"\xff\n"])
def test_half_a_stream_is_cut(server: ChatServer, end: bytes) -> None:
    """What there is of it is told, and known to be no more than that; nothing that is no piece is taken for one."""

    def half(_: Any) -> Any:
        return 200, SSE, [*streamed("Downstairs, next to", end=False)[2], end]

    server.respond = half
    try:
        reply = client(server).complete([Message(role="user", text="Hi")], tell=lambda _: None)
    except EngineFailed as e:
        assert end == b"data: [1]\n", e
    else:
        assert reply.cut and "Downstairs, next to".startswith(reply.text)


@pytest.mark.parametrize(
    "piece", ['{"error": {"message": "out of memory"}}', '{"choices": [{"delta": {"content": 5}}]}', '{"choices": 5}']
)
def test_a_piece_that_is_none_fails(server: ChatServer, piece: str) -> None:
    server.respond = lambda _: (200, SSE, [f"data: {piece}\n\n".encode()])
    with pytest.raises(EngineFailed):
        client(server).complete([Message(role="user", text="Hi")], tell=lambda _: None)


OPTIONS = ("upstairs", "downstairs", "outside", "The video does not say")
CHOICE = Task(question="Where are the lockers?", options=OPTIONS, evidence=(ROW,))


def test_an_option_is_chosen_by_the_probability_of_its_letter(server: ChatServer) -> None:
    """In two orders, whose average is given; the rows are cited by their words, without another request."""
    server.respond = knowing("downstairs", 0.7)
    draft = draft_of(client(server, by_rows=False), CHOICE)
    assert (draft.choice, draft.citations, draft.abstained) == (1, ("E1",), False)
    assert (
        draft.confidence == pytest.approx(draft.scores[1], abs=1e-3) == pytest.approx(0.7 / (0.7 + 3 * 0.075), abs=1e-3)
    )
    assert sum(draft.scores) == pytest.approx(1, abs=1e-3)
    assert [r["max_tokens"] for r in server.requests] == [1, 1]
    assert draft.usage.calls == 2 and draft.usage.read == 22


def test_the_evidence_comes_first_in_every_order(server: ChatServer) -> None:
    """So that a server that keeps its prefix reads it once."""
    server.respond = knowing("downstairs")
    draft_of(client(server, rotations=4), CHOICE)
    prompts = [r["messages"][-1]["content"] for r in server.requests]
    assert [p[p.index("A. ") :].split("\n")[0] for p in prompts] == [f"A. {o}" for o in OPTIONS]
    assert len({p[: p.index("A. ")] for p in prompts}) == 1


@pytest.mark.parametrize("rotations, right", [(1, False), (4, True)])
def test_orders_undo_a_liking_for_a_place(server: ChatServer, rotations: int, right: bool) -> None:
    """A model that likes the letter A is right in the average of all orders, and wrong in one."""
    server.respond = knowing("outside", 0.4, bias=0.5)
    assert (draft_of(client(server, rotations=rotations, by_rows=False), CHOICE).choice == 2) is right


def test_the_option_that_nothing_is_said_is_an_abstention(server: ChatServer) -> None:
    server.respond = knowing(OPTIONS[3])
    draft = draft_of(client(server, by_rows=False), CHOICE)
    assert (draft.choice, draft.abstained, draft.citations) == (3, True, ())


def test_rows_are_asked_for_where_none_holds_a_word_of_the_option(server: ChatServer) -> None:
    server.respond = knowing("outside")
    draft = draft_of(client(server, by_rows=False), CHOICE)
    assert draft.citations == ("E1",)
    assert len(server.requests) == 3
    assert list(server.requests[2]["response_format"]["json_schema"]["schema"]["properties"]) == ["citations"]


def test_what_the_rows_say_counts_beside_the_model(server: ChatServer) -> None:
    """A model that is hardly for another option does not outweigh the row that says it."""
    server.respond = knowing("outside", 0.4)
    assert [draft_of(client(server, by_rows=b), CHOICE).choice for b in (True, False)] == [1, 2]


def _refusing(request: dict[str, Any]) -> Any:
    refused = (400, "application/json", '{"error": {"message": "logprobs is not supported"}}')
    return refused if request.get("logprobs") else obliging(request)


def _at_a_loss(request: dict[str, Any]) -> Any:
    return completion("The", "length", {"The": 0.9, "A": 0.01}) if request.get("logprobs") else obliging(request)


@pytest.mark.parametrize(
    "respond, why",
    [
        (obliging, "gives no token probabilities"),
        (_refusing, "gives no token probabilities"),
        (_at_a_loss, "does not reply with a letter"),
    ],
)
def test_without_probabilities_a_json_reply_decides(
    server: ChatServer, respond: Callable[[dict[str, Any]], Any], why: str
) -> None:
    """With a note; a server that has none is asked for them once."""
    server.respond = respond
    engine = client(server)
    draft = draft_of(engine, CHOICE)
    assert (draft.choice, draft.citations, draft.confidence) == (1, ("E1",), None)
    assert why in draft.notes[0]
    assert draft_of(engine, CHOICE) == draft
    assert sum("logprobs" in r for r in server.requests) == (2 if respond is _at_a_loss else 1)


def test_probabilities_can_be_turned_off(server: ChatServer) -> None:
    draft_of(client(server, logprobs=False), CHOICE)
    assert not any("logprobs" in r for r in server.requests)


@pytest.mark.parametrize(
    "logprobs",
    [5, {}, {"content": []}, {"content": [{"top_logprobs": [{"token": "A", "logprob": "x"}]}]}, {"content": 1}],
)
def test_odd_probabilities_are_none(server: ChatServer, logprobs: Any) -> None:
    def respond(request: dict[str, Any]) -> Any:
        if not request.get("logprobs"):
            return obliging(request)
        choice = {"finish_reason": "length", "message": {"content": "A"}, "logprobs": logprobs}
        return 200, "application/json", json.dumps({"choices": [choice]})

    server.respond = respond
    assert draft_of(client(server), CHOICE).choice == 1


def test_few_rows_are_read(server: ChatServer) -> None:
    """The best ones, in their order."""
    rows = tuple(
        Evidence(f"E{i}", "speech", "0" * 16, "talk.mp4", i, i + 1, f"Row {i}.", 1, 9 - i) for i in range(1, 9)
    )
    draft_of(client(server, rows=2), Task(question="Where?", evidence=rows))
    prompt = server.requests[0]["messages"][-1]["content"]
    assert "[E6]" not in prompt and prompt.index("[E7]") < prompt.index("[E8]")
