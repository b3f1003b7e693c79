"""Two runs of the same questions side by side: what changed, why, and whether it got better."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A question whose answer differs; ``why`` names the first step that differs; ``right`` before and after, where the
    right answer is known.
    """

    id: Any
    question: str
    before: str
    after: str
    why: str
    right: tuple[bool, bool] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """``pairs`` questions stand in both runs, ``single`` in one.  ``right``: counts over those with a known answer of
    (both right, only before, only after, neither); ``p``: McNemar's exact test of them, 1.0 where none differ.
    """

    pairs: int
    single: int
    changes: tuple[Change, ...]
    right: tuple[int, int, int, int]
    p: float


def compare(before: Sequence[Row], after: Sequence[Row]) -> Comparison:
    """Compares rows of the schema ``answers``, matched by id and question."""
    pairs = _pairs(before, after)
    counts = [0, 0, 0, 0]
    changes = []
    for a, b in pairs:
        right = (_right(a), _right(b)) if a["right"] and a["right"] == b["right"] else None
        if right:
            counts[0 if all(right) else 1 if right[0] else 2 if right[1] else 3] += 1
        if _said(a) != _said(b):
            changes.append(Change(json.loads(a["id"]), a["question"], _shown(a), _shown(b), why(a, b), right))
    single = len(before) + len(after) - 2 * len(pairs)
    both, only_before, only_after, neither = counts
    found = (both, only_before, only_after, neither)
    return Comparison(len(pairs), single, tuple(changes), found, mcnemar(only_before, only_after))


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of McNemar's exact test (McNemar, 1947): do ``gained`` and ``lost`` differ by more than chance?"""
    n, ways, tail = gained + lost, 1, 0  # ways to choose k of n, and their sum
    for k in range(min(gained, lost) + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return min(1.0, float(2 * tail / 2**n))


def why(a: Row, b: Row) -> str:
    """The first step at which two answers to one question part."""
    if a["error_type"] or b["error_type"]:
        return f"{'failed' if b['error_type'] else 'failed before'}: {b['error'] or a['error']}"
    if a["request"] != b["request"]:
        return "another request"
    old, new = _rows(a), _rows(b)
    if old != new:
        return f"other rows ({len(new - old)} new, {len(old - new)} gone)"
    if a["degraded"] != b["degraded"]:
        return f"the model failed {'after' if b['degraded'] else 'before'}"
    if (a["replies"] or []) != (b["replies"] or []):
        return "another model reply" if a["replies"] and b["replies"] else "another way of answering"
    return "another choice from the same rows"


def _rows(row: Row) -> set[tuple[Any, ...]]:
    return {(e["video"], e["kind"], round(e["start"], 2), round(e["end"], 2), e["text"]) for e in row["evidence"] or ()}


def _pairs(before: Sequence[Row], after: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Rows of one question: the same id, text and options; the n-th such one of each run."""

    def keyed(rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
        out: dict[tuple[Any, ...], Row] = {}
        for r in rows:
            key = (r["id"], r["question"], tuple(r["options"] or ()), tuple(r["videos"] or ("",)))
            n = 0
            while (*key, n) in out:
                n += 1
            out[(*key, n)] = r
        return out

    other = keyed(after)
    return [(row, other[key]) for key, row in keyed(before).items() if key in other]


def _right(row: Row) -> bool:
    return not row["error_type"] and bool(row["choice"] == row["right"])


def _said(row: Row) -> tuple[Any, ...]:
    """What counts as the answer: the choice where there are options, else the text."""
    if row["error_type"]:
        return ("error", row["error_type"])
    if row["options"]:
        return (row["choice"], bool(row["abstained"]))
    return (row["answer"], bool(row["abstained"]))


def _shown(row: Row) -> str:
    if row["error_type"]:
        return f"({row['error_type']})"
    if row["options"]:
        return str(row["choice"] or "(none)")
    return str(row["answer"] or "")
