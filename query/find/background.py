"""How near any text lies to a question: the scale on which nearness is told, the same for every encoder and language.

Cosines of one encoder lie between 0 and .6, those of another between .7 and .9; texts in some languages lie closer
together than in others, and each question has a level of its own.  So nearness is counted from the mean over rows that
have nothing to do with the question, as a share of the way from there to the same text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.encoders import TextEncoder
from ...store.vectors import Vectors
from ..text.known_vectors import by_section

Scores = NDArray[np.float64]
PRIOR = 50
"""So many rows of an archive count as much as the everyday sentences."""
UNIT = 0.12
"""The share of the way that is one unit: about one standard deviation of unrelated English sentences."""


@dataclass(frozen=True, slots=True)
class Background:
    """Everyday sentences as an encoder sees them: ``vectors`` ``(n, dim)`` by language."""

    vectors: dict[str, Vectors]

    def level(self, query: Vectors, rows: Vectors, language: str | None) -> float:
        """The mean inner product of ``query`` ``(dim,)`` with unrelated text: with ``rows`` ``(n, dim)``, any of the
        archive, and with the sentences in ``language``, which weigh :data:`PRIOR` rows.
        """
        total = float((rows @ query).sum()) if len(rows) else 0.0
        return (total + PRIOR * self.sentences(query, language)) / (len(rows) + PRIOR)

    def sentences(self, query: Vectors, language: str | None) -> float:
        """The mean inner product of ``query`` with the sentences in ``language``, all of them where there are none."""
        own = self.vectors.get(language or "")
        return float(((own if own is not None else np.concatenate(list(self.vectors.values()))) @ query).mean())

    @staticmethod
    def nearness(cosines: Scores, level: Scores) -> Scores:
        """How far texts lie from the ``level`` of a question and of their languages towards it, in units of
        :data:`UNIT`.
        """
        return (cosines - level) / (UNIT * np.maximum(1 - level, 1e-6))


def background(encoder: TextEncoder) -> Background:
    """Its vectors are made once for each encoder, and kept in the cache of this machine."""
    return Background(by_section(encoder.spec.space, __package__, "background.toml", encoder.documents))
