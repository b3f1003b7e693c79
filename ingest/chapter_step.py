"""The chapters stage of one video: its stored rows and vectors become chapters, without an engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..store.archive.shard import Shard
from ..store.encoders import EncoderSpec
from ..store.records import Cell, Chapter, Frame, Segment, TextTrack
from ..store.vectors import Vectors
from .chapters import ChapterOptions, Shown, beginnings, divided
from .headings import Material, headed, standing, subtitle_like, telling
from .steps import Clock, Made, Table, failed

Row = TypeVar("Row", Segment, TextTrack, Frame)


def _sound(rows: Sequence[Row]) -> list[int]:
    """Which rows have times that can be used, in order of their starts."""
    usable = [i for i, r in enumerate(rows) if math.isfinite(r.start) and math.isfinite(r.end) and r.end >= r.start]
    return sorted(usable, key=lambda i: (rows[i].start, rows[i].end, i))


def chapters_of(shard: Shard, options: ChapterOptions) -> list[Chapter]:
    """The chapters of a video, from the current cells of ``shard``; empty where it holds nothing.

    The same cells always give the same chapters.
    """
    doubtful = {i for i, s in enumerate(shard.speech) if s.flags}
    said = [i for i in _sound(shard.speech) if i not in doubtful]
    read, seen = _sound(shard.text), _sound(shard.frames)
    speech, text = [shard.speech[i] for i in said], [shard.text[i] for i in read]
    frames = [shard.frames[i] for i in seen]
    seconds = max([shard.manifest.duration, *(r.end for rows in (speech, text, frames) for r in rows)])
    if not (speech or text or frames):
        return []
    slides = [t for t in text if not standing(t, seconds) and not subtitle_like(t) and telling(t.text)]
    shown = [
        (weight, Shown(np.array([r.start for r in rows]), np.array([r.end for r in rows]), vectors[places]))
        for weight, kind, rows, places in (
            (options.speech, "speech", speech, said),
            (options.screen, "text", text, read),
            (options.picture, "frames", frames, seen),
        )
        if rows and (vectors := _vectors(shard, kind)) is not None
    ]
    spans = divided(beginnings(speech, slides, frames), shown, seconds, options)
    return headed(spans, Material(seconds, speech, text, shard.labels)) if spans else []


def _vectors(shard: Shard, kind: str) -> Vectors | None:
    stage = {"speech": "speech_vectors", "text": "text_vectors", "frames": "frame_vectors"}[kind]
    cell = shard.manifest.cell(stage)
    file = shard.vectors(kind, EncoderSpec(**cell.encoder)) if cell and cell.encoder else None
    return file.vectors() if file else None


def chapter_step(shard: Shard, fingerprint: str, options: ChapterOptions, folder: Path) -> Made:
    """The chapters as rows.  Cheap: milliseconds for an hour of video, no engine."""
    made, clock = Made(), Clock()
    table = Table(folder, "chapters", shard.video, fingerprint)
    try:
        table.write(chapters_of(shard, options))
    except Exception as e:
        table.abandon()
        made.cells["chapters"] = failed("chapters", fingerprint, e, **clock.read())
        return made
    status, files = table.close(made)
    data = {"reason": "nothing said, read or seen"} if status == "none" else {}
    made.cells["chapters"] = Cell("chapters", fingerprint, status, files, data, **clock.read())
    return made
