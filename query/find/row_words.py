"""The words of rows: what each row, window and video holds, how much a word tells, and in which languages they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...store.archive.shard import Shard
from ...store.index.postings import bm25_scores, idf
from ...store.records import spoken_text
from ..text.words import compact, each_term, forms, in_file_names, language_of, terms, words_of_name
from .spelling import Spelling
from .windows import Scores, Windows, windows

RowKind = Literal["speech", "text"]
KINDS: tuple[RowKind, ...] = ("speech", "text")
PAUSE = 30.0
"""Seconds without a row that end a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One stored row: ``shard`` is its place among the set's shards, ``row`` its number within the shard's kind;
    ``doubts`` are the reasons to distrust it; ``speaker`` and ``language``: where they are known.
    """

    shard: int
    kind: RowKind
    row: int
    start: float
    end: float
    text: str
    doubts: tuple[str, ...] = ()
    speaker: str | None = None
    language: str | None = None

    @property
    def searched(self) -> str:
        """The text that is searched: speech with its speaker before it."""
        return spoken_text(self.text, self.speaker)


class RowWords:
    """Rows of ``shards`` in order: video by video, speech before text."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = tuple(shards)
        self.rows: list[Row] = []
        for i, shard in enumerate(self.shards):
            self.rows += [
                Row(
                    shard=i, kind="speech", row=r, start=s.start, end=s.end, text=s.text, doubts=s.flags,
                    speaker=s.speaker, language=s.language,
                )
                for r, s in enumerate(shard.speech)
            ]  # fmt: skip
            self.rows += [
                Row(shard=i, kind="text", row=r, start=t.start, end=t.end, text=t.text)
                for r, t in enumerate(shard.text)
            ]

    @cached_property
    def trusted(self) -> NDArray[np.bool_]:
        """Which rows nothing speaks against, bool ``(len(rows),)``."""
        return np.array([not r.doubts for r in self.rows], bool)

    @cached_property
    def shard(self) -> NDArray[np.int64]:
        """The place of each row's video among the set's, ``(len(rows),)``."""
        return np.array([r.shard for r in self.rows], np.int64)

    def of(self, kind: RowKind) -> NDArray[np.int64]:
        """The places of the rows of a kind."""
        return self._places[kind]

    @cached_property
    def _places(self) -> dict[RowKind, NDArray[np.int64]]:
        return {k: np.flatnonzero([r.kind == k for r in self.rows]) for k in KINDS}

    @cached_property
    def terms(self) -> list[list[str]]:
        """The terms of each row."""
        return [terms(r.searched, self.languages[r.shard], self.spoken[r.shard]) for r in self.rows]

    @cached_property
    def held(self) -> list[frozenset[str]]:
        """The same, each once."""
        return [frozenset(t) for t in self.terms]

    @cached_property
    def speakers(self) -> dict[str, list[int]]:
        """The places of what is said by speakers whose names hold a term, by term."""
        found: dict[str, list[int]] = {}
        for at, row in enumerate(self.rows):
            for term in each_term(row.speaker) if row.speaker else ():
                found.setdefault(term, []).append(at)
        return found

    @cached_property
    def titles(self) -> list[frozenset[str]]:
        """The terms of the file name of each video."""
        return [frozenset(chain.from_iterable(map(each_term, parts))) for parts in self._name_parts]

    @cached_property
    def name_words(self) -> list[frozenset[str]]:
        """The words of the file name of each video, see :func:`~..text.words.in_file_names`."""
        return [frozenset(map(in_file_names, parts)) for parts in self._name_parts]

    @cached_property
    def _name_parts(self) -> list[list[str]]:
        """The words of the file name of each video that carry meaning."""
        return [words_of_name(s.name, code) for s, code in zip(self.shards, self.languages, strict=True)]

    def naming(self, term: str) -> list[int]:
        """The places of the videos that hold a term: in a row or in the file name."""
        found = self.postings(term)
        named = (i for i, title in enumerate(self.titles) if term in title)
        return sorted({*named, *(self.shard[found[0]].tolist() if found else ())})

    @cached_property
    def compacted(self) -> list[str]:
        """Each row as names and numbers are compared, see :func:`~..text.words.compact`."""
        return [compact(r.searched) for r in self.rows]

    @cached_property
    def language(self) -> str | None:
        """The language of most rows whose own words tell it."""
        return _most(_counted(self.rows))

    @cached_property
    def languages(self) -> list[str | None]:
        """The same of the rows of each video."""
        return [_most(counts) for counts in self._language_counts]

    @cached_property
    def spoken(self) -> list[frozenset[str]]:
        """The languages of each video that at least a tenth of its rows are in: others are misjudged rows."""
        return [frozenset(c for c, n in counts.items() if n * 10 >= counts.total()) for counts in self._language_counts]

    @cached_property
    def _stemmed(self) -> frozenset[str]:
        """The languages whose stems the rows have."""
        return frozenset(c for c in self.languages if c).union(*self.spoken)

    @cached_property
    def _language_counts(self) -> list[Counter[str]]:
        own: list[list[Row]] = [[] for _ in self.shards]
        for row in self.rows:
            own[row.shard].append(row)
        return [_counted(rows) for rows in own]

    @cached_property
    def windows(self) -> Windows:
        """Windows over rows of one video and kind that follow each other."""
        return windows(self._words, self._runs())

    @cached_property
    def lengths(self) -> NDArray[np.float64]:
        """Words of each row, about: stop words are no terms."""
        return np.diff(self._words)

    @cached_property
    def substance(self) -> NDArray[np.float64]:
        """How much each row tells, in words that are as rare as the average one, ``(len(rows),)``."""
        told = np.zeros(len(self.rows))
        for term, (places, counts) in self._postings.items():
            told[places] += counts * self.rarity(term)
        told *= self.lengths.sum() / max(told.sum(), 1e-9)
        return told

    @cached_property
    def _words(self) -> NDArray[np.float64]:
        """Words before each row, ``(len(rows) + 1,)``; two characters of a script without spaces count as one."""
        return np.concatenate([[0.0], np.cumsum([max(1, len(t)) * 1.6 for t in self.terms])])  # stop words are no terms

    def _runs(self) -> list[tuple[int, int]]:
        """Stretches of rows of one video and kind: speech without a long pause, text that is on screen together."""
        cuts = [0]
        for at in range(1, len(self.rows)):
            a, b = self.rows[at - 1], self.rows[at]
            if (a.shard, a.kind) != (b.shard, b.kind) or b.start - a.end > (PAUSE if b.kind == "speech" else -0.1):
                cuts.append(at)
        return list(zip(cuts, [*cuts[1:], len(self.rows)], strict=True)) if self.rows else []

    @cached_property
    def _postings(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """The rows that hold each term, ascending, and how often."""
        found: dict[str, tuple[list[int], list[int]]] = {}
        for at, row in enumerate(self.terms):
            for term, count in Counter(row).items():
                places, counts = found.setdefault(term, ([], []))
                places.append(at)
                counts.append(count)
        return {t: (np.array(p, np.int64), np.array(c, float)) for t, (p, c) in found.items()}

    def postings(self, term: str) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """The rows that hold a term, ascending, and how often; None where none does.

        Rows have the stems of their own language, so it counts in the form that it has there as well.
        """
        own = self._postings.get(term)
        if own is not None and len(self._stemmed) < 2:
            return own
        held = [self._postings[f] for f in forms(term, self._stemmed) if f in self._postings]
        if len(held) < 2:
            return held[0] if held else None
        counts = np.zeros(len(self.rows))
        for places, count in held:
            counts[places] += count
        return np.flatnonzero(counts), counts[counts > 0]

    def lexical(self, query: Sequence[str]) -> tuple[Scores, Scores]:
        """BM25 (Robertson & Zaragoza, 2009) of each row and of the best window of each row for the terms ``query``."""
        w, lengths = self.windows, self.lengths
        window_lengths = self._words[w.last] - self._words[w.first]
        rows, windows = np.zeros(len(self.rows)), np.zeros(len(w.first))
        for term in dict.fromkeys(query):
            if (found := self.postings(term)) is None:
                continue
            places, counts = found
            rows[places] += bm25_scores(counts, lengths[places], len(places), len(self.rows), lengths.sum())
            summed = np.concatenate([[0.0], np.cumsum(np.bincount(places, counts, len(self.rows)))])
            held = summed[w.last] - summed[w.first]
            hits = np.flatnonzero(held)
            windows[hits] += bm25_scores(
                held[hits], window_lengths[hits], len(hits), len(windows), window_lengths.sum()
            )
        return rows, (w.best(windows) if len(windows) else rows)

    @cached_property
    def spelling(self) -> Spelling:
        """How the rows spell terms."""
        return Spelling(self._postings, self.postings, self.language, frozenset().union(*self.spoken))

    def rarity(self, term: str) -> float:
        """How much a term tells: its inverse document frequency among the rows."""
        found = self.postings(term)
        return idf(0 if found is None else len(found[0]), len(self.rows))

    def covered(self, wanted: Sequence[str], at: int, around: bool = False) -> float:
        """The share of the terms ``wanted`` that a row holds, ``around``: one of its windows does; by rarity, 0..1."""
        weight = {t: self.rarity(t) for t in wanted}
        w, stretches = self.windows, [(at, at + 1)]
        if around:
            stretches = [(int(w.first[i]), int(w.last[i])) for i in set(w.of[:, at].tolist())]
        total = sum(weight.values())
        held = (sum(tells for t, tells in weight.items() if self._holds(t, *s)) for s in stretches)
        return max(held) / total if total else 0.0

    def _holds(self, term: str, first: int, last: int) -> bool:
        """Whether one of the rows in ``[first, last)`` holds a term."""
        found = self.postings(term)
        return found is not None and int(np.searchsorted(found[0], first)) < int(np.searchsorted(found[0], last))

    def coverage(self, wanted: Sequence[str]) -> Scores:
        """:meth:`covered` of every row."""
        weight = {t: self.rarity(t) for t in wanted}
        held = np.zeros(len(self.rows))
        for term, tells in weight.items():
            if found := self.postings(term):
                held[found[0]] += tells
        return held / (sum(weight.values()) or 1.0)


def _counted(rows: Sequence[Row]) -> Counter[str]:
    """How many rows, of at most some 200, are in each language."""
    return Counter(code for r in rows[:: max(1, len(rows) // 200)] if (code := language_of(r.text)))


def _most(counts: Counter[str]) -> str | None:
    return counts.most_common(1)[0][0] if counts else None
