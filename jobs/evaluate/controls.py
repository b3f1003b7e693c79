"""Controls: what can be had without any video.  An arm is worth what it adds to them."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from math import log
from typing import Any

from ...query.answer.answering import draft_of
from ...query.answer.models import Chat, LanguageModel
from ...query.answer.options import not_said
from ...query.types import Task
from ...query.understand.options import LETTERS
from .dataset import Question

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def blind(chat: Chat | LanguageModel, question: Question) -> dict[str, Any]:
    """What the chat engine answers without a row of evidence.

    Raises what the engine raises: nothing steps in for it.
    """
    began = time.perf_counter()
    options, letters = question.distinct()
    draft = draft_of(chat, Task(question=question.question, options=options))
    choice = letters[draft.choice] if draft.choice is not None else None
    return _answer(question, choice, draft.abstained, draft.notes, began)


class FormGuesser:
    """Guesses from the form of the options alone: place, length, numbers, and whether one says "not said".

    Naive Bayes over these features with the other questions as training data (leave-one-out), so it finds whatever bias
    the writers of the questions had.  Where right letters are evenly spread, leaving one out leans against that letter:
    chance is then a little above this guesser, not below.
    """

    PRIOR = 1.0

    def __init__(self, questions: Sequence[Question]) -> None:
        self._right: Counter[Hashable] = Counter()
        self._all: Counter[Hashable] = Counter()
        self._options = self._rights = 0
        for q in questions:
            self._count(q, 1)

    def _count(self, question: Question, sign: int) -> None:
        if question.answer is None:
            return
        right = LETTERS.index(question.answer)
        for i, found in enumerate(features(question.options)):
            for f in found:
                self._all[f] += sign
                self._right[f] += sign if i == right else 0
        self._options += sign * len(question.options)
        self._rights += sign

    def guess(self, question: Question) -> dict[str, Any]:
        """The answer of the guesser that has not seen ``question``; ties go to the first option."""
        began = time.perf_counter()
        self._count(question, -1)
        try:
            scores = [sum(self._weight(f) for f in found) for found in features(question.options)]
        finally:
            self._count(question, 1)
        return _answer(question, LETTERS[scores.index(max(scores))], False, (), began)

    def _weight(self, feature: Hashable) -> float:
        """Log ratio of the feature's share among right options to that among wrong ones, smoothed."""
        right, wrong = self._right[feature], self._all[feature] - self._right[feature]
        wrongs = self._options - self._rights
        return log((right + self.PRIOR) / (self._rights + 2 * self.PRIOR)) - log(
            (wrong + self.PRIOR) / (wrongs + 2 * self.PRIOR)
        )


def features(options: Sequence[str]) -> list[list[Hashable]]:
    """The features of each option; nothing of them depends on what the words mean."""
    lengths = [len(o) for o in options]
    numbers = [float(m[0]) if (m := _NUMBER.search(o)) else None for o in options]
    known = sorted({n for n in numbers if n is not None})
    out: list[list[Hashable]] = []
    for i, option in enumerate(options):
        number = numbers[i]
        out.append(
            [
                ("place", len(options), i),
                ("length", len(options), sum(n > lengths[i] for n in lengths)),
                ("words", min(len(option.split()), 8)),
                ("not said", not_said([option]) is not None),
                ("number", len(known), known.index(number) if number is not None else None),
            ]
        )
    return out


def _answer(
    question: Question, choice: str | None, abstained: bool, notes: Sequence[str], began: float
) -> dict[str, Any]:
    """Has the keys of an answer of ``vidrag ask --json``."""
    no_rows: Mapping[str, Any] = {"citations": [], "evidence": [], "request": {}}
    text = question.options[LETTERS.index(choice)] if choice else ""
    return {
        "question": question.question,
        "answer": text,
        "choice": choice,
        "abstained": abstained,
        **no_rows,
        "notes": list(notes),
        "timings": {"total": round(time.perf_counter() - began, 4)},
    }
