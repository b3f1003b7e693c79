"""Runs decoders as child processes under limits and reads what they send.

A child gets a wall clock that runs only while the parent waits for it, limits on CPU time, address space and written
files, one thread, an environment without secrets, and a session of its own so that all of it can be killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from pydantic import Field

from ...store.errors import DecoderDied, MediaError, MediaLimit, one_line
from ...store.options import Options
from .. import decoder
from ..decoder import ALIVE, DONE, HEAD, limits

_KEPT = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "LC_CTYPE")
"""What a child's environment keeps: where programs and packages lie."""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class MediaOptions(Options):
    """Limits on the decoder of one video.

    ``stall_s``: seconds without a byte before it is killed.  ``cpu_s``: CPU seconds for one pass.  ``memory_mb``:
    address space.  ``max_pixels``: largest picture, width times height.  ``max_hours``: longest video.  ``confined``:
    the decoder can open no other file, connection or program, where the kernel knows how.
    """

    runtime = frozenset({"stall_s", "cpu_s", "memory_mb", "confined"})
    stall_s: float = Field(60, gt=0)
    cpu_s: int = Field(6 * 3600, ge=1)
    memory_mb: int = Field(3072, ge=256)
    max_pixels: int = Field(36_000_000, ge=1)
    max_hours: float = Field(24, gt=0)
    confined: bool = True


class Child:
    """A decoder at work.  ``read`` waits at most ``stall_s`` for bytes; leaving the context kills what still runs."""

    def __init__(self, command: Sequence[str], options: MediaOptions, what: str) -> None:
        self.options, self.what = options, what
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close())
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**{k: os.environ[k] for k in _KEPT if k in os.environ}, **_ONE_THREAD},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        self._waiting_since: float | None = None
        self._stalled = self._closed = False
        self._watch = threading.Thread(target=self._watchdog, name="decoder-watchdog", daemon=True)
        self._watch.start()

    def _watchdog(self) -> None:
        while not self._closed:
            since = self._waiting_since
            if since is not None and time.monotonic() - since > self.options.stall_s:
                self._stalled = True
                self._kill()
                return
            time.sleep(min(0.2, self.options.stall_s / 4))

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def read(self, n: int) -> bytes:
        """Exactly ``n`` bytes, or fewer at the end of the stream."""
        self._waiting_since = time.monotonic()
        try:
            return self._pipe.read(n)
        finally:
            self._waiting_since = None

    def messages(self, largest: int) -> Iterator[tuple[bytes, bytes]]:
        """The kind and the bytes of each message, the last one being ``DONE``.

        Raises :class:`DecoderDied` where they break off, or one is larger than ``largest`` bytes.
        """
        kind = b""
        while kind != DONE:
            try:
                kind, size = HEAD.unpack(self.read(HEAD.size))
                if size > largest:
                    raise ValueError("a message larger than allowed")
                data = self.read(size)
                if len(data) != size:
                    raise ValueError("a message that breaks off")
            except (struct.error, ValueError) as e:
                self.finish()  # says why, where the decoder died
                raise DecoderDied(f"{self.what}: the decoder broke off in the middle") from e
            if kind != ALIVE:
                yield kind, data

    def told(self, data: bytes) -> dict[str, Any]:
        """What the last message says; :class:`MediaLimit` where that is that the file is refused."""
        try:
            found = json.loads(data)
            limit = found.get("limit")
        except (ValueError, AttributeError) as e:
            raise DecoderDied(f"{self.what}: the decoder's answer makes no sense ({type(e).__name__})") from e
        self.finish()
        if limit:
            raise MediaLimit(f"{self.what}: {limit}; refused")
        return dict(found)

    def finish(self) -> None:
        """Waits for the end.

        Raises :class:`DecoderDied` where the child hung, crashed or met a limit, :class:`MediaError` with its last
        words where it gave up by itself.
        """
        self._waiting_since = time.monotonic()
        code = self._process.wait()
        self._waiting_since = None
        if self._stalled:
            raise DecoderDied(f"{self.what}: the decoder hung for {self.options.stall_s:g} s and was stopped")
        if code == -signal.SIGXCPU or code == -signal.SIGKILL:
            raise DecoderDied(f"{self.what}: the decoder was stopped (CPU limit {self.options.cpu_s} s, or killed)")
        if code < 0:
            raise DecoderDied(f"{self.what}: the decoder crashed (signal {-code})")
        if code != 0:
            raise MediaError(f"{self.what}: {self.last_words() or f'the decoder ended with code {code}'}")

    def last_words(self) -> str:
        """The last line that the child wrote to stderr."""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4096))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return one_line(Exception(lines[-1]), 200) if lines else ""

    def close(self) -> None:
        if self._process.poll() is None:
            self._kill()
        self._process.wait()
        self._closed = True
        self._pipe.close()
        self._errors.close()


@contextlib.contextmanager
def running(command: Sequence[str], options: MediaOptions, what: str) -> Iterator[Child]:
    child = Child(command, options, what)
    try:
        yield child
    finally:
        child.close()


def limited(command: Sequence[str], options: MediaOptions) -> list[str]:
    """The command that runs ``command`` (its first word a path) under the limits of ``options``."""
    script = os.path.abspath(limits.__file__)
    return [sys.executable, "-I", "-S", script, str(options.cpu_s), str(options.memory_mb), *command]


def decoding_child(verb: str, path: Path, options: MediaOptions, **arguments: object) -> list[str]:
    """The command of :mod:`..decoder` for ``path``."""
    told = json.dumps({**arguments, "confined": options.confined})
    return limited([sys.executable, "-P", "-m", decoder.__name__, verb, told, os.fspath(path.absolute())], options)
