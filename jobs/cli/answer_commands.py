"""``vidrag answers``, ``rerun`` and ``compare``: batches of answers that the archive keeps."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import ArchivePath, AsJson, Settings

Run = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, its start, or 'last'.")]
_BRIEF = ("error_type", "kept_from", "degraded", "right", "choice", "options")


def register(app: typer.Typer) -> None:
    for name, command in (("answers", answers), ("rerun", rerun), ("compare", compare)):
        app.command(name)(command)


def answers(
    archive: ArchivePath,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Print the answers of this run, one JSON a line.")] = "",
    as_json: AsJson = False,
) -> int:
    """List the batches of answers that the archive keeps, oldest first.  Exit code 4 where one is damaged."""
    from ...store.archive.archive import Archive
    from ...store.errors import ArchiveDamaged, one_line
    from ...store.shell import path_word
    from ..answers import asking
    from ..answers import log as answer_log

    opened, told, code = Archive.open(archive), list[dict[str, Any]](), 0
    if run:
        _, rows = answer_log.read(opened, answer_log.find(opened, run))
        for row in rows:
            print(json.dumps(asking.told(row), ensure_ascii=False))
        return 0
    for name, finished in answer_log.runs(opened):
        try:
            batch, rows = answer_log.read(opened, name, _BRIEF)
        except ArchiveDamaged as e:
            print(f"vidrag: {one_line(e)}", file=sys.stderr)
            code = e.exit_code
            continue
        known = [r for r in rows if r["right"]]
        told.append(
            {
                "run": name,
                "command": batch.command,
                "parent": batch.parent,
                "profile": str(batch.profile.get("name", "?")),
                "changes": list(batch.changes),
                "finished": finished,
                "questions": batch.questions,
                "answers": len(rows),
                "failed": sum(bool(r["error_type"]) for r in rows),
                "kept": sum(bool(r["kept_from"]) for r in rows),
                "degraded": sum(bool(r["degraded"]) for r in rows),
                "right": sum(r["choice"] == r["right"] for r in known) if known else None,
                "known": len(known),
            }
        )
    if as_json:
        print(json.dumps(told))
        return code
    for t in told:
        right = f"  {t['right']} of {t['known']} right" if t["known"] else ""
        state = "" if t["finished"] else "  not finished"
        again = f"  again {t['parent']} {' '.join(t['changes'])}".rstrip() if t["parent"] else ""
        print(f"{t['run']}  {t['answers']:>6} answers {t['failed']:>4} failed{right}  {t['profile']}{again}{state}")
    print(f"{len(told)} runs; 'vidrag rerun {path_word(archive)} RUN --set SECTION.OPTION=VALUE' asks one again")
    return code


def rerun(
    archive: ArchivePath,
    run: Run,
    settings: Settings = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="JSONL of answers, too ('-': stdout).")
    ] = None,
) -> int:
    """Ask the questions of a run again with its settings and changes to them; what they do not touch is kept."""
    from ...store.archive.archive import Archive
    from ..answers import log as answer_log
    from ..answers import run as batch_run
    from .ask_commands import Counter, say_ended

    opened = Archive.open(archive)
    found = answer_log.find(opened, run)
    count = len(answer_log.read(opened, found, ("position",))[1])
    ended = batch_run.rerun(opened, found, settings or [], output, Counter(count))
    say_ended(ended)
    if ended.run:
        print(f"compare with: vidrag compare {archive} {found} {ended.run}", file=sys.stderr)
    return 3 if ended.counts.failed else 0


def compare(archive: ArchivePath, before: Run, after: Run, as_json: AsJson = False) -> int:
    """Show which answers of two runs differ and why, and whether the second is better (McNemar's exact test)."""
    from ...store.archive.archive import Archive
    from ...store.shell import printable
    from ..answers import compare as work
    from ..answers import log as answer_log

    opened = Archive.open(archive)
    names = [answer_log.find(opened, name) for name in (before, after)]
    found = work.compare(*(answer_log.read(opened, name)[1] for name in names))
    both, only_before, only_after, neither = found.right
    if as_json:
        print(json.dumps({"before": names[0], "after": names[1], **dataclasses.asdict(found)}))
        return 0
    for c in found.changes:
        verdict = "" if c.right is None else f" ({_word(c.right[0])} -> {_word(c.right[1])})"
        print(f"{printable(str(c.id))}: {printable(c.question)}")
        print(f"  {printable(c.before[:100])} -> {printable(c.after[:100])}{verdict}: {printable(c.why)}")
    print(f"{found.pairs} questions in both runs, {len(found.changes)} answers differ; {found.single} in one run only")
    if total := sum(found.right):
        print(
            f"right: {both + only_before} -> {both + only_after} of {total}; only before {only_before}, only after "
            f"{only_after}, neither {neither}; McNemar's exact test: p = {found.p:.3g}"
        )
    return 0


def _word(right: bool) -> str:
    return "right" if right else "wrong"
