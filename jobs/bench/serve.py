"""What the server costs: a question over HTTP beside the same asked directly, and many clients at once."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ...store.errors import VidragError
from ..library import Library
from . import machine, spread


def run(library: Library, vidrag: Path, questions: Sequence[str], *, clients: int, seconds: float) -> dict[str, Any]:
    """``vidrag`` is the program; ``clients`` ask all at once for ``seconds``."""
    with serving(vidrag, library.archive.location) as (server, address):
        port = urlsplit(address).port or 80
        single = _single(library, port, questions)
        return {"bench": "serve", "machine": machine(), **single, **_many(server, port, questions, clients, seconds)}


@contextmanager
def serving(vidrag: Path, archive: str, *words: str) -> Iterator[tuple[int, str]]:
    """A server over an archive: the id of its process, and its address.  ``words``: further ones of its command."""
    command = [str(vidrag), "--offline", "serve", archive, "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+:\d+", server.stdout.readline())
            if found is None:
                raise VidragError("the server did not start; 'vidrag serve' says why")
            yield server.pid, found[0]
        finally:
            server.send_signal(signal.SIGINT)


def _single(library: Library, port: int, questions: Sequence[str]) -> dict[str, Any]:
    """Each question both ways in turn; the first ones warm everything up."""
    ask = _asker(port)
    for question in questions:
        library.ask(question)
        ask(question)
    direct, over_http = [], []
    for question in islice(cycle(questions), max(60, len(questions))):
        direct.append(_timed(library.ask, question))
        over_http.append(_timed(ask, question))
    ratio = statistics.median(over_http) / statistics.median(direct)
    return {"direct_s": spread(direct), "http_s": spread(over_http), "http_over_direct_p50": round(ratio, 3)}


def _many(server: int, port: int, questions: Sequence[str], clients: int, seconds: float) -> dict[str, Any]:
    """Failures, the median beside what the cores could do at best, and the server's memory before and after."""
    ask = _asker(port)
    alone = statistics.median(_timed(ask, q) for q in islice(cycle(questions), 30))
    before, ends = _memory(server), time.monotonic() + seconds
    took, failed, waits, held = list[float](), list[str](), list[float](), [before]

    def client(number: int) -> None:
        own = _asker(port)
        for question in islice(cycle(questions), number, None):
            if time.monotonic() >= ends:
                return
            try:
                took.append(_timed(own, question))
            except _Busy as e:
                waits.append(e.seconds)
                time.sleep(e.seconds)
            except (VidragError, OSError) as e:
                failed.append(str(e))

    with ThreadPoolExecutor(clients) as threads:
        working = [threads.submit(client, n) for n in range(clients)]
        while not all(w.done() for w in working):
            held.append(_memory(server))
            time.sleep(0.2)
    cores = len(os.sched_getaffinity(0))
    ideal = alone * clients / min(cores, clients)
    return {
        "clients": clients,
        "questions": len(took),
        "failed": len(failed),
        "told_to_wait": len(waits),
        "p50_over_ideal": round(statistics.median(took) / ideal, 3),
        "p95_s": round(sorted(took)[int(len(took) * 0.95)], 4),
        "memory_mb": {"before": before >> 20, "peak": max(held) >> 20, "after": _memory(server) >> 20},
        "memory_by_tenth_mb": [int(max(t)) >> 20 for t in np.array_split(held, 10) if len(t)],
    }


class _Busy(Exception):
    """More ask than the server takes at a time; it says how many ``seconds`` to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def _asker(port: int) -> Callable[[str], object]:
    """Asks one question after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(question: str) -> object:
        connection.request(
            "POST", "/api/v1/ask", json.dumps({"question": question}), {"Content-Type": "application/json"}
        )
        reply = connection.getresponse()
        told = reply.read()
        if reply.status == 503:
            raise _Busy(float(reply.headers["Retry-After"]))
        if reply.status != 200:
            raise VidragError(f"{reply.status}: {told[:200]!r}")
        return told

    return ask


def _timed(ask: Callable[[str], object], question: str) -> float:
    began = time.perf_counter()
    ask(question)
    return time.perf_counter() - began


def _memory(process: int) -> int:
    """Bytes that a process holds in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
