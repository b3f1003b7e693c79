"""From a question to the rows that may answer it: the best for a fact, all in order for the whole or a stretch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import TextEncoder
from ...store.vectors import Vectors
from ..text.words import language_of, terms, words
from ..text.written import CONTACTS, asked_for
from ..types import LIKELY, Found, Request
from ..understand.times import in_stretch
from . import gather
from .background import background
from .names import said_by
from .retrieve import (
    RetrieveOptions,
    Scored,
    may_be_used,
    published,
    query_vectors,
    retrieve,
    score,
    spread,
)
from .row_words import RowKind
from .rows import RowSet
from .telling import Ranked, pictured, told


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
        spoken = frozenset().union(*rows.spoken)
        language = language_of(question) or language_of(question, spoken) or rows.language
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
        if not usable.any():
            seen = pictured(rows, request, sought.question, usable, self.options.chapters)
            return Found(kind="whole", parts=seen, sure=1.0) if seen else Found()
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
        theirs = within & said_by(rows, question)
        best = retrieve(rows, question, found, with_options, self.options, theirs, again)
        if best.sure >= LIKELY or request.kind == "every":
            within = theirs
        elif (theirs != within).any():  # they say it in words that others give to it
            best = retrieve(rows, question, found, with_options, self.options, within, again)
        out = gather.found_rows(rows, best.hits, best.sure, self.options.neighbours, usable)
        out.grounds = best.grounds
        out.option_near = tuple(float((s.near + s.around)[within].max(initial=0.0)) / 2 for s in with_options)
        if not sought.options:
            ranked = Ranked(rows=rows, request=request, question=question, found=found, best=best, within=within)
            out.kind, out.parts = told(ranked, self.encoder, self.options.chapters)
            out.sure = 1.0 if out.parts else 0.0 if asked_for(question, CONTACTS) else out.sure
        return out

    def _within(self, rows: RowSet, request: Request) -> NDArray[np.bool_]:
        """The rows of the stretch of time that the question names; all where it names none."""
        if request.stretch is None:
            return np.ones(len(rows.rows), bool)
        ends = [s.manifest.duration for s in rows.shards]
        return np.array([in_stretch(request.stretch, ends[r.shard], r.start, r.end) for r in rows.rows], bool)
