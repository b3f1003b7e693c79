"""How many there are over time: boxes of stored frames followed from frame to frame, never summed over frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...store.encoders.nouns import plural
from ...store.records import Box, Detection, Frame, iou

_SAME = 0.3
"""Intersection over union from which on boxes of successive frames are one thing."""
GLIMPSE_S = 2.0
"""What only one frame shows is believed where that frame stands for so many seconds."""


@dataclass(frozen=True, slots=True)
class Run:
    """``count`` things are seen at once in ``[start, end)``."""

    start: float
    end: float
    count: int


def runs(frames: Sequence[Frame], found: Sequence[Sequence[Detection]]) -> list[Run]:
    """Stretches of one count; one that only a single short frame shows between two equal ones is taken for a slip."""
    counts = [len(f) for f in found]
    for i in range(1, len(counts) - 1):
        if counts[i - 1] == counts[i + 1] != counts[i] and _short(frames[i]):
            counts[i] = counts[i - 1]
    out: list[Run] = []
    for frame, count in zip(frames, counts, strict=True):
        if out and out[-1].count == count:
            out[-1] = Run(out[-1].start, max(out[-1].end, frame.end), count)
        else:
            out.append(Run(frame.start, frame.end, count))
    return out


def _short(frame: Frame) -> bool:
    return frame.end - frame.start < GLIMPSE_S


def tracked(frames: Sequence[Frame], found: Sequence[Sequence[Detection]]) -> int:
    """How many different things there are: boxes linked by overlap from frame to frame, each chain once.

    Chains of a single short frame are left out where there are frames enough to see a thing twice.
    """
    live: list[tuple[Box, int]] = []
    ended: list[int] = []
    for frame, boxes in zip(frames, found, strict=True):
        left, now, once = list(live), [], 1 if _short(frame) else 2
        for d in sorted(boxes, key=lambda d: -d.score):
            near = max(left, key=lambda t: iou(t[0], d.box), default=None)
            if near is not None and iou(near[0], d.box) >= _SAME:
                left.remove(near)
                now.append((d.box, near[1] + 1))
            else:
                now.append((d.box, once))
        ended += [seen for _, seen in left]
        live = now
    lengths = ended + [seen for _, seen in live]
    return sum(n >= min(2, len(found)) for n in lengths)


def summary(name: str, over_time: Sequence[Run], different: int) -> str:
    """``2 bottles at the least and 4 bottles at the most at any time; 5 bottles in all``."""
    counts = [r.count for r in over_time]
    least, most = min(counts), max(counts)
    if least == most:
        return f"{amount(least, name)} all the time"
    return f"smallest number {amount(least, name)}, largest number {amount(most, name)} at any time; {different} in all"


def amount(count: int, name: str) -> str:
    return f"{count} {name if count == 1 else plural(name)}"


def spread(rows: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of ``rows``, evenly."""
    if len(rows) <= most:
        return list(rows)
    return [rows[i] for i in np.linspace(0, len(rows) - 1, most).round().astype(int)]
