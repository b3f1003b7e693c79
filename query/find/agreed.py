"""Which rows tell a decision or a task: they and what stands around them are like examples of what people say then, in
any language, or they say so with a word such as "decided".
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import TextEncoder
from ...store.vectors import Vectors
from ..text.known_vectors import bundled, by_section
from ..text.words import words
from .gather import standard
from .rows import RowSet
from .windows import Scores

MOST = 12
"""Rows that are told."""
_PLAINLY = 1.0
"""Standard deviations by which a row must be more like the examples than rows are on average."""
_NEAREST = 2
"""Examples that count, the nearest ones."""
_SAID = 2.0
"""Standard deviations that such a word counts, in the row itself; half of it in the row after."""


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    return frozenset(w for text in bundled(__package__, "agreed.toml")[1]["words"] for w in words(text))


def agreed(rows: RowSet, usable: NDArray[np.bool_], encoder: TextEncoder) -> list[int]:
    """The places of the rows of speech among the ``usable`` ones, bool ``(n_rows,)``, that tell decisions and tasks."""
    examples = by_section(encoder.spec.space, __package__, "agreed.toml", encoder.documents)
    vectors, has = rows.vectors
    spoken = [at for at in rows.of("speech").tolist() if usable[at] and has[at] and len(rows.terms[at]) > 1]
    if not spoken:
        return []
    around = standard(_likeness(rows.window_vectors, examples))
    likeness = standard(_likeness(vectors[spoken], examples)) + rows.windows.best(around)[spoken]
    said = np.array([not _words().isdisjoint(words(rows.rows[at].text)) for at in spoken], float)
    likeness += _SAID * np.maximum(said, np.append(said[1:], 0) / 2)
    best = np.argsort(-likeness, kind="stable")[:MOST]
    least = likeness.mean() + _PLAINLY * likeness.std()
    return [spoken[i] for i in best.tolist() if likeness[i] >= least]


def _likeness(texts: Vectors, examples: dict[str, Vectors]) -> Scores:
    """How much more like the examples of agreeing texts ``(n, dim)`` are than like the others, ``(n,)``."""
    return _nearness(texts, examples["agreed"]) - _nearness(texts, examples["other"])


def _nearness(rows: Vectors, examples: Vectors) -> Scores:
    found: Scores = np.sort(rows @ examples.T, axis=1)[:, -_NEAREST:].mean(1)
    return found
