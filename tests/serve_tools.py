"""A server of the product in a process of its own, on loopback, for tests."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx

COMMAND = [sys.executable, "-c", "from vidrag.jobs.cli import main; main()", "--offline"]


@dataclass
class Server:
    """``url``: its root, without a slash at the end; ``log``: what it wrote."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **options)


@contextlib.contextmanager
def serving(archive: Path | str, folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """``vidrag serve ARCHIVE`` at a free port; stopped by its process id."""
    log = folder / "server.log"
    command = [*COMMAND, "serve", str(archive), "--port", "0", *words]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env={**os.environ, **(env or {})}
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"{line}{log.read_text()}"
        yield Server(found[0].partition("/login")[0].replace("localhost", "127.0.0.1"), process, log)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
