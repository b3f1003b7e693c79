"""``vidrag eval``."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import ArchivePath, AsJson, ProfileName, Settings
from .eval_open_commands import JudgeSettings
from .telling import progress, say

if TYPE_CHECKING:
    from ..evaluate.arms import Arm
    from ..evaluate.asking import ArmRun

group = typer.Typer(no_args_is_help=True, help="Measure answers against questions whose answers are known.")

Questions = Annotated[Path, typer.Argument(metavar="QUESTIONS", help="The data set's file of questions.")]
ArmNames = Annotated[
    list[str] | None,
    typer.Option("--arm", "-a", metavar="NAME", help="An arm, 'arms', 'ablations' or 'all'; may be repeated."),
]
ArmsFile = Annotated[Path | None, typer.Option("--arms", metavar="FILE", help="TOML of more arms; see 'eval arms'.")]
Subtitled = Annotated[
    str | None,
    typer.Option("--subtitled", metavar="ARCHIVE", help="Archive whose speech came from the official subtitles."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FOLDER", help="Keep traces, tables and submissions; goes on there."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap intervals.")]


def register(app: typer.Typer) -> None:
    from . import eval_fit_commands, eval_open_commands

    eval_fit_commands.register(group)
    eval_open_commands.register(group)
    app.add_typer(group, name="eval")


def _asks(name: str, about: str) -> None:
    """Makes ``vidrag eval NAME``, which asks the questions of a data set."""

    @group.command(name, help=about)
    def ask(
        archive: ArchivePath,
        questions: Questions,
        arm: ArmNames = None,
        subtitled: Subtitled = None,
        output: Output = None,
        arms_file: ArmsFile = None,
        seed: Seed = 0,
        profile: ProfileName = "embedded",
        settings: Settings = None,
        as_json: AsJson = False,
    ) -> int:
        return _run(name, archive, questions, arm, subtitled, output, arms_file, seed, profile, settings, as_json)


_asks("corpus", "Questions with proofs (questions.json): right options, evidence recall, start errors, 'not said'.")
_asks("videomme", "Video-MME: its JSON list of videos, or the Parquet table of its data set page.")


@group.command("mlvu")
def mlvu(
    archive: ArchivePath,
    questions: Questions,
    arm: ArmNames = None,
    subtitled: Subtitled = None,
    output: Output = None,
    arms_file: ArmsFile = None,
    judge: JudgeSettings = None,
    seed: Seed = 0,
    profile: ProfileName = "embedded",
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """MLVU: the questions of a JSON file, or of a folder of them; those without options are answered in words."""
    return _run("mlvu", archive, questions, arm, subtitled, output, arms_file, seed, profile, settings, as_json, judge)


_asks("longvideobench", "LongVideoBench: lvb_val.json or lvb_test_wo_gt.json.")


def _run(
    name: str,
    archive: str,
    questions: Path,
    arm_names: list[str] | None,
    subtitled: str | None,
    output: Path | None,
    arms_file: Path | None,
    seed: int,
    profile: str,
    settings: list[str] | None,
    as_json: bool,
    judge: list[str] | None = None,
) -> int:
    from ...store.archive.archive import Archive
    from .. import profile as profiles
    from ..evaluate import arms, asking, benchmarks, results, tables, traces
    from ..evaluate.judge import judge_of

    chosen = arms.choose(arms.load(arms_file), arm_names or [arms.BASE])
    dataset = benchmarks.READERS[name](questions)
    profiles.load(profile, settings or [])  # what is wrong with it is wrong with every arm
    first = Archive.open(archive)
    second = Archive.open(subtitled) if subtitled else None
    scorer = judge_of(judge or [], first)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(traces.results_folder(output)) if output else None
        setting = asking.Setting(dataset, first, second, profile, tuple(settings or ()), seed, folder, scorer)
        runs, told = results.measure(setting, chosen, progress())
        if folder:
            results.write(folder, setting, runs, told)
    print(json.dumps(told, ensure_ascii=False) if as_json else tables.text(told), end="\n" if as_json else "")
    if folder and not as_json:
        print(f"traces and tables in {folder}")
    return _code(runs, setting.subtitled is not None, arm_names or [])


def _code(runs: list[ArmRun], subtitled: bool, named: list[str]) -> int:
    """3 where questions failed or an arm did not run, unless that was only for want of subtitles."""
    excused = {r.arm.name for r in runs if r.arm.options.subtitled and not subtitled} - {*named}
    return 3 if any(r.failed or (r.error and r.arm.name not in excused) for r in runs) else 0


@group.command("study")
def study(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Archives, results and report.md go there.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FOLDER", help="Holds folders of videos with questions.json; else the sample."),
    ] = None,
    videomme: Annotated[
        Path | None, typer.Option("--videomme", metavar="FOLDER", help="Holds Video-MME as it was unpacked.")
    ] = None,
    mlvu: Annotated[
        Path | None, typer.Option("--mlvu", metavar="FOLDER", help="Holds MLVU as it was unpacked.")
    ] = None,
    longvideobench: Annotated[
        Path | None, typer.Option("--longvideobench", metavar="FOLDER", help="Holds LongVideoBench as it was unpacked.")
    ] = None,
    arm: ArmNames = None,
    arms_file: ArmsFile = None,
    judge: JudgeSettings = None,
    seed: Seed = 0,
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> int:
    """Index folders of videos, or public benchmarks, ask their questions under every arm and ablation, and write every
    table and what the benchmarks' own scorers read.  What is done is not done again."""
    from ..evaluate import arms, published, tables
    from ..evaluate import study as work

    benchmarks = {"videomme": videomme, "mlvu": mlvu, "longvideobench": longvideobench}
    named = {name: folder for name, folder in benchmarks.items() if folder}
    chosen = arms.choose(arms.load(arms_file), arm or ["arms" if named else "all"])
    found = work.parts(data) if data or not named else []
    found += [published.part(name, folder, output / name) for name, folder in named.items()]
    made = work.run(output, found, chosen, profile, settings or [], seed, say, progress(), judge or [])
    print(tables.summary(made.results), end="")
    for line in made.failed:
        print(f"not indexed: {line}")
    print(f"every table: {output / 'report.md'}")
    codes = [_code(runs, bool(made.results[n]["subtitled"]), arm or []) for n, runs in made.runs.items()]
    return 3 if made.failed or any(codes) else 0


@group.command("arms")
def arms(arms_file: ArmsFile = None) -> int:
    """List the arms and ablations, and what each sets."""
    from ..evaluate import arms as known

    def line(arm: Arm) -> str:
        more = [f"control: {arm.options.control}"] if arm.options.control else []
        more += ["asks --subtitled"] if arm.options.subtitled else []
        return f"  {arm.name:20} {arm.title:46} {'; '.join([*arm.options.set, *more])}".rstrip()

    found = known.load(arms_file)
    for name in known.GROUPS:
        print(f"{name}:")
        print("\n".join(line(a) for a in found.values() if a.group == name))
    return 0
