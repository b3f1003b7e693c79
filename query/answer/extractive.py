"""Answers without a language model: quotes the best evidence, chooses the option that the evidence bears out."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ...store.engines import EngineOptions
from ...store.records import Evidence, clock
from ..text.words import words
from ..types import Draft, Task
from ..understand.cues import NUMBER
from .chooser import fitted, weighed
from .ordering import ordered
from .support import NAMES, NOTHING, features

_UNCOUNTED = 0.5
"""How sure a row without a number is left to answer how many, as a share."""


class ExtractiveOptions(EngineOptions):
    """``sure``: how likely a row must answer a question without options to be quoted, 0..1; ``quotes``: how many."""

    sure: float = Field(0.5, ge=0, le=1)
    quotes: int = Field(2, ge=1, le=10)


class Extractive:
    """Reads nothing but rows.  Deterministic."""

    Options = ExtractiveOptions
    requires = ("rapidfuzz", "jellyfish")
    extra = "query"
    looks = False
    frames = 0

    @staticmethod
    def weights(options: ExtractiveOptions) -> Sequence[str]:
        return ()

    def __init__(self, options: ExtractiveOptions) -> None:
        self.options = options

    def answer(self, task: Task) -> Draft:
        return ordered(task) or self._choose(task) if task.options else self._quote(task)

    def _quote(self, task: Task) -> Draft:
        by_id = {e.id: e for e in task.evidence}
        found = features(task)
        scored, counts = [], NUMBER.search(task.question)
        told = found.values[0][:, [NAMES.index(n) for n in ("covered", "subject", "dense")]].tolist()
        for passage, (about, subject, dense) in zip(found.passages, told, strict=True):
            sure = fitted().answers(about, subject, dense)
            if task.visual and passage.kind in ("frame", "detection"):
                sure = max(sure, self.options.sure)
            if counts and not any(w.isdigit() for w in words(passage.answer)):
                sure *= _UNCOUNTED
            scored.append((sure, -passage.rank, passage))
        scored.sort(key=lambda s: s[:2], reverse=True)
        best = scored[0][0] if scored else 0.0
        if best < self.options.sure:
            return Draft(text=NOTHING, abstained=True, confidence=1 - best)
        cited = list(
            dict.fromkeys(i for sure, _, p in scored if sure >= max(self.options.sure, 0.8 * best) for i in p.ids)
        )[: self.options.quotes]
        return Draft(text=" ".join(_quoted(by_id[i]) for i in cited), citations=tuple(cited), confidence=best)

    def _choose(self, task: Task) -> Draft:
        by_id = {e.id: e for e in task.evidence}
        told = weighed(task)
        best = int(told.shares.argmax())
        sure, scores = float(told.shares[best]), tuple(round(float(s), 4) for s in told.shares)
        if not told.ids or best == told.silent:
            text = task.options[told.silent] if told.silent is not None else NOTHING
            return Draft(text=text, choice=told.silent, abstained=True, confidence=sure, scores=scores)
        ids = told.ids[best]
        return Draft(
            text=f"{task.options[best]}. {_quoted(by_id[ids[-1]])}",
            choice=best,
            citations=ids,
            confidence=sure,
            scores=scores,
        )


def _quoted(row: Evidence) -> str:
    what = {"speech": "said", "text": "on screen", "detection": "detected", "frame": "seen"}[row.kind]
    text = " ".join(row.text.split())
    return f"“{text}” ({what}, {row.name} {clock(row.start)}) [{row.id}]"
