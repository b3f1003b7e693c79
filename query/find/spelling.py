"""Slips of the pen in a question."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ..text.words import stop_words

Postings = tuple[NDArray[np.int64], NDArray[np.float64]]
_SHORT, _LONG = 4, 10
"""Letters from which on a term may be a slip whatever else is asked, and from which on it may hold two slips."""
_COMPOUNDING = frozenset(("da", "de", "fi", "nl", "no", "sv"))
_ENDING = 2
"""Letters that two forms of a word differ by at the most; longer ones are compounds."""


class Spelling:
    """Spells terms as rows do.  ``terms``: those of the rows; ``postings``: the rows that hold one, ascending, and how
    often, None where none does; ``language``: that of most rows; ``languages``: of all of them.
    """

    def __init__(
        self,
        terms: Iterable[str],
        postings: Callable[[str], Postings | None],
        language: str | None,
        languages: Collection[str] = (),
    ) -> None:
        self._postings = postings
        self._compounding = not _COMPOUNDING.isdisjoint(languages)
        self._stop = [w for w in stop_words(language) if len(w) >= _SHORT]
        self._by_letter: dict[str, list[str]] = {}
        for term in terms:
            if len(term) >= _SHORT and term.isalpha():
                self._by_letter.setdefault(term[0], []).append(term)

    def of(self, wanted: Sequence[str], right: Collection[str] = ()) -> list[str]:
        """The terms ``wanted``: one that no row holds becomes the one that is a slip away, best the one that stands
        beside others of them; or goes, where it is a slip of a stop word.  Optimal string alignment distance.
        ``right``: terms that are spelled right; they become another form of the word at the most.
        """
        held = {t: own[0] for t in wanted if (own := self._postings(t))}
        known = [*held.values()]
        kept = {t for t in wanted if t in held or len(t) < _SHORT - 1}
        spelled = [
            t if t in kept else self._longer(t, known) or (self._form if t in right else self._meant)(t, known)
            for t in wanted
        ]
        return [t for t in spelled if t] or list(wanted)

    def _meant(self, term: str, others: Sequence[NDArray[np.int64]]) -> str:
        from rapidfuzz.distance import OSA

        most = 1 if len(term) < _LONG else 2
        near = {k: OSA.distance(term, k, score_cutoff=most) for k in self._by_letter.get(term[0], ())}
        worth = {k: (-d, self._beside(k, others), len(self._places(k))) for k, d in near.items() if d <= most}
        best = max(worth, key=worth.__getitem__, default="")
        if best and (worth[best][1] or len(term) >= _SHORT):
            return best
        stop = (w for w in self._stop if w[0] == term[0])
        return "" if any(OSA.distance(term, w, score_cutoff=1) <= 1 for w in stop) else term

    def _longer(self, term: str, others: Sequence[NDArray[np.int64]]) -> str:
        """A longer word that begins with a term, as "photograph" with "photo"; empty where there is none.  In languages
        that write compounds as one word also one that ends with it.
        """
        begin = [k for k in self._by_letter.get(term[0], ()) if k.startswith(term)] if len(term) > _SHORT else []
        ends = self._compounding and len(term) >= _SHORT
        end = [k for k in chain.from_iterable(self._by_letter.values()) if k.endswith(term)] if ends else []
        longer = [k for k in (*begin, *end) if len(k) > len(term) + _ENDING]
        return max(longer, key=lambda k: (self._beside(k, others), len(self._places(k)), -len(k)), default="")

    def _form(self, term: str, others: Sequence[NDArray[np.int64]]) -> str:
        """Another form of a word, as "spent" is of "spend"."""
        forms = {k: self._beside(k, others) for k in self._by_letter.get(term[0], ()) if k[:-1] == term[:-1]}
        best = max(forms, key=forms.__getitem__, default=term)
        return best if forms.get(best) else term

    def _places(self, term: str) -> NDArray[np.int64]:
        found = self._postings(term)
        return found[0] if found else np.zeros(0, np.int64)

    def _beside(self, term: str, others: Sequence[NDArray[np.int64]]) -> int:
        """How many of the others stand in a row with a term."""
        return sum(bool(np.isin(self._places(term), own).any()) for own in others)
