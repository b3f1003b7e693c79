"""What is told in order where a question wants more than the best rows: the whole, a stretch of time, every mention."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import TextEncoder
from ..text.words import exact_phrases, stop_words, terms
from ..text.written import ADDRESSES, Written, asked_for
from ..types import AGREED, LIKELY, OF_ROWS, AnswerKind, Part, Request, Stretch, When
from ..understand.cues import SHOWN
from ..understand.decouple import SAID, WRITTEN
from ..understand.kinds import own_terms
from . import gather
from .agreed import agreed
from .names import MENTIONED, about, spoken_of
from .retrieve import Retrieved, Scored
from .rows import RowSet

IN_ORDER = 12
"""Rows that a stretch of time is told with."""
_OF_WHAT = 0.5
"""Share of the words asked for that stand around an address, or in the name of its video."""
_BARE = 2
"""Words of a question about a stretch of time, besides those that name it, up to which all of it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A question, without the stretch of time that it names, and the rows as they were ranked for it.

    ``within``: the rows that may be used, those of the stretch, bool ``(n_rows,)``.
    """

    rows: RowSet
    request: Request
    question: str
    found: Scored
    best: Retrieved
    within: NDArray[np.bool_]

    @property
    def likely(self) -> bool:
        """Whether the best rows are taken to answer."""
        return self.best.sure >= LIKELY


def told(ranked: Ranked, encoder: TextEncoder, chapters: int) -> tuple[AnswerKind | None, list[Part]]:
    """What the answer is made like and the parts that it is made of; None and no parts for a fact."""
    rows, request, within = ranked.rows, ranked.request, ranked.within
    own = set(own_terms(ranked.question, rows.language, "whole", *AGREED, "every", "beginning", "ending"))
    kind = _kind(ranked, own)
    meant = within & about(rows, own, ranked.found.near) if kind in ("whole", *AGREED) else within
    if request.stretch is not None:
        bare = len(own_terms(ranked.question, None, "whole")) <= _BARE
        every = bare or request.kind == "whole" or not ranked.likely
        return ("stretch", _of_stretch(rows, request.stretch, meant)) if every else (None, [])
    if kind in (*OF_ROWS, "seen"):
        if addresses := _addresses(ranked):
            return "every", gather.mentions(rows, addresses)
        if WRITTEN.search(ranked.question) and (lines := _slides(ranked)):
            return "stretch", lines
    side = _landmark(request, own, rows.language) if kind in OF_ROWS and ranked.likely else None
    if side is not None:
        return "stretch", gather.beyond(rows, ranked.best.hits[0].at, side in ("after", "next"), within)
    if kind == "seen":
        seen = pictured(rows, request, ranked.question, meant, chapters)
        return ("whole", seen) if seen else (None, [])
    if kind == "whole":
        speaks = own & rows.speakers.keys()
        return kind, gather.stretch(rows, meant, IN_ORDER) if speaks else gather.chapters(rows, meant, chapters)
    if kind == "details":
        return kind, gather.details(rows, within)
    if kind in AGREED:
        return kind, gather.mentions(rows, agreed(rows, meant, encoder, kind))
    if kind == "every":
        return kind, gather.mentions(rows, _mentioned(ranked))
    if kind == "compare" and len(rows.shards) > 1:
        asked = own_terms(ranked.question, rows.language, "compare")
        named = any(rows.covered([t], hit.at) for t in asked for hit in ranked.best.hits)
        return kind, gather.sides(rows, ranked.found.score if named else None, within)
    return None, []


def _kind(ranked: Ranked, own: Set[str]) -> AnswerKind:
    """What a question wants, now that the rows are known: one about something that they speak of wants a fact."""
    rows, kind = ranked.rows, ranked.request.kind
    if kind in OF_ROWS and (named := own & rows.speakers.keys()):
        rest = own_terms(SAID.sub(" ", ranked.question), rows.language, "whole", "topic")
        if named.issuperset(rest):
            return "whole"  # "what does Anna say?"
    if kind in (*AGREED, "details"):
        topic = set(own_terms(ranked.question, None, "whole", ranked.request.kind)).difference(*rows.titles)
        held = spoken_of(rows, topic, ranked.within)
        if kind in AGREED and (held or (topic and ranked.likely)):
            return "fact"  # "what was decided about the roof?"
        if kind == "details" and held and ranked.likely:
            return "fact"  # "how long did the war last?"
    return kind


def _mentioned(ranked: Ranked) -> list[int]:
    """Places of all rows that hold what the question asks every mention of, be it prices or the like; where none
    holds its words, of those that lie as near to it as the best one.
    """
    rows, found, usable = ranked.rows, ranked.found, np.flatnonzero(ranked.within).tolist()
    if exact_phrases(ranked.question):
        return [at for at in usable if found.exact[at]]
    sort = asked_for(ranked.question)
    if sort and (written := _written(rows, sort, usable)):
        return written
    wanted = own_terms(ranked.question, rows.language, "every")
    if held := np.flatnonzero(ranked.within & (rows.coverage(wanted) >= MENTIONED)).tolist():
        return list(held)
    if not ranked.likely:
        return []
    top = max(found.near[usable])
    return [at for at in usable if found.near[at] >= top - 1.0]


def _addresses(ranked: Ranked) -> list[int]:
    """Places of the rows with addresses or telephone numbers, where the question wants some: of what it names."""
    rows, kind = ranked.rows, asked_for(ranked.question, ADDRESSES)
    if kind is None:
        return []
    wanted = _things(WRITTEN.sub(" ", kind.asked.sub(" ", ranked.question)), rows)

    def fits(at: int) -> bool:
        title = rows.titles[rows.rows[at].shard]
        return sum(t in title or rows.covered([t], at, around=True) > 0 for t in wanted) >= _OF_WHAT * len(wanted)

    return [at for at in _written(rows, kind, np.flatnonzero(ranked.within).tolist()) if fits(at)]


def _written(rows: RowSet, kind: Written, places: Sequence[int]) -> list[int]:
    """Those of some rows that hold a thing that is told by how it is written."""
    return [at for at in places if kind.held(rows.rows[at].text, rows.languages[rows.rows[at].shard])]


def _things(question: str, rows: RowSet) -> set[str]:
    """The terms of a question besides those that every question about what is said or shown has."""
    question = SHOWN.sub(" ", question)
    common = stop_words("en") | stop_words(rows.language)
    return set(own_terms(question, rows.language, "every", "topic", "seen", "whole")) - common


def _of_stretch(rows: RowSet, stretch: Stretch, within: NDArray[np.bool_]) -> list[Part]:
    """What is said and written in a stretch of time; with what is seen where nothing is said."""
    told = gather.stretch(rows, within, IN_ORDER)
    if not any(p.row.kind == "speech" for p in told):
        told += gather.pictures(rows, stretch, IN_ORDER)
    order = [s.video for s in rows.shards]
    return sorted(told, key=lambda p: (order.index(p.row.video), p.row.start))


def pictured(
    rows: RowSet, request: Request, question: str, within: NDArray[np.bool_], chapters: int
) -> list[Part]:
    """What is seen of videos in which nothing is said, where a question asks for the whole or a stretch of time and of
    nothing in it.
    """
    if request.stretch is not None:
        return _of_stretch(rows, request.stretch, within)
    bare = request.kind == "seen" and not request.time and not _things(question, rows)
    told = gather.chapters(rows, within, chapters) if bare or request.kind == "whole" else []
    return [p for p in told if p.row.kind == "frame"]


def _slides(ranked: Ranked) -> list[Part]:
    """The lines of the slides of which one holds what the question asks of; of all slides where it names nothing."""
    rows = ranked.rows
    wanted = [*_things(WRITTEN.sub(" ", ranked.question), rows)]
    text = ranked.within & np.isin(np.arange(len(rows.rows)), rows.of("text"))
    if not wanted:
        return gather.stretch(rows, text, IN_ORDER)
    named = gather.mentions(rows, np.flatnonzero(text & (rows.coverage(wanted) >= MENTIONED)).tolist())
    lines = gather.mentions(rows, np.flatnonzero(text).tolist()) if named else []
    return [p for p in lines if any(gather.same_slide(p.row, n.row) for n in named)][:IN_ORDER]


def _landmark(request: Request, own: Set[str], language: str | None) -> When | None:
    """On which side of something lies all that a question wants: "what is said after the break?"; None where it wants
    anything else.
    """
    for hint in request.time:
        if (
            hint.text
            and hint.kind in ("after", "next", "before", "previous")
            and own <= set(terms(hint.text, language))
        ):
            return hint.kind
    return None
