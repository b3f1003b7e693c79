"""Finds speech and screen text: dense with the published threshold, BM25, and both fused by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..store.engines import Options
from ..store.vectors import Vectors, normalised
from .rows import RowKind, RowSet


class RetrieveOptions(Options):
    """``method``: ``dense`` (Video-RAG's: everything above ``threshold``), ``bm25``, ``hybrid`` (reciprocal rank fusion
    of both), or ``all`` (every row, without retrieval).  ``top_k``: the most rows.  ``at_least``: where fewer pass, the
    nearest below the threshold follow, so that a short video is not silent.  ``rrf_k``: flatness of the fusion.
    ``prefer``: weight of rows of the kind that the question names.  ``doubtful``: take in speech that ingest flagged
    (invented, misheard, no speech).
    """

    method: Literal["hybrid", "dense", "bm25", "all"] = "hybrid"
    threshold: float = Field(0.3, ge=-1, le=1)
    top_k: int = Field(12, ge=1, le=1000)
    at_least: int = Field(6, ge=0, le=1000)
    rrf_k: int = Field(60, ge=1)
    prefer: float = Field(1.25, ge=1, le=10)
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A row found: its place in the row set, its fused score, and the scores that led to it."""

    at: int
    score: float
    dense: float
    lexical: float


def query_vectors(question: Vectors, asr: Vectors | None, entities: Sequence[Vectors]) -> dict[RowKind, Vectors]:
    """The query vector of each kind, ``(dim,)``, as in Video-RAG (arXiv 2411.13093).

    Speech: the normalised mean of the question and the speech request; screen text: that of the question and each
    entity.
    """
    spoken = [question] if asr is None else [question, asr]
    return {"speech": _mean(spoken), "text": _mean([question, *entities])}


def _mean(vectors: Sequence[Vectors]) -> Vectors:
    return normalised(np.mean(vectors, axis=0))


def retrieve(
    rows: RowSet,
    queries: dict[RowKind, Vectors],
    words: Sequence[str],
    options: RetrieveOptions,
    anchor: RowKind | None = None,
) -> list[Hit]:
    """The rows that matter most, best first; those of kind ``anchor`` get the weight ``options.prefer``."""
    if not rows.rows:
        return []
    usable = np.array([options.doubtful or not r.doubts for r in rows.rows])
    if options.method == "all":
        return [Hit(at, 0.0, 0.0, 0.0) for at in _spread(np.flatnonzero(usable).tolist())]
    dense = np.where(usable, rows.dense(queries), -1.0)
    lexical = np.where(usable, rows.lexical(words), 0.0)
    rankings = []
    if options.method in ("hybrid", "dense"):
        rankings.append(_ranking(dense, options.threshold))
    if options.method in ("hybrid", "bm25"):
        rankings.append(_ranking(lexical, 0.0))
    fused: dict[int, float] = {}
    for ranking in rankings:
        for rank, at in enumerate(ranking, 1):
            weight = options.prefer if rows.rows[at].kind == anchor else 1.0
            fused[at] = fused.get(at, 0.0) + weight / (options.rrf_k + rank)
    order = sorted(fused, key=lambda at: (-fused[at], -dense[at], at))
    if len(order) < options.at_least:
        near = [at for at in np.argsort(-dense, kind="stable").tolist() if usable[at] and at not in fused]
        order += near[: options.at_least - len(order)]
    return [Hit(at, fused.get(at, 0.0), float(dense[at]), float(lexical[at])) for at in order[: options.top_k]]


def _spread(places: list[int]) -> list[int]:
    """The same places in an order whose every beginning is evenly spread: by the bits of the index, mirrored."""
    bits = max(1, (len(places) - 1).bit_length())
    return [places[i] for i in sorted(range(len(places)), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))]


def _ranking(scores: NDArray[np.floating], above: float) -> list[int]:
    passing = np.flatnonzero(scores > above)
    best: list[int] = passing[np.argsort(-scores[passing], kind="stable")].tolist()
    return best
