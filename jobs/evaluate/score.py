"""Scores of traces: what each question gives, and the figures of groups of questions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...query.answer.options import not_said
from ...store.records import Span
from . import stats
from .dataset import Dataset, Place, Question

TOP = 5
FIGURES: Mapping[str, str] = {
    "right": "right options",
    "any_at_5": "evidence@5, any place",
    "all_at_5": "evidence@5, all places",
    "start_error_s": "median start error, s",
    "not_said_precision": "'not said' precision",
    "not_said_recall": "'not said' recall",
    "videos_cited": "every video of the proof cited",
    "videos_at_5": "every video of the proof in the top 5",
    "judged": "judge's score",
    "seconds": "seconds a question",
    "tokens": "tokens a question",
}
"""Every figure: the mean of one value a question, of those for which it means something; start errors: the median."""

Scores = dict[str, float | None]


def score(question: Question, trace: Mapping[str, Any], proofs: bool) -> Scores:
    """The figures of one question, None where one means nothing for it.

    Evidence counts where a row overlaps the proof; the top rows are the ``TOP`` best by rank.  ``start_error_s``: of
    the cited rows that overlap the proof the least distance between the starts.  ``proofs``: see :class:`Dataset`.
    """
    out: Scores = dict.fromkeys(FIGURES)
    answer = trace.get("answer") or {"choice": None, "abstained": False, "citations": [], "evidence": []}
    if question.answer:
        out["right"] = float(answer["choice"] == question.answer)
    out["judged"] = trace.get("judged")
    out["seconds"] = answer.get("timings", {}).get("total")
    out["tokens"] = answer.get("tokens") or None
    if not proofs:
        return out
    told, unanswerable = said_nothing(question, answer), not question.evidence
    out["not_said_precision"] = float(unanswerable) if told else None
    out["not_said_recall"] = float(told) if unanswerable else None
    if trace.get("control") or unanswerable:
        return out
    rows = answer["evidence"]
    best = sorted(rows, key=lambda e: e["rank"])[:TOP]
    cited = [e for e in rows if e["id"] in answer["citations"]]
    hit = [any(meets(p, e) for e in best) for p in question.evidence]
    out["any_at_5"], out["all_at_5"] = float(any(hit)), float(all(hit))
    offsets = [abs(e["start"] - p.span.start) for e in cited for p in question.evidence if meets(p, e)]
    out["start_error_s"] = min(offsets, default=None)
    videos = {p.video for p in question.evidence}
    if len(videos) > 1:
        out["videos_cited"] = float(videos <= {e["name"] for e in cited})
        out["videos_at_5"] = float(videos <= {e["name"] for e in best})
    return out


def said_nothing(question: Question, answer: Mapping[str, Any]) -> bool:
    """True where the answer is that the videos do not say: by the option chosen, or without one."""
    if answer["choice"] is None:
        return bool(answer["abstained"])
    return not_said([question.options[ord(answer["choice"]) - ord("A")]]) is not None


def meets(place: Place, row: Mapping[str, Any], slack: float = 0.0) -> bool:
    """True where the row is of the place's video and shares time with it, or is at most ``slack`` seconds from it."""
    return bool(row["name"] == place.video and Span(row["start"], row["end"]).overlaps(place.span, slack))


def table(dataset: Dataset, scored: Mapping[str, Scores], seed: int) -> list[dict[str, Any]]:
    """Figures over all scored questions, then by each group that tells some of them apart."""
    asked = [q for q in dataset.questions if q.id in scored]
    out = [_row("all", asked, scored, seed)]
    for facet in dict.fromkeys(name for q in asked for name in q.groups):
        values = {q.groups[facet] for q in asked if facet in q.groups}
        if len(values) > 1:
            for value in sorted(values, key=_order):
                own = [q for q in asked if q.groups.get(facet) == value]
                out.append(_row(f"{facet}: {value}", own, scored, seed))
    return out


def _order(value: str) -> tuple[int, float, str]:
    """Short before long, numbers by size, the rest by name."""
    named = ("short", "under", "medium", "long", "over")
    rank = next((i for i, n in enumerate(named) if value.startswith(n)), -1)
    number = re.match(r"\d+", value)
    return (2 if number else rank, float(number[0]) if number else 0.0, value)


def _row(name: str, asked: Sequence[Question], scored: Mapping[str, Scores], seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {"group": name, "questions": len(asked)}
    for figure in FIGURES:
        values = [v for q in asked if (v := scored[q.id][figure]) is not None]
        found = (stats.median if figure == "start_error_s" else stats.mean)(values, seed)
        row[figure] = rounded(found)
    return row


def differences(mine: Mapping[str, Scores], base: Mapping[str, Scores], seed: int) -> dict[str, Any]:
    """By figure how ``mine`` differs from ``base`` on the questions where both have it; None where none has."""
    out: dict[str, Any] = {}
    for figure in ("right", "any_at_5", "all_at_5"):
        both = [
            (a, b)
            for i in base
            if i in mine and (a := mine[i][figure]) is not None and (b := base[i][figure]) is not None
        ]
        out[figure] = rounded(stats.paired([a for a, _ in both], [b for _, b in both], seed))
    return out


def rounded(found: stats.Estimate | None) -> dict[str, Any] | None:
    """The fields of an estimate for JSON."""
    if found is None:
        return None
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(found).items()}


def chance(questions: Sequence[Question]) -> float:
    """The share of right options that a die gives; 0 where no question has options."""
    shares = [1 / len(q.options) for q in questions if q.options]
    return sum(shares) / max(1, len(shares))
