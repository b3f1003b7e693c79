"""``vidrag ask`` and ``vidrag batch``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...store.shell import counted
from .app import ArchivePath, AsJson, Folder, ProfileName, Settings, Since, Until, Where, chosen_videos, profile_of

if TYPE_CHECKING:
    from ...query.types import Answer
    from ...store.archive.archive import Archive
    from ..answers.run import Ended

Video = Annotated[
    list[str] | None,
    typer.Option("--video", "-V", metavar="NAME|ID", help="Ask about this video only; may be repeated."),
]


def register(app: typer.Typer) -> None:
    app.command("ask")(ask)
    app.command("batch")(batch)


def ask(
    archive: ArchivePath,
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    video: Video = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", metavar="TEXT", help="A choice; may be repeated.")
    ] = None,
    since: Since = None,
    until: Until = None,
    folder: Folder = None,
    where: Where = None,
    profile: ProfileName = "embedded",
    settings: Settings = None,
    as_json: AsJson = False,
    more: Annotated[bool, typer.Option("--more", help="Show all rows that were considered, the best first.")] = False,
) -> int:
    """Ask a question; the answer cites who said or what showed it, from which second to which second."""
    from ...store.archive.archive import Archive
    from .. import build
    from .streaming import shown

    opened = Archive.open(archive)
    videos = chosen_videos(opened, video, since, until, folder, where)
    asker = build.asker(opened, profile_of(profile, settings))
    with shown(sys.stdout, not as_json and not option) as tell:
        answer = asker.ask(question, videos, option or [], tell)
    if as_json:
        print(json.dumps(answer.as_json(), ensure_ascii=False))
    else:
        _print(answer, asker.archive, more)
    return 0


def _print(answer: Answer, archive: Archive, more: bool) -> None:
    from ..printing import answer_lines, opener

    for line in answer_lines(answer, opener(archive), more):
        print(line)


def batch(
    archive: ArchivePath,
    questions: Annotated[Path, typer.Argument(metavar="QUESTIONS", help="JSONL, or the questions.json of a corpus.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="JSONL of answers ('-': stdout).")],
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> int:
    """Answer many questions: one JSON line each, in input order, also where a question failed."""
    from ...store.archive.archive import Archive
    from .. import profile as profiles
    from ..answers import batch as work
    from ..answers import run as batch_run

    asked, opened = work.read(questions), Archive.open(archive)
    table, given = profiles.table(profile, settings or []), profiles.words(profile, settings or [])
    ended = batch_run.batch(opened, table, asked, output, Counter(len(asked)), given)
    failed = ended.counts.failed
    where = "stdout" if str(output) == "-" else str(output)
    print(f"{counted(len(asked), 'question')}, {failed} failed; answers in {where}", file=sys.stderr)
    say_ended(ended)
    return 3 if failed else 0


def say_ended(ended: Ended) -> None:
    print(ended.counts.text(), file=sys.stderr)
    if ended.run:
        print(f"run {ended.run}", file=sys.stderr)
    else:
        print(f"not kept in the archive: {ended.problem}", file=sys.stderr)


class Counter:
    """Says how far a batch is: in place on a terminal, every tenth elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total

    def __call__(self, done: int, eta_s: float) -> None:
        if sys.stderr.isatty():
            print(
                f"\r{done}/{self._total}, {eta_s:.0f} s left ", end="\n" if done == self._total else "", file=sys.stderr
            )
        elif done % max(1, self._total // 10) == 0:
            print(f"{done}/{self._total}, {eta_s:.0f} s left", file=sys.stderr, flush=True)
