"""``vidrag ask`` and ``vidrag batch``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import ArchivePath, AsJson, ProfileName, Settings, profile_of

if TYPE_CHECKING:
    from ...query.types import Answer
    from ..batch_run import Ended

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
    profile: ProfileName = "embedded",
    settings: Settings = None,
    as_json: AsJson = False,
    more: Annotated[bool, typer.Option("--more", help="Show all rows that were considered, the best first.")] = False,
) -> int:
    """Ask a question; the answer cites who said or what showed it, from which second to which second."""
    from ...store.archive import Archive
    from .. import build
    from .streaming import shown

    asker = build.asker(Archive.open(archive), profile_of(profile, settings))
    with shown(sys.stdout, not as_json and not option) as tell:
        answer = asker.ask(question, video, option or [], tell)
    if as_json:
        print(json.dumps(answer.as_json(), ensure_ascii=False))
    else:
        _print(answer, asker.archive, more)
    return 0


def _print(answer: Answer, archive: object, more: bool) -> None:
    from ...store.archive import Archive
    from ...store.records import PERCEIVED, clock
    from ..ledger import printable

    assert isinstance(archive, Archive)
    letter = f"{answer.choice}. " if answer.choice else ""
    print(letter + "\n".join(map(printable, answer.text.splitlines())))
    by_id = {e.id: e for e in answer.evidence}
    cited = answer.cited()
    rows = cited or [by_id[i] for i in answer.nearest]
    if more:
        rows += [e for e in sorted(answer.evidence, key=lambda e: e.rank) if e not in rows]
    if rows:
        print("\nEvidence:" if cited else "\nNearest:")
    for e in rows:
        kind = (
            PERCEIVED[e.kind]
            + (f" by {printable(e.speaker)}" if e.speaker else "")
            + (" (doubtful)" if e.doubts else "")
        )
        print(f"  [{e.id}] {printable(e.name)} {clock(e.start)}-{clock(e.end)}  {kind}: {printable(e.text)}")
        path = archive.shard(e.video).manifest.source.paths[0]
        print(f"       open: {open_hint(path, e.start)}")
    for note in answer.notes:
        print(f"note: {printable(note)}")


def open_hint(path: str, start: float) -> str:
    """How to see a moment: a command for mpv that is safe to paste, or the address and the time."""
    from ...store.shell import is_address, path_word, quoted

    if is_address(path):  # mpv would fetch whatever an archive from elsewhere names
        return f"{quoted(path)} at {start:.1f} s"
    return f"mpv --start={start:.1f} -- {path_word(path)}"


def batch(
    archive: ArchivePath,
    questions: Annotated[Path, typer.Argument(metavar="QUESTIONS", help="JSONL, or the questions.json of a corpus.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="JSONL of answers ('-': stdout).")],
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> int:
    """Answer many questions: one JSON line each, in input order, also where a question failed."""
    from ...store.archive import Archive
    from .. import batch as work
    from .. import batch_run
    from .. import profile as profiles

    asked, opened = work.read(questions), Archive.open(archive)
    table, given = profiles.table(profile, settings or []), profiles.words(profile, settings or [])
    ended = batch_run.batch(opened, table, asked, output, Counter(len(asked)), given)
    failed = ended.counts.failed
    where = "stdout" if str(output) == "-" else str(output)
    print(f"{len(asked)} questions, {failed} failed; answers in {where}", file=sys.stderr)
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
