"""A proxy between a client and an object store that breaks chosen requests in chosen ways.

    with FaultProxy(endpoint) as proxy:
        proxy.break_nth(1, "lost reply", writes)

A request is described by :class:`Request`; ``match`` picks those that count.  Every request is noted in ``seen``,
and ``sent`` counts the bytes of the replies.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal[
    "409 before",  # S3's way to say that two conditional writes met and this one should come again
    "500 before",  # the server never hears of it
    "503 before",
    "500 after",  # it worked, but the reply says that it failed
    "lost reply",  # it worked, and the connection breaks off
    "lost request",  # the connection breaks off before
    "hang before",  # no reply within the client's patience; the server never hears of it
    "hang after",  # it worked, no reply within the client's patience
    "half a body",  # the reply breaks off in its middle
]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]
FOR_WRITES: tuple[Kind, ...] = tuple(k for k in KINDS if k not in ("half a body", "409 before"))
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization"}


@dataclass(frozen=True)
class Request:
    """``key`` is that in the bucket, unquoted; ``lists`` is the prefix of a listing, None for other requests."""

    method: str
    key: str
    lists: str | None
    conditional: bool
    range: str = ""

    @property
    def bytes(self) -> int:
        """How many bytes are asked for; 0: all."""
        first, _, last = self.range.removeprefix("bytes=").partition("-")
        return int(last) - int(first) + 1 if last else 0

    @property
    def writes(self) -> bool:
        return self.method in ("PUT", "POST", "DELETE")


@dataclass
class _Fault:
    kind: Kind
    match: Callable[[Request], bool]
    first: int
    times: int
    count: int = 0


@dataclass
class FaultProxy:
    """``hang_s`` must be longer than the client's time-out."""

    upstream: str
    hang_s: float = 1.5
    seen: list[Request] = field(default_factory=list)
    broken: list[Request] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []
        self._stale: Callable[[Request], bool] | None = None
        self._old: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def break_nth(self, nth: int, kind: Kind, match: Callable[[Request], bool], times: int = 1) -> None:
        """Breaks the ``nth`` request (from 1) from now on for which ``match`` holds, and ``times - 1`` after it."""
        with self._lock:
            self._faults.append(_Fault(kind, match, nth, times))

    def stale(self, match: Callable[[Request], bool] | None) -> None:
        """Answers listings for which ``match`` holds with the reply that each of them gets next, for ever."""
        with self._lock:
            self._stale, self._old = match, {}

    def heal(self) -> None:
        with self._lock:
            self._faults, self._stale, self._old = [], None, {}
            self.seen.clear()
            self.sent = 0
            self.broken.clear()

    def fault(self, request: Request) -> Kind | None:
        with self._lock:
            self.seen.append(request)
            for f in self._faults:
                if f.match(request):
                    f.count += 1
                    if f.first <= f.count < f.first + f.times:
                        self.broken.append(request)
                        return f.kind
        return None

    def answer(
        self, request: Request, path: str, ask: Callable[[], tuple[int, list[tuple[str, str]], bytes]]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._stale is None or request.lists is None or not self._stale(request):
            return ask()
        with self._lock:
            if path not in self._old:
                self._old[path] = ask()
            return self._old[path]


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        query = parse_qs(parts.query, keep_blank_values=True)
        lists = query.get("prefix", [""])[0] if "list-type" in query else None
        if "delete" in query:
            key = body.decode().partition("<Key>")[2].partition("</Key>")[0]
        request = Request(self.command, key, lists, "If-None-Match" in self.headers, self.headers.get("Range", ""))
        kind = self.proxy.fault(request)
        if kind in ("409 before", "500 before", "503 before"):
            code = b"ConditionalRequestConflict" if kind == "409 before" else b"InternalError"
            return self._reply(int(kind[:3]), [], b"<Error><Code>" + code + b"</Code></Error>")
        if kind == "lost request":
            return self._cut()
        if kind == "hang before":
            time.sleep(self.proxy.hang_s)
            return self._cut()
        status, headers, data = self.proxy.answer(request, self.path, lambda: self._forward(body))
        if kind == "500 after":
            return self._reply(500, [], b"<Error><Code>InternalError</Code></Error>")
        if kind == "lost reply":
            return self._cut()
        if kind == "hang after":
            time.sleep(self.proxy.hang_s)
            return self._cut()
        return self._reply(status, headers, data, half=kind == "half a body")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(urlsplit(self.proxy.upstream).netloc, timeout=30)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
            upstream.request(self.command, self.path, body, headers)
            reply = upstream.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            upstream.close()

    def _reply(self, status: int, headers: list[tuple[str, str]], data: bytes, half: bool = False) -> None:
        length = str(len(data))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.proxy.sent += len(data)
            self.wfile.write(data[: len(data) // 2] if half else data)
        if half:
            self._cut()

    def _cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
