"""``vidrag serve`` and ``vidrag mcp``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import ArchivePath, ProfileName, Settings


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)
    app.command("mcp")(mcp)


def serve(
    archive: ArchivePath,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0: any free one.")] = 8477,
    media: Annotated[
        list[str] | None,
        typer.Option(
            "--media", metavar="FOLDER|OLD=NEW", help="Originals below it may be played, or have moved there; repeat."
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="Holds the token that visitors need.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", metavar="NAME", help="A name of this server; repeat.")
    ] = None,
    address: Annotated[
        str, typer.Option("--address", metavar="URL", help="How others reach it through a proxy; links lead there.")
    ] = "",
    allow_ingest: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-ingest", metavar="NAME=FOLDER", help="Videos in it may be indexed from the page; repeat."
        ),
    ] = None,
    uploads: Annotated[
        Path | None, typer.Option("--uploads", metavar="FOLDER", help="Videos may be uploaded to it and indexed.")
    ] = None,
    upload_limit_mb: Annotated[int, typer.Option("--upload-limit-mb", min=1, help="Megabytes of an upload.")] = 20_000,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    profile: ProfileName = "embedded",
    settings: Settings = None,
) -> int:
    """Serve a page to look at an archive and ask it, an HTTP API, MCP and an OpenAI-compatible door.

    It listens on this machine only.  For others, give a token (--token-file, or VIDRAG_TOKEN) and --host; put a proxy
    with TLS before it on an untrusted network.
    """
    from ...store.errors import EngineMissing

    token = _token(token_file)
    try:
        from ..serve.start import start
    except ImportError as e:
        raise EngineMissing(f"the page needs a package more ({e}): pip install 'vidrag[serve]'") from e
    return start(
        archive, profile, settings or [], host=host, port=port, token=token, media=media or [],
        names=allow_host or [], address=address, roots=allow_ingest or [], uploads=uploads,
        upload_limit=upload_limit_mb * 1_000_000, browse=browse,
    )  # fmt: skip


def _token(file: Path | None) -> str:
    """What visitors need; empty where none was given."""
    from ...store.errors import UsageError

    if file is None:
        return os.environ.get("VIDRAG_TOKEN", "").strip()
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"--token-file {file}: cannot be read ({e})") from e
    if not token:
        raise UsageError(f"--token-file {file}: is empty; put a long random word in it")
    return token


def mcp(archive: ArchivePath, profile: ProfileName = "embedded", settings: Settings = None) -> int:
    """Serve an archive to programs that speak the Model Context Protocol, over stdin and stdout."""
    from ...store.errors import EngineMissing
    from ..library import Library

    try:
        from ..serve.tools import run_stdio
    except ImportError as e:
        raise EngineMissing(f"MCP needs a package more ({e}): pip install 'vidrag[serve]'") from e

    library = Library(archive, profile, settings or [])
    print(f"vidrag: serving {library.name} over stdin and stdout", file=sys.stderr)
    run_stdio(library)
    return 0
