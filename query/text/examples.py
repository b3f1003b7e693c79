"""How like a text is to examples of several kinds: kernel ridge regression on their vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...store.vectors import Vectors
from .known_vectors import by_section

_WIDTH = 0.28
"""How far an example reaches: a share of what its cosines with the others lack to 1 on the average."""
_RIDGE = 0.5
"""How strongly weights are drawn to zero."""


_made: dict[tuple[str, str, str], Examples] = {}


def examples(space: str, package: str, name: str, encode: Callable[[Sequence[str]], Vectors]) -> Examples:
    """Those of a bundled TOML file, a kind for each section; made once in each ``space``."""
    key = space, package, name
    if key not in _made:
        _made[key] = Examples(by_section(space, package, name, encode))
    return _made[key]


class Examples:
    """``kinds``: their names, in the order of the scores."""

    def __init__(self, by_kind: Mapping[str, Vectors]) -> None:
        """``by_kind``: the vectors of the examples of each kind, ``(n, dim)``; every kind weighs the same."""
        self.kinds = [*by_kind]
        self._vectors = np.concatenate([*by_kind.values()])
        own = np.repeat(np.arange(len(by_kind)), [len(e) for e in by_kind.values()])
        share = (1 / np.bincount(own))[own]
        self._width = _WIDTH * (1 - float((self._vectors @ self._vectors.T).mean()))
        held = self._kernel(self._vectors) + _RIDGE * np.diag(share.mean() / share)
        self._weights = np.linalg.solve(held, 1.0 * (own[:, None] == np.arange(len(by_kind))))

    def scores(self, texts: Vectors) -> NDArray[np.float64]:
        """How like each kind texts ``(..., dim)`` are, ``(..., n_kinds)``: 1 for one of its examples, 0 like none."""
        found: NDArray[np.float64] = self._kernel(texts) @ self._weights
        return found

    def _kernel(self, texts: Vectors) -> NDArray[np.float64]:
        like: NDArray[np.float64] = np.exp((texts @ self._vectors.T - 1.0) / self._width)
        return like
