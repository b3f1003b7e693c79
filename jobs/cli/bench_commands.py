"""``vidrag bench``: measurements as JSON."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import ArchivePath, ProfileName, Settings, profile_of

group = typer.Typer(no_args_is_help=True, help="Measure speed, memory and size; prints JSON.")
Videos = Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos to measure with.")]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="bench")


@group.command("ingest")
def ingest(videos: Videos, profile: ProfileName = "embedded", settings: Settings = None) -> None:
    """CPU of ingest over that of its engines alone, real-time factor, index size."""
    from ..bench import ingest as bench

    print(json.dumps(bench.run(_there(videos), profile_of(profile, settings).ingest), indent=1))


@group.command("memory")
def memory(videos: Videos) -> None:
    """Peak memory of ingesting each video in a process of its own; the last over the first."""
    from ..bench import ingest as bench

    program = _program()
    found = bench.memory(_there(videos), lambda a, v: [program, "ingest", str(a), str(v), "--no-ray"])
    print(json.dumps(found, indent=1))


@group.command("ask")
def ask(
    archive: ArchivePath,
    questions: Annotated[Path, typer.Argument(metavar="QUESTIONS", help="JSONL or questions.json.")],
    runs: Annotated[int, typer.Option("--runs", min=1, help="Cold starts that are timed.")] = 5,
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> None:
    """A cold question over its imports, a warm one over encoding its text."""
    from ...store.archive import Archive
    from ...store.errors import UsageError
    from .. import batch, build
    from ..bench import ask as bench

    asker = build.asker(Archive.open(archive), profile_of(profile, settings))
    texts = [q.question for q in batch.read(questions) if q.question]
    if len(texts) < 2:
        raise UsageError(f"{questions}: at least two questions are needed")
    print(json.dumps(bench.run(asker, Path(_program()), archive, texts, runs), indent=1))


def _there(videos: list[Path]) -> list[Path]:
    from ...store.errors import UsageError

    for video in videos:
        if not video.is_file():
            raise UsageError(f"{video}: no such file")
    return videos


def _program() -> str:
    return shutil.which("vidrag", path=str(Path(sys.executable).parent)) or "vidrag"
