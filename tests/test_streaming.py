"""An answer as it is written: on a terminal, and only there."""

from __future__ import annotations

import json
import os
import pty
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import ChatServer, serving, streamed
from world import VIDRAG, World, clip

WORDS = "The sign is red, and nobody says what it stands for."
REPLY = json.dumps({"citations": ["E1"], "answerable": True, "answer": WORDS})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World.make(tmp_path_factory.mktemp("world"))
    clip(made.root / "in" / "red.mp4", 440, "red")
    assert made.run("ingest", "archive", "in", "--no-ray").returncode == 0
    return made


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as running:
        yield running


def command(server: ChatServer, *more: str) -> list[str]:
    model = ["chat=openai", f"chat.base_url={server.url}", "chat.model=m", "chat.retries=0", "chat.remember=false"]
    settings = [word for setting in model for word in ("--set", setting)]
    return ["ask", "archive", "What does the sign say?", "--profile", "fake.toml", *settings, *more]


def on_a_terminal(world: World, arguments: list[str]) -> tuple[int, list[tuple[float, str]]]:
    """Exit code, and what came to the terminal when, in seconds."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(world.root)
        os.execve(VIDRAG, [str(VIDRAG), *arguments], {**world.env, "TERM": "xterm", "COLUMNS": "100"})
    began, out = time.monotonic(), list[tuple[float, str]]()
    try:
        while data := os.read(fd, 65536):
            out.append((time.monotonic() - began, data.decode("utf-8", "replace")))
    except OSError:  # the other end is gone
        pass
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out


def slowly(reply: str) -> Iterator[bytes]:
    for event in streamed(reply)[2]:
        assert isinstance(event, bytes)
        yield event
        time.sleep(0.1)


def screen(text: str) -> str:
    """What stands on the screen at the end, without the lines that were cleared."""
    lines = [""]
    for part in re.split(r"(\r\n|\x1b\[\d*[A-Za-z]|\x1b\[\?25[lh]|\r)", text):
        if part == "\r\n":
            lines.append("")
        elif part == "\x1b[2K":
            lines[-1] = ""
        elif part == "\x1b[1A":
            lines.pop()
        elif not part.startswith("\x1b") and part != "\r":
            lines[-1] += part
    return "\n".join(lines)


def test_words_come_as_they_are_written(world: World, server: ChatServer) -> None:
    """Then the checked answer with its evidence stands in their place, once."""
    server.respond = lambda _: (200, "text/event-stream", slowly(REPLY))
    code, out = on_a_terminal(world, command(server))
    assert code == 0
    first = next(t for t, text in out if "The sign" in text)
    last = next(t for t, text in out if "stands for." in text)
    assert last - first > 0.3
    final = screen("".join(text for _, text in out))
    assert final.count(WORDS) == 1 and "[E1]" in final and final.index(WORDS) < final.index("[E1]")


def test_what_was_written_before_a_second_try_vanishes(world: World, server: ChatServer) -> None:
    """Control characters of a model do nothing to the terminal."""
    bad = json.dumps({"citations": [], "answer": "WRONG \x1b[2J\x07"})
    server.respond = lambda r: streamed(REPLY if len(r["messages"]) > 2 else bad)
    code, out = on_a_terminal(world, command(server))
    whole = "".join(text for _, text in out)
    assert code == 0 and "\x1b[2J" not in whole and "\x07" not in whole and "WRONG" in whole
    assert "WRONG" not in screen(whole) and WORDS in screen(whole)


@pytest.mark.parametrize("more", [["--json"], ["-o", "red", "-o", "blue"]])
def test_json_and_options_are_not_streamed(world: World, server: ChatServer, more: list[str]) -> None:
    code, out = on_a_terminal(world, command(server, *more))
    assert code == 0 and server.requests and not any("stream" in r for r in server.requests)
    if "--json" in more:
        assert json.loads("".join(text for _, text in out))["abstained"] is False


def test_a_pipe_is_not_streamed_to(world: World, server: ChatServer) -> None:
    ran = world.run(*command(server), fake=False)
    assert ran.returncode == 0 and "\x1b" not in ran.stdout and not any("stream" in r for r in server.requests)


def test_a_server_that_is_down_leaves_an_answer(world: World, server: ChatServer, tmp_path: Path) -> None:
    """From the evidence, which says so."""
    server.respond = lambda _: (200, "text/event-stream", [b"data: {\n"])
    code, out = on_a_terminal(world, command(server))
    assert code == 0 and "answered from evidence alone" in "".join(text for _, text in out)
