"""One batch or its rerun, from settings to stored answers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...store.archive.archive import Archive
from ...store.archive.stored_files import version
from ...store.errors import StorageError, UsageError, one_line
from ...store.shell import printable
from .. import build
from .. import profile as profiles
from ..runs.ledger import new_run
from . import asking
from . import log as answer_log
from .asking import Counts, Keys
from .batch import Asked, answer_all, check_output
from .log import AnswerLog, Batch


@dataclass(frozen=True, slots=True)
class Ended:
    """``run``: where the answers are; empty where the archive could not take them, for the reason ``problem``."""

    run: str
    counts: Counts
    problem: str = ""


_LEADS_ELSEWHERE = ("base_url", "url", "api_key_env", "token_env", "remote_code", "extra")
log = logging.getLogger("vidrag.jobs")


def batch(
    archive: Archive,
    table: dict[str, Any],
    asked: Sequence[Asked],
    output: Path | None,
    progress: Callable[[int, float], None],
    given: str = "",
) -> Ended:
    """Answers questions with the options of ``table`` (see :func:`..profile.table`) and keeps what came of it.

    ``given``: see :class:`..profile.Profile`.
    """
    return _run(archive, table, asked, output, progress, Batch(new_run(), "batch", table, len(asked)), given=given)


def rerun(
    archive: Archive,
    run: str,
    changes: Sequence[str],
    output: Path | None,
    progress: Callable[[int, float], None],
) -> Ended:
    """Asks the questions of a stored run again, with ``changes`` (``section.option=value``) to its settings.

    Answers that nothing relevant has changed for are taken over, from a run that this user made on this machine.
    Raises :class:`UsageError` where another one's settings lead elsewhere, unless ``changes`` say the same.
    """
    first, before = answer_log.read(archive, run)
    table = profiles.changed(first.profile, changes)
    made = Batch(new_run(), "rerun", table, len(before), run, changes=tuple(changes))
    asked = asking.questions(before)
    if not answer_log.is_own(archive, run):
        _check_foreign(first.profile, changes, run)
        log.warning("run %s was not made here by you; none of its answers is taken over", run)
        before = []
    return _run(archive, table, asked, output, progress, made, before)


def _check_foreign(table: Mapping[str, Any], changes: Sequence[str], run: str) -> None:
    """Refuses settings that send pictures, prompts or secrets somewhere, or run code, which nobody here has named."""
    given = {c.partition("=")[0] for c in changes}
    for section, values in table.items():
        for option in _LEADS_ELSEWHERE if isinstance(values, Mapping) else ():
            name = f"{section}.{option}"
            if values.get(option) and name not in given:
                raise UsageError(
                    f"run {run} was not made here by you, and its {name} is {printable(str(values[option]))[:100]}; "
                    f"repeat it if you trust it, or name another: --set {name}=VALUE"
                )


def _run(
    archive: Archive,
    table: dict[str, Any],
    asked: Sequence[Asked],
    output: Path | None,
    progress: Callable[[int, float], None],
    made: Batch,
    before: Sequence[Mapping[str, Any]] = (),
    given: str = "",
) -> Ended:
    check_output(output)
    profile = replace(profiles.compose(table), given=given)
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
