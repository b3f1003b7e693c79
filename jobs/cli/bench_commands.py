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
    """CPU of ingest over that of its engines alone, of these over their best settings, real-time factor, index size."""
    from ..bench import ingest as bench

    print(json.dumps(bench.run(_there(videos), profile_of(profile, settings).ingest), indent=1))


@group.command("memory")
def memory(videos: Videos) -> None:
    """Peak memory and CPU a second of ingesting each video or folder in its own process; the last over the first."""
    from ..bench import ingest as bench

    program = _program()
    found = bench.growth(_there(videos, folders=True), lambda a, v: [program, "ingest", str(a), str(v), "--no-ray"])
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
    from ...store.archive.archive import Archive
    from ...store.errors import UsageError
    from .. import build
    from ..answers import batch
    from ..bench import ask as bench

    asker = build.asker(Archive.open(archive), profile_of(profile, settings))
    texts = [q.question for q in batch.read(questions) if q.question]
    if len(texts) < 2:
        raise UsageError(f"{questions}: at least two questions are needed")
    print(json.dumps(bench.run(asker, Path(_program()), archive, texts, runs), indent=1))


Runs = Annotated[int, typer.Option("--runs", min=1, help="Measured runs.")]


@group.command("commit")
def commit(videos: Videos, profile: ProfileName = "embedded", settings: Settings = None) -> None:
    """Seconds spent on storage over those of the whole ingest."""
    from ..bench import growth

    print(json.dumps(growth.commit(_there(videos), profile_of(profile, settings)), indent=1))


@group.command("verify")
def verify(archive: ArchivePath, runs: Runs = 5) -> None:
    """Bytes a second of 'vidrag verify' over those of plain SHA-256."""
    from ...store.archive.archive import Archive
    from ..bench import growth

    print(json.dumps(growth.verify(Archive.open(archive), runs), indent=1))


@group.command("unchanged")
def unchanged(
    videos: Annotated[int, typer.Option("--videos", min=1, help="How many made-up videos.")] = 10_000,
    profile: ProfileName = "embedded",
) -> None:
    """Videos a second that 'vidrag ingest' passes over because nothing has changed."""
    from ..bench import growth

    print(json.dumps(growth.unchanged(_program(), profile_of(profile, None), videos), indent=1))


@group.command("opening")
def opening(
    archive: ArchivePath,
    question: Annotated[str, typer.Argument(help="Asked about one video of the archive.")],
    videos: Annotated[int, typer.Option("--videos", min=1, help="How many made-up videos beside it.")] = 100_000,
    runs: Runs = 5,
    profile: ProfileName = "embedded",
) -> None:
    """A cold question about one video in an archive of many over the same in an archive of one."""
    from ...store.archive.archive import Archive
    from ..bench import growth

    found = growth.opening(_program(), profile_of(profile, None), Archive.open(archive), videos, question, runs)
    print(json.dumps(found, indent=1))


@group.command("search")
def search(
    archive: Annotated[
        str | None, typer.Argument(metavar="[ARCHIVE]", help="Vectors near those of its rows; default: made-up ones.")
    ] = None,
    vectors: Annotated[int, typer.Option("--vectors", min=1000, help="How many.")] = 300_000,
    queries: Annotated[int, typer.Option("--queries", min=10, help="How many searches.")] = 500,
    videos: Annotated[int, typer.Option("--videos", min=1, help="Videos that the rows are spread over.")] = 300,
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> None:
    """CPU of a flat search over that of the archive's index, and the index's recall."""
    from ...store.archive.archive import Archive
    from ..bench import search as bench

    options = profile_of(profile, settings).search.model_copy(update={"index_rows": 0})
    real = bench.rows_of(Archive.open(archive)) if archive else None
    print(json.dumps(bench.run(vectors, 384, queries, videos, options, real), indent=1))


@group.command("serve")
def serve(
    archive: ArchivePath,
    questions: Annotated[Path, typer.Argument(metavar="QUESTIONS", help="JSONL or questions.json.")],
    clients: Annotated[int, typer.Option("--clients", min=1, max=200, help="How many ask at once.")] = 32,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="For how long.")] = 30.0,
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> None:
    """A question over HTTP beside the same asked directly; many clients at once, and the server's memory."""
    from ..answers import batch
    from ..bench import serve as bench
    from ..library import Library

    texts = [q.question for q in batch.read(questions) if q.question]
    library = Library(archive, profile, settings or [])
    print(json.dumps(bench.run(library, Path(_program()), texts, clients=clients, seconds=seconds), indent=1))


@group.command("query")
def query(
    archive: Annotated[
        str | None,
        typer.Argument(metavar="[ARCHIVE]", help="Its rows are the documents; default: made-up ones."),
    ] = None,
    documents: Annotated[
        list[int] | None, typer.Option("--documents", min=1, help="Archive sizes in rows; may be repeated.")
    ] = None,
    runs: Runs = 3,
    askers: Annotated[int, typer.Option("--askers", min=1, max=1000, help="Concurrent askers.")] = 50,
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> None:
    """The published algorithm, which encodes every document for every question, over ours; warm and side by side."""
    from ...store.archive.archive import Archive
    from .. import build
    from ..bench import query as bench

    loaded = profile_of(profile, settings)
    opened = Archive.open(archive) if archive else None
    found = bench.run(lambda a: build.asker(a, loaded), opened, documents or bench.SIZES, runs, askers)
    print(json.dumps(found, indent=1))


@group.command("crews")
def crews(
    videos: Videos,
    workers: Annotated[int, typer.Option("--workers", "-w", min=2, help="Workers beside one.")] = 2,
    runs: Runs = 1,
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> None:
    """Speed-up of several workers over one; Ray over plain processes; start-up stated apart."""
    from ..bench import crews as bench

    print(json.dumps(bench.run(_there(videos), profile_of(profile, settings), workers, runs), indent=1))


@group.command("engines")
def engines(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video of which it is known what it says.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH.json", help="What is said and written in it, and when.")],
    asr: Annotated[
        list[str] | None, typer.Option("--asr", metavar="NAME[:OPTION=VALUE,...]", help="May be repeated.")
    ] = None,
    ocr: Annotated[
        list[str] | None, typer.Option("--ocr", metavar="NAME[:OPTION=VALUE,...]", help="May be repeated.")
    ] = None,
    encoders: Annotated[
        list[str] | None,
        typer.Option(
            "--image-text-encoder", metavar="NAME[:OPTION=VALUE,...]", help="May be repeated; its cost alone."
        ),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=0.01, help="Pictures read a second of video.")] = 0.5,
    side: Annotated[int, typer.Option("--side", min=64, help="Longer side of the pictures, pixels.")] = 1280,
) -> None:
    """Word error rate, recall and precision of lines, and CPU of engines, on the same sound and the same pictures."""
    from ...store.errors import UsageError
    from ..bench import engines as bench

    _there([video, truth])
    if not (asr or ocr or encoders):
        raise UsageError("name an engine at least: --asr faster-whisper, --ocr rapidocr (see 'vidrag doctor')")
    print(json.dumps(bench.run(video, truth, asr or [], ocr or [], encoders or [], rate, side), indent=1))


def _there(videos: list[Path], folders: bool = False) -> list[Path]:
    from ...store.errors import UsageError

    for video in videos:
        if not (video.is_file() or (folders and video.is_dir())):
            raise UsageError(f"{video}: no such file")
    return videos


def _program() -> str:
    return shutil.which("vidrag", path=str(Path(sys.executable).parent)) or "vidrag"
