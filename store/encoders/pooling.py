"""Mean pooling over the tokens of many texts, in batches of equal length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..vectors import Vectors, normalised

_BATCH_TOKENS = 4096
"""Tokens of a batch at most: attention takes memory for every pair of tokens of a text."""


def mean_pooled(
    ids: Sequence[Sequence[int]],
    hidden: Callable[[list[Sequence[int]]], NDArray[np.float32]],
    dim: int,
    max_tokens: int,
    batch_size: int,
) -> Vectors:
    """One vector for each text, float32 ``(len(ids), dim)``, rows of norm 1: the mean over its tokens.

    ``ids``: the tokens of each text, special ones included; longer texts are cut to ``max_tokens`` and keep their last
    token.  ``hidden`` gives ``(texts, tokens, dim)`` for texts of equally many tokens: nothing is padded, so that a
    text has the same vector whatever stands beside it.
    """
    out = np.zeros((len(ids), dim), np.float32)
    cut = [x if len(x) <= max_tokens else [*x[: max_tokens - 1], x[-1]] for x in ids]
    same_length: dict[int, list[int]] = defaultdict(list)
    for i, tokens in enumerate(cut):
        same_length[len(tokens)].append(i)
    for length, places in same_length.items():
        most = max(1, min(batch_size, _BATCH_TOKENS // length))
        for first in range(0, len(places), most):
            rows = places[first : first + most]
            out[rows] = hidden([cut[i] for i in rows]).mean(1)
    return normalised(out)
