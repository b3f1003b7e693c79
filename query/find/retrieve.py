"""Finds the rows that may answer a question, and tells how likely they do.

A row's score is the sum of how near it and its window lie to the question and of how well they hold its words:
``near(row) + near(window) + lexical * (bm25(row) + bm25(window))``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...store.options import Options
from ...store.sentences import asks
from ...store.vectors import Vectors, normalised
from ..text.words import exact_phrases, language_of
from ..types import Grounds
from .background import Background
from .fusion import fused
from .row_words import PAUSE, RowKind
from .rows import RowSet
from .windows import Scores

SURE = (3.0, 7.0, 0.3, -10.0)
"""The curve of :attr:`Retrieved.sure`: weights of :class:`.Grounds`, and what is added.  The first two are fitted by
logistic regression with weights that may not be negative; docs/results.md has the figures with each set left out.
"""
OTHER_LANGUAGE = 0.7
"""What counts for the share of the question's words where question and rows are in different languages."""
MANY = 100
"""Rows from which on their number does not matter to silence."""
EXACT = 8.0
"""Score of a name or phrase that the row holds as the question has it: more than any vector gives."""
SPEAKER = 1.5
"""What a row gains whose speaker the question names."""
SHORT = 4.0
"""What a row of hardly any words loses: short texts lie near to every question."""
_SURE_OF_EXACT = 0.95
_REPLY, _SAYS_SOMETHING = 4, 4.0
"""Rows after a question among which its reply is looked for, and words of one that says something, see
:attr:`.RowSet.substance`."""


class RetrieveOptions(Options):
    """``method``: ``hybrid`` (above), ``dense`` (Video-RAG's: everything whose inner product exceeds ``threshold``),
    ``bm25``, or ``all`` (every row, evenly spread).  ``top_k``: the most rows.  ``at_least``: where fewer pass, the
    nearest below the threshold follow.  ``lexical``: weight of BM25 beside the vectors.  ``by_options``: look for the
    options as well.  ``doubtful``: take in speech that ingest flagged (invented, misheard, no speech).  ``reranked``:
    rows that a re-ranker reads, where the profile has one.  ``chapters``: the most chapters that a question about the
    whole is answered with.  ``neighbours``: so many of the spoken rows found come with what is said right before and
    after them.
    """

    method: Literal["hybrid", "dense", "bm25", "all"] = "hybrid"
    threshold: float = Field(0.3, ge=-1, le=1)
    top_k: int = Field(12, ge=1, le=1000)
    at_least: int = Field(6, ge=0, le=1000)
    lexical: float = Field(0.13, ge=0, le=100)
    by_options: bool = True
    doubtful: bool = False
    reranked: int = Field(50, ge=1, le=1000)
    chapters: int = Field(40, ge=0, le=1000)
    neighbours: int = Field(3, ge=0, le=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A row found: its place in the row set, and its score."""

    at: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """Rows best first; ``sure``: how likely one of the first answers the question, 0..1, and on what ``grounds``."""

    hits: list[Hit]
    sure: float
    grounds: Grounds = field(default_factory=Grounds)


def query_vectors(question: Vectors, asr: Vectors | None, entities: Sequence[Vectors]) -> dict[RowKind, Vectors]:
    """The query vector of each kind, ``(dim,)``, as in Video-RAG (arXiv 2411.13093).

    Speech: the normalised mean of the question and the speech request; screen text: that of the question and each
    entity.
    """
    spoken = [question] if asr is None else [question, asr]
    return {"speech": _mean(spoken), "text": _mean([question, *entities])}


def _mean(vectors: Sequence[Vectors]) -> Vectors:
    return vectors[0] if len(vectors) == 1 else normalised(np.mean(vectors, axis=0))


def may_be_used(rows: RowSet, options: RetrieveOptions) -> NDArray[np.bool_]:
    """Which rows are not too doubtful, bool ``(len(rows),)``."""
    return np.ones(len(rows.rows), bool) if options.doubtful else rows.trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Every row's ``score``, ``(n_rows,)``, and how near it and its best window lie, counted from the background in its
    spreads; ``words``: the terms looked for; ``exact``: rows that hold a name or phrase as it is written.
    """

    score: Scores
    near: Scores
    around: Scores
    words: tuple[str, ...]
    exact: NDArray[np.bool_]


def score(
    rows: RowSet,
    question: str,
    words: Sequence[str],
    vector: Vectors,
    scale: Background,
    others: Vectors,
    options: RetrieveOptions,
) -> Scored:
    """Scores every row for ``question`` with its terms and the vector ``(dim,)``.  ``others``: see
    :meth:`.Background.level`.
    """
    near, around = rows.dense(vector)
    held, held_around = rows.lexical(words)
    above = scale.level(vector, others, rows.language) - scale.sentences(vector, rows.language)
    levels = {language: above + scale.sentences(vector, language) for language in set(rows.languages)}
    level = np.array([levels[language] for language in rows.languages])[rows.shard]
    near, around = scale.nearness(near, level), scale.nearness(around, level)
    near = near - SHORT * np.exp(-rows.substance / 2) - _lead_of_text(rows, near)
    around = around - _lead_of_text(rows, around)
    exact = np.zeros(len(rows.rows), bool)
    for phrase in exact_phrases(question):
        exact |= np.array([phrase in text for text in rows.compacted], bool)
    total = options.lexical * (held + held_around) + EXACT * exact
    total[[at for w in set(words) for at in rows.speakers.get(w, ())]] += SPEAKER
    if options.method != "bm25":
        total = total + near + around
    return Scored(score=total, near=near, around=around, words=tuple(words), exact=exact)


def _lead_of_text(rows: RowSet, near: Scores) -> Scores:
    """How much nearer screen text lies than speech whatever is asked, for rows of text, ``(n_rows,)``; 0 for others.

    Titles are near to every question.
    """
    text = rows.of("text")
    spoken = rows.of("speech")
    out = np.zeros(len(near))
    if len(text) and len(spoken):
        out[text] = max(0.0, near[text].mean() - near[spoken].mean()) * len(text) / (len(text) + 10)
    return out


def retrieve(
    rows: RowSet,
    question: str,
    found: Scored,
    with_options: Sequence[Scored],
    options: RetrieveOptions,
    within: NDArray[np.bool_],
    again: Callable[[Sequence[str]], NDArray[np.float32] | None] | None = None,
) -> Retrieved:
    """The best rows for a question, and how likely they answer it; repetitions of a text come after all others.

    ``with_options``: scores of the question with each of its options, of which the best counts; ``within``: the rows
    that may be used, bool ``(n_rows,)``; ``again``: scores of texts by a re-ranker, or None where it fails; its order
    counts twice beside the own one (reciprocal ranks; Cormack et al., 2009).
    """
    if not within.any():
        return Retrieved(hits=[], sure=0.0)
    total = np.max([found.score, *(s.score for s in with_options)], axis=0)
    most = max(options.top_k, options.reranked) if again else options.top_k
    best = _various(rows, _ordered(total, found.near, within, 4 * most), most)
    grounds, exact = _grounds(rows, question, found, within, best), bool(found.exact[best[:3]].any())
    if again:
        best = _reranked(best, again([rows.rows[at].text for at in best]))[: options.top_k]
    replied = [_reply(rows, at, within) for at in best]
    asking = [at for at, reply in zip(best, replied, strict=True) if reply != at]
    best = list(dict.fromkeys([*replied, *asking]))[: options.top_k]
    hits = [Hit(at=at, score=float(total[at])) for at in best]
    return Retrieved(hits=hits, sure=_SURE_OF_EXACT if exact else likely(grounds), grounds=grounds)


def _ordered(total: Scores, near: Scores, within: NDArray[np.bool_], most: int) -> list[int]:
    """The places of the best ``most`` rows, best first; nearer ones before others of the same score."""
    places = np.flatnonzero(within)
    if len(places) > most:
        places = places[np.argpartition(-total[places], most - 1)[:most]]
    order: list[int] = places[np.lexsort((-near[places], -total[places]))].tolist()
    return order


def likely(grounds: Grounds, curve: tuple[float, float, float, float] = SURE) -> float:
    """How likely rows answer a question, 0..1."""
    by_near, by_words, by_few, offset = curve
    return 1 / (1 + math.exp(-(by_near * grounds.near + by_words * grounds.held + by_few * grounds.few + offset)))


def _grounds(rows: RowSet, question: str, found: Scored, within: NDArray[np.bool_], best: Sequence[int]) -> Grounds:
    near = float(found.near[within].max(initial=0.0))
    held = max((words_held(rows, question, found, at, around=0.5) for at in best[:5]), default=0.0)
    return Grounds(near=near, held=held, few=fewness(int(within.sum())))


def words_held(rows: RowSet, question: str, found: Scored, at: int, around: float = 0.0) -> float:
    """The share of the question's words that a row holds, or in part, ``around`` 0..1, those of its best window; a
    constant where it is in another language than the rows.
    """
    asked, told = language_of(question), rows.languages[rows.rows[at].shard]
    if asked and told and asked != told:
        return OTHER_LANGUAGE
    own = rows.covered(found.words, at)
    return own + around * (rows.covered(found.words, at, around=True) - own) if around else own


def fewness(count: int) -> float:
    """What speaks for an answer among few rows: the best of many lies near to any question by chance."""
    return math.log(MANY / min(max(count, 1), MANY))


def _reply(rows: RowSet, at: int, usable: NDArray[np.bool_]) -> int:
    """The next sentence that says something after a row that only asks; any other row itself."""
    if not asks(rows.rows[at].text):
        return at
    for after in range(at + 1, min(at + 1 + _REPLY, len(rows.rows))):
        if not usable[after] or not beside(rows, after - 1, after):
            break
        if rows.substance[after] >= _SAYS_SOMETHING and not asks(rows.rows[after].text):
            return after
    return at


def beside(rows: RowSet, one: int, other: int) -> bool:
    """Whether two rows are spoken one right after the other."""
    first, then = (rows.rows[at] for at in sorted((one, other)))
    return then.kind == first.kind == "speech" and then.shard == first.shard and then.start - first.end <= PAUSE / 10


def published(rows: RowSet, queries: dict[RowKind, Vectors], options: RetrieveOptions) -> list[Hit]:
    """All rows whose inner product with the query of their kind exceeds ``options.threshold``, nearest first."""
    usable = may_be_used(rows, options)
    if not rows.rows:
        return []
    near = np.full(len(rows.rows), -1.0)
    for kind in queries:
        near[rows.of(kind)] = rows.dense(queries[kind])[0][rows.of(kind)]
    order = [at for at in np.argsort(-near, kind="stable").tolist() if usable[at]]
    passing = sum(near[at] > options.threshold for at in order)
    most = min(options.top_k, max(int(passing), options.at_least))
    return [Hit(at=at, score=float(near[at])) for at in order[:most]]


def _reranked(best: Sequence[int], scores: NDArray[np.float32] | None) -> list[int]:
    if scores is None:
        return list(best)
    again = [best[i] for i in np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable").tolist()]
    both = fused([again, again, best])
    return sorted(best, key=lambda at: -both[at])


def spread(places: Sequence[int]) -> list[int]:
    """The same places in an order whose every beginning is evenly spread: by the bits of the index, mirrored."""
    bits = max(1, (len(places) - 1).bit_length())
    return [places[i] for i in sorted(range(len(places)), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))]


def _various(rows: RowSet, order: Sequence[int], most: int) -> list[int]:
    """The first ``most`` of the same rows with those that say again what a better one says put last."""
    seen: set[tuple[str, ...]] = set()
    fresh: list[int] = []
    again: list[int] = []
    for at in order:
        if len(fresh) == most:
            break
        told = tuple(rows.terms[at])
        (again if told in seen else fresh).append(at)
        seen.add(told)
    return [*fresh, *again][:most]
