"""The ``corpus`` data set: a questions.json with options, the right letter, and evidence intervals."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from ...store.records import Span
from .dataset import Dataset, Fields, Place, Question, letter, parsed, read_rows


def read(path: Path) -> Dataset:
    """Questions of a corpus file; :class:`~vidrag.store.errors.UsageError` names the first row that does not fit."""
    return Dataset("corpus", path, tuple(parsed(read_rows(path), _question)), proofs=True)


def _question(row: Fields) -> Question:
    video = row.row.get("video")
    videos = None if video is None else [video] if isinstance(video, str) else video
    if videos is not None and not (isinstance(videos, list) and videos and all(isinstance(v, str) for v in videos)):
        raise ValueError("'video' must be a name, a list of names, or null")
    options = row.options("options")
    evidence = tuple(place(Fields(p)) for p in row.items("evidence")) if row.has("evidence") else ()
    found = Question(
        row.text("id"),
        row.text("question"),
        options,
        letter(row.text("answer"), options),
        None if videos is None else tuple((v,) for v in videos),
        evidence=evidence,
    )
    groups = {
        "kind": row.text("kind", "task_type", default="-"),
        "modality": found.modality,
        "scope": "one video" if videos and len(videos) == 1 else "several videos",
        "duration": row.text("duration_group", default=""),
    }
    return replace(found, groups={k: v for k, v in groups.items() if v})


def place(row: Fields) -> Place:
    """The place that a row of ``evidence`` names; ``ValueError`` where it is none."""
    start, end = row.number("start_s"), row.number("end_s")
    if not (math.isfinite(start) and math.isfinite(end) and start < end):
        raise ValueError(f"evidence from {start} to {end} s is no interval")
    return Place(row.text("video"), row.text("modality"), Span(start, end))
