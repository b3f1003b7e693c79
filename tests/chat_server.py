"""A server on the loopback interface that speaks chat completions, for the tests of clients."""

from __future__ import annotations

import contextlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, str, str | Iterable[bytes]]
"""Status, content type and body; one in pieces is sent piece by piece, without its length."""
SSE = "text/event-stream"


def completion(text: str, why: str = "stop", top: Mapping[str, float] | None = None) -> Answer:
    """A chat completion that says ``text``; ``top``: probabilities of the candidates for its first token."""
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": why,
        "message": {"role": "assistant", "content": text},
    }
    if top is not None:
        listed = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in top.items()]
        choice["logprobs"] = {"content": [{**listed[0], "top_logprobs": listed}]}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return 200, "application/json", json.dumps(body)


def streamed(text: str, size: int = 7, end: bool = True) -> Answer:
    """The same in pieces of ``size`` characters; without its ``end`` it breaks off half-way."""

    def events() -> Iterator[bytes]:
        for at in range(0, len(text) if end else len(text) // 2, size):
            delta = {"choices": [{"index": 0, "delta": {"content": text[at : at + size]}, "finish_reason": None}]}
            yield f"data: {json.dumps(delta)}\n\n".encode()
        if end:
            yield b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'

    return 200, SSE, events()


def prompt_of(request: dict[str, Any]) -> str:
    return "\n".join(m["content"] for m in request["messages"] if isinstance(m["content"], str))


def obliging(request: dict[str, Any]) -> Answer:
    """Cites the first row of the prompt, answers with its text, and chooses B; streams where it is told to."""
    prompt = prompt_of(request)
    rows = re.findall(r"^\[(E\d+)\] .*?: (\".*\")$", prompt, re.M)
    told = {
        "citations": [rows[0][0]] if rows else [],
        "choice": "B",
        "answerable": bool(rows),
        "answer": json.loads(rows[0][1]) if rows else "",
    }
    return streamed(json.dumps(told)) if request.get("stream") else completion(json.dumps(told))


def knowing(option: str, sure: float = 0.9, bias: float = 0.0) -> Callable[[dict[str, Any]], Answer]:
    """Gives the letter of ``option`` the probability ``sure`` wherever it stands, and the letter A ``bias`` more."""

    def respond(request: dict[str, Any]) -> Answer:
        if not request.get("logprobs"):
            return obliging(request)
        listed = re.findall(r"^([A-Z])\. (.*)$", prompt_of(request), re.M)
        top = {letter: sure if text == option else (1 - sure) / len(listed) for letter, text in listed}
        top["A"] += bias
        return completion(max(top, key=lambda t: top[t]), "length", {t: p / (1 + bias) for t, p in top.items()})

    return respond


@dataclass
class ChatServer:
    """``requests`` holds the bodies and ``headers`` the headers received; ``respond`` makes the answers; ``missing``:
    so many bytes are promised and not sent.
    """

    url: str = ""
    respond: Callable[[dict[str, Any]], Answer] = obliging
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    missing: int = 0


@contextlib.contextmanager
def serving() -> Iterator[ChatServer]:
    """A server on a free port of 127.0.0.1, for as long as the context lasts."""
    state = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(body)
            state.headers.append({k.lower(): v for k, v in self.headers.items()})
            status, kind, text = state.respond(body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            pieces = [text.encode()] if isinstance(text, str) else text
            if isinstance(text, str):
                self.send_header("Content-Length", str(len(text.encode()) + state.missing))
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked has gone
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
