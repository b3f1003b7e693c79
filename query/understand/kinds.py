"""What kind of answer a question wants: by the examples that it is most like, in any language."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from ...store.encoders import TextEncoder
from ...store.vectors import Vectors
from ..text.examples import examples
from ..text.known_vectors import bundled
from ..text.words import terms
from ..types import AnswerKind, QuestionKind

_EXAMPLES = "examples.toml"
_LEAST, _LEAD = 0.15, 0.06
"""The least score (1: an example's own kind, 0: like no example), and by how much it has to be above that of a fact."""


class Kinds:
    """Tells kinds of questions apart with one encoder."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._examples = examples(encoder.spec.space, __package__, _EXAMPLES, encoder.queries)

    def of(self, question: Vectors) -> QuestionKind:
        """The kind of the question with the vector ``(dim,)``; a fact where it is like no example."""
        scores, kinds = self._examples.scores(question), self._examples.kinds
        best = int(scores.argmax())
        least = max(_LEAST, scores[kinds.index("fact")] + _LEAD)
        return kinds[best] if scores[best] >= least else "fact"  # type: ignore[return-value]


def own_terms(question: str, language: str | None, *kinds: QuestionKind | AnswerKind) -> list[str]:
    """The terms of a question besides the common ones of some kinds: of what something is wanted."""
    common = common_terms(*kinds)
    return [t for t in terms(question, language) if t not in common]


@lru_cache(maxsize=16)
def common_terms(*kinds: QuestionKind | AnswerKind) -> frozenset[str]:
    """Terms that stand in several examples of one of some kinds: they say what is wanted, not of what."""
    counts = (Counter(t for q in bundled(__package__, _EXAMPLES)[1][kind] for t in set(terms(q))) for kind in kinds)
    return frozenset(t for count in counts for t, n in count.items() if n > 1)
