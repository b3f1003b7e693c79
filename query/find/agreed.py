"""Which rows tell a decision or a task: they are like examples of what people say then, in any language."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import TextEncoder
from ..text.examples import examples
from .rows import RowSet

MOST = 12
"""Rows that are told."""
_LIKE, _LAG = 0.15, 0.02
"""How like the examples a row must be (1: one of them), and how far it may be more like what else people say: rows of
several sentences are like several things."""


def agreed(rows: RowSet, usable: NDArray[np.bool_], encoder: TextEncoder, kind: str) -> list[int]:
    """The places of the rows of speech among the ``usable`` ones, bool ``(n_rows,)``, that tell ``decided`` things or
    ``tasks``, the clearest first.
    """
    people = examples(encoder.spec.space, __package__, "agreed.toml", encoder.documents)
    vectors, has = rows.vectors
    spoken = np.array([at for at in rows.of("speech").tolist() if usable[at] and has[at]], np.int64)
    scores = people.scores(vectors[spoken])
    like, other = scores[:, people.kinds.index(kind)], scores[:, people.kinds.index("other")]
    best = np.argsort(other - like, kind="stable")[:MOST]
    found: list[int] = spoken[[i for i in best if like[i] >= max(_LIKE, other[i] - _LAG)]].tolist()
    return found
