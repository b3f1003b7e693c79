"""``vidrag embed``."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...store.shell import counted
from .app import ArchivePath, AsJson, ProfileName, Settings, profile_of

if TYPE_CHECKING:
    from ..runs.embed import Embedded


def register(app: typer.Typer) -> None:
    app.command("embed")(embed)


def embed(
    archive: ArchivePath,
    threads: Annotated[
        int, typer.Option("--threads", min=0, max=1024, help="Threads of the text encoder; 0: one a core.")
    ] = 0,
    profile: ProfileName = "embedded",
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Compute vectors and chapters anew from what an archive holds, after a change of encoder.  No video is read, none
    need be there.  What is up to date is left alone; run it again after a stop.  Exit code 3 where videos failed."""
    from ...store.archive.archive import Archive
    from .. import machine
    from ..runs import embed as work

    chosen, opened = profile_of(profile, settings), Archive.open(archive)
    count = threads or max(1, int(machine.available().cpus))
    told = work.embed(opened, chosen, count, _quiet if as_json else _progress)
    index = _index(opened, chosen, count) if told.rows else None
    if as_json:
        print(json.dumps({**dataclasses.asdict(told), "index": dataclasses.asdict(index) if index else None}))
    else:
        _tell(told, index, opened.under(chosen.key()).left_out(told.other) if told.other else "")
    return 3 if told.failed else 0


def _index(archive: Any, profile: Any, threads: int) -> Any:
    """Brings the index over all videos up to date where this profile has one."""
    from ...store.index.index import newest, versions
    from .search_commands import updated

    if not versions(archive) or (found := newest(archive, [])) is None:
        return None
    if found.manifest.profile.partition(" ")[0] not in ("", profile.name):
        return None
    return updated(archive.under(profile.key()), rebuild=False, threads=threads, quiet=True)


def _quiet(done: int, of: int, line: str, left_s: float) -> None:
    pass


def _progress(done: int, of: int, line: str, left_s: float) -> None:
    from ...store.shell import printable

    left = f"  {left_s / 60:.1f} min left" if done < of else ""
    print(f"[{done}/{of}] {printable(line)}{left}", flush=True)


def _tell(told: Embedded, index: Any, left_out: str) -> None:
    from ...store.shell import printable

    good = told.videos - len(told.failed)
    line = f"{good} of {told.videos} videos have the vectors of this profile ({told.kept} had them before)"
    print(f"{line}; {counted(told.rows, 'row')} embedded in {told.seconds:.1f} s")
    for name, why in told.failed.items():
        print(f"  failed: {printable(name)}: {printable(why)}")
    if index:
        covers = f"{counted(index.videos, 'video')}, {counted(index.rows, 'row')}"
        print(f"index over all videos: version {index.version}, {covers}")
    if left_out:
        print(printable(left_out), file=sys.stderr)
