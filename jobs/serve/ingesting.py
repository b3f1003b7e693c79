"""An ingest run that the server starts: ``vidrag ingest --events`` in a process of its own, one at a time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...store.weights import models
from ..library import Library
from .errors import Refused

log = logging.getLogger("vidrag.serve")
_BEGIN_S = 60.0
"""Seconds in which a run should have looked at all files."""
_POLITE_S = 20.0
"""Seconds that a run has to stop after each signal."""
_STATUS = {2: 400, 3: 422, 5: 503}
_MAIN = "from vidrag.jobs.cli import main; main()"


def command(library: Library, path: Path, within: Path, language: str | None) -> list[str]:
    """The command line that indexes ``path`` as the server's profile says; no shell reads it."""
    return [
        sys.executable, "-P", "-c", _MAIN, *(["--offline"] if models.offline() else []),
        "ingest", "--events", "--no-ray", *shlex.split(library.profile.given), f"--within={within}",
        *([f"--language={language}"] if language else []), "--", library.archive.backend.address, str(path),
    ]  # fmt: skip


class IngestProcess:
    """One run.  ``run``: its name, empty until it has begun; ``parts``: what is done of videos that are worked on."""

    def __init__(self, words: Sequence[str]) -> None:
        env = {k: v for k, v in os.environ.items() if k != "VIDRAG_TOKEN"}
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,  # Ctrl-C in the server's terminal is passed on by close()
        )
        self.run = ""
        self.videos: int | None = None
        self.share: float | None = None
        self.eta_s: float | None = None
        self.parts: dict[str, dict[str, str]] = {}
        self.waiting: dict[str, None] = {}
        self._lock, self._begun = threading.Lock(), threading.Event()
        self._errors: deque[str] = deque(maxlen=20)
        self._stopping = False
        self._readers = [threading.Thread(target=t, daemon=True) for t in (self._read_events, self._read_errors)]
        for reader in self._readers:
            reader.start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def begin(self) -> str:
        """The run's name, once it has one; raises :class:`Refused` with what the command says where it ends before."""
        if not self._begun.wait(_BEGIN_S):
            raise Refused(503, "the run still looks at the files; it is listed once it has begun", "Busy")
        if self.run:
            return self.run
        code = self._process.wait()
        for reader in self._readers:
            reader.join(_POLITE_S)
        said = self._errors[-1].removeprefix("vidrag: ") if self._errors else f"the run ended with code {code}"
        raise Refused(_STATUS.get(code, 500), said[:500], "IngestFailed")

    def stop(self) -> None:
        """Asks the run to stop, again and less politely where it does not; returns at once."""
        with self._lock:
            if not self._stopping:
                self._stopping = True
                threading.Thread(target=self.end, daemon=True).start()

    def end(self) -> None:
        """Stops the run and waits for it."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(self._process.pid, number)  # its workers, too
                else:
                    self._process.send_signal(number)
            try:
                self._process.wait(_POLITE_S)
                return
            except subprocess.TimeoutExpired:
                log.warning("the ingest run did not stop after %s", number.name)

    def sources(self) -> list[dict[str, Any]]:
        """The videos that are not done: those that are worked on first, then those that wait."""
        with self._lock:
            working = [{"source": s, "done": False, "failed": False, "stages": dict(p)} for s, p in self.parts.items()]
            waiting = [{"source": s, "done": False, "failed": False, "stages": {}} for s in self.waiting]
        return working[::-1] + waiting

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                    self._hear(json.loads(line))
        self._begun.set()

    def _hear(self, told: dict[str, Any]) -> None:
        with self._lock:
            if told["event"] == "run":
                self.run, self.videos = str(told["run"]), int(told["videos"])
                self.waiting = dict.fromkeys(map(str, told["sources"]))
                self._begun.set()
            elif told["event"] in ("part", "video"):
                source = str(told["source"])
                self.share, self.eta_s = told["share"], told["eta_s"]
                self.waiting.pop(source, None)
                if told["event"] == "part":
                    self.parts.setdefault(source, {}).update(told["stages"])
                else:
                    self.parts.pop(source, None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                if text := line.decode("utf-8", "replace").strip():
                    self._errors.append(text)
                    log.info("ingest: %s", text)


class Ingester:
    """Starts runs, one at a time, and knows the last one."""

    def __init__(self, library: Library) -> None:
        self._library, self._lock = library, threading.Lock()
        self._last: IngestProcess | None = None

    def start(self, path: Path, within: Path, language: str | None) -> str:
        """The name of the new run; raises :class:`Refused` while another one works."""
        with self._lock:
            if self._last is not None and self._last.alive:
                raise Refused(409, "a run works already; wait for its end, or stop it", "Busy")
            self._last = IngestProcess(command(self._library, path, within, language))
        return self._last.begin()

    def of(self, run: str) -> IngestProcess | None:
        """The process of a run that was started last by this server."""
        last = self._last
        return last if last is not None and last.run == run else None

    def close(self) -> None:
        """Stops what works still."""
        if self._last is not None and self._last.alive:
            self._last.end()
