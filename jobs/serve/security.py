"""Who may ask what: host names, origins, the token, sizes of bodies, and the headers of every reply.

It wraps the whole application, so that no route, page or mounted door is left out.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 1 << 16
LARGEST_CONVERSATION = 1 << 20
"""Chat clients send all that was said before."""
BODY_SECONDS = 15.0
"""A body that has not come by then is not waited for."""
COOKIE = "vidrag"
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_OPEN = ("/login", "/static/", "/health/")
"""Needs no token: the way to give one, and nothing of the archive."""
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Access:
    """``hosts``: names under which the server may be addressed, in lower case, without ports; ``addresses``: any IP
    address will do, too; ``token``: empty where none is asked for.
    """

    hosts: frozenset[str]
    addresses: bool = False
    token: str = ""

    def cookie(self) -> str:
        """What a browser keeps in place of the token."""
        return hashlib.sha256(f"vidrag cookie {self.token}".encode()).hexdigest()

    def is_called(self, host: str) -> bool:
        return host in self.hosts or (self.addresses and _is_address(host))

    def is_token(self, text: str) -> bool:
        return bool(self.token) and hmac.compare_digest(text.encode(), self.token.encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens at ``host``."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no WebSocket is served
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, send, *refusal)
            return
        uploads = scope["method"] == "PUT" and scope["path"].startswith("/api/v1/uploads/")
        body = receive if uploads else _bounded(receive, _largest(scope["path"]))
        try:
            await self._app(scope, body, _with_headers(send))
        except _BodyRefused as e:
            await _refuse(scope, send, e.status_code, "BodyRefused", e.detail)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        """Status, code and message where the request is not to be served."""
        host = _host(headers.get("host", ""))
        if not self._access.is_called(host):
            return 421, "WrongHost", f"this server is not called '{host[:100]}'; add the name with --allow-host"
        method, path = scope["method"], scope["path"]
        if method not in _SAFE:
            if reason := _cross_site(headers):
                return 403, "CrossSite", reason
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            form = path == "/login" and kind == "application/x-www-form-urlencoded"
            binary = path.startswith("/api/v1/uploads/") and kind == "application/octet-stream"
            if method != "DELETE" and kind != "application/json" and not form and not binary:
                return 415, "WrongType", "send application/json"
            length = headers.get("content-length", "0")
            if not binary and (not length.isdigit() or int(length) > _largest(path)):
                return 413, "BodyTooLarge", f"a body may hold {_largest(path)} bytes"
        if self._access.token and not path.startswith(_OPEN) and not self._known(headers):
            if method == "GET" and "text/html" in headers.get("accept", ""):
                return 303, "/login", ""
            return 401, "NoToken", "this server asks for a token: 'Authorization: Bearer TOKEN'"
        return None

    def _known(self, headers: dict[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._access.is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._access.cookie().encode())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _cross_site(headers: dict[str, str]) -> str:
    """Why a request that changes something comes from another site; empty where it does not."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "the request comes from another site"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return "the request's Origin is another site"
    return ""


class _BodyRefused(HTTPException):
    """Of a kind that frameworks let through."""


def _largest(path: str) -> int:
    return LARGEST_CONVERSATION if path.startswith("/v1/") else LARGEST_BODY


def _bounded(receive: Receive, most: int) -> Receive:
    """The same without bodies that are too large or too slow."""
    seen, ends = 0, asyncio.get_running_loop().time() + BODY_SECONDS
    whole = False

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal seen, whole
        if whole:  # waits for the end of the connection
            return await receive()
        try:
            async with asyncio.timeout_at(ends):
                message = await receive()
        except TimeoutError:
            raise _BodyRefused(408, f"the body did not come within {BODY_SECONDS:.0f} seconds") from None
        seen += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if seen > most:
            raise _BodyRefused(413, f"a body may hold {most} bytes")
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    own = [(k.encode(), v.encode()) for k, v in HEADERS.items()]

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            names = {k.lower() for k, _ in message.get("headers", ())}
            more = [] if b"cache-control" in names else [(b"cache-control", b"no-store")]
            message = {**message, "headers": [*message.get("headers", ()), *own, *more]}
        await send(message)

    return sent


async def _refuse(scope: Scope, send: Send, status: int, code: str, message: str) -> None:
    sent = _with_headers(send)
    if status == 303:
        headers = [(b"location", code.encode()), (b"content-length", b"0")]
        await sent({"type": "http.response.start", "status": 303, "headers": headers})
        await sent({"type": "http.response.body", "body": b""})
        return
    data = json.dumps({"error": {"code": code, "message": message, "exit_code": 2}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await sent({"type": "http.response.start", "status": status, "headers": headers})
    await sent({"type": "http.response.body", "body": data})
