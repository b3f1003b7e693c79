"""Re-rankers: the protocol, and none.

A re-ranker reads the question together with each row that retrieval found, which tells more than two vectors do, and
costs a run of its model a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ....store.engines import EngineOptions


@runtime_checkable
class Reranker(Protocol):
    """Scores rows for a question."""

    identity: str
    """Changes whenever results would; empty where nothing is ranked again."""

    def scores(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each text answers, float32 ``(len(texts),)``, higher is better; comparable within one call only."""
        ...


class NoReranker:
    """Rows stay in the order that retrieval gives them."""

    Options = EngineOptions
    requires = ("numpy",)
    extra = "query"
    identity = ""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options

    @staticmethod
    def weights(options: EngineOptions) -> Sequence[str]:
        return ()

    def scores(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        return -np.arange(len(texts), dtype=np.float32)
