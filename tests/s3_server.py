"""A real S3 server on loopback: moto's, as a child process.

Run as a program it is that server.  moto looks whether an object exists and then writes it, in two steps and many
threads; S3 does it in one.  So requests are let in one at a time, after their bodies have come.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KEYS = {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret", "AWS_REGION": "us-east-1"}
PAGE = 100
"""Keys in one reply to a listing; S3 gives a thousand."""
FAST = {"VIDRAG_OBJECT_TIMEOUT": "5", "VIDRAG_OBJECT_ATTEMPTS": "4", "VIDRAG_OBJECT_BACKOFF": "0.01"}
"""Patience for tests in which nothing fails on purpose."""


def environment(endpoint: str) -> dict[str, str]:
    """Variables with which a process reaches the server, or a proxy before it."""
    return {**KEYS, **FAST, "AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def running(page: int = PAGE, folder: Path | None = None) -> Iterator[str]:
    """The address of a server that runs as long as the ``with``; its bucket ``full`` holds the files of ``folder``."""
    server = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), str(page), str(folder or "")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout
        port = server.stdout.readline().strip()
        assert port, "moto's server did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def make_bucket(endpoint: str, name: str) -> None:
    request = urllib.request.Request(f"{endpoint}/{name}", method="PUT", headers={"Content-Length": "0"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        assert reply.status == 200


class _OneAtATime:
    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app, self._lock = app, threading.Lock()

    def __call__(self, environ: Mapping[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self._lock:
            return list(self._app({**environ, "wsgi.input": io.BytesIO(body)}, start_response))


def _fill(folder: Path) -> None:
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        backend.put_object("full", path.relative_to(folder).as_posix(), path.read_bytes())


def _serve(page: str, folder: str) -> None:
    os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = page
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app = _OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    make_bucket(f"http://127.0.0.1:{server.port}", "warm")  # the first request imports the service
    if folder:
        make_bucket(f"http://127.0.0.1:{server.port}", "full")
        _fill(Path(folder))
    print(server.port, flush=True)
    thread.join()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
