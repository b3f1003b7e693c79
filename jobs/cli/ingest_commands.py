"""``vidrag ingest``."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import ArchivePath, AsJson, ProfileName, Settings, profile_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...store.archive.archive import Archive
    from ..profile import Profile
    from ..runs.plan import Plan


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
    from .ingest_report import Report, no_videos, tell

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
            raise UsageError(no_videos(named, planned))
        print(no_videos(named, planned), file=sys.stderr)
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
    with Report(planned, quiet=as_json) as report:
        run, progress = work(report.video, warn=report.line)
        _describe(opened, told, report.line)
    if as_json:
        print(json.dumps({**ingest_run.summary(run, progress, archive), **planned.as_json()}))
    else:
        tell(run, progress, archive)
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
