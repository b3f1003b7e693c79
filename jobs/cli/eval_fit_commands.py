"""``vidrag eval fit``, ``vidrag eval decouple`` and ``vidrag eval keyframes``: parts of a question on their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .app import AsJson, ProfileName, Settings, profile_of


def register(group: typer.Typer) -> None:
    group.command("fit")(fit)
    group.command("decouple")(decouple)
    group.command("keyframes")(keyframes)


def fit(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where 'vidrag eval open' put the archives.")],
    sets: Annotated[list[str], typer.Argument(metavar="SET...", help="The sets that were asked there.")],
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> int:
    """Fit when to say that the videos do not say, with each set left out in turn: one JSON line each."""
    from ...store.archive.archive import Archive
    from .. import build
    from ..evaluate import fit as work
    from ..evaluate import open_sets

    chosen, data = profile_of(profile, settings), {}
    for name in sets:
        found = open_sets.read(name)
        asker = build.asker(Archive.open(str(folder / found.name / "archive")), chosen)
        data[found.name] = work.grounds(found, asker)
    for row in work.report(data):
        print(json.dumps(row))
    return 0


def decouple(
    videomme: Annotated[Path | None, typer.Option("--videomme", metavar="FILE", help="Questions of Video-MME.")] = None,
    mlvu: Annotated[Path | None, typer.Option("--mlvu", metavar="FILE", help="Questions of MLVU.")] = None,
    as_json: AsJson = False,
) -> int:
    """Decouple whole data sets by rules: what their questions ask for."""
    from ...query.understand.decouple import by_rules
    from ...store.errors import UsageError
    from ..evaluate import benchmarks
    from ..evaluate import decoupling as work

    texts: dict[str, str] = {}
    for name, path in (("videomme", videomme), ("mlvu", mlvu)):
        found = benchmarks.READERS[name](path).questions if path else ()
        texts |= {f"{name}/{q.id if name == 'videomme' else i}": q.question for i, q in enumerate(found)}
    if not texts:
        raise UsageError("no questions given; name a file with --videomme or --mlvu")
    told = {"distribution": work.distribution([by_rules(t) for t in texts.values()])}
    if as_json:
        print(json.dumps(told))
        return 0
    for part, figures in told.items():
        print(f"{part}:")
        for name, value in figures.items():
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            print(f"  {name:14} {shown}")
    return 0


def keyframes(
    pairs: Annotated[list[str], typer.Argument(metavar="ARCHIVE=QUESTIONS...", help="Archives with their questions.")],
    modality: Annotated[str, typer.Option(help="Moments of this modality only: asr, ocr or vision; 'all'.")] = "all",
    profile: ProfileName = "embedded",
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Compare key-frame methods at equal budgets: how often a frame of the labelled moment is among them."""
    from ..evaluate import moments as work

    chosen = profile_of(profile, settings)
    found = [m for pair in pairs for m in work.moments(*work.opened(pair, chosen))]
    rows = work.table(found)
    if as_json:
        print(json.dumps(rows))
        return 0
    print(f"{'moments':8} {'budget':>6} {'n':>4}  {'method':8} recall [95 %]           over uniform [95 %]")
    for row in rows:
        if row["modality"] == modality:
            r, g = row["recall"], row["over_uniform"]
            gain = "" if row["method"] == "uniform" else f"{g['value']:+.3f} [{g['low']:+.3f}, {g['high']:+.3f}]"
            share = f"{r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"
            print(f"{modality:8} {row['count']:6} {r['n']:4}  {row['method']:8} {share}   {gain}")
    return 0
