"""A client for small JSON services that trusts nobody: replies have a limit of size, requests one of time as a whole.

Standard library only.  Goes straight to the server: no proxy, no redirects.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from urllib.parse import urlsplit

from ....store.errors import EngineFailed, OptionError, one_line

MOST_BYTES = 4 << 20
_PIECE = 1 << 16
_PAUSE_S = 0.2


class _Again(EngineFailed):
    """Another try may help."""


class JsonClient:
    """``who`` names the server in messages.  Safe for several threads: each request has its own connection."""

    def __init__(self, url: str, token: str, connect_s: float, total_s: float, retries: int, who: str) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError as e:
            raise OptionError(f"detector=http.url: {one_line(e)} (given: {url!r})") from e
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise OptionError(f"detector=http.url: is not http://HOST:PORT or https://HOST:PORT/PATH (given: {url!r})")
        self._secure, self._host, self._base = parts.scheme == "https", parts.hostname, parts.path.rstrip("/")
        self._token, self._connect_s, self._total_s, self._retries = token, connect_s, total_s, retries
        self.who = who

    def send(self, path: str, body: bytes | None) -> bytes:
        """The body of the reply to a GET, or to a POST of ``body``.

        Raises :class:`EngineFailed` where there is none in time, one that is too large, or an error.
        """
        for left in reversed(range(self._retries + 1)):
            try:
                return self._once(path, body)
            except _Again:
                if not left:
                    raise
                time.sleep(_PAUSE_S)
        raise AssertionError("unreachable")

    def _once(self, path: str, body: bytes | None) -> bytes:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=min(self._connect_s, self._total_s))
        late = threading.Event()
        try:
            connection.connect()
        except OSError as e:
            raise _Again(f"{self.who} cannot be reached: {one_line(e, 120)}; is it running?") from e

        held = connection.sock  # the connection lets go of it before the reply is read

        def stop() -> None:  # time-outs of a socket are between two bytes
            late.set()
            with contextlib.suppress(OSError):  # it is closed already
                held.shutdown(socket.SHUT_RDWR)

        watch = threading.Timer(self._total_s, stop)
        watch.daemon = True
        watch.start()
        try:
            held.settimeout(self._total_s)
            headers = {"Accept": "application/json", "Connection": "close"}
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request("GET" if body is None else "POST", (self._base + path) or "/", body, headers)
            read = self._read(connection.getresponse())
            if late.is_set():  # where no length was promised, being cut off looks like the end
                raise TimeoutError
            return read
        except (OSError, http.client.HTTPException, ValueError) as e:
            if late.is_set() or isinstance(e, TimeoutError):
                raise EngineFailed(f"{self.who} took more than {self._total_s:g} s (time-out)") from e
            raise _Again(f"{self.who} broke off: {one_line(e, 120)}") from e
        finally:
            watch.cancel()
            connection.close()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        if response.status >= 500:
            raise _Again(f"{self.who} failed with status {response.status}{self._reason(response)}")
        if response.status in (401, 403):
            raise EngineFailed(f"{self.who} refuses us (status {response.status}); is the token in detector.token_env?")
        if 300 <= response.status < 400:
            raise EngineFailed(f"{self.who} redirects (status {response.status}), which is not followed; name its url")
        if response.status != 200:
            raise EngineFailed(f"{self.who} answered with status {response.status}{self._reason(response)}")
        if int(response.headers.get("Content-Length") or 0) > MOST_BYTES:
            raise EngineFailed(f"{self.who} sent more than {MOST_BYTES >> 20} MB")
        read = bytearray()
        while piece := response.read(_PIECE):
            read += piece
            if len(read) > MOST_BYTES:
                raise EngineFailed(f"{self.who} sent more than {MOST_BYTES >> 20} MB")
        return bytes(read)

    def _reason(self, response: http.client.HTTPResponse) -> str:
        told = response.read(200).decode("utf-8", "replace")
        return f": {one_line(ValueError(told), 100)}" if told.strip() and "<" not in told else ""
