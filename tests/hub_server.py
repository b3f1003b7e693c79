"""A server on loopback that speaks what huggingface_hub asks of the hub, over repositories in memory."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = Mapping[str, bytes]


class Hub:
    """``commits`` by repository, the newest last; ``fetched`` holds the names of files whose bytes were asked for.

    ``sent``: bytes of files that went out.  ``cuts``: after so many bytes of a file the line breaks, once for each.
    ``answers``: status, body and headers that stand in for a file, or for the hub's API under ``api``.
    """

    def __init__(self) -> None:
        self.commits: dict[str, list[Files]] = {}
        self.fetched: list[str] = []
        self.up = True
        self.licence = "mit"
        self.gated = set[str]()
        self.sent = 0
        self.pause_s = 0.0
        """Between blocks of a file."""
        self.cuts: dict[str, list[int]] = {}
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def commit(self, repo: str, files: Files) -> str:
        """Adds a commit with these files; returns its name."""
        self.commits.setdefault(repo, []).append(files)
        return sha_of(files)

    def at(self, repo: str, revision: str) -> Files | None:
        known = self.commits.get(repo, [])
        return next((f for f in reversed(known) if revision in ("", "main", sha_of(f))), None)


def sha_of(files: Files) -> str:
    told = json.dumps({n: hashlib.sha256(d).hexdigest() for n, d in sorted(files.items())})
    return hashlib.sha1(told.encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._file(False)

    def _is_gated(self) -> bool:
        gated = any(repo in unquote(self.path) for repo in self.hub.gated)
        if gated:
            self._send(401, b"{}", {"X-Error-Code": "GatedRepo"})
        return gated

    def do_GET(self) -> None:
        if self._is_gated():
            return
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[0] == "api" and "api" in self.hub.answers:
            self._send(*self.hub.answers["api"])
        elif parts[:2] == ["api", "models"]:
            repo, rest = "/".join(parts[2:4]), parts[4:]
            files = self.hub.at(repo, rest[1] if len(rest) > 1 else "")
            if files is None or not self.hub.up:
                self._missing("RevisionNotFound")
            elif rest[:1] == ["tree"]:
                rows = [{"type": "file", "path": n, "size": len(d), "oid": _oid(d)} for n, d in files.items()]
                self._json(rows)
            else:
                told = [{"rfilename": n, "size": len(d), "blobId": _oid(d)} for n, d in files.items()]
                card = {"license": self.hub.licence} if self.hub.licence else {}
                self._json({"id": repo, "sha": sha_of(files), "siblings": told, "cardData": card})
        else:
            self._file(True)

    def _file(self, whole: bool) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        files = self.hub.at("/".join(parts[:2]), parts[3] if len(parts) > 3 else "")
        name = "/".join(parts[4:])
        if files is None or name not in files or not self.hub.up:
            self._missing("EntryNotFound")
            return
        if name in self.hub.answers:
            self._send(*self.hub.answers[name])
            return
        if whole:
            self.hub.fetched.append(name)
        data, told = files[name], {"ETag": f'"{_oid(files[name])}"', "X-Repo-Commit": sha_of(files)}
        first = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not first:
            self._send(200, data, told, name)
            return
        at = int(first[1])
        told["Content-Range"] = f"bytes {at}-{len(data) - 1}/{len(data)}"
        self._send(206, data[at:], told, name)

    def _missing(self, code: str) -> None:
        self._send(404, b"{}", {"X-Error-Code": code}) if self.hub.up else self._send(503, b"{}", {})

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], file: str = "") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "GET":
            return
        cut = self.hub.cuts.get(file, [])
        whole, body = len(body), body[: cut.pop(0)] if cut else body
        for block in (body[i : i + _BLOCK] for i in range(0, len(body), _BLOCK)):
            self.wfile.write(block)
            self.hub.sent += len(block) if file else 0
            time.sleep(self.hub.pause_s if file else 0)
        self.close_connection = len(body) < whole


_BLOCK = 1 << 18
_LARGE = 8 << 20


def _oid(data: bytes) -> str:
    """As the hub names contents: large files by their SHA-256."""
    return (hashlib.sha256 if len(data) >= _LARGE else hashlib.sha1)(data).hexdigest()
