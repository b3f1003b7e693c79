"""Questions that take two rows: one names a thing, another tells of it ("the locker at the place where X hid the map").

The idea is multi-hop retrieval (Xiong et al., 2021, arXiv 2009.12756) over stored rows without encoding anything again:
the second hop asks with what the first row left open and with what it added.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...store.engines import Options
from ...store.words import STOP
from ..text.likeness import Spelt, likeness, spelt, spelt_words
from ..text.words import stems
from .rows import RowSet

_SECONDS = 16
"""Rows tried as the second hop of what was misheard: those that hold most of the question."""
_AUDIBLE = 6
"""Letters from which on a phrase is told by its sound."""


class HopOptions(Options):
    """``most``: chains kept, 0 for no second hop.  ``gain``: how much more of the question two rows together must bear
    out than the better of them alone (share of its weight).  ``link``: how much of what the first row adds the second
    must share.  ``first``: rows tried as the first hop.  ``heard``: likeness, by letters and sound, from which on a
    phrase that the first row adds is taken for one of the second row; 1 links by the same words only.
    """

    most: int = Field(2, ge=0, le=20)
    gain: float = Field(0.05, ge=0, le=1)
    link: float = Field(0.3, ge=0, le=1)
    first: int = Field(12, ge=1, le=100)
    heard: float = Field(0.5, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class Chain:
    """``first`` names something that ``second`` tells of: places in the row set; ``score`` orders chains; ``heard``:
    linked by sound alone, which is less sure.
    """

    first: int
    second: int
    score: float
    heard: bool = False


def chains(
    rows: RowSet,
    ranked: Sequence[int],
    asked: Sequence[str],
    names: Sequence[str],
    options: HopOptions,
    usable: NDArray[np.bool_],
) -> list[Chain]:
    """Pairs of rows that bear out more of a question together than either alone, best first.

    ``ranked``: places of rows, best first; ``asked``: the question's terms; ``names``: names in it;
    ``usable``: rows that may be a second hop, bool ``(len(rows),)``.
    """
    terms = list(dict.fromkeys(asked))
    if not options.most or len(terms) < 3 or len(rows.rows) < 2:
        return []
    total = sum(rows.rarity(t) for t in terms)
    worth = _Worth({t: rows.rarity(t) / total for t in terms})
    firsts = list(ranked[: options.first])
    named = _named(rows, firsts, names)
    found: list[Chain] = []
    for i, at in enumerate(firsts):
        held = worth.terms & rows.held[at]
        open_terms = [t for t in terms if t not in held]
        added = {t: rows.rarity(t) for t in rows.terms[at] if t not in worth.terms and rows.frequency[t] > 1}
        if not open_terms or not added or not held:
            continue
        all_added = sum(added.values())
        for other in _best(rows.lexical([*open_terms, *added]), 8):
            if other == at or not usable[other]:
                continue
            theirs = worth.terms & rows.held[other]
            if theirs <= held or added.keys().isdisjoint(rows.held[other]):
                continue
            if worth.gain(held, theirs) < options.gain:
                continue
            link = sum(w for t, w in added.items() if t in rows.held[other]) / all_added
            if link >= options.link and rows.rows[other].text != rows.rows[at].text:
                found.append(Chain(at, other, worth(held | theirs) + float(named[i]) + 0.5 * link))
    if options.heard < 1:
        found += _heard(rows, firsts, terms, worth, named, options, usable)
    found.sort(key=lambda c: -c.score)
    best: dict[int, Chain] = {}
    for chain in found:
        best.setdefault(chain.second, chain)
    return list(best.values())[: options.most]


class _Worth:
    """How much of a question some of its terms are, by rarity; the same ones are added up once."""

    def __init__(self, weight: Mapping[str, float]) -> None:
        self.terms, self._weight = frozenset(weight), weight
        self._known: dict[frozenset[str], float] = {}

    def __call__(self, held: frozenset[str]) -> float:
        if held not in self._known:
            self._known[held] = sum(w for t, w in self._weight.items() if t in held)
        return self._known[held]

    def gain(self, one: frozenset[str], other: frozenset[str]) -> float:
        """How much more both hold together than the better of them."""
        return self(one | other) - max(self(one), self(other))


def _best(scores: NDArray[np.float32], most: int) -> list[int]:
    """The places of the best scores above 0, best first, of equal ones the first; without sorting all."""
    at = np.flatnonzero(scores)
    if len(at) > most:
        own = scores[at]
        at = at[own >= np.partition(own, -most)[-most]]
    best: list[int] = at[np.argsort(-scores[at], kind="stable")][:most].tolist()
    return best


def _heard(
    rows: RowSet,
    firsts: Sequence[int],
    terms: Sequence[str],
    worth: _Worth,
    named: NDArray[np.float32],
    options: HopOptions,
    usable: NDArray[np.bool_],
) -> list[Chain]:
    """Chains of rows that say the same thing in other letters: what one was misheard to add, the other spells out.

    Only rows that another adds to are compared by sound, which is dear.
    """
    seconds = _best(rows.lexical(terms) * usable, _SECONDS)
    holds = {at: worth.terms & rows.held[at] for at in {*firsts, *seconds}}
    theirs = {holds[at] for at in seconds}
    fit = {h: {t for t in theirs if h and t and worth.gain(h, t) >= options.gain} for h in {holds[at] for at in firsts}}
    added = [
        (i, phrase)
        for i, at in enumerate(firsts)
        if fit[holds[at]]
        for phrase in _phrases(rows.spelt[at].letters, worth.terms)
    ]
    like = likeness([phrase for _, phrase in added], [rows.spelt[at] for at in seconds], options.heard)
    found = []
    for (i, _), row in zip(added, like, strict=True):
        at = firsts[i]
        for j in np.argsort(-row, kind="stable")[:2].tolist() if row.max() >= options.heard else ():
            other, link = seconds[j], float(row[j])
            if link < options.heard or other == at or holds[other] not in fit[holds[at]]:
                continue
            if rows.rows[other].text != rows.rows[at].text:
                found.append(Chain(at, other, worth(holds[at] | holds[other]) + float(named[i]) + 0.5 * link, True))
    return found


def _phrases(text: str, asked: Container[str]) -> list[Spelt]:
    """Runs of the words of a row that the question does not hold, of a length that can be told by its sound."""
    runs: list[list[str]] = [[]]
    for word, stem in _stemmed(text):
        if word not in STOP and stem not in asked:
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    return [spelt_words(r) for r in runs if sum(map(len, r)) >= _AUDIBLE]


@lru_cache(maxsize=20_000)
def _stemmed(text: str) -> tuple[tuple[str, str], ...]:
    found = text.split()
    return tuple(zip(found, stems(found), strict=True))


def _named(rows: RowSet, places: Sequence[int], names: Sequence[str]) -> NDArray[np.float32]:
    """Likeness of each row to the names of a question, the mean."""
    if not names:
        return np.zeros(len(places), np.float32)
    found: NDArray[np.float32] = likeness([spelt(n) for n in names], [rows.spelt[p] for p in places]).mean(0)
    return found
