"""Traces: one JSON line a question and arm, kept as they come, so that a killed run goes on where it stopped."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ...store.errors import UsageError
from ...store.storage import owned
from ...store.storage.faults import storage_errors
from ...store.storage.whole import write_whole

Trace = Mapping[str, Any]
FELL_BACK = "answered from evidence alone"
"""How the note begins that says that the language model failed; such an answer is not that of its arm."""


def fell_back(trace: Trace) -> bool:
    return any(n.startswith(FELL_BACK) for n in trace.get("answer", {}).get("notes", ()))


class TraceFile:
    """The traces of one arm in a file; without a path, in memory.

    Lines that cannot be read (the last one of a killed run) count as not there.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.by_id = path, dict[str, Trace]()
        self._out: IO[str] | None = None
        for line in _lines(path) if path else ():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                trace = json.loads(line)
                self.by_id[str(trace["id"])] = trace

    def keep(self, prints: Mapping[str, str]) -> int:
        """Drops every trace that is not of the fingerprint that ``prints`` names for its question, and those that
        failed; returns how many are left."""
        self.by_id = {
            i: t
            for i, t in self.by_id.items()
            if t.get("fingerprint") == prints.get(i, "") and "answer" in t and not fell_back(t)
        }
        return len(self.by_id)

    def add(self, trace: Trace) -> None:
        self.by_id[trace["id"]] = trace
        if self.path is None:
            return
        with storage_errors(self.path):
            if self._out is None:
                self.write([*self.by_id])
                self._out = self.path.open("a", encoding="utf-8", errors="backslashreplace")
            else:
                self._out.write(_line(trace))
            self._out.flush()

    def write(self, order: Sequence[str]) -> None:
        """The file anew, in the order of ``order`` (ids); appears when it is complete."""
        if self._out is not None:
            self._out.close()
            self._out = None
        if self.path is not None:
            write_whole(self.path, "".join(_line(self.by_id[i]) for i in order if i in self.by_id))

    def close(self) -> None:
        if self._out is not None:
            self._out.close()


def _line(trace: Trace) -> str:
    return json.dumps(trace, ensure_ascii=False) + "\n"


def _lines(path: Path) -> list[str]:
    with storage_errors(path):
        try:
            return path.read_text("utf-8", "replace").split("\n")
        except FileNotFoundError:
            return []


@contextlib.contextmanager
def results_folder(path: Path) -> Iterator[Path]:
    """The folder of a run's results, made where it is new; one run at a time has it.

    Raises :class:`UsageError` where it is a file, holds other things or is in use.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file; name a folder for the results")
    mark, new = path / "traces", not path.exists()
    if path.is_dir() and not mark.is_dir() and any(path.iterdir()):
        raise UsageError(f"{path}: has other things in it; name a new folder, or that of an earlier run")
    with storage_errors(path):
        mark.mkdir(parents=True, exist_ok=True)
        with (mark / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                raise UsageError(f"{path}: another run writes there; wait for it, or name another folder") from e
            try:
                yield path
            finally:
                if new and [f.name for f in mark.iterdir()] == [".lock"]:  # nothing was asked
                    owned.remove_folder(mark, None, lambda name: name == ".lock")
                    owned.remove_folder(path, None, lambda name: False)
