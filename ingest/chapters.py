"""Where the chapters of a video begin.

Candidates for a beginning are the times at which something begins anyhow: a sentence, new text on screen, a shot.
Between them lie blocks; what is said, read and seen in each is one vector, and :mod:`.segment` finds where it changes.
A beginning is cheaper where a pause, a new slide or a cut speaks for it, and dearer within a sentence.

The vectors of a video are reduced to the few directions in which they differ most, as latent semantic analysis does
(Deerwester et al., 1990): neither what an encoder finds alike in all texts nor what sets a sentence apart from the next
says anything of topics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from ..store.options import Options
from ..store.records import Frame, Segment, Span, TextTrack
from ..store.vectors import Vectors, normalised
from .segment import Limits, Reals, boundaries, held, unrest

_TOGETHER_S = 1.0
"""Seconds in which a cut, a slide and the first word on it are one beginning."""
_BLOCKS = 1200
_PAUSE_S = 2.0
_LEAST_S = 10.0
_SPARSE_S = 30.0
_DISCOUNT, _SURCHARGE = 0.6, 0.5
_DIRECTIONS = 10
_DEARER = 2.0
"""How much dearer a beginning becomes at most because neighbours differ less in these directions than in all."""


class ChapterOptions(Options):
    """``shortest_s``: the fewest seconds of a chapter; in short videos a ``share`` of their length, but at least ten
    seconds.  ``longest_s``: seconds from which on less need change for the next one.  ``most``: chapters of a video.
    ``penalty``: how much must change for a new chapter; 1 is as much as neighbours differ anyway, higher gives fewer.
    ``speech``, ``screen`` and ``picture``: how much it counts that something else is said, read or seen.
    """

    shortest_s: float = Field(30.0, ge=1, le=3600)
    share: float = Field(0.2, gt=0, le=1)
    longest_s: float = Field(180.0, ge=1, le=36_000)
    most: int = Field(40, ge=1, le=1000)
    penalty: float = Field(1.0, ge=0, le=100)
    speech: float = Field(1.0, ge=0, le=10)
    screen: float = Field(1.0, ge=0, le=10)
    picture: float = Field(0.5, ge=0, le=10)


@dataclass(frozen=True, slots=True)
class Shown:
    """Rows of one kind by time, with their vectors ``(rows, dim)``."""

    starts: Reals
    ends: Reals
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Beginning:
    """A time at which a chapter might begin; ``reason`` 0..1 says how much speaks for it, ``within`` a sentence."""

    time: float
    reason: float
    within: bool


def divided(
    beginnings: Sequence[Beginning], shown: Sequence[tuple[float, Shown]], seconds: float, options: ChapterOptions
) -> list[Span]:
    """The spans of the chapters: they follow on each other from 0 to ``seconds``.  ``shown`` with their weights."""
    if not seconds > 0:
        return []
    beginnings = _thinned(beginnings, seconds)
    edges = np.array([0.0, *(b.time for b in beginnings), seconds])
    features, plain = _features(shown, edges, _DIRECTIONS), _features(shown, edges, None)
    dearer = min(_DEARER, (unrest(plain) / unrest(features)) ** 2) if unrest(features) > 0 else 1.0
    price = np.array([1.0, *(1 - _DISCOUNT * b.reason + _SURCHARGE * b.within for b in beginnings)])
    shortest = max(_LEAST_S, min(options.shortest_s, options.share * seconds))
    limits = Limits(shortest, max(options.longest_s, shortest), options.most)
    first = boundaries(edges, features, price, limits, dearer * options.penalty)
    return [Span(float(edges[a]), float(edges[b])) for a, b in zip(first, [*first[1:], len(edges) - 1], strict=True)]


def _features(shown: Sequence[tuple[float, Shown]], edges: Reals, directions: int | None) -> Reals:
    """What is said, read and seen in each block, ``(blocks, features)``; see :func:`_reduced` for ``directions``."""
    parts = [math.sqrt(weight) * _mixed(s, _reduced(s.vectors, directions), edges) for weight, s in shown]
    return np.hstack([np.zeros((len(edges) - 1, 1)), *parts])


def _mixed(shown: Shown, vectors: Vectors, edges: Reals) -> Reals:
    """What is there in each block, ``(blocks, dim)``: the direction of the mean vector, as long as the share of the
    block in which anything is.
    """
    found = held(shown.starts, shown.ends, vectors, edges)
    there = held(shown.starts, shown.ends, np.ones((len(vectors), 1), np.float32), edges)
    share = np.clip(there / np.maximum(np.diff(edges)[:, None], 1e-9), 0.0, 1.0)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    out: Reals = np.where(length > 1e-6, found / np.maximum(length, 1e-6), 0.0) * share
    return out


def _reduced(vectors: Vectors, directions: int | None) -> Vectors:
    """Rows of norm 1, seen from their mean, in so many ``directions`` in which they differ most (None: in all)."""
    vectors = np.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)
    if len(vectors) < 2:
        return vectors
    centred = vectors - vectors.mean(axis=0)
    if directions is not None:
        _, axes = np.linalg.eigh(centred.T @ centred)  # in ascending order of the variance along them
        centred = centred @ axes[:, -directions:]
    return normalised(centred)


def _thinned(beginnings: Sequence[Beginning], seconds: float) -> list[Beginning]:
    """Those inside the video, in order; of many close together the one for which most speaks."""
    step, best = max(seconds / _BLOCKS, 1e-6), dict[int, Beginning]()
    for b in sorted(beginnings, key=lambda b: b.time):
        if not 0 < b.time < seconds:
            continue
        place = int(b.time / step)
        if place not in best or (b.within, -b.reason) < (best[place].within, -best[place].reason):
            best[place] = b
    return list(best.values())


def beginnings(speech: Sequence[Segment], text: Sequence[TextTrack], frames: Sequence[Frame]) -> list[Beginning]:
    """Where chapters might begin, in order of time.  Rows are in order of their starts.

    Frames without a cut count where little else begins.
    """
    cuts = sum(f.cut for f in frames)
    sparse = bool(frames) and (len(speech) + len(text) + cuts) * _SPARSE_S < frames[-1].end
    found: list[tuple[float, float, bool]] = [(f.start, 0.3 if f.cut else 0.0, True) for f in frames if f.cut or sparse]
    found += [(time, 0.7 * share, True) for time, share in _slides(text)]
    quiet = 0.0
    for row in speech:
        pause = min(1.0, max(0.0, row.start - quiet) / _PAUSE_S)
        found.append((row.start, 0.5 * pause, False))
        quiet = max(quiet, row.end)
    spoken = _Spoken(speech)
    out, group = list[Beginning](), list[tuple[float, float, bool]]()
    for one in [*sorted(found), None]:
        if group and (one is None or one[0] > group[0][0] + _TOGETHER_S):
            out.append(_joined(group, spoken))
            group = []
        if one is not None:
            group.append(one)
    return out


def _joined(group: Sequence[tuple[float, float, bool]], spoken: _Spoken) -> Beginning:
    """One beginning at the time of the picture that has most reason, else of the first word."""
    seen = [g for g in group if g[2] and g[1] > 0]
    time = max(seen, key=lambda g: (g[1], -g[0]))[0] if seen else min(g[0] for g in group if not g[2] or not seen)
    doubt = 1.0
    for reason in (max((r for _, r, s in group if s is kind), default=0.0) for kind in (True, False)):
        doubt *= 1 - reason
    begins = any(not s for _, _, s in group)
    return Beginning(time, 1 - doubt, not begins and spoken.at(time))


class _Spoken:
    """Whether somebody is in the middle of a sentence."""

    def __init__(self, speech: Sequence[Segment]) -> None:
        self._starts = np.array([s.start for s in speech])
        self._ends = np.maximum.accumulate([s.end for s in speech]) if speech else np.zeros(0)

    def at(self, time: float) -> bool:
        before = int(np.searchsorted(self._starts, time - _TOGETHER_S, "right"))
        return before > 0 and bool(self._ends[before - 1] > time + _TOGETHER_S)


def _slides(text: Sequence[TextTrack]) -> Iterable[tuple[float, float]]:
    """Times at which text comes up, and how much of what is then on screen is new, 0..1, by area and letters."""
    starts = np.array([t.start for t in text])
    ends = np.array([t.end for t in text])
    size = np.array([len(t.text) * max(0.0, t.box[3] - t.box[1]) for t in text])
    order = np.argsort(ends, kind="stable")
    begun, gone = np.cumsum(np.append(0.0, size)), np.cumsum(np.append(0.0, size[order]))
    at = 0
    while at < len(text):
        after = int(np.searchsorted(starts, starts[at] + _TOGETHER_S, "right"))
        new = float(begun[after] - begun[at])
        left = float(gone[np.searchsorted(ends[order], starts[at] + _TOGETHER_S, "right")])
        stays = max(0.0, float(begun[at]) - left)
        yield float(starts[at]), new / (new + stays) if new > 0 else 0.0
        at = max(after, at + 1)
