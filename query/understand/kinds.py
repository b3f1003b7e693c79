"""What kind of answer a question wants: by the example question that lies nearest to it, in any language."""

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

_QUANTILE = 0.3
"""A question is like an example where it is nearer to one than this share of the examples is to its own nearest."""

_PLAINLY = 0.05
"""By how much nearer a question is to "how often is it mentioned" than to any fact to be taken for it, however far:
what it asks the mentions of keeps it apart from the examples.
"""


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
        self._of = [kind for kind, own in examples.items() for _ in own]
        self._facts = [i for i, kind in enumerate(self._of) if kind == "fact"]
        near = self._vectors @ self._vectors.T
        np.fill_diagonal(near, -1.0)
        self._least = float(np.quantile(near.max(1), _QUANTILE))

    def of(self, question: Vectors) -> QuestionKind:
        """The kind of the question with the vector ``(dim,)``; a fact where it is like no example."""
        near = self._vectors @ question
        best = int(near.argmax())
        if near[best] >= self._least:
            return self._of[best]
        plainly = self._of[best] == "every" and near[best] - near[self._facts].max() >= _PLAINLY
        return "every" if plainly else "fact"


@lru_cache(maxsize=16)
def common_terms(kind: QuestionKind) -> frozenset[str]:
    """Terms that stand in several examples of a kind: they say what is wanted, not of what."""
    counts = Counter(t for q in _examples()[1][kind] for t in set(terms(q)))
    return frozenset(t for t, n in counts.items() if n > 1)
