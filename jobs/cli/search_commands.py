"""``vidrag search`` and ``vidrag index``."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...store.shell import counted
from .app import ArchivePath, AsJson, Folder, ProfileName, Settings, Since, Until, Where, profile_of

if TYPE_CHECKING:
    from ...query.find.results import Results
    from ...store.archive.archive import Archive
    from ...store.index.build import Built


def register(app: typer.Typer) -> None:
    app.command("search")(search)
    app.command("index")(index)


def search(
    archive: ArchivePath,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="What to look for.")] = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="Instead of a text: stored frames like this picture.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", "-k", metavar="speech|text|frame", help="Only this; may be repeated. Default: all."),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-n", metavar="N", help="How many rows on a page.")] = 10,
    page: Annotated[int, typer.Option("--page", metavar="N", help="Which page of them.")] = 1,
    video: Annotated[
        list[str] | None, typer.Option("--video", "-V", metavar="NAME|ID", help="In this video; may be repeated.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="From 90, 1:30 or 1:02:30 on.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Until then.")] = None,
    language: Annotated[str | None, typer.Option("--language", metavar="CODE", help="Rows in it: en, de, zh.")] = None,
    speaker: Annotated[str | None, typer.Option("--speaker", metavar="NAME", help="What this person says.")] = None,
    since: Since = None,
    until: Until = None,
    folder: Folder = None,
    where: Where = None,
    thumbnails: Annotated[
        Path | None, typer.Option("--thumbnails", metavar="DIR", help="Write the frame on screen of each row there.")
    ] = None,
    profile: ProfileName = "embedded",
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Find moments in all videos: by meaning and by words, with their times.  No video is opened.

    The day of recording is what its owner says ('ingest --meta'), else the video of itself, else the date in its name.
    """
    from ...query.find import results as work
    from ...query.find.scope import Scope, conditions, day_of, seconds_of
    from ...store.archive.archive import Archive
    from ...store.errors import UsageError
    from .. import build, pictures

    if not 1 <= top <= 1000:
        raise UsageError(f"--top {top}: give a number from 1 to 1000")
    if not 1 <= page <= 1000:
        raise UsageError(f"--page {page}: give a number from 1 to 1000")
    scope = Scope(
        videos=video,
        start=seconds_of("--from", start),
        end=seconds_of("--to", end),
        language=language,
        speaker=speaker,
        since=day_of("--since", since),
        until=day_of("--until", until),
        folder=folder,
        where=conditions("--where", where or ()),
    )
    kinds = work.kinds_of(kind or (("frame",) if image else ()))
    if (text is None) == (image is None):
        raise UsageError("give a text to look for, or a picture with --image, not both")
    if image and (set(kinds) != {"frames"} or language or speaker):
        raise UsageError("--image looks for frames: leave out other kinds, --language and --speaker")
    picture = pictures.from_file(image) if image else None
    lister = build.lister(Archive.open(archive), profile_of(profile, settings), kinds)
    if picture is not None:
        results = lister.like(picture, top, page, scope)
    else:
        results = lister.search(text or "", kinds, top, page, scope)
    shown = work.thumbnails(lister.searcher, results.found, thumbnails) if thumbnails else {}
    if as_json:
        told = results.as_json()
        hits = [{**h, "thumbnail": shown.get(h["rank"])} for h in told["hits"]]
        asked = {"query": text or str(image), "kinds": ["frame" if k == "frames" else k for k in kinds]}
        print(json.dumps({**asked, **told, "hits": hits, "page": page}, ensure_ascii=False))
    else:
        _print(results, shown, page)
    return 0


def _print(results: Results, shown: Mapping[int, str], page: int) -> None:
    from ..printing import result_lines

    for line in result_lines(results, page, shown):
        print(line)


def index(
    archive: ArchivePath,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Lay out everything anew; drops what has gone.")] = False,
    threads: Annotated[int, typer.Option("--threads", min=1, max=256, help="Threads for laying out.")] = 1,
    profile: ProfileName = "embedded",
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Make or update the index over all videos, which makes searches in large archives fast.  Exit code 4 where videos
    are damaged and stay outside."""
    from ...store.archive.archive import Archive
    from ...store.index import build as index_build
    from ...store.index.coverage import coverage
    from ...store.index.index import versions
    from ..runs.embed import check_vectors

    chosen = profile_of(profile, settings)
    opened, least = Archive.open(archive).under(chosen.key()), chosen.search.index_rows
    opened.backend.check_writable()
    check_vectors(opened, chosen)
    opened.update_catalogue()
    began = time.monotonic()
    if not rebuild and not versions(opened) and (rows := coverage(opened, None).rows) < least:
        built = index_build.Built("not needed", rows=rows)
    else:
        built = updated(opened, rebuild, threads, quiet=as_json or not sys.stderr.isatty())
    seconds = time.monotonic() - began
    if as_json:
        print(json.dumps({**dataclasses.asdict(built), "seconds": round(seconds, 3)}))
    else:
        _tell(built, least, seconds)
    return 4 if built.damaged else 0


def updated(archive: Archive, rebuild: bool, threads: int, quiet: bool) -> Built:
    """Brings the index over all videos up to date, or makes one.  ``archive``: under the profile that it is for."""
    from ...query.find.search import TERMS_ID
    from ...query.text.words import terms
    from ...store.index import build as index_build

    progress = None if quiet else _progress
    return index_build.update(archive, terms, TERMS_ID, rebuild=rebuild, threads=threads, progress=progress)


def _progress(done: int, total: int) -> None:
    print(f"\r{done}/{total} videos ", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _tell(built: Any, least: int, seconds: float) -> None:
    from ...store.shell import printable

    for note in built.notes:
        print(f"note: {printable(note)}")
    for damage in built.damaged:
        print(f"left out, damaged: {printable(damage)}")
    if built.how == "not needed":
        print(
            f"{built.rows} rows: an archive of fewer than {least} is searched exactly in about a second and needs no "
            "index ('--rebuild' makes one, '--set search.index_rows=0' uses it)"
        )
        return
    what = {"unchanged": "up to date", "appended": "brought up to date", "built": "built"}[built.how]
    vectors = sum(built.vectors.values())
    print(
        f"index {what} (version {built.version}): {counted(built.videos, 'video')}, {counted(built.rows, 'row')}, "
        f"{counted(vectors, 'vector')}, "
        f"{built.bytes / 1e6:.1f} MB; {counted(built.added, 'video')} added, {built.dropped} dropped in {seconds:.1f} s"
    )
