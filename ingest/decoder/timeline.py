"""One time axis for everything in a file, also where its clock restarts, falls or jumps.

Recordings that were joined, cut or taken from a broadcast hold several stretches, each with a clock of its own.  The
packets are read once, without decoding, and cut into parts where a stream's clock falls back or runs ahead of all
others.  The parts are laid end to end; every later pass moves the packets' time stamps onto that axis, so that what is
decoded from them is right by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

BACK_S = 1.0
"""Decoding times never fall within one clock; a smaller fall is a damaged stamp."""
AHEAD_S = 10.0
"""A clock that runs so far ahead of all streams has jumped; FFmpeg's ``dts_delta_threshold`` is the same."""
MOST_PARTS = 500
INDEXED = frozenset({"mov", "avi", "mxf", "wav", "aiff", "caf", "dv"})
"""Formats whose index or layout gives every time: there is no clock to restart, and the file is not read once more."""


@dataclass(slots=True)
class Part:
    """A stretch with one clock: its first and last second by that clock, and where the first one lies on the axis."""

    first: float = float("inf")
    last: float = float("-inf")
    at: float = 0.0

    def holds(self, time: float, slack: float) -> bool:
        return self.first - slack <= time <= self.last + slack


@dataclass(slots=True)
class Timeline:
    """Where packets lie on the axis.

    ``parts`` in the order of the file; ``changes`` of each stream: the number of its first packet in a new part, and
    which part that is; ``ends``: where each stream ends on the axis; ``read_to``: the byte behind the last packet.
    """

    parts: list[Part]
    changes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    read_to: int = 0

    @classmethod
    def of_start(cls, start: float) -> Timeline:
        """The axis of a file with one clock that begins at ``start``."""
        return cls([Part(start, start)])

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Timeline:
        parts = [Part(float(first), float(first), float(at)) for first, at in data["parts"]]
        changes = {int(s): [(int(n), int(p)) for n, p in found] for s, found in data["changes"].items()}
        if not parts or any(not 0 <= p < len(parts) for found in changes.values() for _, p in found):
            raise ValueError("the time axis names parts that are not there")
        return cls(parts, changes)

    def as_json(self) -> dict[str, Any]:
        """What :meth:`of_json` reads."""
        changes = {str(s): [[n, p] for n, p in found] for s, found in self.changes.items() if found}
        return {"parts": [[round(p.first, 6), round(p.at, 6)] for p in self.parts], "changes": changes}

    @property
    def steady(self) -> bool:
        """Whether all of it has one clock."""
        return len(self.parts) == 1

    @property
    def duration(self) -> float:
        return max(self.ends.values(), default=0.0)

    def packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """The packets of one stream, their time stamps moved onto the axis."""
        part, changes = self.parts[0], iter(self.changes.get(stream.index, ()))
        upcoming = next(changes, None)
        for number, packet in enumerate(container.demux(stream)):
            if upcoming and number == upcoming[0]:
                part, upcoming = self.parts[upcoming[1]], next(changes, None)
            shift = round((part.at - part.first) / stream.time_base)
            if packet.pts is not None:
                packet.pts += shift
            if packet.dts is not None:
                packet.dts += shift
            yield packet


def scan(container: Any, streams: list[Any], start: float, alive: Callable[[], None]) -> Timeline:
    """Reads every packet of ``streams`` and lays out the axis; ``alive`` is called for each of them.

    ``start``: where the container says that it starts; packets before it only prepare a decoder.
    """
    from av.error import FFmpegError

    parts = [Part()]
    where, before, counts = dict[int, int](), dict[int, float](), dict[int, int]()
    changes: dict[int, list[tuple[int, int]]] = {s.index: [] for s in streams}
    ends: dict[int, tuple[int, float]] = {}
    read_to = newest = 0
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, FFmpegError):  # broken off: what came before has its place
            break
        alive()
        index = packet.stream_index
        read_to = max(read_to, (packet.pos or 0) + packet.size)
        number = counts[index] = counts.get(index, -1) + 1
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            continue
        base = packet.time_base
        time, shown = float(stamp * base), float((packet.pts if packet.pts is not None else stamp) * base)
        shown = shown if abs(shown - time) < AHEAD_S else time
        now = where.get(index, 0)
        if packet.stream.type == "subtitle":  # hours may lie between two: where the others are tells more
            found = newest
        else:
            found = newest = _part_of(time, parts, now, before.get(index))
        if found != now:
            changes[index].append((number, found))
        where[index], before[index], part = found, time, parts[found]
        end = shown + float((packet.duration or 0) * base)
        part.first, part.last = min(part.first, shown), max(part.last, end)
        if ends.get(index, (-1, 0.0)) < (found, end):
            ends[index] = found, end
    if parts[0].first == float("inf"):
        return Timeline.of_start(start)
    if abs(parts[0].first - start) < BACK_S:
        parts[0].first = start
    for earlier, later in itertools.pairwise(parts):
        later.at = earlier.at + earlier.last - earlier.first
    laid = {s: parts[p].at + end - parts[p].first for s, (p, end) in ends.items()}
    return Timeline(parts, changes, laid, read_to)


def _part_of(time: float, parts: list[Part], now: int, before: float | None) -> int:
    """The part of a packet whose stream is in part ``now`` and had its packet before at ``before``.

    Streams do not change clocks in the same packet: one that falls back while another is in a later part already
    follows it there.
    """
    part = parts[now]
    if before is None:  # a stream that begins, perhaps late
        if part.first == float("inf"):
            return now
        steady = part.holds(time, AHEAD_S)
    else:
        steady = before - BACK_S <= time <= max(part.last, before) + AHEAD_S
    if steady:
        return now
    for later in range(len(parts) - 1, now, -1):
        if parts[later].holds(time, AHEAD_S):
            return later
    if len(parts) == MOST_PARTS:
        return now
    parts.append(Part())
    return len(parts) - 1
