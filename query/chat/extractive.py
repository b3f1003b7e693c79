"""Answers without a language model: quotes the best evidence, picks the option that the evidence bears out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field
from rapidfuzz import fuzz

from ...store.engines import EngineOptions
from ...store.records import Evidence, clock
from ..words import sought, terms
from . import Draft, Task

NOT_SAID = re.compile(
    r"\b(?:do(?:es)? not (?:say|tell|mention|show)|not (?:mentioned|said|shown|stated|given|specified)|"
    r"(?:cannot|can not|can't|could not) be (?:determined|known|told|answered|inferred)|none of (?:the|these)|unknown|"
    r"not enough information|no information|nothing (?:is )?said)\b",
    re.I,
)


class ExtractiveOptions(EngineOptions):
    """``fits``: share of the question that a row must bear out to be quoted.  ``support``: what an option needs from
    its best row, else the question counts as not answered.  ``trust``: how much of a row's word for an option counts
    although the row bears out nothing of the question.  ``quotes``: rows quoted without options.
    """

    fits: float = Field(0.4, ge=0, le=1)
    support: float = Field(0.4, ge=0, le=1)
    trust: float = Field(0.3, ge=0, le=1)
    quotes: int = Field(2, ge=1, le=10)


class Extractive:
    """Word overlap weighted by rarity, helped by the vectors of the rows.  Deterministic, reads nothing but rows."""

    Options = ExtractiveOptions
    requires = ("rapidfuzz",)
    extra = "query"
    looks = False

    @staticmethod
    def weights(options: ExtractiveOptions) -> Sequence[str]:
        return ()

    def __init__(self, options: ExtractiveOptions) -> None:
        self.options = options

    def answer(self, task: Task) -> Draft:
        best = sorted(task.evidence, key=lambda e: e.rank)
        return self._choose(task, best) if task.options else self._quote(task, best)

    def _quote(self, task: Task, best: Sequence[Evidence]) -> Draft:
        asked = sought(task.question)
        fits = {e.id: _covered(asked, terms(e.text), task.weight) for e in best}
        seen = [e for e in best if task.visual and e.kind in ("frame", "detection")][:1]
        enough = max(self.options.fits, 0.8 * max(fits.values(), default=0.0))
        told = [e for e in best if e.kind in ("speech", "text") and fits[e.id] >= enough]
        chosen = list(dict.fromkeys([*told[: self.options.quotes], *seen]))
        if not chosen:
            return Draft("The videos do not say.", abstained=True)
        return Draft(" ".join(_quoted(e) for e in chosen), citations=tuple(e.id for e in chosen))

    def _choose(self, task: Task, best: Sequence[Evidence]) -> Draft:
        none = next((i for i, o in enumerate(task.options) if NOT_SAID.search(o)), None)
        asked = sought(task.question)
        ranked: list[tuple[float, float, int, Evidence]] = []
        for i, option in enumerate(task.options):
            wanted = [t for t in terms(option) if t not in asked] or terms(option)
            for e in best if i != none else ():
                near = task.affinity.get(e.id)
                lead = near[i] - sum(near) / len(near) if near else 0.0
                support = self._support(task, e, asked, wanted) / (1 + 0.05 * (e.rank - 1))
                ranked.append((round(support, 3), lead, -i, e))
        if not ranked or (none is not None and max(r[0] for r in ranked) < self.options.support):
            if none is None:
                return Draft("The videos do not say.", abstained=True)
            return Draft(task.options[none], none, abstained=True)
        _, _, at, row = max(ranked, key=lambda r: r[:3])
        return Draft(f"{task.options[-at]}. {_quoted(row)}", -at, (row.id,))

    def _support(self, task: Task, row: Evidence, asked: Sequence[str], wanted: Sequence[str]) -> float:
        """How far ``row`` bears out an option, 0..1: what it says of it, trusted as far as it fits the question."""
        has = terms(row.text)
        said = _covered(wanted, has, task.weight)
        if row.kind in ("frame", "detection"):
            return said if task.visual else self.options.trust * said
        fits = _covered(asked, has, task.weight)
        return said * (self.options.trust + (1 - self.options.trust) * fits)


def _covered(wanted: Sequence[str], has: Sequence[str], weight: dict[str, float] | object) -> float:
    """Share of ``wanted`` terms found in ``has``, weighted by rarity; near misses of longer words count in part."""
    if not wanted:
        return 0.0
    rarity = weight if isinstance(weight, dict) else {}
    total = found = 0.0
    for term in wanted:
        w = rarity.get(term, 1.0)
        total += w
        if term in has:
            found += w
        elif len(term) > 4 and not term.isdigit():
            like = max((fuzz.ratio(term, h) for h in has if len(h) > 3), default=0.0)
            found += w * 0.7 if like >= 80 else 0.0
    return found / total


def _quoted(row: Evidence) -> str:
    what = {"speech": "said", "text": "on screen", "detection": "detected", "frame": "seen"}[row.kind]
    text = " ".join(row.text.split())
    return f"“{text}” ({what}, {row.name} {clock(row.start)}) [{row.id}]"
