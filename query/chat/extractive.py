"""Answers without a language model: quotes the best evidence, picks the option that the evidence bears out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field

from ...store.engines import EngineOptions
from ...store.records import Evidence, clock
from ..words import sought, terms
from . import Draft, Task
from .support import claimed, covered, support

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
        fits = {e.id: covered(asked, terms(e.text), task.weight) for e in best}
        seen = [e for e in best if task.visual and e.kind in ("frame", "detection")][:1]
        enough = max(self.options.fits, 0.8 * max(fits.values(), default=0.0))
        told = [e for e in best if e.kind in ("speech", "text") and fits[e.id] >= enough]
        chosen = list(dict.fromkeys([*told[: self.options.quotes], *seen]))
        if not chosen:
            return Draft("The videos do not say.", abstained=True, confidence=1 - max(fits.values(), default=0.0))
        sure = max(fits[e.id] for e in chosen)
        return Draft(" ".join(_quoted(e) for e in chosen), citations=tuple(e.id for e in chosen), confidence=sure)

    def _choose(self, task: Task, best: Sequence[Evidence]) -> Draft:
        none = next((i for i, o in enumerate(task.options) if NOT_SAID.search(o)), None)
        asked = sought(task.question)
        scores = [0.0] * len(task.options)
        ranked: list[tuple[float, float, int, Evidence]] = []
        for i, option in enumerate(task.options):
            wanted = claimed(option, asked)
            for e in best if i != none else ():
                near = task.affinity.get(e.id)
                lead = near[i] - sum(near) / len(near) if near else 0.0
                found = support(task, e, asked, wanted, self.options.trust) / (1 + 0.05 * (e.rank - 1))
                ranked.append((round(found, 3), lead, -i, e))
                scores[i] = max(scores[i], round(found, 3))
        most = max(scores)
        if none is not None:
            scores[none] = 1 - most
        if not ranked or (none is not None and most < self.options.support):
            said = "The videos do not say." if none is None else task.options[none]
            return Draft(said, none, abstained=True, confidence=1 - most, scores=tuple(scores))
        _, _, at, row = max(ranked, key=lambda r: r[:3])
        return Draft(
            f"{task.options[-at]}. {_quoted(row)}", -at, (row.id,), confidence=scores[-at], scores=tuple(scores)
        )


def _quoted(row: Evidence) -> str:
    what = {"speech": "said", "text": "on screen", "detection": "detected", "frame": "seen"}[row.kind]
    text = " ".join(row.text.split())
    return f"“{text}” ({what}, {row.name} {clock(row.start)}) [{row.id}]"
