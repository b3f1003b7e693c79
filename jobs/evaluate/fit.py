"""Fits the chooser: weights of what bears out an option, and when to say that the videos do not say.

A conditional logit, cross-entropy with a small L2, by Adam; each step chooses the best passage of an option anew.  When
to say nothing is then set so that it is said as often as it is so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...query.answer.chooser import TERMS, Chooser, evidence_terms
from ...query.answer.ordering import ordered
from ...query.answer.support import NAMES, features, not_said
from ...query.asker import Asker
from ...query.understand.options import LETTERS
from ...store.archive import Archive
from ...store.errors import UsageError
from .. import build
from ..profile import Profile
from . import corpus
from .dataset import Question

_L2, _STEPS, _RATE = 0.0005, 1500, 0.05


@dataclass(frozen=True, slots=True)
class Example:
    """One question: ``terms`` float32 ``(n_options, n_passages, len(TERMS))`` without the option that nothing is said;
    ``right`` is the index of the right option, -1 where nothing is said; ``silence``: whether that was an option.
    ``plain``: covered, subject and dense of each passage, float32 ``(n_passages, 3)``.
    """

    terms: NDArray[np.float32]
    right: int
    silence: bool
    plain: NDArray[np.float32]
    answerable: bool


def examples(asker: Asker, questions: Iterable[Question]) -> list[Example]:
    """What the chooser would see of each question; those that code answers (order) are left out."""
    out = []
    for q in questions:
        if q.answer is None:
            continue
        videos = None if q.videos is None else [names[0] for names in q.videos]
        task = asker.prepare(q.question, videos, q.options).task
        if ordered(task) is not None or not task.passages:
            continue
        silent = not_said(task.options)
        found = features(task)
        told = evidence_terms(found)
        kept = [i for i in range(len(task.options)) if i != silent]
        letter = LETTERS.index(q.answer)
        right = kept.index(letter) if letter in kept else -1
        plain = found.values[0][:, [NAMES.index(n) for n in ("covered", "subject", "dense")]]
        out.append(Example(told[kept], right, silent is not None, plain, bool(q.evidence)))
    return out


def fit(data: Sequence[Example], seed: int = 0) -> Chooser:
    """The chooser that fits ``data`` best."""
    rng = np.random.default_rng(seed)
    weights = np.abs(rng.normal(1.0, 0.1, len(TERMS)))
    silent = 1.0
    moment, square = np.zeros(len(TERMS) + 1), np.zeros(len(TERMS) + 1)
    for step in range(1, _STEPS + 1):
        slope = np.zeros(len(TERMS) + 1)
        for e in data:
            best = e.terms[np.arange(len(e.terms)), (e.terms @ weights).argmax(1)]
            scores = best @ weights
            if e.silence:
                scores = np.append(scores, silent)
            risen = np.exp(scores - scores.max())
            gap = risen / risen.sum()
            gap[e.right] -= 1
            slope[:-1] += gap[: len(best)] @ best
            slope[-1] += gap[-1] if e.silence else 0.0
        slope = slope / len(data) + _L2 * np.append(weights, 0.0)
        moment, square = 0.9 * moment + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        move = _RATE * (moment / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        weights, silent = weights - move[:-1], silent - move[-1]
    silent = _as_often(data, weights, silent)
    told = {t: round(float(w), 4) for t, w in zip(TERMS, weights, strict=True)}
    return Chooser(told, round(float(silent), 4), _answerable(data))


def _as_often(data: Sequence[Example], weights: NDArray[np.float64], silent: float) -> float:
    """The score of "the videos do not say" at which it is said as often as it is so; ``silent`` where it always is."""
    best = np.sort([float((e.terms @ weights).max(initial=-np.inf)) for e in data if e.silence])
    count = sum(e.right == -1 for e in data if e.silence)
    return float(best[count - 1] + best[count]) / 2 if 0 < count < len(best) else silent


def _answerable(data: Sequence[Example]) -> list[float]:
    """Bias and weights of covered, subject and dense: a logistic regression on each question's best passage."""
    weights = np.zeros(4)
    best = np.stack([e.plain[e.plain.sum(1).argmax()] for e in data])
    inputs = np.concatenate([np.ones((len(best), 1)), best], 1)
    wanted = np.array([e.answerable for e in data], float)
    share = np.where(wanted > 0, 0.5 / max(1.0, wanted.sum()), 0.5 / max(1.0, (1 - wanted).sum()))
    for _ in range(4000):
        told = 1 / (1 + np.exp(-inputs @ weights))
        weights -= 1.0 * (inputs.T @ (share * (told - wanted)) + 0.001 * np.append(0.0, weights[1:]))
    return [round(float(w), 4) for w in weights]


def report(chooser: Chooser, data: Sequence[Example]) -> dict[str, Any]:
    """How well the chooser does: right, precision and recall of "not said", and its reliability in ten bins."""
    sure, right, said_none, is_none = [], [], [], []
    weights = np.array([chooser.weights[t] for t in TERMS])
    for e in data:
        scores = (e.terms @ weights).max(1)
        shares = chooser.probabilities(scores.astype(np.float32))
        if not e.silence:
            shares = np.append(shares[:-1] / shares[:-1].sum(), 0)
        best = int(shares.argmax())
        none = best == len(scores)
        sure.append(float(shares[best]))
        right.append(best == e.right or (none and e.right == -1))
        said_none.append(none)
        is_none.append(e.right == -1)
    both = sum(a and b for a, b in zip(said_none, is_none, strict=True))
    curve = []
    for low in np.arange(0, 1, 0.1):
        inside = [i for i, s in enumerate(sure) if low <= s < low + 0.1 or (s >= 1 and low > 0.85)]
        if inside:
            share = sum(right[i] for i in inside) / len(inside)
            curve.append([round(float(np.mean([sure[i] for i in inside])), 3), round(share, 3), len(inside)])
    return {
        "questions": len(data),
        "right": round(sum(right) / len(data), 4),
        "not_said_precision": round(both / max(1, sum(said_none)), 4),
        "not_said_recall": round(both / max(1, sum(is_none)), 4),
        "calibration_error": round(sum(abs(c - a) * n for c, a, n in curve) / len(data), 4),
        "curve": curve,
    }


def of_pair(pair: str, profile: Profile) -> list[Example]:
    """Examples of ``ARCHIVE=QUESTIONS``, see :func:`opened`."""
    return examples(*opened(pair, profile))


def opened(pair: str, profile: Profile) -> tuple[Asker, tuple[Question, ...]]:
    """``ARCHIVE=QUESTIONS``, a corpus file; :class:`~vidrag.store.errors.UsageError` where it is none."""
    archive, equals, questions = pair.rpartition("=")
    if not equals:
        raise UsageError(f"{pair}: expected ARCHIVE=QUESTIONS, for example films=films/questions.json")
    return build.asker(Archive.open(archive), profile), corpus.read(Path(questions)).questions


def as_json(chooser: Chooser, count: int, report: Mapping[str, Any]) -> dict[str, Any]:
    """What ``chooser.json`` holds."""
    return {
        "weights": dict(chooser.weights),
        "silent": chooser.silent,
        "answerable": list(chooser.answerable),
        "model": chooser.model,
        "fitted": {"on": count, **report},
    }
