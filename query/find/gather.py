"""Everything that may answer a question: rows found, rows two hops away, pictures joined to them in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...store.vectors import Vectors
from ..text.likeness import holders
from ..text.words import sought, terms
from ..types import LINES, Candidate, Found, Joined, Request
from ..understand.times import in_time
from . import hops
from .outline import Outline, outline
from .retrieve import Hit, RetrieveOptions, may_be_used, reranked, retrieve, spread
from .rows import RowKind, RowSet

FIRST = 4
"""Rows found that come before any others."""
PAUSE = 2.0
"""Seconds of silence that part what is said from what was said before."""


def found_rows(
    rows: RowSet,
    question: str,
    request: Request,
    queries: dict[RowKind, Vectors],
    choices: Sequence[str],
    options: RetrieveOptions,
    hop: hops.HopOptions,
    again: Callable[[Sequence[str]], NDArray[np.float32] | None] | None = None,
) -> Found:
    """Speech and text rows of a question, and chains of two.

    ``again``: scores of texts by which rows are ranked once more, or None where it has none.
    """
    asked = sought(question)
    also = [(t, 1.0 if request.order else 0.5) for c in choices if (t := terms(c))] if options.by_options else []
    deep = options.model_copy(update={"top_k": max(options.top_k, options.reranked)}) if again else options
    hits = retrieve(rows, queries, asked, deep, request.anchor, also, _favoured(rows, request))
    if again:
        hits = reranked(hits, again([rows.rows[h.at].text for h in hits]), options)
    slides = _Slides()
    for hit in hits:
        slides.add(hit.at, _candidate(rows, hit))
    out = Found()
    usable = may_be_used(rows, options)
    whole = spread(np.flatnonzero(usable).tolist()) if request.scope == "whole" else []
    parts = outline(rows, usable, options.chapters) if whole else Outline()
    even = [at for at in whole if len(rows.terms[at]) > 3][: max(0, options.summary - len(parts.heads))]
    named = [at for _, at, _ in holders(choices, rows.spelt) if usable[at]] if request.order else []
    pairs = (  # what a question names needs no row to tell what is meant
        hops.chains(rows, [h.at for h in hits], asked, request.names, hop, usable) if request.described else []
    )
    chained = [p for c in pairs for p in (c.first, c.second)]
    for at in (at for at in [*named, *parts.heads, *parts.more, *even, *chained] if at not in slides.place):
        slides.add(at, _candidate(rows, Hit(at, 0.0, 0.0, 0.0)))
    out.joined = [Joined(first=slides.of(c.first), second=slides.of(c.second), link="chain") for c in pairs]
    linked = [c for p, j in zip(pairs, out.joined, strict=True) if not p.heard for c in (j.first, j.second)]
    if not named:
        linked[2:2] = slides.rows[:2]  # what was found first comes right after the best chain
        linked += [c for p, j in zip(pairs, out.joined, strict=True) if p.heard for c in (j.first, j.second)]
    front = dict.fromkeys([*map(slides.of, named), *linked])
    ahead = list(front)[: max(FIRST, len(named))]
    heads = dict.fromkeys(map(slides.of, parts.heads))
    if heads:
        ahead += [c for c in slides.rows[:FIRST] if c not in ahead]
        ahead += [c for c in heads if c not in ahead]
    out.named = len({slides.of(at) for at in named})
    out.rows = [*ahead, *(c for c in slides.rows if c not in ahead)]
    out.chapters = len({slides.of(at) for at in (*parts.heads, *parts.more)})
    out.beside = _beside(rows, slides, out.rows, options.neighbours, usable)
    return out


def _beside(
    rows: RowSet, slides: _Slides, ranked: Sequence[Candidate], most: int, usable: NDArray[np.bool_]
) -> dict[Candidate, list[Candidate]]:
    """The sentences right before and after the first ``most`` spoken rows."""
    places = {slides.rows[i]: at for at, i in slides.place.items()}
    out, made = dict[Candidate, list[Candidate]](), dict[int, Candidate]()
    for c in [c for c in ranked if c.kind == "speech"][:most]:
        at = places[c]
        for n in (at - 1, at + 1):
            if 0 <= n < len(rows.rows) and usable[n] and _next_to(rows, at, n):
                if n not in made:
                    made[n] = slides.of(n) if n in slides.place else _candidate(rows, Hit(n, 0.0, 0.0, 0.0))
                out.setdefault(c, []).append(made[n])
    return out


def _next_to(rows: RowSet, one: int, other: int) -> bool:
    """Whether two rows are spoken one right after the other."""
    first, then = (rows.rows[at] for at in sorted((one, other)))
    return then.kind == first.kind == "speech" and then.shard == first.shard and then.start - first.end <= PAUSE


def _favoured(rows: RowSet, request: Request) -> NDArray[np.bool_] | None:
    """The rows at the times that the question names; None where it names none."""
    if not any(t.kind in ("beginning", "end", "at") for t in request.time) or not rows.rows:
        return None
    return np.array([in_time(request, rows.shards[r.shard], r.start, r.end) for r in rows.rows])


def _candidate(rows: RowSet, hit: Hit) -> Candidate:
    row = rows.rows[hit.at]
    shard = rows.shards[row.shard]
    return Candidate(
        kind=row.kind,
        video=shard.video,
        name=shard.name,
        start=row.start,
        end=row.end,
        text=row.text,
        score=hit.score,
        doubts=row.doubts,
        dense=hit.dense,
        speaker=row.speaker,
    )


class _Slides:
    """Candidates in the order they come; text rows of one video that share their time become one."""

    def __init__(self) -> None:
        self.rows: list[Candidate] = []
        self.place: dict[int, int] = {}
        """Where the row at a place of the row set went."""

    def add(self, at: int, candidate: Candidate) -> None:
        same = next((i for i, c in enumerate(self.rows) if _same_slide(c, candidate)), None)
        if same is None:
            self.place[at] = len(self.rows)
            self.rows.append(candidate)
        else:
            self.place[at] = same
            self.rows[same] = replace(self.rows[same], text=self.rows[same].text + LINES + candidate.text)

    def of(self, at: int) -> Candidate:
        return self.rows[self.place[at]]


def _same_slide(a: Candidate, b: Candidate) -> bool:
    if a.kind != "text" or b.kind != "text" or a.video != b.video:
        return False
    shared = min(a.end, b.end) - max(a.start, b.start)
    return shared > 0.8 * max(a.end - a.start, b.end - b.start, 1e-6)
