"""``vidrag ingest``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import ArchivePath, AsJson, ProfileName, Settings, profile_of

if TYPE_CHECKING:
    from ...ingest.pipeline import Outcome
    from ..ingest_run import Progress
    from ..plan import Item
    from ..pool import Executor
    from ..profile import Profile
    from ..worker import Order


def register(app: typer.Typer) -> None:
    app.command("ingest")(ingest)


def ingest(
    archive: ArchivePath,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Videos, or folders of them.")],
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
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what cannot be read.")] = False,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read every file again, also where it looks unchanged.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is missing and how long it would take.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="A video that decodes in part only has failed.")] = False,
    as_json: AsJson = False,
) -> int:
    """Index videos: speech, on-screen text and frames.  Run it again at any time: only what is missing is done."""
    from ...store.archive import Archive
    from ...store.errors import UsageError
    from .. import build, ingest_run, plan
    from ..profile import with_switches

    if ray and no_ray:
        raise UsageError("--ray and --no-ray exclude each other")
    chosen = with_switches(profile_of(profile, settings), language=language, partial_fails=strict)
    items = plan.sources(paths)
    if not items:
        raise UsageError(f"no videos in {', '.join(paths)}; name files, or a folder that holds some")
    if dry_run:
        return _estimate(archive, chosen, items, workers, as_json)
    build.check(chosen, build.INGEST_KINDS)
    opened = Archive.create(archive)
    pools = {n: p.model_copy(update={"workers": workers}) for n, p in chosen.pools.items()} if workers else chosen.pools

    def executor(order: Order) -> Executor:
        if no_ray:
            from ..processes import Processes

            return Processes(order, pools)
        from ..ray_ingest import RayActors

        return RayActors(order, pools, ray, workers * len(pools) or None)

    with _Report(len(items), quiet=as_json) as report:
        run, progress = ingest_run.ingest(
            opened, chosen, items, executor, report.video, warn=report.line, retry_failed=retry_failed, rehash=rehash
        )
    if as_json:
        print(json.dumps(_summary(run, progress, archive)))
    else:
        _tell(run, progress, archive)
    return 3 if progress.failed else 0


def _estimate(archive: str, profile: Profile, items: list[Item], workers: int, as_json: bool) -> int:
    from ...store.archive import Archive
    from ...store.backend import open_backend
    from .. import estimate, machine
    from ..places import local_gpus, local_room

    opened = Archive.open(archive) if open_backend(archive).size("archive.json") is not None else None
    may, gpus, pools = machine.available(), len(local_gpus()), profile.pools
    count = (workers * len(pools)) or sum(local_room(pools, p, may, gpus) for p in pools)
    told = estimate.estimate(opened, profile, items, count)
    print(json.dumps(told) if as_json else estimate.text(told), end="\n" if as_json else "")
    return 0


def _summary(run: str, progress: Progress, archive: str) -> dict[str, object]:
    from ..report import set_aside_json

    return {
        "run": run,
        "archive": archive,
        "videos": progress.videos,
        "kept": progress.kept,
        "failed": [
            {"source": p, "stage": o.stage, "error": o.error, "message": o.message} for p, o in progress.failed.items()
        ],
        "seconds": round(progress.seconds, 3),
        "media_seconds": round(progress.media_seconds, 3),
        "rows": dict(progress.rows),
        "set_aside": set_aside_json(progress.set_aside),
    }


def _tell(run: str, progress: Progress, archive: str) -> None:
    from ..ledger import printable
    from ..report import set_aside_text

    good = progress.videos - len(progress.failed)
    line = f"{good} of {progress.videos} videos indexed"
    if progress.kept:
        line += f" ({progress.kept} of them copies or up to date)"
    if progress.media_seconds:
        line += f"; {progress.media_seconds / 60:.1f} min of video in {_span(progress.seconds)}"
        line += f" ({progress.speed:.1f} x real time)"
    print(line)
    for path, o in progress.failed.items():
        print(f"  failed: {printable(Path(path).name)}: {o.stage}: {o.message}")
    for (host, _, message), count in progress.set_aside.items():
        print(f"  {set_aside_text(host, message, count)}")
    print(f'run {run}; ask with: vidrag ask {archive} "..."')


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

    def __init__(self, videos: int, quiet: bool) -> None:
        self._quiet, self._videos = quiet, videos
        self._bar: Any = None

    def __enter__(self) -> _Report:
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
    from ..ledger import printable

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
