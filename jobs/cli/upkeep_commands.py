"""``vidrag verify``, ``gc``, ``rm``, ``export``, ``runs`` and ``report``: looking after an archive."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ...store.shell import counted
from .app import ArchivePath, AsJson, OfProfile, opened_under

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Videos = Annotated[
    list[str] | None, typer.Argument(metavar="[VIDEO]...", help="Ids, starts of ids or file names; default: all.")
]


def register(app: typer.Typer) -> None:
    for name, command in (
        ("verify", verify), ("gc", gc), ("migrate", migrate), ("compact", compact), ("rm", rm),
        ("export", export), ("runs", runs), ("report", report)
    ):  # fmt: skip
        app.command(name)(command)


def verify(
    archive: ArchivePath,
    videos: Videos = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Only say what is damaged.")] = False,
    threads: Annotated[int, typer.Option("--threads", min=1, max=64, help="Files read side by side.")] = 2,
    as_json: AsJson = False,
) -> int:
    """Read every byte and hold it against its hash; set damaged files aside, so that 'ingest' makes them again.

    Without names of videos the stored answers are read, too.
    """
    from ...ingest.stages import readers
    from ...store.archive import maintenance, upkeep
    from ...store.archive.archive import Archive, video_ids
    from ...store.archive.catalogue import CATALOGUE
    from ...store.errors import StorageError
    from ...store.index.index import INDEX

    opened, began = Archive.open(archive), time.monotonic()
    damage, files, size, count = list[maintenance.Damage](), 0, 0, 0
    of_all = [c for of in (INDEX, CATALOGUE) if videos is None and (c := upkeep.verify(opened, of))]
    if videos is None and (behind := upkeep.behind(opened)):
        of_all.append(behind)
    answers = maintenance.verify_answers(opened) if not videos else iter(())
    for checked in itertools.chain(of_all, maintenance.verify(opened, video_ids(opened, videos), threads), answers):
        count += bool(checked.video) and checked not in of_all
        files, size = files + checked.files, size + checked.bytes
        damage += checked.damage
        for d in checked.damage:
            if not as_json:
                print(f"damaged: {d.key}: {d.problem}", flush=True)
    aside = ""
    if damage and not read_only:
        try:
            left = [key for of in (INDEX, CATALOGUE) for key in upkeep.set_aside(opened, of, damage)]
            of_videos = [d for d in damage if d.video not in (INDEX.folder, CATALOGUE.folder)]
            left += maintenance.quarantine(opened, of_videos, readers)
            opened.update_catalogue(always=True)
            aside = "set aside in quarantine/; 'vidrag ingest' on the sources makes what is missing again"
            if any(d.video == INDEX.folder for d in damage):
                aside += " ('vidrag index' the index)"
            if left:
                aside += f"; left where they are, as they are links or folders: {', '.join(left)}"
        except StorageError as e:
            aside = f"not set aside: {e}"
    seconds = time.monotonic() - began
    if as_json:
        rows = [dataclasses.asdict(d) for d in damage]
        told = {"videos": count, "files": files, "bytes": size, "seconds": round(seconds, 3), "quarantine": aside}
        print(json.dumps({**told, "damage": rows}))
    else:
        rate = f"{size / 1e6 / max(seconds, 1e-9):.0f} MB/s"
        whole = f"{counted(count, 'video')}, {counted(files, 'file')}"
        print(f"{whole}, {size / 1e6:.1f} MB read ({rate}): {len(damage) or 'none'} damaged")
        if aside:
            print(aside)
    return 4 if damage else 0


def gc(
    archive: ArchivePath,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="Leave alone what is younger, e.g. 90m, 24h, 7d.")
    ] = "24h",
    forget: Annotated[
        list[str] | None,
        typer.Option("--forget", metavar="PROFILE", help="First give up what belongs to this profile alone."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what no profile needs: results of earlier options, leftovers of killed runs, removed videos."""
    from ...store.archive import maintenance, upkeep
    from ...store.archive.archive import Archive
    from ...store.archive.catalogue import CATALOGUE
    from ...store.errors import UsageError
    from ...store.index.index import INDEX
    from ...store.shell import printable

    opened, seconds = Archive.open(archive), _seconds(grace)
    for name in forget or ():
        if not maintenance.forget(opened, name, dry_run):
            raise UsageError(f"--forget {name}: no video is indexed under a profile of that name")
    found = maintenance.collect(opened, seconds, dry_run)
    if not dry_run:
        opened.update_catalogue()
    for of in (INDEX, CATALOGUE):
        upkeep.collect(opened, of, seconds, dry_run, found)
    if as_json:
        told = {"removed": found.keys, "bytes": found.bytes, "dry_run": dry_run, "foreign": found.foreign}
        print(json.dumps(told))
        return
    for key in found.keys if dry_run else ():
        print(f"would remove {key}")
    print(f"{counted(len(found.keys), 'file')}, {found.bytes / 1e6:.1f} MB {'would go' if dry_run else 'removed'}")
    if n := len(found.foreign):
        shown = ", ".join(printable(k) for k in found.foreign[:3]) + (" ..." if n > 3 else "")
        print(f"{n} things that vidrag did not write were left alone: {shown}")


def migrate(archive: ArchivePath) -> int:
    """Store an archive of an earlier version as this one does, so that questions read less.  No video is read.

    Exit code 4 where something is damaged; 'vidrag gc' removes the old files when they are a day old.
    """
    from ...store.archive.archive import Archive
    from ...store.archive.migration import migrate as work
    from ...store.errors import ArchiveDamaged, one_line

    opened = Archive.open(archive)
    opened.backend.check_writable()
    videos, changed, damaged = opened.ids(), 0, 0
    for video in videos:
        try:
            changed += work(opened, video)
        except ArchiveDamaged as e:
            print(f"vidrag: {one_line(e)}", file=sys.stderr)
            damaged += 1
    opened.update_catalogue()
    left = f", {damaged} damaged and left as they are" if damaged else ""
    print(f"{changed} of {len(videos)} videos stored anew{left}")
    return 4 if damaged else 0


def _seconds(text: str) -> float:
    from ...store.errors import UsageError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if not match:
        raise UsageError(f"--grace {text}: expected a number and s, m, h or d, for example 24h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def rm(
    archive: ArchivePath,
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Ids, starts of ids or file names.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Take videos out of the archive.  The video files themselves are not touched."""
    from ...store.archive.archive import Archive, video_ids
    from ...store.errors import UsageError
    from ...store.shell import printable

    opened = Archive.open(archive)
    ids = video_ids(opened, videos)
    opened.backend.check_writable()
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{counted(len(ids), 'video')} would go; say --yes")
        if not typer.confirm(f"Take {counted(len(ids), 'video')} out of {archive}?"):
            return 0
    for video in ids:
        try:
            name = opened.shard(video).name
        except Exception:  # damaged: it can go all the same
            name = "?"
        opened.discard(video)
        print(f"removed {video}  {printable(name)}")
    opened.update_catalogue()
    return 0


def export(
    archive: ArchivePath,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Folder or URL of the new archive; folder of files.")],
    videos: Annotated[list[str] | None, typer.Option("--video", "-V", metavar="NAME|ID", help="Only this one.")] = None,
    form: Annotated[
        str, typer.Option("--format", help="archive, jsonl (all rows), srt or vtt (what is said).")
    ] = "archive",
) -> int:
    """Copy the newest version of videos to another archive, or their rows to JSONL, SRT or WebVTT files."""
    from ...store.archive.archive import Archive, video_ids
    from ...store.errors import UsageError
    from .. import export as work

    if form not in work.FORMATS:
        raise UsageError(f"--format {form}: known are {', '.join(work.FORMATS)}")
    opened = Archive.open(archive)
    count = work.FORMATS[form](opened, video_ids(opened, videos or None), target)
    print(f"{counted(count, 'video')} exported to {target}")
    return 0


def compact(
    archive: ArchivePath,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of the dataset; made where it is new.")],
    profile: OfProfile = "",
    vectors: Annotated[bool, typer.Option(help="With the vectors.")] = True,
    as_json: AsJson = False,
) -> int:
    """Write all current rows as one Parquet dataset, for DuckDB, Polars, pandas; again: only what has changed.

    Exit code 4 where damaged videos had to be left out.
    """
    from .. import dataset as work

    made = work.compact(opened_under(archive, profile), Path(folder), vectors)
    for problem in made.left_out:
        print(f"vidrag: left out: {problem}", file=sys.stderr)
    how = work.make_database(Path(folder))
    if as_json:
        print(json.dumps(dataclasses.asdict(made)))
    else:
        parts = f"{counted(made.written, 'part')} written ({counted(made.rows, 'row')}), {made.kept} were up to date"
        print(f"{counted(made.videos, 'video')} in {folder}: {parts}\n{how}")
    return 4 if made.left_out else 0


def runs(archive: ArchivePath, as_json: AsJson = False) -> int:
    """List the ingest runs of an archive, oldest first.  Exit code 4 where a ledger is damaged."""
    from ...store.archive.archive import Archive
    from ...store.errors import ArchiveDamaged, one_line
    from ...store.shell import path_word
    from ..runs import report as work

    opened, told, code = Archive.open(archive), [], 0
    for run in work.runs(opened):
        try:
            told.append(work.summary(run, work.rows(opened, run)))
        except ArchiveDamaged as e:
            print(f"vidrag: {one_line(e)}", file=sys.stderr)
            code = e.exit_code
    if as_json:
        print(json.dumps(told))
        return code
    for t in told:
        state = "" if t["finished"] else "  not finished"
        wall = f"{t['wall_seconds'] / 60:.1f} min" if t["wall_seconds"] is not None else "-"
        counts = f"{t['done']:>6} indexed {t['kept']:>6} up to date {t['failed']:>4} failed"
        print(f"{t['run']}  {counts}  {t['media_seconds'] / 3600:7.2f} h of video in {wall}{state}")
    print(f"{counted(len(told), 'run')}; 'vidrag report {path_word(archive)} RUN' tells more")
    return code


def report(
    archive: ArchivePath,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Name of a run, its start, or 'last'.")] = "last",
    as_json: AsJson = False,
) -> int:
    """What came of a run: done, none, failed by cause, slowest, rate, coverage.  Exit code 3 where videos failed."""
    from ...store.archive.archive import Archive
    from ..runs import report as work

    opened = Archive.open(archive)
    found = work.find(opened, run)
    told = work.summary(found, work.rows(opened, found))
    print(json.dumps(told) if as_json else work.text(told), end="\n" if as_json else "")
    return 3 if told["failed"] else 0
