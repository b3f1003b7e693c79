"""One batch or its rerun, from settings to stored answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..store.archive import Archive, version
from ..store.errors import StorageError, one_line
from . import answer_log, asking, build
from . import profile as profiles
from .answer_log import AnswerLog, Batch
from .asking import Counts, Keys
from .batch import Asked, answer_all, check_output
from .ledger import new_run


@dataclass(frozen=True, slots=True)
class Ended:
    """``run``: where the answers are; empty where the archive could not take them, for the reason ``problem``."""

    run: str
    counts: Counts
    problem: str = ""


def batch(
    archive: Archive,
    table: dict[str, Any],
    asked: Sequence[Asked],
    output: Path | None,
    progress: Callable[[int, float], None],
) -> Ended:
    """Answers questions with the options of ``table`` (see :func:`.profile.table`) and keeps what came of it."""
    return _run(archive, table, asked, output, progress, Batch(new_run(), "batch", table, len(asked)))


def rerun(
    archive: Archive,
    run: str,
    changes: Sequence[str],
    output: Path | None,
    progress: Callable[[int, float], None],
) -> Ended:
    """Asks the questions of a stored run again, with ``changes`` (``section.option=value``) to its settings.

    Answers that nothing relevant has changed for are taken over.
    """
    first, before = answer_log.read(archive, run)
    table = profiles.changed(first.profile, changes)
    made = Batch(new_run(), "rerun", table, len(before), run, changes=tuple(changes))
    return _run(archive, table, asking.questions(before), output, progress, made, before)


def _run(
    archive: Archive,
    table: dict[str, Any],
    asked: Sequence[Asked],
    output: Path | None,
    progress: Callable[[int, float], None],
    made: Batch,
    before: Sequence[Mapping[str, Any]] = (),
) -> Ended:
    check_output(output)
    profile = profiles.compose(table)
    asker = build.asker(archive, profile)
    counts, keys = Counts(), Keys(profile, asker)
    kept, problem = _log(archive, made)

    def told() -> Iterator[dict[str, Any]]:
        for row in asking.rows(asker, asked, counts, keys, before, made.parent):
            if kept:
                kept.add(row)
            yield asking.told(row)

    with kept or contextlib.nullcontext():
        answer_all(told(), len(asked), output, progress)
    return Ended(made.run if kept else "", counts, problem)


def _log(archive: Archive, made: Batch) -> tuple[AnswerLog | None, str]:
    """Where the answers are kept; nowhere where the archive cannot be written: questions are answered all the same."""
    try:
        return AnswerLog(archive, replace(made, written_by=f"vidrag {version()}")), ""
    except StorageError as e:
        return None, one_line(e)
