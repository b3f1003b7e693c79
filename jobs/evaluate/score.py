"""Scores of answers against a corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ...store.records import Span
from .corpus import Place, Question

TOP = 5


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer scored: ``any_place`` and ``all_places`` say whether the five best rows overlap the proof; ``offset``
    is the distance in seconds from the start of a cited row to that of the proof it overlaps, None where none does.
    """

    question: Question
    right: bool
    chosen: str | None
    any_place: bool | None
    all_places: bool | None
    offset: float | None
    abstained: bool
    error: str | None


def score(question: Question, answer: dict[str, Any]) -> Scored:
    if "error" in answer:
        return Scored(question, False, None, False, False, None, False, answer["error"]["message"])
    rows = answer["evidence"]
    best = sorted(rows, key=lambda e: e["rank"])[:TOP]
    hit = [any(_meets(p, e) for e in best) for p in question.evidence]
    cited = [e for e in rows if e["id"] in answer["citations"]]
    offsets = [abs(e["start"] - p.span.start) for e in cited for p in question.evidence if _meets(p, e)]
    return Scored(
        question,
        answer["choice"] == question.answer,
        answer["choice"],
        any(hit) if hit else None,
        all(hit) if hit else None,
        min(offsets, default=None),
        answer["abstained"],
        None,
    )


def _meets(place: Place, row: dict[str, Any]) -> bool:
    return bool(row["name"] == place.video and Span(row["start"], row["end"]).overlaps(place.span))


def table(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """Figures over all questions, then by kind, by modality, and by whether the video was named."""
    groups: list[tuple[str, list[Scored]]] = [("all", list(scored))]
    keys: tuple[tuple[str, Callable[[Scored], str]], ...] = (
        ("kind", lambda s: s.question.kind),
        ("modality", lambda s: s.question.modality),
        ("scope", lambda s: "one video" if s.question.videos and len(s.question.videos) == 1 else "several videos"),
    )
    for name, key in keys:
        for value in sorted({key(s) for s in scored}):
            groups.append((f"{name}: {value}", [s for s in scored if key(s) == value]))
    return [_figures(name, group) for name, group in groups]


def _figures(name: str, group: Sequence[Scored]) -> dict[str, Any]:
    placed = [s for s in group if s.any_place is not None]
    offsets = [s.offset for s in group if s.offset is not None]
    return {
        "group": name,
        "questions": len(group),
        "right": _share([s.right for s in group]),
        "evidence_at_5_any": _share([bool(s.any_place) for s in placed]),
        "evidence_at_5_all": _share([bool(s.all_places) for s in placed]),
        "median_start_error_s": round(median(offsets), 3) if offsets else None,
        "errors": sum(s.error is not None for s in group),
    }


def _share(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
