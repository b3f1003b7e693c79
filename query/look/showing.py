"""Which stored frames an engine that looks is shown: those of the evidence, and frames evenly spread over the videos.

Video-RAG (arXiv 2411.13093) gives the model uniformly sampled frames beside the texts.  Here the frames of rows come
first, so that what is cited can be seen; the rest is spread over the stored frames, of which no two in a row are alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ...store.archive.shard import Shard
from ...store.records import Evidence, clock
from ..types import Candidate
from .counting import spread


def shown(
    shards: Sequence[Shard], merged: Sequence[tuple[Evidence, Candidate]], most: int
) -> tuple[tuple[str, bytes], ...]:
    """JPEGs in time order, video by video, each with the id of its row or with its time: see :class:`.types.Task`.

    ``most``: 0 shows those of rows only.  The others come from the videos of the evidence, from all of them where there
    is none.
    """
    ranked = sorted(((e.rank, e.id, c) for e, c in merged if c.frame is not None), key=lambda r: r[0])
    ids: dict[tuple[str, int], str] = {}
    for _, id, c in ranked:
        if c.frame is not None and (not most or len(ids) < most):
            ids.setdefault((c.video, c.frame), id)
    told = {e.video for e, _ in merged} or {s.video for s in shards}
    asked = [s for s in shards if s.video in told]
    others = [(s.video, row) for s in asked for row in range(len(s.frames)) if (s.video, row) not in ids]
    more = {others[i] for i in spread(range(len(others)), max(0, most - len(ids)))} if others else set()
    out = []
    for shard in asked:
        for row in sorted(r for v, r in (*ids, *more) if v == shard.video):
            name = ids.get((shard.video, row)) or _time(shard, row, len(asked) > 1)
            out.append((name, shard.jpeg(row)))
    return tuple(out)


def _time(shard: Shard, row: int, named: bool) -> str:
    time = clock(shard.frames[row].start)
    return f"{json.dumps(shard.name, ensure_ascii=False)} {time}" if named else time
