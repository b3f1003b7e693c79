"""The ``corpus`` data set: a questions.json with options, the right letter, and evidence intervals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...store.errors import UsageError, one_line
from ...store.records import Span


@dataclass(frozen=True, slots=True)
class Place:
    """Where the proof of an answer is: ``modality`` is asr, ocr or vision."""

    video: str
    modality: str
    span: Span


@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice question with its proof; ``videos`` None means the whole archive."""

    id: str
    question: str
    options: tuple[str, ...]
    answer: str
    videos: tuple[str, ...] | None
    kind: str
    evidence: tuple[Place, ...]

    @property
    def modality(self) -> str:
        """The modalities of the proof, joined; ``none`` for questions that no video answers."""
        return "+".join(sorted({p.modality for p in self.evidence})) or "none"


def read(path: Path) -> list[Question]:
    """Questions of a corpus file; :class:`UsageError` names the first row that does not fit."""
    try:
        rows = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise UsageError(f"{path}: not a corpus of questions: {one_line(e)}") from e
    if not isinstance(rows, list):
        raise UsageError(f"{path}: not a JSON list of questions")
    out = []
    for i, row in enumerate(rows, 1):
        try:
            out.append(_question(row))
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise UsageError(f"{path}: question {i}: {type(e).__name__}: {one_line(e)}") from e
    return out


def _question(row: dict[str, Any]) -> Question:
    video = row.get("video")
    videos = None if video is None else (video,) if isinstance(video, str) else tuple(video)
    places = tuple(
        Place(p["video"], p["modality"], Span(float(p["start_s"]), float(p["end_s"]))) for p in row.get("evidence", ())
    )
    return Question(
        str(row["id"]),
        row["question"],
        tuple(row["options"]),
        row["answer"],
        videos,
        row.get("kind") or row.get("task_type") or "",
        places,
    )
