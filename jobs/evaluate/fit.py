"""Fits the curve that tells how likely rows answer a question, with each set of open questions left out in turn.

Logistic regression whose weights may not be negative: nearness and words can only speak for an answer.  Every set
weighs the same.  Questions about a video without its answer are told, not fitted: they would hush too many answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...query.asker import Asker
from ...query.find.finding import Finder
from ...query.find.retrieve import SURE, likely, retrieve
from ...query.find.rows import RowSet
from ...query.types import LIKELY, OF_ROWS, Grounds, Request
from ...store.records import Span
from .open_answers import WAYS, Way, chosen
from .open_sets import OpenQuestion, OpenSet

_STEPS, _RATE, _L2 = 4000, 0.5, 1e-4
WITHHELD = 3.0
"""An answer withheld counts as much as so many that nothing bears out."""
Curve = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What was known of a question when it was to be answered or not, and whether its videos answer it.

    ``way``: how it was asked, or ``without``: of the video that answers, without the rows that do.
    """

    set: str
    way: Way | Literal["without"]
    grounds: Grounds
    answerable: bool


def grounds(found: OpenSet, asker: Asker) -> list[Example]:
    """Every question of a set in every way; those about the whole, a stretch of time or mentions are left out."""
    out, finder = list[Example](), Finder(asker.text_encoder, asker.options.retrieve)
    for way in WAYS:
        for q in chosen(found.questions, way, 0):
            videos = {"named": q.video, "all": None, "elsewhere": q.elsewhere}[way]
            ready = asker.prepare(q.question, [videos] if videos else None)
            if ready.task.kind not in OF_ROWS:
                continue
            right = q.answerable and way != "elsewhere"
            out.append(Example(set=found.name, way=way, grounds=ready.task.grounds, answerable=right))
            if way == "named" and right and (left := _not_answering(ready.rows, q)).any() and not left.all():
                known = _without(ready.task.question, ready.rows, left, finder)
                out.append(Example(set=found.name, way="without", grounds=known, answerable=False))
    return out


def _without(question: str, rows: RowSet, left: NDArray[np.bool_], finder: Finder) -> Grounds:
    """What is known of a question that only the rows ``left`` may answer, bool ``(n_rows,)``."""
    scored = finder.score(rows, question, finder.encode(question, Request(), ()).vectors[0], rows.sample)
    return retrieve(rows, question, scored, [], finder.options, left).grounds


def _not_answering(rows: RowSet, question: OpenQuestion) -> NDArray[np.bool_]:
    """The rows of a video that share no window with one that answers, bool ``(n_rows,)``."""
    places = [p.span for p in question.places if p.video == question.video]
    answer = np.array([any(Span(r.start, r.end).overlaps(p) for p in places) for r in rows.rows], bool)
    windows = rows.windows.of
    return np.array(~np.isin(windows, windows[:, answer]).any(0), bool)


def fit(data: Sequence[Example]) -> Curve:
    """Weights of nearness and words, and the offset; that of few rows is the shipped one.  Gradient descent."""
    few, data = SURE[2], [e for e in data if e.way != "without"]
    x = np.array([(e.grounds.near, e.grounds.held) for e in data])
    y, given = np.array([e.answerable for e in data], float), few * np.array([e.grounds.few for e in data])
    mean, spread = x.mean(0), np.maximum(x.std(0), 1e-9)
    weight, params = _evenly(data), np.zeros(3)
    scaled = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    for _ in range(_STEPS):
        slope = scaled.T @ (weight * (1 / (1 + np.exp(-scaled @ params - given)) - y)) + _L2 * params
        params = params - _RATE * slope
        params[:2] = np.maximum(params[:2], 0.0)
    near, held = params[:2] / spread
    return float(near), float(held), few, float(params[2] - mean @ (params[:2] / spread))


def _evenly(data: Sequence[Example]) -> NDArray[np.float64]:
    keys = [(g.set, g.answerable) for g in data]
    counts = {k: keys.count(k) for k in set(keys)}
    weight = np.array([(WITHHELD if k[1] else 1.0) / counts[k] for k in keys], float)
    shares: NDArray[np.float64] = weight / weight.sum()
    return shares


def silence(curve: Curve, data: Iterable[Example]) -> dict[str, float]:
    """Share that is answered with silence: where it is wrong, by way, and where it is right."""
    sides: dict[str, list[bool]] = {}
    for g in data:
        silent = likely(g.grounds, curve) < LIKELY
        side = g.way if g.answerable else f"{'left out' if g.way in ('named', 'all') else g.way}, right"
        sides.setdefault(side, []).append(silent)
    return {side: round(float(np.mean(own)), 3) for side, own in sides.items()}


def report(data: Mapping[str, Sequence[Example]]) -> list[dict[str, Any]]:
    """The shipped curve and the one fitted without a set, on that set; then the one fitted to all."""
    every = [g for own in data.values() for g in own]
    out: list[dict[str, Any]] = []
    for name, own in data.items():
        rest = [g for other, more in data.items() if other != name for g in more]
        out.append({"set": name, "curve": "shipped", "values": SURE, **silence(SURE, own)})
        if rest:
            curve = fit(rest)
            out.append({"set": name, "curve": "without it", "values": _rounded(curve), **silence(curve, own)})
    curve = fit(every)
    return [*out, {"set": "all", "curve": "of all", "values": _rounded(curve), **silence(curve, every)}]


def _rounded(curve: Curve) -> tuple[float, ...]:
    return tuple(round(v, 3) for v in curve)
