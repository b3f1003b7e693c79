"""``vidrag ingest``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import ArchivePath, AsJson, ProfileName, Settings, profile_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...ingest.pipeline import Outcome
    from ...store.archive.archive import Archive
    from ..profile import Profile
    from ..runs.metrics import MetricsFile
    from ..runs.plan import Item, Plan
    from ..runs.run import MakeExecutor, Progress
    from ..runs.run import Report as Tell


def register(app: typer.Typer) -> None:
    app.command("ingest")(ingest)


def ingest(
    archive: ArchivePath,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH...", help="Videos, or folders of them.")] = None,
    profile: ProfileName = "embedded",
    settings: Settings = None,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="Join a Ray cluster ('auto': a running one).")
    ] = None,
    no_ray: Annotated[
        bool, typer.Option("--no-ray", help="Plain worker processes on this machine instead of Ray.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=0, help="Workers of each pool; 0: as many as there is room for.")
    ] = 0,
    language: Annotated[
        str | None, typer.Option("--language", help="Language spoken, e.g. en; guessed by default.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="GLOB",
            help="Pass over what fits, as in .gitignore and .vidragignore; may be repeated.",
        ),
    ] = None,
    files_from: Annotated[
        str | None,
        typer.Option("--files-from", metavar="FILE|-", help="More paths, one a line or separated by NUL; '-': stdin."),
    ] = None,
    audio_track: Annotated[
        int | None,
        typer.Option("--audio-track", metavar="N", min=1, help="Sound track to hear, from 1; else one that speaks."),
    ] = None,
    meta: Annotated[
        Path | None,
        typer.Option(
            "--meta", metavar="FILE", help="CSV or JSONL that says more of each video: dates, tags, any columns."
        ),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what cannot be read.")] = False,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read every file again, also where it looks unchanged.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is missing and how long it would take.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="A video that decodes in part only has failed.")] = False,
    within: Annotated[
        str | None,
        typer.Option(
            "--within", metavar="FOLDER", help="Pass over what lies elsewhere, also where a link leads there."
        ),
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="A JSON line for each part and video that is done, alone on stdout.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: index what comes or changes, until it is stopped.")
    ] = False,
    limit_hours: Annotated[
        float | None,
        typer.Option("--limit-hours", metavar="HOURS", min=0, help="Begin no further video after so long."),
    ] = None,
    nice: Annotated[int, typer.Option("--nice", min=0, max=19, help="Give way to other programs, 19 most.")] = 0,
    hook: Annotated[
        str | None,
        typer.Option("--hook", metavar="COMMAND", help="Run by the shell after each run; gets the report as JSON."),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option("--metrics", metavar="FILE", help="How the run goes, as text for Prometheus.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Index videos: speech, on-screen text and frames.  Run it again at any time: only what is missing is done."""
    from ...store.archive.archive import Archive
    from ...store.errors import UsageError
    from .. import build
    from ..profile import with_switches
    from ..runs import metadata, plan
    from ..runs import run as ingest_run
    from ..runs.metrics import MetricsFile
    from .ingest_report import no_videos

    if ray and no_ray:
        raise UsageError("--ray and --no-ray exclude each other")
    if events and (as_json or dry_run):
        raise UsageError("--events excludes --json and --dry-run")
    if watch and (dry_run or files_from):
        raise UsageError("--watch excludes --dry-run and --files-from")
    chosen = profile_of(profile, settings)
    chosen = with_switches(chosen, language=language, audio_track=audio_track, partial_fails=strict)
    named = [*(paths or ()), *(_paths_in(files_from) if files_from else ())]
    if not named:
        raise UsageError("no path is given; name videos or folders, or a list of them with --files-from")

    def look() -> Plan:
        found = plan.plan(named, exclude or ())
        return found if within is None else plan.within(found, within)

    until = None if limit_hours is None else time.monotonic() + 3600 * limit_hours

    def over() -> bool:
        return until is not None and time.monotonic() >= until

    if not watch:
        planned = look()
        _say_unreachable(planned)
        if not planned.items:
            if not planned.unreachable:
                raise UsageError(no_videos(named, planned))
            print(no_videos(named, planned), file=sys.stderr)
            return 3
        if dry_run:
            return _estimate(archive, chosen, planned, workers, as_json)
    os.nice(nice)
    build.check(chosen, build.INGEST_KINDS)
    one = _Run(
        archive=Archive.create(archive),
        profile=chosen,
        make_executor=ingest_run.workers_of(chosen, workers, ray, processes=no_ray),
        told=metadata.read(meta) if meta else [],
        retry_failed=retry_failed,
        rehash=rehash,
        over=over,
        metrics=MetricsFile(metrics) if metrics else None,
        hook=hook,
        form="events" if events else "json" if as_json else "text",
    )
    if not watch:
        return one.ingest(planned)
    from ..runs.watch import Watch

    print(f"watching {', '.join(named)}; stop with Ctrl-C", file=sys.stderr)
    code = 0
    for planned in Watch(named, look, lambda line: print(line, file=sys.stderr)).rounds(lambda: not over()):
        _say_unreachable(planned)
        if planned.items:
            code = max(code, one.ingest(planned))
    return code


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What is the same for every run of a command."""

    archive: Archive
    profile: Profile
    make_executor: MakeExecutor
    told: list[tuple[str, dict[str, str]]]
    retry_failed: bool
    rehash: bool
    over: Callable[[], bool]
    metrics: MetricsFile | None
    hook: str | None
    form: str

    def ingest(self, planned: Plan) -> int:
        """One run; its exit code."""
        from ..runs import run as ingest_run
        from ..runs.events import EventLines
        from .ingest_report import Report, tell

        work = partial(
            ingest_run.ingest,
            self.archive,
            self.profile,
            planned.items,
            self.make_executor,
            retry_failed=self.retry_failed,
            rehash=self.rehash,
            over=self.over,
        )
        location = self.archive.location
        if self.form == "events":
            lines = EventLines(planned, sys.stdout)
            video = self._measured(lines.video)
            run, progress = work(video, warn=lines.warn, began=lines.began, part=lines.part)
            _describe(self.archive, self.told, lines.warn)
            lines.ended(ingest_run.summary(run, progress, location))
        else:
            with Report(planned, quiet=self.form == "json") as report:
                run, progress = work(self._measured(report.video), warn=report.line)
                _describe(self.archive, self.told, report.line)
        summary = {**ingest_run.summary(run, progress, location), **planned.as_json()}
        if self.form == "json":
            print(json.dumps(summary), flush=True)
        elif self.form == "text":
            tell(run, progress, location)
        code = 3 if progress.failed or planned.unreachable else 0
        if self.metrics:
            self.metrics.update(progress, running=False)
        if self.hook:
            _call(self.hook, {**summary, "exit_code": code})
        return code

    def _measured(self, report: Tell) -> Tell:
        """``report``, and the metrics beside it."""

        def video(progress: Progress, item: Item, rows: list[Outcome]) -> None:
            report(progress, item, rows)
            if self.metrics:
                self.metrics.update(progress)

        return video


def _call(command: str, summary: dict[str, Any]) -> None:
    """Runs a hook with a run's report on its standard input; what goes wrong is told and changes nothing."""
    done = subprocess.run(command, shell=True, input=json.dumps(summary), text=True, stdout=sys.stderr, check=False)
    if done.returncode:
        print(f"vidrag: the hook ended with code {done.returncode}: {command}", file=sys.stderr)


def _describe(opened: Archive, told: list[tuple[str, dict[str, str]]], warn: Callable[[str], None]) -> None:
    """Keeps what ``--meta`` says; what it says of videos that are not there is named in a line."""
    from ..runs import metadata

    if not told:
        return
    found = metadata.describe(opened, told)
    opened.update_catalogue()
    if found.unknown:
        few = ", ".join(found.unknown[:3]) + (" ..." if len(found.unknown) > 3 else "")
        warn(f"--meta: {len(found.unknown)} of {len(told)} rows name no video of the archive: {few}")


def _paths_in(name: str) -> list[str]:
    """The paths that a file holds, whatever bytes they are of; ``-`` is stdin."""
    from ...store.errors import UsageError

    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as e:
        raise UsageError(f"--files-from {name}: {e.strerror or e}") from e
    lines = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    return [os.fsdecode(x) for x in lines if x]


def _say_unreachable(planned: Plan) -> None:
    from ...store.shell import printable

    for one in planned.unreachable:
        print(f"not looked at: {printable(one.path)}: {one.message}", file=sys.stderr)


def _estimate(archive: str, profile: Profile, planned: Plan, workers: int, as_json: bool) -> int:
    from ...store.archive.archive import Archive
    from ...store.storage.open import open_backend
    from .. import machine
    from ..places import local_gpus, local_room
    from ..runs import estimate
    from .ingest_report import passed_over

    opened = Archive.open(archive) if open_backend(archive).size("archive.json") is not None else None
    may, gpus, pools = machine.available(), len(local_gpus()), profile.pools
    count = (workers * len(pools)) or sum(local_room(pools, p, may, gpus) for p in pools)
    told = estimate.estimate(opened, profile, planned.items, count)
    if as_json:
        print(json.dumps({**told, **planned.as_json()}))
    else:
        print(estimate.text(told), end="")
        print("".join(f"{line}\n" for line in passed_over(planned)), end="")
    return 3 if planned.unreachable else 0
