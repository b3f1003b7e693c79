"""Rows that answer together: what one of them is about, another tells or shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...store.records import Evidence
from ..types import Candidate, Joined, Passage


def _single(evidence: Evidence, **more: Any) -> Passage:
    """A row as a passage of its own."""
    return Passage(
        ids=(evidence.id,),
        link="alone",
        kind=evidence.kind,
        video=evidence.video,
        start=evidence.start,
        about=evidence.searched,
        answer=evidence.text,
        rank=evidence.rank,
        **more,
    )


def alone(evidence: Sequence[Evidence]) -> tuple[Passage, ...]:
    """Each row as a passage of its own, the row found first first."""
    return tuple(_single(e) for e in sorted(evidence, key=lambda e: e.rank))


def passages(merged: Sequence[tuple[Evidence, Candidate]], joined: Sequence[Joined]) -> tuple[Passage, ...]:
    """Each row of the evidence, and the pairs that belong together, the row found first first."""
    of = {c: e for e, c in merged}
    out = [_single(e, dense=c.dense, shown=c.affinity, tints=c.tints) for e, c in merged]
    for j in joined:
        a, b = of.get(j.first), of.get(j.second)
        if a and b:
            out.append(
                Passage(
                    ids=(a.id, b.id),
                    link=j.link,
                    kind=b.kind,
                    video=b.video,
                    start=b.start,
                    about=a.searched if b.kind == "frame" else f"{a.searched} {b.searched}",
                    answer=b.text,
                    rank=min(a.rank, b.rank),
                    dense=max(j.first.dense, j.second.dense),
                    shown=j.second.affinity,
                    tints=j.second.tints,
                )
            )
    return tuple(sorted(out, key=lambda p: p.rank))
