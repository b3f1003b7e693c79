"""``vidrag eval open``: questions as people ask them, over videos and transcripts whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import AsJson, ProfileName, Settings, profile_of

JudgeSettings = Annotated[
    list[str] | None,
    typer.Option("--judge", metavar="OPTION=VALUE", help="Chat engine that scores answers; may be repeated."),
]


def register(group: typer.Typer) -> None:
    group.command("open")(open_sets)


def open_sets(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Archives and answers go there; goes on there.")],
    sets: Annotated[
        list[str],
        typer.Argument(
            metavar="SET...", help="Folders with a truth.json; 'natural', 'paraphrased', 'languages': bundled."
        ),
    ],
    videos: Annotated[
        list[str] | None, typer.Option("--videos", metavar="PATH", help="Videos of the sets; may be repeated.")
    ] = None,
    questions_of: Annotated[
        str | None, typer.Option("--questions-of", metavar="SET", help="Ask in the words of another set.")
    ] = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="named|all|elsewhere", help="Ask this way only.")
    ] = None,
    most: Annotated[
        int, typer.Option("--most", min=0, metavar="N", help="Questions of each set and way, evenly taken; 0: all.")
    ] = 0,
    judge: JudgeSettings = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap intervals.")] = 0,
    profile: ProfileName = "embedded",
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Ask sets of open questions of the video that answers, of all, and of another one, and score the answers.

    Exit code 1 where 'ask' does worse than quoting its own search's first hit, beyond chance.
    """
    from ...store.errors import UsageError
    from .. import build
    from ..evaluate import open_answers, open_sets
    from ..evaluate.judge import judge_model, judge_of
    from .telling import progress, say

    ways = [w for w in open_answers.WAYS if only in (None, w)]
    if not ways:
        raise UsageError(f"--only {only}: ways to ask are named, all and elsewhere")
    chosen, load = profile_of(profile, settings), build.shared_engines()
    judge_model(judge or [], load)  # refused before any work, and kept for every set
    found = [open_sets.read(name, videos or []) for name in sets]
    if len({s.name for s in found}) < len(found):
        raise UsageError("two sets have the same name; rename the folder of one")
    if questions_of:
        found = [open_sets.in_words_of(s, questions_of) for s in found]
    rows, failed = list[dict[str, Any]](), list[str]()
    for one in found:
        home = output / one.name
        archive, lost = open_sets.ingest(one, home, profile, settings or [], say)
        failed += lost
        lister = build.lister(archive, chosen, ("speech", "text"), load)

        def first_hit(text: str, of: Any = lister) -> dict[str, Any] | None:
            hits = of.search(text, ("speech", "text"), 1).found
            return hits[0].as_json() if hits else None

        asker, scorer = build.asker(archive, chosen, load), judge_of(judge or [], archive, load)
        made = open_answers.measure(
            one, asker, first_hit, scorer, home, ways=ways, most=most, seed=seed, report=progress()
        )
        rows += made
        if not as_json:
            print(_text(made))
    if as_json:
        told = {"profile": profile, "settings": settings or [], "seed": seed, "not_indexed": failed, "tables": rows}
        print(json.dumps(told, ensure_ascii=False))
    for line in failed:
        say(f"not indexed: {line}")
    guards = [(r["set"], d) for r in rows if "guard" in r and (d := r["guard"]["answered"]["difference"])]
    worse = [
        f"{name}: 'ask' does worse than quoting its own search's first hit: {d['value']:+.3f} [{d['low']:+.3f}, "
        f"{d['high']:+.3f}] over {d['n']} answered questions"
        for name, d in guards
        if d["high"] < 0
    ]
    for line in worse:
        say(line)
    return 1 if worse else 3 if failed or any(r["errors"] for r in rows) else 0


def _text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The tables of one set: figures by way, the guard, and what is right by kind."""
    from ..evaluate.open_answers import FIGURES
    from ..evaluate.tables import aligned, cell

    lines = [[n, *(str(r[n]) for r in rows)] for n in ("questions", "errors")]
    for f in FIGURES:
        if any(f in r["figures"] for r in rows):
            lines.append([f, *(cell(r["figures"].get(f), r["questions"]) for r in rows)])
    out = [aligned(([rows[0]["set"], *(r["asked"] for r in rows)], lines))] if rows else []
    for row in rows:
        compared = {k: v for k, v in row.get("guard", {}).items() if v["difference"]}
        lines = [[k, str(v["ask"]["n"]), *(cell(c, v["ask"]["n"]) for c in v.values())] for k, v in compared.items()]
        right = [[g, str(v["n"]), cell(v, v["n"])] for g, v in row.get("right", {}).items()]
        out += [aligned((["against the first hit", "n", "ask", "first hit", "difference"], lines))] if lines else []
        out += [aligned(([f"right, asked {row['asked']}", "n", "share"], right))] if right else []
    return "\n".join(out)
