"""What kind of answer a question wants: by ridge regression on the vectors of example questions, in any language."""

from __future__ import annotations

import tomllib
from collections import Counter
from functools import lru_cache
from importlib import resources

import numpy as np

from ...store.encoders import TextEncoder
from ...store.vectors import Vectors
from ..text.known_vectors import remembered
from ..text.words import terms
from ..types import QuestionKind

_RIDGE = 0.2
"""How strongly weights are drawn to zero."""
_LEAST, _PLAINLY, _LEAD = -0.3, 0.3, 0.15
"""Scores, of which 1 is an example's own kind and -1 every other: below the first it is no kind in particular, from the
second on the kind is plain though the question is unlike the examples, or most like a fact: it may ask every mention of
anything.  The third is what it has to score more than a fact.
"""
_QUANTILE = 0.2
"""A question is like the examples where it is nearer to one than this share of them is to its own nearest."""


@lru_cache(maxsize=1)
def _examples() -> tuple[str, dict[QuestionKind, list[str]]]:
    text = (resources.files(__package__) / "examples.toml").read_text("utf-8")
    return text, tomllib.loads(text)  # type: ignore[return-value]


class Kinds:
    """Tells kinds of questions apart with one encoder."""

    def __init__(self, encoder: TextEncoder) -> None:
        text, examples = _examples()
        self._vectors = remembered(
            encoder.spec.space, text, lambda: encoder.queries([q for own in examples.values() for q in own])
        )
        self._kinds = list(examples)
        self._own = [kind for kind, own in examples.items() for _ in own]
        own = np.repeat(np.arange(len(examples)), [len(e) for e in examples.values()])
        share = (1 / np.bincount(own))[own]  # every kind weighs the same
        near = self._vectors @ self._vectors.T
        np.fill_diagonal(near, -1.0)
        self._least = float(np.quantile(near.max(1), _QUANTILE))
        self._mean = self._vectors.mean(0)
        given = np.column_stack([self._vectors - self._mean, np.ones(len(own))])
        wanted = 2.0 * (own[:, None] == np.arange(len(examples))) - 1
        weighed = given.T * (share / share.mean())
        self._weights = np.linalg.solve(weighed @ given + _RIDGE * np.eye(given.shape[1]), weighed @ wanted)

    def of(self, question: Vectors) -> QuestionKind:
        """The kind of the question with the vector ``(dim,)``; a fact where it is like no example."""
        scores = np.append(question - self._mean, 1.0) @ self._weights
        best = int(scores.argmax())
        near = self._vectors @ question
        like = near.max() >= self._least and self._own[near.argmax()] != "fact"
        least = _LEAST if like else _PLAINLY
        least = max(least, scores[self._kinds.index("fact")] + _LEAD)
        return self._kinds[best] if scores[best] >= least else "fact"


def own_terms(question: str, language: str | None, *kinds: QuestionKind) -> list[str]:
    """The terms of a question besides the common ones of some kinds: of what something is wanted."""
    common = common_terms(*kinds)
    return [t for t in terms(question, language) if t not in common]


@lru_cache(maxsize=16)
def common_terms(*kinds: QuestionKind) -> frozenset[str]:
    """Terms that stand in several examples of one of some kinds: they say what is wanted, not of what."""
    counts = (Counter(t for q in _examples()[1][kind] for t in set(terms(q))) for kind in kinds)
    return frozenset(t for count in counts for t, n in count.items() if n > 1)
