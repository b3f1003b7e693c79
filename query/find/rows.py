"""The speech and text rows of some videos as one searchable set, opened once and used for many questions."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import EncoderSpec
from ...store.records import spoken_text
from ...store.shard import Shard
from ...store.vectors import Vectors
from ..text.likeness import Spelt, spelt
from ..text.words import terms

RowKind = Literal["speech", "text"]
KINDS: tuple[RowKind, ...] = ("speech", "text")


@dataclass(frozen=True, slots=True)
class Row:
    """One stored row: ``shard`` is its place among the set's shards, ``row`` its number within the shard's kind;
    ``doubts`` are the reasons to distrust it; ``speaker``: who says it, where that is known.
    """

    shard: int
    kind: RowKind
    row: int
    start: float
    end: float
    text: str
    doubts: tuple[str, ...] = ()
    speaker: str | None = None

    @property
    def searched(self) -> str:
        """The text that is searched: speech with its speaker before it."""
        return spoken_text(self.text, self.speaker)


class RowSet:
    """Rows of ``shards`` in order: video by video, speech before text.  ``spec`` is the encoder that asks."""

    def __init__(self, shards: Sequence[Shard], spec: EncoderSpec) -> None:
        self.shards, self.spec = tuple(shards), spec
        self.rows: list[Row] = []
        for i, shard in enumerate(self.shards):
            self.rows += [
                Row(i, "speech", r, s.start, s.end, s.text, s.flags, s.speaker) for r, s in enumerate(shard.speech)
            ]
            self.rows += [Row(i, "text", r, t.start, t.end, t.text) for r, t in enumerate(shard.text)]

    @cached_property
    def _places(self) -> dict[tuple[int, RowKind], NDArray[np.int64]]:
        """For each shard and kind the places of its rows in ``rows``."""
        found: dict[tuple[int, RowKind], list[int]] = {}
        for at, row in enumerate(self.rows):
            found.setdefault((row.shard, row.kind), []).append(at)
        return {k: np.array(v, np.int64) for k, v in found.items()}

    @cached_property
    def trusted(self) -> NDArray[np.bool_]:
        """Which rows nothing speaks against, bool ``(len(rows),)``."""
        return np.array([not r.doubts for r in self.rows], bool)

    def of(self, kind: RowKind) -> NDArray[np.int64]:
        """The places of the rows of a kind."""
        found = [places for (_, k), places in self._places.items() if k == kind]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def dense(self, queries: dict[RowKind, Vectors]) -> NDArray[np.float32]:
        """Inner product of each row with the query vector ``(dim,)`` of its kind, float32 ``(len(rows),)``.

        Rows without a vector (their stage failed, say) get -1.  Raises
        :class:`~vidrag.store.errors.SpaceMismatch` where rows were embedded with another encoder.
        """
        out = np.full(len(self.rows), -1.0, np.float32)
        for kind, (places, vectors) in self._vectors.items():
            out[places] = np.einsum("ij,j->i", vectors, queries[kind])  # a thread of BLAS would cost more than it saves
        return out

    @cached_property
    def _vectors(self) -> dict[RowKind, tuple[NDArray[np.int64], Vectors]]:
        """For each kind the places of the rows that have a vector, and these, ``(n, dim)``."""
        found: dict[RowKind, list[tuple[NDArray[np.int64], Vectors]]] = {}
        for (i, kind), places in self._places.items():
            file = self.shards[i].vectors(kind, self.spec)
            if file is not None and file.rows == len(places):
                found.setdefault(kind, []).append((places, file.vectors()))
        return {k: (np.concatenate([p for p, _ in v]), np.concatenate([x for _, x in v])) for k, v in found.items()}

    @cached_property
    def _lexical(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """The rows that hold each term, ascending, and what it adds to the score of each."""
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)
        index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
        index.index([t or ["\0"] for t in self.terms], show_progress=False, leave_progress=False)
        rows, scores, firsts = (index.scores[k] for k in ("indices", "data", "indptr"))
        return {
            t: (rows[firsts[i] : firsts[i + 1]], scores[firsts[i] : firsts[i + 1]])
            for t, i in index.vocab_dict.items()
            if t
        }

    @cached_property
    def terms(self) -> list[list[str]]:
        """The terms of each row."""
        return [terms(r.searched) for r in self.rows]

    @cached_property
    def held(self) -> list[frozenset[str]]:
        """The same, each once."""
        return [frozenset(t) for t in self.terms]

    @cached_property
    def spelt(self) -> list[Spelt]:
        """Each row as names and phrases are compared with it."""
        return [spelt(r.searched) for r in self.rows]

    def lexical(self, query: Sequence[str]) -> NDArray[np.float32]:
        """BM25 of each row for the terms of a query (Robertson & Zaragoza, 2009), float32 ``(len(rows),)``."""
        known = [self._lexical[t] for t in dict.fromkeys(query) if t in self.frequency] if self.rows else []
        if not known:
            return np.zeros(len(self.rows), np.float32)
        rows, scores = (np.concatenate(side) for side in zip(*known, strict=True))
        return np.bincount(rows, scores, len(self.rows)).astype(np.float32)

    @cached_property
    def frequency(self) -> Counter[str]:
        """In how many rows each term stands."""
        return Counter(t for row in self.held for t in row)

    @cached_property
    def _rarity(self) -> dict[str, float]:
        n = len(self.rows) + 1
        return {t: math.log(1 + n / (1 + count)) / math.log(1 + n / 2) for t, count in self.frequency.items()}

    def rarity(self, term: str) -> float:
        """How much a term tells: 1 for one that stands in one row, more for one in none, less for common ones."""
        n = len(self.rows) + 1
        return self._rarity.get(term) or (math.log(1 + n) / math.log(1 + n / 2) if n > 1 else 1.0)
