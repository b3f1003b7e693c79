"""Stored frames that fit a text or a picture, best first; of frames close together the best alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.archive.shard import Shard
from ...store.encoders import ImageTextEncoder, Picture
from ...store.errors import ArchiveDamaged, one_line
from ...store.index.index import Kind
from ...store.records import Frame
from ...store.vectors import Vectors
from ..text.things import FITS, fit
from ..text.words import terms
from .scope import Scope

_NAMED = 0.6
"""Share of the words of a text that a frame's label must hold to be listed, however it fits."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found: the place of its video among those searched, its kind and number, and how it scored."""

    shard: int
    kind: Kind
    row: int
    score: float
    near: float


class Frames:
    """The frames of some videos, held against queries of one encoder.  ``damaged`` gets what is wrong with a video
    whose vectors cannot be read, by id; ``apart_s``: seconds below which frames of a video count as one.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        encoder: ImageTextEncoder,
        scope: Scope,
        apart_s: float,
        damaged: MutableMapping[str, str],
    ) -> None:
        self._shards, self._encoder, self._scope, self._apart = shards, encoder, scope, apart_s
        self._damaged = damaged

    def fitting(self, text: str, query: Vectors) -> Iterator[Hit]:
        """Frames that fit a text, ``query`` ``(1, dim)``, or whose label holds its words."""
        wanted = set(terms(text))

        def listed(near: float, shard: Shard, row: int) -> bool:
            label = shard.labels[row].caption if row < len(shard.labels) else ""
            if not label and getattr(self._encoder, "names", False):
                return False  # nothing that can be named fits anything
            return near >= FITS or len(wanted & set(terms(label))) >= _NAMED * len(wanted)

        return self._best(lambda vectors: fit(self._encoder, query, vectors)[0], listed)

    def like(self, query: Vectors) -> Iterator[Hit]:
        """Frames by the inner product of their vectors with that of a picture, ``query`` ``(1, dim)``."""
        return self._best(lambda vectors: vectors @ query[0], lambda *_: True)

    def _best(
        self, score: Callable[[Vectors], NDArray[np.float32]], listed: Callable[[float, Shard, int], bool]
    ) -> Iterator[Hit]:
        self._scope.check_times(self._shards)
        places, near = self._scored(score)
        shown = dict[int, list[Frame]]()
        for at in np.argsort(-near, kind="stable").tolist():
            i, row = places[at]
            shard = self._shards[i]
            frame, others = shard.frames[row], shown.setdefault(i, [])
            if not self._scope.holds(frame.start, frame.end) or not listed(float(near[at]), shard, row):
                continue
            if all(frame.start >= f.end + self._apart or f.start >= frame.end + self._apart for f in others):
                others.append(frame)
                yield Hit(i, "frames", row, float(near[at]), float(near[at]))

    def _scored(
        self, score: Callable[[Vectors], NDArray[np.float32]]
    ) -> tuple[list[tuple[int, int]], NDArray[np.float32]]:
        """Every frame, as the place of its video and its number, and its score; vectors are read video by video."""
        places, found = list[tuple[int, int]](), [np.zeros(0, np.float32)]
        for i, shard in enumerate(self._shards):
            try:
                file = shard.vectors("frames", self._encoder.spec)
            except ArchiveDamaged as e:
                self._damaged[shard.video] = one_line(e)
                continue
            if file is not None and file.rows == len(shard.frames):
                places += [(i, row) for row in range(file.rows)]
                found.append(score(file.vectors()))
        return places, np.concatenate(found)


def seen_in(encoder: ImageTextEncoder, picture: Picture) -> tuple[Vectors, str]:
    """The vector of a picture, ``(1, dim)``, and what the encoder names in it (empty: nothing)."""
    batch = encoder.images([picture])
    return batch.vectors, batch.captions[0].removeprefix("a photo of ")
