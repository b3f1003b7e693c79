"""Finds speech and screen text: dense with the published threshold, BM25, and both fused by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...store.engines import Options
from ...store.vectors import Vectors, normalised
from .rows import RowKind, RowSet


class RetrieveOptions(Options):
    """``method``: ``dense`` (Video-RAG's: everything above ``threshold``), ``bm25``, or ``hybrid`` (reciprocal rank
    fusion of both).  ``top_k``: the most rows.  ``at_least``: where fewer pass, the nearest below the threshold
    follow, so that a short video is not silent.  ``rrf_k``: flatness of the fusion.  ``prefer``: weight of rows of the
    kind and at the times that the question names.  ``by_options``: look for the options as well, as votes beside the
    question.  ``doubtful``: take in speech that ingest flagged (invented, misheard, no speech).
    ``reranked``: rows that a re-ranker reads, where the profile has one.  ``chapters``: how many chapters a question
    about the whole gets rows of; ``summary``: the fewest rows that it gets so, the others being spread evenly over the
    videos.  ``neighbours``: so many of the spoken rows found come with what is said right before and after them.
    ``all`` takes every row, evenly spread, without retrieval.
    """

    method: Literal["hybrid", "dense", "bm25", "all"] = "hybrid"
    threshold: float = Field(0.3, ge=-1, le=1)
    top_k: int = Field(12, ge=1, le=1000)
    at_least: int = Field(6, ge=0, le=1000)
    rrf_k: int = Field(60, ge=1)
    prefer: float = Field(1.25, ge=1, le=10)
    by_options: bool = True
    doubtful: bool = False
    reranked: int = Field(50, ge=1, le=1000)
    chapters: int = Field(40, ge=0, le=1000)
    summary: int = Field(8, ge=0, le=1000)
    neighbours: int = Field(3, ge=0, le=100)


@dataclass(frozen=True, slots=True)
class Hit:
    """A row found: its place in the row set, its fused score, and the scores that led to it."""

    at: int
    score: float
    dense: float
    lexical: float


def query_vectors(question: Vectors, asr: Vectors | None, entities: Sequence[Vectors]) -> dict[RowKind, Vectors]:
    """The query vector of each kind, ``(dim,)``, as in Video-RAG (arXiv 2411.13093).

    Speech: the normalised mean of the question and the speech request, where it is not the question's own words;
    screen text: that of the question and each entity.
    """
    spoken = [question] if asr is None else [question, asr]
    return {"speech": _mean(spoken), "text": _mean([question, *entities])}


def _mean(vectors: Sequence[Vectors]) -> Vectors:
    return vectors[0] if len(vectors) == 1 else normalised(np.mean(vectors, axis=0))


def may_be_used(rows: RowSet, options: RetrieveOptions) -> NDArray[np.bool_]:
    """Which rows are not too doubtful, bool ``(len(rows),)``."""
    return np.ones(len(rows.rows), bool) if options.doubtful else rows.trusted


def retrieve(
    rows: RowSet,
    queries: dict[RowKind, Vectors],
    words: Sequence[str],
    options: RetrieveOptions,
    anchor: RowKind | None = None,
    also: Sequence[tuple[Sequence[str], float]] = (),
    favoured: NDArray[np.bool_] | None = None,
) -> list[Hit]:
    """The rows that matter most, best first; repetitions of a text come after all others.

    ``anchor``: rows of this kind, and those ``favoured`` (bool ``(len(rows),)``), get the weight ``options.prefer``.
    ``also``: more terms to look for, each with the weight of its vote.
    """
    if not rows.rows:
        return []
    usable = may_be_used(rows, options)
    dense = np.where(usable, rows.dense(queries), -1.0)
    if options.method == "all":
        return [Hit(at, 0.0, float(dense[at]), 0.0) for at in spread(np.flatnonzero(usable).tolist())]
    lexical = np.where(usable, rows.lexical(words), 0.0)
    rankings: list[tuple[NDArray[np.int64], float]] = []
    if options.method in ("hybrid", "dense"):
        rankings.append((_ranking(dense, options.threshold), 1.0))
    if options.method in ("hybrid", "bm25"):
        rankings.append((_ranking(lexical, 0.0), 1.0))
        for terms, weight in also:
            rankings.append((_ranking(np.where(usable, rows.lexical(terms), 0.0), 0.0)[:5], weight))
    boost = np.ones(len(rows.rows), np.float32)
    if anchor:
        boost[rows.of(anchor)] *= options.prefer
    if favoured is not None:
        boost[favoured] *= options.prefer
    fused, voted = np.zeros(len(rows.rows)), np.zeros(len(rows.rows), bool)
    for ranking, weight in rankings:
        fused[ranking] += weight * boost[ranking].astype(np.float64) / (options.rrf_k + 1 + np.arange(len(ranking)))
        voted[ranking] = True
    places = np.flatnonzero(voted)
    order = places[np.lexsort((-dense[places], -fused[places]))].tolist()
    if len(order) < options.at_least:
        near = [at for at in np.argsort(-dense, kind="stable").tolist() if usable[at] and not voted[at]]
        order += near[: options.at_least - len(order)]
    best = _various(rows, order, options.top_k)
    return [Hit(at, float(fused[at]), float(dense[at]), float(lexical[at])) for at in best]


def reranked(hits: Sequence[Hit], scores: NDArray[np.float32] | None, options: RetrieveOptions) -> list[Hit]:
    """The best ``options.top_k`` of hits by their own order and that of a re-ranker's ``scores`` ``(len(hits),)``.

    Both are fused by rank, the re-ranker's counting twice: what options vote for is not lost to a model that does not
    see them.  Without scores the first ones.
    """
    if scores is None or not hits:
        return list(hits[: options.top_k])
    place = np.empty(len(hits), np.int64)
    place[np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")] = np.arange(len(hits))
    fused = 1 / (options.rrf_k + 1 + np.arange(len(hits))) + 2 / (options.rrf_k + 1 + place)
    return [hits[i] for i in np.argsort(-fused, kind="stable")[: options.top_k]]


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


def _ranking(scores: NDArray[np.floating], above: float) -> NDArray[np.int64]:
    passing = np.flatnonzero(scores > above)
    best: NDArray[np.int64] = passing[np.argsort(-scores[passing], kind="stable")]
    return best
