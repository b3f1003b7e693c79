"""Searches a whole archive: dense and BM25 rankings over every row, fused by rank, without opening every video.

Videos that the index (:mod:`vidrag.store.index.index`) does not hold yet, small archives and those without one are
searched exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from threading import Lock

import numpy as np
from pydantic import Field

from ...store.archive.archive import Archive
from ...store.encoders import EncoderSpec, check_space
from ...store.errors import ArchiveDamaged, one_line
from ...store.fingerprints import digest
from ...store.index.index import KINDS, MEND, Kind
from ...store.index.postings import DOUBTFUL, bm25
from ...store.options import Options
from ...store.vectors import Vectors
from ..text.words import terms
from .fusion import fused
from .view import IndexLost, Place, Scored, View, look

_SAMPLES = (
    "Seventy-two cafés' running; it's EIP4719", "日本語 naïve ﬁles of the", "die Häuser der Straßen",
    "भारत में १२ लोग", "서울의 인구", "أُقيم العام", "Ο τόπος της", "ภาษาไทย", "İki çocuk",
)  # fmt: skip
TERMS_ID = digest([terms(t) for t in _SAMPLES])
"""Names the way in which text becomes terms; an index made in another way is made anew."""


class SearchOptions(Options):
    """``index_rows``: rows of speech and text from which on the index is used; below, exact search takes about as long
    (a second for 20,000 rows, cold).  ``depth``: length of each ranking that is fused.  ``rrf_k``: flatness of the
    fusion.  ``probes``: lists of the index that are scanned (0: as many as suit its size).  ``doubtful``: take in
    speech that ingest flagged.  ``apart_s``: frames of one video that are nearer than this count as one.  ``videos``:
    how many videos are opened for a question about all of an archive with an index.
    """

    index_rows: int = Field(20_000, ge=0)
    depth: int = Field(100, ge=1, le=10_000)
    rrf_k: int = Field(60, ge=1)
    probes: int = Field(0, ge=0)
    doubtful: bool = False
    apart_s: float = Field(10.0, ge=0)
    videos: int = Field(32, ge=1, le=10_000)


_ALSO = 5
"""Best rows of an option whose videos are opened."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Where to look for an answer: ``videos`` (ids) in the order of their best rows, of ``of`` in all, and notes."""

    videos: tuple[str, ...]
    of: int
    notes: tuple[str, ...]


class Searcher:
    """Searches one archive any number of times; safe to use from several threads.

    ``specs``: for each kind that is searched by vectors the encoder that asks.
    """

    def __init__(self, archive: Archive, specs: Mapping[Kind, EncoderSpec], options: SearchOptions) -> None:
        self.archive, self.specs, self.options = archive, dict(specs), options
        self._view: View | None = None
        self._lock = Lock()

    def view(self) -> View:
        """The archive as it is now; what was opened for the last search is kept where nothing has changed."""
        with self._lock:
            self._view = look(self.archive, self.options.index_rows, self._view)
            return self._view

    def candidates(
        self,
        vectors: Mapping[Kind, Vectors],
        words: Sequence[str],
        also: Sequence[Sequence[str]] = (),
        view: View | None = None,
    ) -> Candidates | None:
        """The ``options.videos`` videos with the best rows for a question about all of them; None where all may be
        opened.

        ``vectors``: a query vector ``(dim,)`` for each kind to be searched; ``words``: terms (see :mod:`.words`);
        ``also``: more terms, each list of which brings in the videos of its own best rows after the best of the others.
        ``view``: the archive as :meth:`view` saw it, where it was looked at already.  Only videos that the index does
        not hold yet are opened.
        """
        view = view or self.view()
        if view.index is None:
            return None
        view, places = self.rank(vectors, words, view)
        if view.index is None:
            return None
        own = list(dict.fromkeys(p.video for p in places))
        try:
            found = [[p.video for _, p in self.lexical(view, t, _ALSO)] for t in also]
        except IndexLost:  # another part of it than the question's words are in
            found = []
        others = [v for turn in zip_longest(*found) for v in turn if v is not None]  # each one's best rows first
        most = self.options.videos
        best = own[: most - min(most // 2, len(set(others) - set(own[:most])))]
        videos = tuple(dict.fromkeys([*best, *others, *own]))[:most]
        return Candidates(videos, len(view.cover.numbers), tuple(view.notes))

    def rank(
        self, vectors: Mapping[Kind, Vectors], words: Sequence[str], view: View | None = None
    ) -> tuple[View, list[Place]]:
        """All rows in one of the rankings, best first, and what they were found in (``view``, where it is given).

        Speech and text are one dense and one BM25 ranking, frames another dense one; they are fused by rank alone
        (reciprocal rank fusion; Cormack et al., 2009).
        """
        view = view or self.view()
        try:
            return view, self._rank(view, vectors, words)
        except IndexLost as e:
            lost = view.without_index(str(e))
            with self._lock:
                if self._view is view:
                    self._view = lost
            return lost, self._rank(lost, vectors, words)

    def _rank(self, view: View, vectors: Mapping[Kind, Vectors], words: Sequence[str]) -> list[Place]:
        dense = {k: self.nearest(view, k, vectors[k], self.options.depth) for k in KINDS if k in vectors}
        spoken = _best([x for k in dense if k != "frames" for x in dense[k]], self.options.depth)
        frames = dense.get("frames", [])
        lexical = self.lexical(view, words, self.options.depth)
        rankings = [[place for _, place in ranking] for ranking in (spoken, lexical, frames)]
        scores = fused(rankings, k=self.options.rrf_k)
        near = {p: s for s, p in (*spoken, *frames)}
        return sorted(scores, key=lambda p: (-scores[p], -near.get(p, -1.0), p))

    def nearest(self, view: View, kind: Kind, vector: Vectors, k: int) -> Scored:
        """The ``k`` rows of ``kind`` whose vectors are nearest to ``vector`` ``(dim,)``: inner products and places.

        Those of the index are of vectors of a byte a dimension.
        Raises :class:`~vidrag.store.errors.SpaceMismatch` where rows were embedded with another encoder.
        """
        found = []
        if view.index is not None and view.holds(kind):
            if (spec := view.index.manifest.encoders[kind]) != self.specs[kind]:
                check_space(spec.as_json(), self.specs[kind], f"the index of {self.archive.location} ({kind})")
            try:
                keep = view.keep(kind, self.options.doubtful)
                ann = view.index.vectors(kind)
                found = view.places(kind, *ann.search(vector, k, probes=self.options.probes, keep=keep))
            except ArchiveDamaged as e:
                view.give_up(kind, f"the index of the archive is damaged: {one_line(e, 200)}; {MEND}")
        found += view.exact(kind, vector, k, self.specs[kind], self.options.doubtful)
        return _best(found, k)

    def lexical(self, view: View, words: Sequence[str], k: int) -> Scored:
        """The ``k`` rows of speech and text that hold ``words`` best: BM25 over the counts of all rows, and places."""
        rows, scores = [], []
        for word in dict.fromkeys(words):
            found = view.postings(word)
            score = bm25(found, view.rows, view.words)
            usable = np.ones(len(found), bool)
            if not self.options.doubtful:
                usable &= (found["flags"] & DOUBTFUL) == 0
            rows.append(found["row"][usable])
            scores.append(score[usable])
        if not rows:
            return []
        numbers, back = np.unique(np.concatenate(rows), return_inverse=True)
        sums = np.bincount(back, np.concatenate(scores), len(numbers))
        best = np.argsort(-sums, kind="stable")[: k + 64]
        return _best([(float(sums[i]), view.place(int(numbers[i]))) for i in best if sums[i] > 0], k)


def _best(found: Scored, k: int) -> Scored:
    """The best ``k``, best first; equal scores in the order of their places, so that an index changes nothing.

    Equal are scores that differ only by the order in which a sum was taken.
    """
    return sorted(found, key=lambda x: (-round(x[0], 6), x[1]))[:k]
