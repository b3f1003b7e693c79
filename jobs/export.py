"""Takes videos out of an archive in other forms: an archive of its own, JSON lines, subtitles."""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ..store.archive.archive import Archive
from ..store.archive.manifest import EARLIER, ProfileKey
from ..store.archive.shard import Shard
from ..store.errors import NoSuchVideo, UsageError
from ..store.records import Cell, Segment, spoken_text
from ..store.storage.faults import storage_errors


def to_archive(archive: Archive, videos: Sequence[str], target: str) -> int:
    """Publishes the cells of ``videos``, of every profile, in the archive at ``target``; made where it is new."""
    if "://" not in target and Path(target).resolve() == Path(archive.location).resolve():
        raise UsageError(f"{target}: is the archive itself; name another one")
    other, shards = Archive.create(target), _shards(archive, videos)
    for shard in shards:
        manifest = shard.manifest
        with other.staging(manifest.source) as folder:
            copies = {}
            for file in (f for c in manifest.cells if manifest.needed(c) for f in c.files):
                copies[file.name] = folder / file.name
                with storage_errors(copies[file.name]):
                    copies[file.name].write_bytes(shard.path(file).read_bytes())
            for name, own in sorted(manifest.profiles.items()):  # what is of no profile comes first
                cells = {s: c for s, fp in own.cells.items() if (c := manifest.cell(s, fp))}
                profile = None if name == EARLIER else ProfileKey(name, own.settings)
                other.publish(manifest.source, cells, _named_by(cells, copies), profile)
            other.publish(manifest.source, shard.status(), _named_by(shard.status(), copies))
        if manifest.metadata:
            other.describe(manifest.video, manifest.metadata)
    other.update_catalogue()
    return len(shards)


def _named_by(cells: Mapping[str, Cell], copies: Mapping[str, Path]) -> dict[str, Path]:
    return {f.name: copies[f.name] for c in cells.values() for f in c.files}


def _shards(archive: Archive, videos: Sequence[str]) -> list[Shard]:
    """The videos ``videos``, without those that were taken out meanwhile."""
    found = []
    for video in videos:
        with contextlib.suppress(NoSuchVideo):
            found.append(archive.shard(video))
    return found


def _rows(shard: Shard) -> Iterator[dict[str, Any]]:
    """Every row of a video: its kind, times, text, and what else is known of it."""
    kinds = ("speech", shard.speech), ("text", shard.text), ("frame", shard.labels or shard.frames)
    for kind, rows in (*kinds, ("chapter", shard.chapters)):
        for row in rows:
            told = {k: v for k, v in asdict(row).items() if k != "picture" and v not in (None, (), [])}
            yield {"video": shard.video, "name": shard.name, "kind": kind, **told}


def jsonl(shard: Shard) -> Iterator[str]:
    """Every row of a video as a line of JSON."""
    return (json.dumps(r, ensure_ascii=False) for r in _rows(shard))


def srt(shard: Shard) -> Iterator[str]:
    """What is said in a video as blocks of an SRT file."""
    return srt_blocks(shard.speech)


def srt_blocks(rows: Iterable[Segment]) -> Iterator[str]:
    """Rows of speech as blocks of an SRT file."""
    return (f"{i}\n{_times(row, ',')}\n{_said(row)}\n" for i, row in enumerate(rows, 1))


def vtt(shard: Shard) -> Iterator[str]:
    """What is said in a video as blocks of a WebVTT file."""
    yield "WEBVTT\n"
    for row in shard.speech:
        voice = f"<v {_escaped(row.speaker)}>" if row.speaker else ""
        yield f"{_times(row, '.')}\n{voice}{_escaped(row.text)}\n"


def _said(row: Segment) -> str:
    return " ".join(spoken_text(row.text, row.speaker).split())


def _escaped(text: str) -> str:
    """Text in which WebVTT finds no tags and no arrow."""
    return html.escape(" ".join(text.split()), quote=False)


def _times(row: Segment, point: str) -> str:
    return f"{_stamp(row.start, point)} --> {_stamp(row.end, point)}"


def _stamp(seconds: float, point: str) -> str:
    ms = round(max(0.0, seconds) * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"


def _files(
    archive: Archive, videos: Sequence[str], target: str, *, ending: str, lines: Callable[[Shard], Iterator[str]]
) -> int:
    """One file a video in the folder ``target``, named after the video and, where names collide, its id."""
    folder = Path(target)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder")
    taken, shards = set[str](), _shards(archive, videos)
    for shard in shards:
        stem = re.sub(r"[^\w.() -]", "_", shard.name.rsplit(".", 1)[0]).strip(". ")[:100] or shard.video
        name = f"{stem}.{ending}" if stem.lower() not in taken else f"{stem}-{shard.video}.{ending}"
        taken.add(stem.lower())
        with storage_errors(folder / name):
            folder.mkdir(parents=True, exist_ok=True)
            text = "".join(f"{line}\n" for line in lines(shard))
            (folder / name).write_text(text, "utf-8", errors="backslashreplace")
    return len(shards)


LINES: Mapping[str, Callable[[Shard], Iterator[str]]] = {"jsonl": jsonl, "srt": srt, "vtt": vtt}
"""What makes the lines of a file of each format."""
FORMATS: Mapping[str, Callable[[Archive, Sequence[str], str], int]] = {
    "archive": to_archive,
    **{ending: partial(_files, ending=ending, lines=lines) for ending, lines in LINES.items()},
}
