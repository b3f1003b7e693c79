"""From a question to the rows that may answer it: the best for a fact, all in order for the whole or a stretch."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import TextEncoder
from ...store.vectors import Vectors
from ..text.words import exact_phrases, language_of, terms, words
from ..text.written import asked_for
from ..types import LIKELY, Found, Request, When
from ..understand.kinds import own_terms
from ..understand.times import in_stretch
from . import gather
from .agreed import agreed
from .background import background
from .names import MENTIONED, about, spoken_of
from .retrieve import (
    Retrieved,
    RetrieveOptions,
    Scored,
    may_be_used,
    published,
    query_vectors,
    retrieve,
    score,
    spread,
)
from .rows import RowKind, RowSet

IN_ORDER = 12
"""Rows that a stretch of time is told with."""
_BARE = 2
"""Words of a question about a stretch of time, besides those that name it, up to which all of it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """A question encoded.  ``vectors`` ``(1 + n_options, dim)``: of the question, and of it with each option;
    ``queries``: the published query of each kind of row, where the profile asks for it.
    """

    question: str
    options: tuple[str, ...]
    vectors: Vectors
    queries: dict[RowKind, Vectors] | None = None


class Finder:
    """Finds rows with one encoder."""

    def __init__(self, encoder: TextEncoder, options: RetrieveOptions) -> None:
        self.encoder, self.options = encoder, options
        self.scale = background(encoder)

    def encode(self, question: str, request: Request, options: Sequence[str]) -> Sought:
        """One batch of the encoder."""
        own = self.options.method == "dense"
        with_options = [f"{question} {o}" for o in options] if self.options.by_options else []
        more = [*([request.asr] if request.asr else []), *request.det] if own else []
        vectors = self.encoder.queries([question, *with_options, *more])
        cut = 1 + len(with_options)
        queries = None
        if own:
            spoken = vectors[cut] if request.asr else None
            queries = query_vectors(vectors[0], spoken, list(vectors[cut + bool(request.asr) :]))
        return Sought(question=question, options=tuple(options), vectors=vectors[:cut], queries=queries)

    def score(self, rows: RowSet, question: str, vector: Vectors, others: Vectors) -> Scored:
        """See :func:`.retrieve.score`; a word that is one token to the encoder is taken to be spelled right."""
        language = language_of(question) or rows.language
        one = [w for w in words(question, language) if self.encoder.count_tokens(w) == 1]
        right = {t for w in one for t in terms(w, language)}
        wanted = rows.spelling.of(terms(question, language), right)
        return score(rows, question, wanted, vector, self.scale, others, self.options)

    def find(
        self,
        rows: RowSet,
        sought: Sought,
        request: Request,
        others: Vectors,
        again: Callable[[Sequence[str]], NDArray[np.float32] | None] | None,
    ) -> Found:
        """Rows for a question.  ``others``: see :meth:`.Background.level`; ``again``: see :func:`.retrieve`."""
        usable = may_be_used(rows, self.options)
        if not rows.rows or not usable.any():
            return Found()
        if self.options.method == "all":
            order = spread(np.flatnonzero(usable).tolist())
            return gather.found_rows(rows, gather.plain_hits(order), 1.0, 0, usable)
        if sought.queries is not None:
            return gather.found_rows(rows, published(rows, sought.queries, self.options), 1.0, 0, usable)
        question = sought.question
        within = self._within(rows, request) & usable
        if request.stretch is not None:
            question = request.stretch.rest
        found = self.score(rows, question, sought.vectors[0], others)
        with_options = [
            self.score(rows, f"{question} {o}", v, others)
            for o, v in zip(sought.options, sought.vectors[1:], strict=False)
        ]
        best = retrieve(rows, question, found, with_options, self.options, within, again)
        out = gather.found_rows(rows, best.hits, best.sure, self.options.neighbours, usable)
        out.grounds = best.grounds
        out.option_near = tuple(float((s.near + s.around)[within].max(initial=0.0)) / 2 for s in with_options)
        if not sought.options:
            self._tell(rows, request, question, found, best, within, out)
        return out

    def _within(self, rows: RowSet, request: Request) -> NDArray[np.bool_]:
        """The rows of the stretch of time that the question names; all where it names none."""
        if request.stretch is None:
            return np.ones(len(rows.rows), bool)
        ends = [s.manifest.duration for s in rows.shards]
        return np.array([in_stretch(request.stretch, ends[r.shard], r.start, r.end) for r in rows.rows], bool)

    def _tell(
        self,
        rows: RowSet,
        request: Request,
        question: str,
        found: Scored,
        best: Retrieved,
        within: NDArray[np.bool_],
        out: Found,
    ) -> None:
        """Fills the parts of what is told in order."""
        kind = request.kind
        own = set(own_terms(question, rows.language, "whole", "agreed", "every", "beginning", "ending"))
        if kind == "fact" and own and own <= rows.speakers.keys():
            kind = "whole"  # "what does Anna say?"
        if kind == "agreed" or kind == "details":
            topic = set(own_terms(question, None, "whole", kind)).difference(*rows.titles)
            sure = best.sure >= LIKELY
            held = spoken_of(rows, topic, within)
            if (held or (topic and sure)) if kind == "agreed" else (held and sure):
                kind = "fact"  # "what was decided about the roof?", "how long did the war last?"
        meant = within & about(rows, own) if kind == "whole" or kind == "agreed" else within
        if request.stretch is not None:
            bare = len(own_terms(question, None, "whole")) <= _BARE
            if bare or request.kind == "whole" or best.sure < LIKELY:
                out.parts = gather.stretch(rows, meant, IN_ORDER)
                out.kind = "stretch"
        elif kind == "fact" and (hint := _landmark(request, own, rows.language)) and best.sure >= LIKELY:
            out.parts = gather.beyond(rows, best.hits[0].at, hint in ("after", "next"), within)
            out.kind = "stretch"
        elif kind == "whole":
            out.parts = gather.chapters(rows, meant, self.options.chapters)
            out.kind = "whole"
        elif kind == "details":
            out.parts = gather.details(rows, within)
            out.kind = "details"
        elif kind == "agreed":
            out.parts = gather.mentions(rows, agreed(rows, meant, self.encoder))
            out.kind = "agreed"
        elif kind == "every":
            out.parts = gather.mentions(rows, self._mentioned(rows, question, found, best, within))
            out.kind = "every"
        elif kind == "compare" and len(rows.shards) > 1:
            asked = own_terms(question, rows.language, "compare")
            named = any(rows.covered([t], hit.at) for t in asked for hit in best.hits)
            out.parts = gather.sides(rows, found.score if named else None, within)
            out.kind = "compare"
        if out.parts:
            out.sure = 1.0

    def _mentioned(
        self, rows: RowSet, question: str, found: Scored, best: Retrieved, within: NDArray[np.bool_]
    ) -> list[int]:
        """Places of all rows that hold what the question asks every mention of, be it prices or the like; where none
        holds its words, of those that lie as near to it as the best one.
        """
        wanted = own_terms(question, rows.language, "every")
        usable = np.flatnonzero(within).tolist()
        if exact_phrases(question):
            return [at for at in usable if found.exact[at]]
        looks = asked_for(question)
        if looks and (written := [at for at in usable if looks.search(rows.rows[at].text)]):
            return written
        if held := np.flatnonzero(within & (rows.coverage(wanted) >= MENTIONED)).tolist():
            return list(held)
        if best.sure < LIKELY:
            return []
        top = max(found.near[usable])
        return [at for at in usable if found.near[at] >= top - 1.0]


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
