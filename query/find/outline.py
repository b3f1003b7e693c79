"""What a question about the whole of a video gets: the rows that stand for its chapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.records import Chapter
from .retrieve import spread
from .rows import RowSet


@dataclass(frozen=True, slots=True)
class Outline:
    """Places of rows in the row set.  ``heads``: of each chapter the row that names it, every beginning of the list
    evenly spread over all chapters; ``more``: of each the next best row, likewise.
    """

    heads: tuple[int, ...] = ()
    more: tuple[int, ...] = ()


def outline(rows: RowSet, usable: NDArray[np.bool_], most: int) -> Outline:
    """The rows of at most ``most`` chapters of all videos; ``usable``, bool ``(len(rows),)``, says which rows may be
    used.  Videos that were indexed before there were chapters have none.
    """
    own: list[list[int]] = [[] for _ in rows.shards]
    for at in np.flatnonzero(usable).tolist() if most else ():
        own[rows.rows[at].shard].append(at)
    found: list[list[int]] = []
    for shard, places in zip(rows.shards, own, strict=True):
        if places and shard.chapters:
            known: dict[tuple[str, float, float], int] = {}
            for at in places:
                row = rows.rows[at]
                known.setdefault((row.kind, row.start, row.end), at)
            found += [there for c in shard.chapters if (there := _standing_for(c, rows, places, known))]
    kept = [found[i] for i in spread(range(len(found)))[:most]]
    return Outline(tuple(at[0] for at in kept), tuple(at[1] for at in kept if len(at) > 1))


def _standing_for(
    chapter: Chapter, rows: RowSet, places: Sequence[int], known: Mapping[tuple[str, float, float], int]
) -> list[int]:
    """The rows of a chapter's moments; where none is there any more, the first row that begins in it."""
    there = [known[key] for m in chapter.moments if (key := (m.kind, m.start, m.end)) in known]
    return there or [at for at in places if chapter.start <= rows.rows[at].start < chapter.end][:1]
