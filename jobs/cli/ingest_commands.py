"""``vidrag ingest``."""

from __future__ import annotations

import json
import os
import sys
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
    from ..runs.plan import Item, Plan
    from ..runs.run import Progress


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
    as_json: AsJson = False,
) -> int:
    """Index videos: speech, on-screen text and frames.  Run it again at any time: only what is missing is done."""
    from ...store.archive.archive import Archive
    from ...store.errors import UsageError
    from .. import build
    from ..profile import with_switches
    from ..runs import metadata, plan
    from ..runs import run as ingest_run

    if ray and no_ray:
        raise UsageError("--ray and --no-ray exclude each other")
    if events and (as_json or dry_run):
        raise UsageError("--events excludes --json and --dry-run")
    chosen = profile_of(profile, settings)
    chosen = with_switches(chosen, language=language, audio_track=audio_track, partial_fails=strict)
    told = metadata.read(meta) if meta else []
    named = [*(paths or ()), *(_paths_in(files_from) if files_from else ())]
    if not named:
        raise UsageError("no path is given; name videos or folders, or a list of them with --files-from")
    planned = plan.plan(named, exclude or ())
    if within is not None:
        planned = plan.within(planned, within)
    items = planned.items
    _say_unreachable(planned)
    if not items:
        if not planned.unreachable:
            raise UsageError(_no_videos(named, planned))
        print(_no_videos(named, planned), file=sys.stderr)
        return 3
    if dry_run:
        return _estimate(archive, chosen, planned, workers, as_json)
    build.check(chosen, build.INGEST_KINDS)
    opened = Archive.create(archive)
    executor = ingest_run.workers_of(chosen, workers, ray, processes=no_ray)
    work = partial(ingest_run.ingest, opened, chosen, items, executor, retry_failed=retry_failed, rehash=rehash)
    if events:
        from ..runs.events import EventLines

        lines = EventLines(planned, sys.stdout)
        run, progress = work(lines.video, warn=lines.warn, began=lines.began, part=lines.part)
        _describe(opened, told, lines.warn)
        lines.ended(ingest_run.summary(run, progress, archive))
        return 3 if progress.failed or planned.unreachable else 0
    with _Report(planned, quiet=as_json) as report:
        run, progress = work(report.video, warn=report.line)
        _describe(opened, told, report.line)
    if as_json:
        print(json.dumps({**ingest_run.summary(run, progress, archive), **planned.as_json()}))
    else:
        _tell(run, progress, archive)
    return 3 if progress.failed or planned.unreachable else 0


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


def _passed_over(planned: Plan) -> list[str]:
    """What a user is told of files that are no videos; nothing where there are none."""
    from ...ingest.file_kinds import EMPTY, counted

    if not planned.passed_over:
        return []
    told = [f"passed over: {counted(dict(planned.passed_over))}"]
    if planned.passed_over.get(EMPTY):
        told.append("note: empty files may be placeholders of a cloud drive; run this again when they hold something")
    return told


def _no_videos(named: list[str], planned: Plan) -> str:
    from ...store.shell import printable

    where = printable(", ".join(named[:3])) + (f" and {len(named) - 3} more" if named[3:] else "")
    told = "".join(f" ({line})" for line in _passed_over(planned))
    return f"no videos in {where}; name files, or a folder that holds some{told}"


def _estimate(archive: str, profile: Profile, planned: Plan, workers: int, as_json: bool) -> int:
    from ...store.archive.archive import Archive
    from ...store.storage.open import open_backend
    from .. import machine
    from ..places import local_gpus, local_room
    from ..runs import estimate

    opened = Archive.open(archive) if open_backend(archive).size("archive.json") is not None else None
    may, gpus, pools = machine.available(), len(local_gpus()), profile.pools
    count = (workers * len(pools)) or sum(local_room(pools, p, may, gpus) for p in pools)
    told = estimate.estimate(opened, profile, planned.items, count)
    if as_json:
        print(json.dumps({**told, **planned.as_json()}))
    else:
        print(estimate.text(told), end="")
        print("".join(f"{line}\n" for line in _passed_over(planned)), end="")
    return 3 if planned.unreachable else 0


def _tell(run: str, progress: Progress, archive: str) -> None:
    from ...store.shell import path_word, printable
    from ..runs.report import set_aside_text

    good = progress.videos - len(progress.failed)
    line = f"{good} of {progress.videos} videos indexed"
    if progress.kept:
        line += f" ({progress.kept} of them copies or up to date)"
    if progress.media_seconds:
        line += f"; {progress.media_seconds / 60:.1f} min of video in {_span(progress.seconds)}"
        line += f" ({progress.speed:.1f} x real time)"
    print(line)
    for s in progress.superseded:
        told = f"holds new content; the older one ({s.old}) is out of answers, gc removes it"
        print(f"  replaced: {printable(s.path)} {told}")
    for path, o in progress.failed.items():
        print(f"  failed: {printable(Path(path).name)}: {o.stage}: {o.message}")
    for (host, _, message), count in progress.set_aside.items():
        print(f"  {set_aside_text(host, message, count)}")
    print(f'run {run}; ask with: vidrag ask {path_word(archive)} "..."')


def _span(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.1f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


class _Report:
    """Progress: a bar on a terminal, a line a video elsewhere, nothing when quiet."""

    def __init__(self, planned: Plan, quiet: bool) -> None:
        self._quiet, self._videos, self._first = quiet, len(planned.items), _passed_over(planned)
        self._bar: Any = None

    def __enter__(self) -> _Report:
        for line in () if self._quiet else self._first:
            print(line)
        if not self._quiet and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("indexing"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}"),
                transient=True,
            )
            self._bar.start()
            self._bar.add_task("", total=self._videos, note="starting")
        elif not self._quiet:
            print(f"indexing {self._videos} videos", flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def video(self, progress: Progress, item: Item, rows: list[Outcome]) -> None:
        eta = "" if progress.eta_s is None else f"{_span(progress.eta_s)} left"
        line = f"[{progress.done}/{progress.videos}] {_line(item, rows)}"
        note = f"{progress.speed:.1f} x real time, {eta}"
        self.line(line if self._bar else f"{line}  {note}")
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=progress.done, note=note)

    def line(self, text: str) -> None:
        """Shows a line, unless all is to be quiet."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        elif not self._quiet:
            print(text, flush=True)


def _line(item: Item, rows: list[Outcome]) -> str:
    from ...store.shell import printable

    name = printable(item.location.name)
    bad = next((o for o in rows if o.status == "failed"), None)
    if bad:
        return f"{name}: failed in {bad.stage}: {bad.message}"
    if item.twin is not None:
        return f"{name}: same content as {printable(item.twin.name)}"
    if all(o.status == "kept" for o in rows):
        return f"{name}: up to date"
    counts = {o.stage: o.rows for o in rows}
    told = (
        f"{name}: {counts.get('speech', 0)} spoken, {counts.get('text', 0)} on screen, {counts.get('frames', 0)} frames"
    )
    partial = next(
        (o.coverage for o in rows if o.stage == "frames" and o.coverage is not None and o.coverage < 0.95), None
    )
    told += f" (only {partial:.0%} of it decodes)" if partial is not None else ""
    note = next((o.message for o in rows if o.stage == "speech" and o.message), None)
    return f"{told} ({printable(note)})" if note else told
