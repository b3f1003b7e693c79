"""An archive as a model for chat clients, with OpenAI's own client."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest
from chat_server import Answer as Reply
from chat_server import ChatServer, completion, prompt_of, streamed
from chat_server import serving as chat_serving
from markdown_it import MarkdownIt
from serve_tools import Server, serving
from vidrag.jobs.serve import markdown
from vidrag.jobs.serve.passages import Addresses
from vidrag.query.types import Answer, Request
from vidrag.store.records import Evidence

ASKED = [{"role": "user", "content": "Where are the lockers?"}]
HOSTILE = [
    "![x](http://evil.example/?leak)", "[click](javascript:alert(1))", "<img src=x onerror=alert(1)>", "<http://evil.example>",
    "[E1](http://evil.example)", "[a]: http://evil.example\n\n[a]", "`[E1]`", "```\n[E1]", "\\[x](http://evil.example)",
    "]( http://evil.example )", "<!-- [E1]", "&lt;script&gt;", "a\n\n    ![x](http://evil.example)",
    "a\n~~~\n[E1]", "a\n-      b", "a\n\tb", "\u2028    b", "a\n> b\n# c",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(sample_archive, tmp_path_factory.mktemp("quotes")) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def model() -> Iterator[ChatServer]:
    with chat_serving() as running:
        yield running


@pytest.fixture(scope="module")
def written(sample_archive: Path, model: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose answers a language model writes."""
    settings = ["chat=openai", f"chat.base_url={model.url}", "chat.model=m", "chat.retries=0", "chat.remember=false"]
    words = [w for s in settings for w in ("--set", s)]
    with serving(sample_archive, tmp_path_factory.mktemp("written"), *words) as running:
        yield running


def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=60)


def text_of(server: Server, messages: Any, **more: Any) -> str:
    found = client(server).chat.completions.create(model="vidrag", messages=messages, **more)
    assert found.choices[0].finish_reason == "stop" and found.choices[0].message.content
    return found.choices[0].message.content


def pieces(server: Server, messages: Any, **more: Any) -> list[str]:
    stream = client(server).chat.completions.create(model="vidrag", messages=messages, stream=True, **more)
    return [c.choices[0].delta.content for c in stream if c.choices and c.choices[0].delta.content]


def test_the_archive_is_a_model(server: Server, sample_archive: Path) -> None:
    name = f"vidrag/{sample_archive.name}"
    assert [m.id for m in client(server).models.list()] == [name]
    assert client(server).models.retrieve(name).owned_by == "vidrag"
    found = client(server).chat.completions.create(model=name, messages=ASKED, temperature=0.5, seed=1, max_tokens=5)  # type: ignore[call-overload]
    assert found.model == name and found.usage.total_tokens == 0


def test_citations_are_links_that_lead_to_the_moment(server: Server) -> None:
    text = text_of(server, ASKED)
    answer, _, sources = text.partition("\n\n**Sources**\n\n")
    links = re.findall(r"\[(E\d+)\]\((http://[^/)]+)(/v/[0-9a-f]+\?t=12\.2[^)]*)\)", answer)
    assert "blue staircase" in answer and len(links) == 1 and f"- [{links[0][0]}](" in sources
    with server.client() as http:
        assert http.get(links[0][2]).status_code == 200


def test_a_stream_says_the_same(server: Server) -> None:
    assert "".join(pieces(server, ASKED)) == text_of(server, ASKED)
    last = list(
        client(server).chat.completions.create(
            model="vidrag",
            messages=ASKED,
            stream=True,
            stream_options={"include_usage": True},  # type: ignore[call-overload]
        )
    )[-1]
    assert last.choices == [] and last.usage.total_tokens == 0


def test_the_last_question_counts(server: Server) -> None:
    """In parts or whole, whatever stands around it."""
    parts = [{"type": "text", "text": "Where are"}, {"type": "text", "text": "the lockers?"}]
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "What is the Wi-Fi password?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": parts},
    ]
    assert text_of(server, messages) == text_of(server, ASKED)


def test_a_follow_up_without_a_model_is_told_so(server: Server) -> None:
    messages = [*ASKED, {"role": "assistant", "content": "Downstairs."}, {"role": "user", "content": "Tell me more."}]
    assert "Each question is answered by itself: ask it in full." in text_of(server, messages)


def refused(server: Server, **given: Any) -> openai.APIStatusError:
    asked = {"model": "vidrag", "messages": ASKED, **given}
    with pytest.raises(openai.APIStatusError) as told:
        client(server).chat.completions.create(**asked)
    return told.value


MISTAKES: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "gpt-5"}, 404, "no model is called 'gpt-5'"),
    ({"messages": []}, 400, "messages"),
    ({"messages": [{"role": "system", "content": "x"}]}, 400, "none of the user"),
    ({"messages": [{"role": "user", "content": ""}]}, 400, "the question is empty"),
    ({"messages": [{"role": "user", "content": "?"}], "stream": True}, 400, "the question is empty"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, 400, "image_url"),
    ({"n": 2}, 400, "n 2"),
    ({"tool_choice": "required", "tools": []}, 400, "calls no tools"),
    ({"response_format": {"type": "json_object"}}, 400, "response_format"),
    ({"messages": [{"role": "user", "content": "long " * 4000}]}, 400, "characters"),
]


@pytest.mark.parametrize("given, status, says", MISTAKES)
def test_mistakes_are_told_in_the_client_s_shape(server: Server, given: Any, status: int, says: str) -> None:
    error = refused(server, **given)
    assert error.status_code == status and says in error.message
    assert error.type == "invalid_request_error" and error.body and "message" in error.body  # type: ignore[operator]


def test_tools_that_may_be_left_alone_are(server: Server) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    assert text_of(server, ASKED, tools=[tool], tool_choice="auto", n=1) == text_of(server, ASKED)


def test_what_is_no_json_is_refused(server: Server) -> None:
    with server.client() as http:
        for body in ("{", "[]", '{"model": 1}', "[" * 5000):
            reply = http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
            assert reply.status_code == 400 and reply.json()["error"]["type"] == "invalid_request_error"


def test_many_at_a_time(server: Server) -> None:
    alone = text_of(server, ASKED)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: text_of(server, ASKED), range(16))) == {alone}


def replying(answer: str, rewritten: str = "") -> Callable[[dict[str, Any]], Reply]:
    def respond(request: dict[str, Any]) -> Reply:
        if "Last question:" in prompt_of(request):
            return completion(json.dumps({"question": rewritten}))
        text = json.dumps({"citations": ["E1"], "answerable": True, "answer": answer})
        return streamed(text) if request.get("stream") else completion(text)

    return respond


def test_words_of_a_model_come_as_they_are_written(written: Server, model: ChatServer) -> None:
    said = "The lockers are next to the staircase, which is painted blue."
    model.respond = replying(said)
    parts = pieces(written, ASKED)
    assert len(parts) > 3 and "".join(parts[:-1]) in said
    whole = "".join(parts)
    assert whole.startswith(f"{said} [E") and whole == text_of(written, ASKED)
    used = client(written).chat.completions.create(model="vidrag", messages=ASKED).usage  # type: ignore[call-overload]
    assert used.prompt_tokens == 11 and used.completion_tokens == 7


def test_what_a_model_takes_back_is_followed_by_what_it_says(written: Server, model: ChatServer) -> None:
    good, bad = replying("By the lockers."), json.dumps({"citations": [], "answer": "Nowhere near."})
    model.respond = lambda r: good(r) if len(r["messages"]) > 2 else streamed(bad)
    whole = "".join(pieces(written, ASKED))
    assert whole.startswith("Nowhere near.\n\n---\n\nBy the lockers.") and "](http" in whole.partition("**Sources**")[0]


def test_a_follow_up_is_rewritten_with_the_conversation(written: Server, model: ChatServer) -> None:
    """The model sees what was said without links and sources; the archive is asked the rewritten question."""
    model.respond = replying("4719.", "What is the code of the lockers?")
    model.requests.clear()
    before = f"Next to the stairs. [E4](http://x/v/1?t=2)\n\n{markdown.SOURCES}\n\n- [E4](http://x/v/1) a.mp4"
    messages = [*ASKED, {"role": "assistant", "content": before}, {"role": "user", "content": "And their code?"}]
    text = text_of(written, messages)
    rewriting, answering = (prompt_of(r) for r in model.requests)
    assert "Answer: Next to the stairs.\n" in rewriting and "Last question: And their code?" in rewriting
    assert "Question: What is the code of the lockers?" in answering
    assert "*Asked: What is the code of the lockers?*" in text


def test_a_model_that_fails_leaves_an_answer(written: Server, model: ChatServer) -> None:
    model.respond = lambda _: (500, "application/json", "{}")
    messages = [*ASKED, {"role": "assistant", "content": "There."}, {"role": "user", "content": "Where is the cafe?"}]
    text = text_of(written, messages)
    assert "roof" in text and "*Note: answered from evidence alone" in text


def hostile(text: str) -> Answer:
    row = Evidence("E1", "text", "0123456789abcdef", text, 1.0, 2.0, text, 1.0, 1)
    return Answer(
        question="?", text=f"“{text}” [E1]", choice=None, abstained=False, citations=("E1",), evidence=(row,),
        request=Request(), notes=(text,),
    )  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_video_makes_no_link_and_no_picture(text: str) -> None:
    """Every link of the Markdown is one of ours, and what is shown is what was written."""
    found = hostile(text)
    for told in (markdown.answer(found, Addresses("http://h")), markdown.sources(found, Addresses("http://h"), text)):
        tokens = [t for block in MarkdownIt("commonmark").parse(told) for t in (block, *(block.children or ()))]
        links = [t.attrs["href"] for t in tokens if t.type == "link_open"]
        assert set(links) <= {"http://h/v/0123456789abcdef?t=1&e=2"} and len(links) == told.count("](http://h/v/")
        assert not {t.type for t in tokens} & {"image", "html_inline", "html_block", "code_inline", "fence"}


def test_what_is_escaped_grows_with_the_text() -> None:
    for text in (*HOSTILE, "see https://evil.example and www.evil.example\nnow"):
        grown = [markdown.escaped(text[:n]) for n in range(len(text) + 1)]
        assert all(longer.startswith(shorter) for shorter, longer in pairwise(grown))
    assert "://" not in markdown.escaped("https://evil.example") and "www." not in markdown.escaped("www.evil.example")
