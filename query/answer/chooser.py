"""Chooses an option from what the evidence bears out, and says how sure that is: a small model with fitted weights.

A conditional logit over the options and "the videos do not say": each option is as good as the best passage makes it.
The weights and the curve of its confidence lie in ``chooser.json``; ``vidrag eval fit`` makes that file from questions
whose answers are known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import Task
from .support import NAMES, Features, features, not_said

TERMS = (
    "said",
    "heard",
    "match x covered",
    "match x subject",
    "text x covered",
    "text x subject",
    "match x dense",
    "match x denied",
    "match x outdated",
    "match x was",
    "match x rank",
    "match x asked",
    "match x lacks",
    "tinted",
    "shown",
    "shown x subject",
    "pictured",
    "pictured x subject",
    "pictured x covered",
)
"""What the weights are for, see :func:`evidence_terms`; ``match`` is the better of ``said`` and ``heard``."""


def evidence_terms(features: Features) -> NDArray[np.float32]:
    """Float32 ``(n_options, n_passages, len(TERMS))`` from ``(n_options, n_passages, len(NAMES))``."""
    by = {name: features.values[..., i] for i, name in enumerate(NAMES)}
    match = np.maximum(by["said"], by["heard"])
    with_match = ("covered", "subject", "dense", "denied", "outdated", "was", "rank", "asked", "lacks")
    crossed = [match * by[n] for n in with_match]
    looked = [
        by["shown"] * by["subject"],
        by["pictured"],
        by["pictured"] * by["subject"],
        by["pictured"] * by["covered"],
    ]
    written = [match * by["written"] * by[n] for n in ("covered", "subject")]
    crossed[2:2] = written
    told = np.stack([by["said"], by["heard"], *crossed, by["tinted"], by["shown"], *looked], -1)
    return told.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Chooser:
    """``weights``: one for each of :data:`TERMS`; ``silent``: the score of "the videos do not say".

    ``answerable``: the bias and the weights of covered, subject and dense of the best passage, for questions without
    options; ``model``: how much a language model's belief counts; ``fitted``: on what, and how well.
    """

    weights: Mapping[str, float]
    silent: float
    answerable: Sequence[float]
    model: float = 1.0
    fitted: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, features: Features) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The score of each option, float32 ``(n_options,)``, and which passage gives it."""
        if not features.passages:
            return np.zeros(len(features.values), np.float32), np.zeros(len(features.values), np.int64)
        each = evidence_terms(features) @ np.array([self.weights[t] for t in TERMS], np.float32)
        return each.max(1), each.argmax(1)

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Float32 ``(n_options + 1,)``, the last for "the videos do not say"."""
        return _softmax(np.append(scores, np.float32(self.silent)))

    def answers(self, covered: float, subject: float, dense: float) -> float:
        """How likely a passage answers a question that has no options, 0..1."""
        bias, *weights = self.answerable
        told = bias + sum(w * x for w, x in zip(weights, (covered, subject, dense), strict=True))
        return float(1 / (1 + np.exp(-told)))


@lru_cache(maxsize=1)
def fitted() -> Chooser:
    """The chooser that ships with vidrag."""
    told = json.loads((resources.files(__package__) / "chooser.json").read_text("utf-8"))
    return Chooser(told["weights"], told["silent"], told["answerable"], told["model"], told["fitted"])


@dataclass(frozen=True, slots=True)
class Weighed:
    """How likely each option is, float32 ``(n_options,)`` that sums to 1, and the ids of the rows that bear it out
    (empty where there are no rows); ``silent`` is the option that the videos do not say.
    """

    shares: NDArray[np.float32]
    ids: tuple[tuple[str, ...], ...]
    silent: int | None


def weighed(task: Task, believed: Sequence[float] = (), by_rows: bool = True) -> Weighed:
    """The options of a task by what the rows say, and by how far a language model believes in each of them, where it
    told: its log-probabilities count as one more term, or alone where not ``by_rows``.
    """
    chooser, silent = fitted(), not_said(task.options)
    found = features(task)
    scores, which = chooser.scores(found)
    if silent is not None:
        scores[silent] = chooser.silent
    if believed:
        belief = np.log(np.maximum(np.array(believed, np.float32), 1e-4))
        scores = (scores + chooser.model * belief).astype(np.float32)
    if believed and not by_rows:
        scores = belief
    ids = tuple(found.passages[int(j)].ids for j in which) if found.passages else ()
    return Weighed(_softmax(scores), ids, silent)


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    risen = np.exp(scores - scores.max())
    shares: NDArray[np.float32] = (risen / risen.sum()).astype(np.float32)
    return shares
