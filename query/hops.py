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
from ..store.words import STOP
from .likeness import Spelt, likeness, spelt, spelt_words
from .rows import RowSet
from .words import stems

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
    weight = np.array([rows.rarity(t) for t in terms])
    weight /= weight.sum()
    firsts = list(ranked[: options.first])
    named = _named(rows, firsts, names)
    found: list[Chain] = []
    for i, at in enumerate(firsts):
        held = _holds(rows, at, terms)
        open_terms = [t for t, h in zip(terms, held, strict=True) if not h]
        added = [t for t in dict.fromkeys(rows.terms[at]) if t not in terms and rows.frequency[t] > 1]
        if not open_terms or not added or not held.any():
            continue
        tells = rows.lexical([*open_terms, *added])
        for other in np.argsort(-tells, kind="stable")[:8].tolist():
            if other == at or tells[other] <= 0 or not usable[other]:
                continue
            theirs = _holds(rows, other, terms)
            links = [rows.rarity(t) for t in added if t in rows.terms[other]]
            new = float(weight[theirs & ~held].sum())
            if not links or new <= 0:
                continue
            both = float(weight[theirs | held].sum())
            gain = both - max(float(weight[held].sum()), float(weight[theirs].sum()))
            link = sum(links) / sum(rows.rarity(t) for t in added)
            if gain >= options.gain and link >= options.link and rows.rows[other].text != rows.rows[at].text:
                found.append(Chain(at, other, both + float(named[i]) + 0.5 * link))
    if options.heard < 1:
        found += _heard(rows, firsts, terms, weight, named, options, usable)
    found.sort(key=lambda c: -c.score)
    best: dict[int, Chain] = {}
    for chain in found:
        best.setdefault(chain.second, chain)
    return list(best.values())[: options.most]


def _heard(
    rows: RowSet,
    firsts: Sequence[int],
    terms: Sequence[str],
    weight: NDArray[np.float64],
    named: NDArray[np.float32],
    options: HopOptions,
    usable: NDArray[np.bool_],
) -> list[Chain]:
    """Chains of rows that say the same thing in other letters: what one was misheard to add, the other spells out."""
    tells = rows.lexical(terms) * usable
    seconds = [int(at) for at in np.argsort(-tells, kind="stable")[:_SECONDS] if tells[at] > 0]
    added = [(i, phrase) for i, at in enumerate(firsts) for phrase in _phrases(rows.spelt[at].letters, terms)]
    like = likeness([phrase for _, phrase in added], [rows.spelt[at] for at in seconds])
    holds = {at: _holds(rows, at, terms) for at in {*firsts, *seconds}}
    found = []
    for (i, _), row in zip(added, like, strict=True):
        at = firsts[i]
        held = holds[at]
        for j in np.argsort(-row, kind="stable")[:2].tolist():
            other, link = seconds[j], float(row[j])
            theirs = holds[other]
            both, alone = float(weight[theirs | held].sum()), max(weight[held].sum(), weight[theirs].sum())
            if link < options.heard or both - alone < options.gain or not held.any() or other == at:
                continue
            if not any(t in terms for t in rows.terms[other]) or rows.rows[other].text == rows.rows[at].text:
                continue
            found.append(Chain(at, other, both + float(named[i]) + 0.5 * link))
    return found


def _phrases(text: str, asked: Sequence[str]) -> list[Spelt]:
    """Runs of the words of a row that the question does not hold, of a length that can be told by its sound."""
    found = text.split()
    runs: list[list[str]] = [[]]
    for word, stem in zip(found, stems(found), strict=True):
        if word not in STOP and stem not in asked:
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    return [spelt_words(r) for r in runs if sum(map(len, r)) >= _AUDIBLE]


def _named(rows: RowSet, places: Sequence[int], names: Sequence[str]) -> NDArray[np.float32]:
    """Likeness of each row to the names of a question, the mean."""
    if not names:
        return np.zeros(len(places), np.float32)
    found: NDArray[np.float32] = likeness([spelt(n) for n in names], [rows.spelt[p] for p in places]).mean(0)
    return found


def _holds(rows: RowSet, at: int, terms: Sequence[str]) -> NDArray[np.bool_]:
    has = set(rows.terms[at])
    return np.array([t in has for t in terms])
