"""``vidrag eval``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import ArchivePath, AsJson, ProfileName, Settings, profile_of

group = typer.Typer(no_args_is_help=True, help="Measure answers against questions whose answers are known.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="eval")


@group.command("corpus")
def corpus(
    archive: ArchivePath,
    questions: Annotated[Path, typer.Argument(metavar="QUESTIONS", help="questions.json with answers and evidence.")],
    profile: ProfileName = "embedded",
    settings: Settings = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Keep the answers as JSONL.")] = None,
    as_json: AsJson = False,
) -> int:
    """Answer a corpus and print evidence recall, right options and start errors by kind and modality."""
    from ...store.archive import Archive
    from .. import asking, batch, build
    from ..evaluate import corpus as data
    from ..evaluate import score

    known = data.read(questions)
    asker = build.asker(Archive.open(archive), profile_of(profile, settings))
    asked = [batch.Asked(q.id, q.question, q.options, q.videos) for q in known]
    found: list[dict[str, Any]] = []
    for done, answer in enumerate(map(asking.told, asking.rows(asker, asked, asking.Counts())), 1):
        found.append(answer)
        if sys.stderr.isatty():
            print(f"\r{done}/{len(asked)}", end="\n" if done == len(asked) else "", file=sys.stderr)
    if output:
        output.write_text("".join(json.dumps(a, ensure_ascii=False) + "\n" for a in found), "utf-8")
    rows = score.table([score.score(q, a) for q, a in zip(known, found, strict=True)])
    if as_json:
        print(json.dumps({"profile": profile, "settings": settings or [], "table": rows}))
    else:
        print(f"{'':44} {'n':>4} {'right':>7} {'any@5':>7} {'all@5':>7} {'start error':>12}")
        for r in rows:
            print(
                f"{r['group'][:44]:44} {r['questions']:>4} {_share(r['right'])} {_share(r['evidence_at_5_any'])} "
                f"{_share(r['evidence_at_5_all'])} {_seconds(r['median_start_error_s'])}"
            )
    return 0


def _share(value: float | None) -> str:
    return f"{value:>7.3f}" if value is not None else "      -"


def _seconds(value: float | None) -> str:
    return f"{value:>10.2f} s" if value is not None else "           -"
