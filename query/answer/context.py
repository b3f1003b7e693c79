"""Candidates of every kind become numbered evidence: chosen by rank within a token budget, laid out in time order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from ...store.options import Options
from ...store.records import Evidence, EvidenceKind
from ..types import Candidate

_ROW, _BYTES = 24, 4
"""Tokens of the id, name, times and kind of a row; bytes of a token, about, as models differ."""


class ContextOptions(Options):
    """``tokens``: budget of all rows together, four bytes of text to one; ``rows``: the most rows, without their
    neighbours (see ``retrieve.neighbours``); ``kinds``: which kinds of rows may be used.
    """

    tokens: int = Field(1900, ge=50)
    rows: int = Field(16, ge=1, le=500)
    kinds: tuple[EvidenceKind, ...] = ("speech", "text", "detection", "frame")


def interleaved(first: Sequence[Candidate], second: Sequence[Candidate]) -> list[Candidate]:
    """Two rankings as one, by rank alone: scores of different encoders are never compared."""
    out: list[Candidate] = []
    for i in range(max(len(first), len(second))):
        out += [*first[i : i + 1], *second[i : i + 1]]
    return out


def merge(
    ranked: Sequence[Candidate],
    order: Sequence[str],
    options: ContextOptions,
    beside: Mapping[Candidate, Sequence[Candidate]] | None = None,
) -> list[tuple[Evidence, Candidate]]:
    """The best candidates as evidence E1, E2, ... in time order, video by video in ``order`` (ids).

    Taken by rank until the budget is spent; one that does not fit is passed over for smaller ones.  ``beside``: more
    for some of them, which come last and as far as their tokens fit.
    """
    taken: list[tuple[int, Candidate]] = []
    left = options.tokens
    wanted = list(dict.fromkeys(c for c in ranked if c.kind in options.kinds))
    near = {of: [c for c in rows if c.kind in options.kinds] for of, rows in (beside or {}).items()}

    def fits(candidate: Candidate) -> bool:
        nonlocal left
        cost = -(-len(candidate.text.encode("utf-8", "replace")) // _BYTES) + _ROW
        if cost > left:
            return False
        left -= cost
        return True

    for candidate in wanted:
        if len(taken) < options.rows and fits(candidate):
            taken.append((len(taken) + 1, candidate))
    held = {c for _, c in taken}
    for candidate in [n for _, c in taken for n in near.get(c, ())]:
        if candidate not in held and fits(candidate):
            taken.append((len(taken) + 1, candidate))
            held.add(candidate)
    place = {video: i for i, video in enumerate(order)}
    taken.sort(key=lambda t: (place.get(t[1].video, len(place)), t[1].start, t[1].end, t[0]))
    return [
        (
            Evidence(
                id=f"E{i}",
                kind=c.kind,
                video=c.video,
                name=c.name,
                start=c.start,
                end=c.end,
                text=c.text,
                score=c.score,
                rank=rank,
                frame=c.frame,
                doubts=c.doubts,
                speaker=c.speaker,
            ),
            c,
        )
        for i, (rank, c) in enumerate(taken, 1)
    ]
