"""``vidrag ls`` and ``vidrag show``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...store.shell import counted
from .app import ArchivePath, AsJson, Folder, OfProfile, Since, Until, Where, chosen_videos, opened_under

if TYPE_CHECKING:
    from ...store.archive.entries import Entry
    from ...store.archive.shard import Shard
    from ...store.records import Cell, Chapter, Segment


def register(app: typer.Typer) -> None:
    app.command("ls")(ls)
    app.command("show")(show)


def ls(
    archive: ArchivePath,
    since: Since = None,
    until: Until = None,
    folder: Folder = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """List the videos of an archive."""
    from ...store.archive.archive import Archive
    from ...store.records import clock
    from ...store.shell import printable

    opened = Archive.open(archive)
    chosen = chosen_videos(opened, None, since, until, folder, where)
    entries = list(opened.catalogue().entries(chosen))
    if as_json:
        print(json.dumps([_row(e) for e in entries]))
        return
    for e in entries:
        r = _row(e)
        speech, text, frames = (r[k] if k in e.cells else "-" for k in ("speech", "text", "frames"))
        counts = f"{speech:>5} spoken {text:>5} on screen {frames:>5} frames"
        trouble = f"  failed: {', '.join(r['failed'])}" if r["failed"] else ""
        trouble += f"  damaged: {r['problem']}" if r["problem"] else ""
        said = {c: t for c, t in r["metadata"].items() if c not in ("date", "recorded")}
        told = "".join(f"  {column}: {text}" for column, text in said.items())
        day = f"  {r['recorded']}" if r["recorded"] else ""
        names = printable(", ".join(r["names"]) or r["id"])
        print(f"{r['id']}  {clock(r['seconds']):>8}  {counts}  {names}{day}{printable(told + trouble)}")
    print(f"{counted(len(entries), 'video')}, {sum(e.seconds for e in entries) / 3600:.2f} hours")


def _row(one: Entry) -> dict[str, Any]:
    return {
        "id": one.video,
        "names": list(one.names),
        "seconds": one.seconds,
        "version": one.version,
        "profiles": one.profile_names,
        "speech": one.speech,
        "text": one.text,
        "frames": one.frames,
        "failed": list(one.failed),
        "recorded": one.recorded.isoformat() if one.recorded else None,
        "metadata": dict(one.metadata),
        "problem": one.problem,
    }


def show(
    archive: ArchivePath,
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="Id, start of an id, or file name.")],
    profile: OfProfile = "",
    as_json: AsJson = False,
) -> None:
    """Show what is in the index of one video: chapters, transcript, text on screen, frames and labels, with times."""
    opened = opened_under(archive, profile)
    shard = opened.shard(opened.find(video))
    if as_json:
        print(json.dumps(_everything(shard)))
    else:
        _print(shard)


def _everything(shard: Shard) -> dict[str, object]:
    from ...store.archive.entries import entry

    def plain(rows: list[object]) -> list[object]:
        return [dataclasses.asdict(r) for r in rows]  # type: ignore[call-overload]

    frames = [{k: v for k, v in dataclasses.asdict(f).items() if k != "picture"} for f in shard.frames]
    return {
        **_row(entry(shard.manifest)),
        "paths": list(shard.manifest.source.paths),
        "stages": {
            s: {
                "status": c.status,
                "fingerprint": c.fingerprint,
                "message": c.message,
                "data": dict(c.data),
                "coverage": c.coverage,
                "engine": dict(c.engine),
            }
            for s, c in shard.status().items()
        },
        "chapters": plain(list(shard.chapters)),
        "transcript": plain(list(shard.speech)),
        "screen": plain(list(shard.text)),
        "pictures": frames,
        "labels": plain(list(shard.labels)),
    }


def _print(shard: Shard) -> None:
    from ...store.records import MediaInfo, clock
    from ...store.shell import printable

    manifest = shard.manifest
    print(f"{shard.video}  {printable(', '.join(manifest.source.names))}")
    media = manifest.cell("media")
    if media and media.status == "ok":
        m = MediaInfo.of(media.data)
        picture = f"{m.width}x{m.height} {m.video_codec}" if m.has_video else "no video"
        sound = ", ".join(t.codec for t in m.audio) or ("sound" if m.has_audio else "no audio")
        told = f"{clock(manifest.duration)} ({manifest.duration:.2f} s), {m.format}: {picture}, {sound}"
        print(printable(told))
    for path in manifest.source.paths:
        print(f"from {printable(path)}")
    if profiles := sorted(filter(None, manifest.profiles)):
        print(f"indexed under {printable(', '.join(profiles))}")
    print("\nStages")
    for stage, cell in shard.status().items():
        reason = cell.message or str(cell.data.get("reason") or "")
        why = "; ".join(filter(None, (_origin(cell.data), reason, _noted(cell))))
        damage = (
            f" {cell.data['errors']} decoding errors, read to {clock(cell.extent or 0)}"
            if cell.data.get("errors")
            else ""
        )
        rows = max((f.rows for f in cell.files), default=0)
        print(f"  {printable(stage):14} {cell.status:6} {rows or '':>6}  {printable(why)}{printable(damage)}")
    if engines := [c.engine for c in shard.status().values() if c.engine]:
        cpus = sorted({f"on {e.get('cpu')}" for e in engines})
        print("\nMade by", *(f"  {printable(m)}" for m in [*sorted(set(map(_made_by, engines))), *cpus]), sep="\n")
    _section("Chapters", [(c.start, c.end, _chapter(c)) for c in shard.chapters])
    _section("Said", [(s.start, s.end, _said(s)) for s in shard.speech])
    _section("On screen", [(t.start, t.end, t.text) for t in shard.text])
    captions = [(x.start, x.end, x.caption.removeprefix("a photo of ")) for x in shard.labels]
    _section("Seen (frames and their labels)", captions or [(f.start, f.end, "") for f in shard.frames])


def _made_by(engine: Mapping[str, Any]) -> str:
    versions = engine.get("versions")
    told = ", ".join(f"{n} {v}" for n, v in versions.items()) if isinstance(versions, Mapping) else ""
    return f"{engine.get('name')} ({told})"


def _chapter(chapter: Chapter) -> str:
    terms = f"  ({', '.join(chapter.terms)})" if chapter.terms else ""
    return f"{chapter.title or 'untitled'}{terms}"


def _said(segment: Segment) -> str:
    from ...store.records import spoken_text

    flags = f"  ({', '.join(segment.flags)})" if segment.flags else ""
    return spoken_text(segment.text, segment.speaker) + flags


def _origin(data: Mapping[str, Any]) -> str:
    """Where speech comes from, with what is odd about it."""
    where = {"sidecar": f"from {data.get('file')}", "embedded": f"from text track {data.get('track')}"}
    source = where.get(str(data.get("source")), "")
    if not source:
        return "recognised" if data.get("source") == "asr" and not data.get("reason") else ""
    odd = {"bad_cues": "bad cues", "beyond_end": "cues after the end"}
    told = [str(data["language"])] if data.get("language") else []
    told += [f"{what}: {data[k]}" for k, what in odd.items() if data.get(k)]
    return f"{source} ({', '.join(told)})" if told else source


def _noted(cell: Cell) -> str:
    return str(cell.data.get("note") or "")


def _section(title: str, rows: list[tuple[float, float, str]]) -> None:
    from ...store.records import clock
    from ...store.shell import printable

    print(f"\n{title}" + ("" if rows else ": nothing"))
    for start, end, text in rows:
        print(f"  {clock(start)}-{clock(end)}  {printable(text)}")
