"""A server on the loopback interface that speaks chat completions, for the tests of clients."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, str, str]
"""Status, content type and body."""


def completion(text: str) -> Answer:
    """A chat completion that says ``text``."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return 200, "application/json", json.dumps(body)


def obliging(request: dict[str, Any]) -> Answer:
    """Cites the first row of the prompt, answers with its text, and chooses B."""
    prompt = "\n".join(m["content"] for m in request["messages"] if isinstance(m["content"], str))
    rows = re.findall(r"^\[(E\d+)\] .*?: (\".*\")$", prompt, re.M)
    told = {
        "citations": [rows[0][0]] if rows else [],
        "choice": "B",
        "answerable": bool(rows),
        "answer": json.loads(rows[0][1]) if rows else "",
    }
    return completion(json.dumps(told))


@dataclass
class ChatServer:
    """``requests`` holds the bodies and ``headers`` the headers received; ``respond`` makes the answers."""

    url: str = ""
    respond: Callable[[dict[str, Any]], Answer] = obliging
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


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
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

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
