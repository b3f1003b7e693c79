"""What kind of answer a question wants: by kernel ridge regression on the vectors of examples, in any language."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import TextEncoder
from ...store.vectors import Vectors
from ..text.known_vectors import bundled, by_section
from ..text.words import terms
from ..types import QuestionKind

_EXAMPLES = "examples.toml"
_WIDTH = 0.28
"""How far an example reaches: a share of what its cosines with the others lack to 1 on the average."""
_RIDGE = 0.5
"""How strongly weights are drawn to zero."""
_LEAST, _LEAD = 0.15, 0.06
"""The least score (1: an example's own kind, 0: like no example), and by how much it has to be above that of a fact."""


class Kinds:
    """Tells kinds of questions apart with one encoder."""

    def __init__(self, encoder: TextEncoder) -> None:
        examples = by_section(encoder.spec.space, __package__, _EXAMPLES, encoder.queries)
        self._vectors = np.concatenate(list(examples.values()))
        self._kinds: list[QuestionKind] = list(examples)  # type: ignore[arg-type]
        own = np.repeat(np.arange(len(examples)), [len(e) for e in examples.values()])
        share = (1 / np.bincount(own))[own]  # every kind weighs the same
        self._width = _WIDTH * (1 - float((self._vectors @ self._vectors.T).mean()))
        held = self._kernel(self._vectors) + _RIDGE * np.diag(share.mean() / share)
        self._weights = np.linalg.solve(held, 1.0 * (own[:, None] == np.arange(len(examples))))

    def of(self, question: Vectors) -> QuestionKind:
        """The kind of the question with the vector ``(dim,)``; a fact where it is like no example."""
        scores = self._kernel(question) @ self._weights
        best = int(scores.argmax())
        least = max(_LEAST, scores[self._kinds.index("fact")] + _LEAD)
        return self._kinds[best] if scores[best] >= least else "fact"

    def _kernel(self, questions: Vectors) -> NDArray[np.float64]:
        """How like each example they are, ``(..., n_examples)``."""
        like: NDArray[np.float64] = np.exp((questions @ self._vectors.T - 1.0) / self._width)
        return like


def own_terms(question: str, language: str | None, *kinds: QuestionKind) -> list[str]:
    """The terms of a question besides the common ones of some kinds: of what something is wanted."""
    common = common_terms(*kinds)
    return [t for t in terms(question, language) if t not in common]


@lru_cache(maxsize=16)
def common_terms(*kinds: QuestionKind) -> frozenset[str]:
    """Terms that stand in several examples of one of some kinds: they say what is wanted, not of what."""
    counts = (Counter(t for q in bundled(__package__, _EXAMPLES)[1][kind] for t in set(terms(q))) for kind in kinds)
    return frozenset(t for count in counts for t, n in count.items() if n > 1)
