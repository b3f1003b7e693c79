"""The root command and the options that several commands share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ...store.archive.archive import Archive

app = typer.Typer(
    name="vidrag",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Index your videos once, then ask as many questions as you like; every answer cites its seconds.\n\n"
    "Exit codes: 0 all done, 1 unexpected, 2 usage, 3 some videos or questions failed, 4 the archive is damaged, "
    "5 a model is missing.",
)

ArchivePath = Annotated[str, typer.Argument(metavar="ARCHIVE", help="Folder of the index.")]
ProfileName = Annotated[str, typer.Option("--profile", "-p", help="Built-in profile or a TOML file.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.OPTION=VALUE", help="Change one option; may be repeated."),
]
OfProfile = Annotated[
    str, typer.Option("--profile", "-p", help="What there is for this one; without: of the last ingest.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output, alone on stdout.")]
Since = Annotated[str | None, typer.Option("--since", metavar="YYYY-MM-DD", help="Recorded on this day on.")]
Until = Annotated[str | None, typer.Option("--until", metavar="YYYY-MM-DD", help="Recorded up to this day.")]
Folder = Annotated[
    str | None, typer.Option("--folder", metavar="PATH", help="In or below it; a part of its path is enough.")
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COLUMN=TEXT", help="What 'ingest --meta' said of the video; may be repeated."),
]


def _version(asked: bool) -> None:
    if asked:
        from ...store.archive.stored_files import version

        typer.echo(f"vidrag {version()}")
        raise typer.Exit


def _for_commands(command: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Defaults for a command, or for each of a group's commands, as ``default_map`` wants them."""
    inner = getattr(command, "commands", None)
    return {name: _for_commands(c, given) for name, c in inner.items()} if inner else given


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and leave.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never open a socket to look for weights.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens to stderr.")] = False,
    profile: Annotated[str | None, typer.Option("--profile", "-p", help="As after the command.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="SECTION.OPTION=VALUE", help="As after the command."),
    ] = None,
) -> None:
    given = {"profile": profile, "settings": settings}
    context.default_map = _for_commands(context.command, {k: v for k, v in given.items() if v})
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(name)s: %(message)s")
    logging.getLogger("vidrag").setLevel(logging.INFO if verbose else logging.WARNING)
    if offline:
        from ...store.weights import models

        models.set_offline(True)


def chosen_videos(
    archive: Archive,
    videos: list[str] | None,
    since: str | None,
    until: str | None,
    folder: str | None,
    where: list[str] | None,
) -> list[str] | None:
    """Ids of the videos that the options name; None for all."""
    from ...query.find.scope import Scope, conditions, day_of

    scope = Scope(
        videos=videos,
        since=day_of("--since", since),
        until=day_of("--until", until),
        folder=folder,
        where=conditions("--where", where or ()),
    )
    return scope.chosen(archive)


def profile_of(name: str, settings: list[str] | None) -> Any:
    from .. import profile

    return profile.load(name, settings or [])


def opened_under(archive: str, profile: str) -> Archive:
    """An archive for reading, under a profile: its name or its file; empty: as of the last ingest."""
    from ...store.archive.archive import Archive
    from ...store.archive.manifest import ProfileKey

    opened = Archive.open(archive)
    if not profile:
        return opened
    return opened.under(profile_of(profile, None).key() if Path(profile).is_file() else ProfileKey(profile))
