"""How videos are worked on, as far as it does not touch results: how often, how long, for which run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from ..store.archive import attempts as tries
from ..store.archive.archive import Archive
from ..store.archive.manifest import ProfileKey
from ..store.records import Cell

Watch = Callable[[float, Callable[[], None]], AbstractContextManager[None]]
"""``watch(seconds, overdue)``: a context that calls ``overdue`` from elsewhere if it is not left in time."""


@contextmanager
def unwatched(seconds: float, overdue: Callable[[], None]) -> Iterator[None]:
    """For whoever calls from a process that must not be ended."""
    yield


@dataclass(frozen=True, slots=True)
class Conduct:
    """``run``: name of the run that this is part of.  ``tries``: failures after which a step is given up until it is
    asked for with ``retry_failed``.  ``again``: this run has worked on the video before and its worker died: what
    failed since is left alone.  ``give_up``: so many of its workers died that the step in which they did is not tried
    again.  ``step_s`` and ``step_per_s``: seconds that a step may take, and so many more for each second of video;
    ``watch`` sees to it.  ``share_s``: a video longer than so many seconds is shared out among workers, which ask
    engines about stretches of at most that length (0: none is).  ``profile``: for which the cells are noted as its own.
    """

    run: str = "direct"
    tries: int = 3
    retry_failed: bool = False
    again: bool = False
    give_up: bool = False
    step_s: float = 900.0
    step_per_s: float = 20.0
    share_s: float = 0.0
    watch: Watch = unwatched
    profile: ProfileKey | None = None

    def limit_s(self, duration: float | None) -> float:
        return self.step_s + self.step_per_s * (duration or 0.0)

    def due(self, cell: Cell | None) -> bool:
        """True where a stage that has this cell is to be computed."""
        if cell is None:
            return True
        if cell.status != "failed" or self.again:
            return False
        return self.retry_failed or not cell.permanent

    def counted(self, cell: Cell, before: Cell | None) -> Cell:
        """A new cell with the number of its attempts; one that failed too often is given up."""
        if cell.status != "failed":
            return cell
        attempts = before.attempts + 1 if before and before.status == "failed" and not self.retry_failed else 1
        if attempts < self.tries or cell.permanent:
            return replace(cell, attempts=attempts)
        told = f"{cell.message} (given up after {attempts} tries; 'vidrag ingest --retry-failed' tries again)"
        return replace(cell, attempts=attempts, permanent=True, message=told)


def deadly(archive: Archive, video: str, step: str, fingerprint: str, conduct: Conduct) -> str:
    """Why a step is not tried once more: workers of this run died in it; empty where it may be tried."""
    dead = tries.deaths(archive.backend, video, step, fingerprint, conduct.run) if conduct.give_up else 0
    if not dead:
        return ""
    tries.forget(archive.backend, video, step, fingerprint)
    return (
        f"its worker died {dead} times in this step (a crash, or out of memory); "
        "'vidrag ingest --retry-failed' tries again"
    )
