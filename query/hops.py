"""Questions that take two rows: one names a thing, another tells of it ("the locker at the place where X hid the map").

The idea is multi-hop retrieval (Xiong et al., 2021, arXiv 2009.12756) over stored rows without encoding anything again:
the second hop asks with what the first row left open and with what it added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..store.engines import Options
from .likeness import likeness, spelt
from .rows import RowSet


class HopOptions(Options):
    """``most``: chains kept, 0 for no second hop.  ``gain``: how much more of the question two rows together must bear
    out than the better of them alone (share of its weight).  ``link``: how much of what the first row adds the second
    must share.  ``first``: rows tried as the first hop.
    """

    most: int = Field(2, ge=0, le=20)
    gain: float = Field(0.05, ge=0, le=1)
    link: float = Field(0.3, ge=0, le=1)
    first: int = Field(12, ge=1, le=100)


@dataclass(frozen=True, slots=True)
class Chain:
    """``first`` names something that ``second`` tells of: places in the row set; ``score`` orders chains."""

    first: int
    second: int
    score: float


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
    weight = {t: rows.rarity(t) / total for t in terms}

    wanted, known = frozenset(terms), dict[frozenset[str], float]()

    def worth(held: frozenset[str]) -> float:
        if held not in known:
            known[held] = sum(w for t, w in weight.items() if t in held)
        return known[held]

    firsts = list(ranked[: options.first])
    named = _named(rows, firsts, names)
    found: list[Chain] = []
    for i, at in enumerate(firsts):
        held = wanted & rows.held[at]
        open_terms = [t for t in terms if t not in held]
        added = {t: rows.rarity(t) for t in rows.terms[at] if t not in weight and rows.frequency[t] > 1}
        if not open_terms or not added or not held:
            continue
        alone, all_added = worth(held), sum(added.values())
        for other in _best(rows.lexical([*open_terms, *added]), 8):
            if other == at or not usable[other]:
                continue
            theirs = wanted & rows.held[other]
            if theirs <= held or added.keys().isdisjoint(rows.held[other]):
                continue
            both = worth(theirs | held)
            gain = both - max(alone, worth(theirs))
            if gain < options.gain:
                continue
            link = sum(w for t, w in added.items() if t in rows.held[other]) / all_added
            if link >= options.link and rows.rows[other].text != rows.rows[at].text:
                found.append(Chain(at, other, both + float(named[i]) + 0.5 * link))
    found.sort(key=lambda c: -c.score)
    best: dict[int, Chain] = {}
    for chain in found:
        best.setdefault(chain.second, chain)
    return list(best.values())[: options.most]


def _best(scores: NDArray[np.float32], most: int) -> list[int]:
    """The places of the best scores above 0, best first, of equal ones the first; without sorting all."""
    at = np.flatnonzero(scores)
    if len(at) > most:
        own = scores[at]
        at = at[own >= np.partition(own, -most)[-most]]
    best: list[int] = at[np.argsort(-scores[at], kind="stable")][:most].tolist()
    return best


def _named(rows: RowSet, places: Sequence[int], names: Sequence[str]) -> NDArray[np.float32]:
    """Likeness of each row to the names of a question, the mean."""
    if not names:
        return np.zeros(len(places), np.float32)
    found: NDArray[np.float32] = likeness([spelt(n) for n in names], [rows.spelt[p] for p in places]).mean(0)
    return found
