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
    """``fits``: share of the question that a row must bear out to count as an answer.  ``support``: what an option
    needs from question and row together, else the question counts as not answered.  ``quotes``: rows quoted without options.
    """

    fits: float = Field(0.4, ge=0, le=1)
    support: float = Field(0.3, ge=0, le=1)
    affinity: float = Field(0.35, ge=0, le=1)
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
        top, top_row, top_score = None, None, 0.0
        for i, option in enumerate(task.options):
            if i == none:
                continue
            wanted = [t for t in terms(option) if t not in asked] or terms(option)
            for e in best:
                score = self._support(task, e, i, asked, wanted) / (1 + 0.05 * (e.rank - 1))
                if score > top_score:
                    top, top_row, top_score = i, e, score
        if top is None or top_row is None or (none is not None and top_score < self.options.support):
            if none is not None:
                return Draft(task.options[none], none, abstained=True)
            if top is None or top_row is None:
                return Draft("The videos do not say.", abstained=True)
        return Draft(f"{task.options[top]}. {_quoted(top_row)}", top, (top_row.id,))

    def _support(self, task: Task, row: Evidence, option: int, asked: Sequence[str], wanted: Sequence[str]) -> float:
        """How far ``row`` bears out ``option``, 0..1: what it says of the question times what it says of the option."""
        has = terms(row.text)
        said = _covered(wanted, has, task.weight)
        near = list(task.affinity.get(row.id, ()))
        lead = near[option] - sum(near) / len(near) if near else 0.0
        if row.kind in ("frame", "detection"):
            return min(1.0, max(0.0, 0.6 * said + 0.4 * max(0.0, lead) * 5)) if task.visual else 0.2 * said
        fits = _covered(asked, has, task.weight)
        return fits * said + self.options.affinity * max(0.0, lead) * fits


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
