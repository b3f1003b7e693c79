"""The speech and text rows of some videos as one searchable set, opened once and used for many questions.

Rows are ranked by themselves and by the windows of about sixty words that they stand in.  A window's vector is the
mean of its rows' vectors by their words, so nothing but rows is ever embedded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...store.archive.shard import Shard
from ...store.encoders import EncoderSpec
from ...store.vectors import Vectors, normalised
from .row_words import RowWords
from .windows import Scores


class RowSet(RowWords):
    """Rows of ``shards`` with their vectors.  ``spec`` is the encoder that asks."""

    def __init__(self, shards: Sequence[Shard], spec: EncoderSpec) -> None:
        super().__init__(shards)
        self.spec = spec

    @cached_property
    def vectors(self) -> tuple[Vectors, NDArray[np.bool_]]:
        """The vector of each row, ``(len(rows), dim)``, and which rows have one: those whose stage failed have none.

        Raises :class:`~vidrag.store.errors.SpaceMismatch` where rows were embedded with another encoder.
        """
        out = np.zeros((len(self.rows), self.spec.dim), np.float32)
        known = np.zeros(len(self.rows), bool)
        at = 0
        for shard in self.shards:
            for kind, count in (("speech", len(shard.speech)), ("text", len(shard.text))):
                file = shard.vectors(kind, self.spec)
                if count and file is not None and file.rows == count:
                    out[at : at + count], known[at : at + count] = file.vectors(), True
                at += count
        return out, known

    @cached_property
    def window_vectors(self) -> Vectors:
        """The vector of each window, ``(n_windows, dim)``."""
        weight = np.diff(self._words)[:, None].astype(np.float32)
        sums = np.concatenate([np.zeros((1, self.spec.dim), np.float32), np.cumsum(self.vectors[0] * weight, axis=0)])
        return normalised(sums[self.windows.last] - sums[self.windows.first])

    def dense(self, query: Vectors) -> tuple[Scores, Scores]:
        """Inner products of ``query`` ``(dim,)`` with each row and with the best window of each row; -1 for rows
        without a vector.
        """
        vectors, known = self.vectors
        near = np.einsum("ij,j->i", vectors, query)  # a thread of BLAS would cost more than it saves
        around = self.windows.best(np.einsum("ij,j->i", self.window_vectors, query))
        return np.where(known, near, -1.0).astype(float), np.where(known, around, -1.0).astype(float)

    @cached_property
    def sample(self) -> Vectors:
        """Vectors of at most 400 rows, evenly taken, ``(n, dim)``."""
        vectors, known = self.vectors
        places = np.flatnonzero(known & self.trusted)
        return vectors[places[:: max(1, math.ceil(len(places) / 400))]]
