"""Everything that may answer a question: rows found, rows two hops away, pictures joined to them in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...store.records import EvidenceKind
from ...store.shard import Shard
from ...store.vectors import Vectors
from ..answer.context import Candidate
from ..answer.ordering import holders
from ..answer.passages import LINES, Link
from ..look.visual import VisualIndex, Wanted
from ..text.words import sought, terms
from ..types import Request
from . import hops
from .outline import Outline, outline
from .retrieve import Hit, RetrieveOptions, may_be_used, reranked, retrieve, spread
from .rows import RowKind, RowSet

FIRST = 4
"""Rows found that come before any others."""
LANDMARKS = 6
"""Rows found first, of which one may be the landmark of a question."""
PAUSE = 2.0
"""Seconds of silence that part what is said from what was said before."""
EDGE = 0.15
"""Share of a video that counts as its beginning or its end; at least ten seconds."""


@dataclass(frozen=True, slots=True)
class Joined:
    """``second`` answers what ``first`` is about: by a chain of words, or by when it is shown."""

    first: Candidate
    second: Candidate
    link: Link


@dataclass(slots=True)
class Found:
    """Candidates of each kind, best first, and which of them belong together.

    ``named``: so many of the first rows hold options that are to be put in order.  ``chapters``: so many of the rows
    stand for chapters and need room besides those that were found.  ``beside``: what is said right before and after
    some of the rows, by ``id()`` of these.
    """

    rows: list[Candidate] = field(default_factory=list)
    pictures: list[Candidate] = field(default_factory=list)
    joined: list[Joined] = field(default_factory=list)
    named: int = 0
    chapters: int = 0
    beside: dict[int, list[Candidate]] = field(default_factory=dict)

    def keep(self, kinds: Sequence[EvidenceKind]) -> None:
        """Drops rows of other kinds, before they lead to anything else."""
        self.rows = [c for c in self.rows if c.kind in kinds]
        self.joined = [j for j in self.joined if j.first.kind in kinds and j.second.kind in kinds]


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
    out.joined = [Joined(slides.of(c.first), slides.of(c.second), "chain") for c in pairs]
    linked = [c for p, j in zip(pairs, out.joined, strict=True) if not p.heard for c in (j.first, j.second)]
    if not named:
        linked[2:2] = slides.rows[:2]  # what was found first comes right after the best chain
        linked += [c for p, j in zip(pairs, out.joined, strict=True) if p.heard for c in (j.first, j.second)]
    front = {id(c): c for c in [*map(slides.of, named), *linked]}
    ahead = list(front.values())[: max(FIRST, len(named))]
    heads = list({id(c): c for c in map(slides.of, parts.heads)}.values())
    if heads:
        ahead += [c for c in slides.rows[:FIRST] if all(c is not a for a in ahead)]
        ahead += [c for c in heads if all(c is not a for a in ahead)]
    out.named = len({id(slides.of(at)) for at in named})
    out.rows = [*ahead, *(c for c in slides.rows if all(c is not a for a in ahead))]
    out.chapters = len({id(slides.of(at)) for at in (*parts.heads, *parts.more)})
    out.beside = _beside(rows, slides, out.rows, options.neighbours, usable)
    return out


def _beside(
    rows: RowSet, slides: _Slides, ranked: Sequence[Candidate], most: int, usable: NDArray[np.bool_]
) -> dict[int, list[Candidate]]:
    """The sentences right before and after the first ``most`` spoken rows."""
    places = {id(slides.rows[i]): at for at, i in slides.place.items()}
    out, made = dict[int, list[Candidate]](), dict[int, Candidate]()
    for c in [c for c in ranked if c.kind == "speech"][:most]:
        at = places[id(c)]
        for n in (at - 1, at + 1):
            if 0 <= n < len(rows.rows) and usable[n] and _next_to(rows, at, n):
                if n not in made:
                    made[n] = slides.of(n) if n in slides.place else _candidate(rows, Hit(n, 0.0, 0.0, 0.0))
                out.setdefault(id(c), []).append(made[n])
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


def in_time(request: Request, shard: Shard, start: float, end: float) -> bool:
    """Whether ``[start, end)`` meets one of the times that the question names by themselves."""
    whole = shard.manifest.duration
    edge = max(10.0, EDGE * whole)
    for hint in request.time:
        if hint.kind == "beginning" and start < edge:
            return True
        if hint.kind == "end" and end > whole - edge:
            return True
        if hint.kind == "at" and hint.seconds is not None and start - 3 <= hint.seconds < end + 3:
            return True
    return False


def _candidate(rows: RowSet, hit: Hit) -> Candidate:
    row = rows.rows[hit.at]
    shard = rows.shards[row.shard]
    return Candidate(
        row.kind,
        shard.video,
        shard.name,
        row.start,
        row.end,
        row.text,
        hit.score,
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


def joined_pictures(
    visual: VisualIndex,
    request: Request,
    question: str,
    rows: Sequence[Candidate],
    wanted: Wanted,
) -> list[Joined]:
    """What is on screen with, right after or right before the rows that the question names as its landmark: of those
    found first the ones of the kind that it names, and of these the ones that hold most of its words.
    """
    hint = request.hint("next", "previous", "after", "before", "during")
    asked = set(sought(question))
    named = sorted(
        rows[:LANDMARKS],
        key=lambda c: (bool(request.anchor) and c.kind != request.anchor, -len(asked.intersection(terms(c.text)))),
    )
    out = []
    for c in named[:2]:
        if hint and hint.kind in ("next", "after"):
            seen, link = visual.after(c.video, c.end), "next"
        elif hint and hint.kind in ("previous", "before"):
            seen, link = visual.before(c.video, c.start), "previous"
        else:
            seen, link = visual.at(c.video, (c.start + c.end) / 2), "during"
        if seen:
            shot, row = seen
            out.append(Joined(c, visual.seen(shot, row, 1.0, wanted), link))  # type: ignore[arg-type]
    return out
