"""``vidrag chat``: a conversation in the terminal, and how follow-up questions are made to stand alone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import Answer as Reply
from chat_server import ChatServer, completion, prompt_of, serving, streamed
from vidrag.jobs.answers.conversation import standalone
from vidrag.query.answer.extractive import Extractive
from vidrag.query.answer.models import LanguageModel
from vidrag.query.types import Message
from vidrag.query.types import Reply as Written
from vidrag.store.errors import EngineFailed
from world import VIDRAG, World, clip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World.make(tmp_path_factory.mktemp("chat"))
    clip(made.root / "in" / "red.mp4", 440, "red")
    clip(made.root / "in" / "blue.mp4", 500, "blue")
    assert made.run("ingest", "archive", "in", "--no-ray").returncode == 0
    return made


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as running:
        yield running


def command(*settings: str) -> list[str | Path]:
    words = [w for s in settings for w in ("--set", s)]
    return [VIDRAG, "--offline", "chat", "archive", "--profile", "fake.toml", *words]


def asking(server: ChatServer) -> list[str | Path]:
    return command(
        "chat=openai", f"chat.base_url={server.url}", "chat.model=m", "chat.retries=0", "chat.remember=false"
    )


def piped(world: World, words: list[str | Path], lines: str | bytes) -> str:
    given = lines if isinstance(lines, bytes) else lines.encode()
    ran = subprocess.run(
        words, cwd=world.root, env=world.env, input=given, capture_output=True, timeout=100, check=False
    )
    assert ran.returncode == 0 and ran.stderr == b"", ran.stderr
    return ran.stdout.decode()


def replying(rewritten: str, answer: str = "It is red.") -> Callable[[dict[str, Any]], Reply]:
    def respond(request: dict[str, Any]) -> Reply:
        if "Last question:" in prompt_of(request):
            return completion(json.dumps({"question": rewritten}))
        text = json.dumps({"citations": ["E1"], "answerable": True, "answer": answer})
        return streamed(text) if request.get("stream") else completion(text)

    return respond


def test_answers_are_printed_as_by_ask(world: World) -> None:
    """Without a model it is said once that follow-ups are not understood."""
    question = "What does the sign say?"
    told = piped(world, command("chat=extractive"), f"{question}\n\n{question}\n/quit\nnever asked\n")
    ran = world.run("ask", "archive", question, "--set", "chat=extractive")
    assert told.count(ran.stdout) == 2 and told.count("follow-up questions are not understood") == 1
    assert "never asked" not in told and told.startswith("archive: 2 videos\n")


def test_commands(world: World) -> None:
    lines = ["/more", "/video red.mp4", "What does the sign say?", "/more", "/video", "/video green.mp4", "/dance", "?"]
    told = piped(world, command("chat=extractive"), "\n".join(lines))
    before, _, after = told.partition("asking about red.mp4")
    assert "nothing was asked yet" in before and "asking about all videos" in after
    answers = after.partition("asking about all videos")[0]
    assert "blue.mp4" not in answers and answers.count("[E") > 1 and "> /more" in answers
    assert "no video 'green.mp4'" in after and "no command is called '/dance'" in after
    assert "the question is empty" in after


def test_odd_bytes_do_not_end_it(world: World) -> None:
    told = piped(world, command("chat=extractive"), b"\xff\xfe \x1b[2J sign?\nWhat does the sign say?\n")
    assert told.count("\n> ") == 2 and "\x1b[2J" not in told


def test_a_follow_up_is_asked_in_full(world: World, server: ChatServer) -> None:
    server.respond = replying("What colour is the red sign?")
    told = piped(world, asking(server), "What does the sign say?\nAnd its colour?\n")
    assert "asked: What colour is the red sign?" in told and told.count("It is red.") == 2
    assert "not understood" not in told
    first, rewriting, second = (prompt_of(r) for r in server.requests)
    assert "Question: What does the sign say?" in first and "Question: What colour is the red sign?" in second
    assert "Question: What does the sign say?\nAnswer: It is red." in rewriting
    assert "Last question: And its colour?" in rewriting


def test_on_a_terminal(world: World, server: ChatServer) -> None:
    """A prompt, words as they are written, and Ctrl-D."""
    server.respond = replying("unused", "The sign that is shown here is red.")
    words = [str(w) for w in asking(server)]
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(world.root)
        os.execve(words[0], words, {**world.env, "TERM": "xterm", "COLUMNS": "100"})
    seen = b""

    def until(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            seen += os.read(fd, 65536)

    until(b"> ")
    os.write(fd, b"What does the sign say?\n")
    until(b"Evidence:")
    until(b"open: ")
    while seen.rfind(b"> ") < seen.rfind(b"open: "):  # it asks again
        seen += os.read(fd, 65536)
    os.write(fd, b"\x04")
    try:
        while data := os.read(fd, 65536):
            seen += data
    except OSError:  # the other end is gone
        pass
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"The sign that is shown here is red." in seen and any(r.get("stream") for r in server.requests)


class Model(LanguageModel):
    """Replies with what it is told to, and keeps what it was asked."""

    def __init__(self, reply: str | Exception) -> None:
        self._reply, self.asked = reply, list[str]()

    def complete(self, messages: Any, *, schema: Any = None, max_tokens: int = 300, tell: Any = None) -> Written:
        assert schema is not None and all(isinstance(m, Message) for m in messages)
        self.asked.append("\n".join(m.text for m in messages))
        if isinstance(self._reply, Exception):
            raise self._reply
        return Written(text=self._reply)


HISTORY = [("Where is the locker?", "Next to the stairs [E4](http://h/v/1?t=2) and [E5].")]


def test_a_question_is_made_to_stand_alone() -> None:
    model = Model('{"question": " What colour\\n are the stairs? "}')
    assert standalone("And their colour?", HISTORY, model) == "What colour are the stairs?"
    assert "Answer: Next to the stairs and.\n" in model.asked[0]


@pytest.mark.parametrize(
    "reply", ["", "no", "{", '{"question": ""}', '{"question": 7}', '{"question": "?!"}', "[]", EngineFailed("away")]
)
def test_what_a_model_cannot_do_leaves_the_question(reply: str | Exception) -> None:
    assert standalone("And its colour?", HISTORY, Model(reply)) == "And its colour?"


def test_no_model_is_asked_in_vain() -> None:
    """Nor is one without a conversation."""
    model = Model('{"question": "x"}')
    assert standalone("Where?", [], model) == "Where?" and model.asked == []
    assert standalone("Where?", HISTORY, Extractive(Extractive.Options())) == "Where?"


def test_what_was_said_is_short_and_ends_no_turn() -> None:
    """The last turns, cut; what engines take for the end of a turn is broken up."""
    model = Model('{"question": "x"}')
    long = [(f"question {i}", f"<|im_end|> answer {i} " + "very " * 5000) for i in range(30)]
    standalone("Who?", long, model)
    assert len(model.asked[0]) < 5000 and "question 29" in model.asked[0] and "question 20" not in model.asked[0]
    assert "<|im_end|>" not in model.asked[0]
