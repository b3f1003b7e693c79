"""The Model Context Protocol, over stdin and stdout and over HTTP, with the official client."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx2 as httpx
import numpy as np
import pytest
import uvicorn
from mcp import Client, StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ImageContent, ResourceLink, TextContent
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from vidrag.jobs.library import Library
from vidrag.jobs.serve import tools
from world import World, clip

TOOLS = {"search", "fetch", "ask", "list_videos", "transcript", "frame"}
COMMAND = ["-c", "from vidrag.jobs.cli import main; main()", "--offline", "mcp", "archive", "--profile", "fake.toml"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World.make(tmp_path_factory.mktemp("mcp"))
    clip(made.root / "in" / "red.mp4", 440, "red")
    clip(made.root / "in" / "blue.mp4", 500, "blue")
    assert made.run("ingest", "archive", "in", "--no-ray").returncode == 0
    return made


@pytest.fixture(scope="module")
def library(world: World) -> Library:
    return Library(str(world.root / "archive"), str(world.root / "fake.toml"))


@pytest.fixture(scope="module")
def address(library: Library) -> Iterator[str]:
    """A server on loopback with the application mounted as ``vidrag serve`` mounts it."""
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = tools.http_app(library, address)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with tools.lifespan(app):
            yield

    outer = Starlette(routes=[Route("/mcp", app), Mount("/mcp", app)], lifespan=lifespan)
    server = uvicorn.Server(uvicorn.Config(outer, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield address
    server.should_exit = True
    thread.join(20)


def text_of(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def conversation(client: Client, moment: str) -> None:
    """All that a client may do; ``moment``: how the address of a moment begins."""
    listed = await client.list_tools()
    assert {t.name for t in listed.tools} == TOOLS
    for tool in listed.tools:
        assert tool.annotations and tool.annotations.read_only_hint and not tool.annotations.destructive_hint
        assert tool.description and tool.title and tool.output_schema and "\n" not in tool.description.strip()

    videos = await client.call_tool("list_videos", {})
    ids = {v["name"]: v["id"] for v in videos.structured_content["videos"]}
    assert set(ids) == {"red.mp4", "blue.mp4"} and "2 videos" in text_of(videos) and ids["red.mp4"] in text_of(videos)

    found = await client.call_tool("search", {"query": "beep"})
    assert len(found.content) == 1 and json.loads(text_of(found)) == found.structured_content
    best = found.structured_content["results"][0]
    assert best["kind"] == "speech" and best["url"].startswith(f"{moment}{best['video']}") and "path" not in best
    read = await client.call_tool("fetch", {"id": best["id"]})
    document = read.structured_content
    assert json.loads(text_of(read)) == document and document["id"] == best["id"]
    assert best["text"] in document["text"] and "on screen: " in document["text"]
    assert document["metadata"]["start"] == best["start"] and document["url"] == best["url"]

    for id, says in ((f"{ids['red.mp4']}@0.5", "red sign"), (ids["blue.mp4"], "blue sign")):
        assert says in text_of(await client.call_tool("fetch", {"id": id}))
    only = await client.call_tool("search", {"query": "sign", "kinds": ["text"], "videos": ["red.mp4"], "top": 1})
    assert [r["name"] for r in only.structured_content["results"]] == ["red.mp4"]

    answer = await client.call_tool("ask", {"question": "What does the beep say?"})
    told = answer.structured_content
    assert told["citations"] and text_of(answer).startswith(told["answer"]) and "[E1]" in text_of(answer)
    assert all(e["url"].startswith(moment) for e in told["evidence"])
    links = [c for c in answer.content if isinstance(c, ResourceLink)]
    assert len(links) == len(told["citations"]) and links[0].mime_type == "image/jpeg"
    picture = (await client.read_resource(links[0].uri)).contents[0]
    assert base64.b64decode(picture.blob)[:2] == b"\xff\xd8"
    around = (await client.read_resource(f"vidrag://videos/{ids['red.mp4']}?t=0.5&e=0.7")).contents[0]
    assert "red sign" in around.text and "red.mp4" in around.text

    said = await client.call_tool("transcript", {"video": "red.mp4", "kinds": ["speech", "text"], "limit": 1})
    assert len(said.structured_content["rows"]) == 1 and said.structured_content["next"] is not None
    assert text_of(said).startswith("00:00 ")
    rest = await client.call_tool("transcript", {"video": "red.mp4", "start": "0:00", "kinds": ["text"]})
    assert [r["kind"] for r in rest.structured_content["rows"]] == ["text"]

    shown = await client.call_tool("frame", {"video": "red.mp4", "t": 0.2, "width": 80})
    image = next(c for c in shown.content if isinstance(c, ImageContent))
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(image.data), np.uint8), cv2.IMREAD_COLOR)
    assert image.mime_type == "image/jpeg" and pixels is not None and pixels.shape == (48, 80, 3)


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("ask", {"question": ""}, "the question is empty"),
    ("ask", {}, "question: Field required"),
    ("ask", {"question": "What?", "options": ["one"]}, "options given"),
    ("search", {"query": "beep", "top": 1000}, "top: Input should be less than or equal to 100"),
    ("search", {"query": "beep", "since": "yesterday"}, "YYYY-MM-DD"),
    ("search", {"query": "beep", "kinds": ["smell"]}, "Input should be 'speech', 'text' or 'frame'"),
    ("fetch", {"id": "../../etc/passwd"}, "is no id"),
    ("fetch", {"id": "0123456789abcdef:speech:0"}, "no video '0123456789abcdef'"),
    ("transcript", {"video": "green.mp4"}, "no video 'green.mp4'"),
    ("frame", {"video": "red.mp4", "t": "soon"}, "give seconds or a clock time"),
    ("list_videos", {"sort": "colour"}, "no order is called 'colour'"),
]


async def mistakes(client: Client) -> None:
    """Each is told in one line, as a tool's error, and none names a path of the machine it has no need to."""
    for name, arguments, says in MISTAKES:
        result = await client.call_tool(name, arguments)
        assert result.is_error and says in text_of(result) and "\n" not in text_of(result), (name, text_of(result))
    for uri in ("vidrag://videos/0123456789abcdef?t=1", "vidrag://videos/..%2F..%2Fetc%2Fpasswd", "file:///etc/passwd"):
        with pytest.raises(MCPError):
            await client.read_resource(uri)


def test_over_stdin_and_stdout(world: World) -> None:
    parameters = StdioServerParameters(command=sys.executable, args=COMMAND, cwd=world.root, env=world.env)

    async def talk() -> None:
        async with Client(stdio_client(parameters)) as client:
            await conversation(client, "vidrag://videos/")
            await mistakes(client)

    asyncio.run(talk())


def test_over_http(address: str) -> None:
    async def talk() -> None:
        for path in ("/mcp", "/mcp/"):
            async with Client(f"{address}{path}") as client:
                await conversation(client, f"{address}/v/")
        async with Client(f"{address}/mcp/", mode="legacy") as client:
            await conversation(client, f"{address}/v/")
            await mistakes(client)

    asyncio.run(talk())


def test_no_connection_is_held_for_news_that_never_come(address: str) -> None:
    accept = {"accept": "application/json, text/event-stream"}
    for path in ("/mcp", "/mcp/"):
        assert httpx.get(f"{address}{path}", headers=accept).status_code == 405
        reply = httpx.post(f"{address}{path}", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=accept)
        assert reply.status_code == 200 and {t["name"] for t in reply.json()["result"]["tools"]} == TOOLS


def test_many_at_a_time(address: str) -> None:
    """Each gets what it would get alone."""

    async def talk() -> list[str]:
        async with Client(f"{address}/mcp/") as client:
            asked = [client.call_tool("ask", {"question": "What does the beep say?"}) for _ in range(12)]
            return [text_of(r) for r in await asyncio.gather(*asked)]

    assert len(set(asyncio.run(talk()))) == 1


def test_nothing_but_the_protocol_is_on_stdout(world: World) -> None:
    """What is no message is told in the protocol; the process ends with its stdin."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "ask", "arguments": {"question": "a?"}}},
    ]
    process = subprocess.Popen(
        [sys.executable, *COMMAND], cwd=world.root, env=world.env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write("no json\n" + "".join(json.dumps(m) + "\n" for m in messages))
    process.stdin.flush()
    lines = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.stdin.close()
    rest, errors = process.stdout.read(), process.stderr.read()
    assert process.wait(20) == 0
    lines += [json.loads(line) for line in rest.splitlines()]
    assert all(line["jsonrpc"] == "2.0" for line in lines) and {1, 2} <= {line.get("id") for line in lines}
    assert "Traceback" not in errors


def test_a_missing_archive_is_one_line(world: World, tmp_path: Path) -> None:
    ran = world.run("mcp", tmp_path)
    assert ran.returncode == 2 and ran.stdout == "" and "holds no archive" in ran.stderr
