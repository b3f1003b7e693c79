"""What was in the picture: key frames of a question, what they show, and what the detector finds in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...store.archive.shard import Shard
from ...store.encoders import ImageTextEncoder
from ...store.encoders.nouns import plural
from ...store.records import Frame
from ...store.vectors import Vectors
from ..text.things import fit
from ..types import Candidate, Relation, of_frame
from . import keyframes, scene_graph
from .detections import DetectionCache

_SLACK = 0.3


@dataclass(frozen=True, slots=True)
class Shot:
    """Successive stored frames without a cut: rows ``first`` to ``last``, shown in ``[start, end)``."""

    shard: Shard
    first: int
    last: int
    start: float
    end: float


def _uncounted(caption: str, names: Sequence[str]) -> str:
    """``water bottle, 2 bottles`` as ``water bottle, bottles``."""
    for name in names:
        caption = re.sub(rf"\b\d+ (?={re.escape(plural(name))}\b)", "", caption)
    return caption


def shots(shard: Shard, longest: float) -> list[Shot]:
    """The shots of one video, long ones split every ``longest`` seconds."""
    found: list[Shot] = []
    first = 0
    frames = shard.frames
    for i in range(1, len(frames) + 1):
        if i == len(frames) or frames[i].cut or frames[i].start - frames[first].start >= longest:
            found.append(Shot(shard, first, i - 1, frames[first].start, frames[i - 1].end))
            first = i
    return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """What pictures are held against.  ``options``: their vectors, float32 ``(n, dim)``, or none; ``counted``: things
    of which the detector tells how many.
    """

    options: Vectors
    counted: tuple[str, ...] = ()


class VisualIndex:
    """Shots and frame vectors of some videos, opened once and used for many questions."""

    def __init__(self, shards: Sequence[Shard], encoder: ImageTextEncoder, longest_shot: float = 10.0) -> None:
        self.encoder, self._longest_shot = encoder, longest_shot
        self.shards = {s.video: s for s in shards}

    @cached_property
    def shots(self) -> list[Shot]:
        """The shots of all videos, in order; frames are read when they are first asked for."""
        return [s for shard in self.shards.values() for s in shots(shard, self._longest_shot)]

    def best(
        self,
        queries: Vectors,
        options: keyframes.KeyframeOptions,
        favoured: Callable[[Shot], bool] | None = None,
        votes: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    ) -> list[tuple[Shot, int, float]]:
        """Shots that fit one of ``queries`` ``(n, dim)`` best, each with the row of its best frame and its score.

        ``favoured`` shots come before the others; ``votes``: for each video the spans of rows found by words.
        """
        if not len(queries) and options.method != "uniform":
            return []
        scores = {s.video: self._scores(s, queries, options.method == "paper") for s in self.shards.values()}
        for s in self.shards.values() if votes else ():
            own = scores[s.video]
            if own is not None and votes and s.video in votes:
                scores[s.video] = keyframes.voted(s.frames, own, votes[s.video], options)
        per_shot: list[tuple[Shot, int, float]] = []
        for shot in self.shots:
            own = scores[shot.shard.video]
            if own is not None:
                row = shot.first + int(np.argmax(own[shot.first : shot.last + 1]))
                per_shot.append((shot, row, float(own[row])))
        stand_ins = [Frame(s.start, s.end, 0, 0, 0.0, True) for s, _, _ in per_shot]
        values = np.array([v for _, _, v in per_shot], np.float32)
        if len({s.shard.video for s, _, _ in per_shot}) > 1:  # times of different videos are not neighbours
            options = options.model_copy(update={"apart_s": 0.0})
        chosen = [per_shot[i] for i in keyframes.choose(stand_ins, values, options)]
        return sorted(chosen, key=lambda c: not favoured(c[0])) if favoured else chosen

    def _scores(self, shard: Shard, queries: Vectors, plain: bool) -> NDArray[np.float32] | None:
        """How well each frame fits the best of the queries, float32 ``(n_frames,)``; inner products for ``paper``."""
        file = shard.vectors("frames", self.encoder.spec)
        if file is None or file.rows != len(shard.frames):
            return None
        if not len(queries):  # uniform, and the question is not about what is seen
            return np.zeros(file.rows, np.float32)
        found = file.scores(queries) if plain else fit(self.encoder, queries, file.vectors())
        best: NDArray[np.float32] = found.max(0)
        return best

    def at(self, video: str, time: float) -> tuple[Shot, int] | None:
        """The shot on screen at ``time`` and the row of the frame shown then."""
        for shot in self.shots:
            if shot.shard.video == video and shot.start <= time < shot.end:
                frames = shot.shard.frames
                rows = [r for r in range(shot.first, shot.last + 1) if frames[r].start <= time]
                return shot, (rows[-1] if rows else shot.first)
        return None

    def after(self, video: str, time: float) -> tuple[Shot, int] | None:
        """What comes on screen at ``time`` or next, up to the next cut."""
        for shot in self.shots:
            if shot.shard.video == video and shot.end > time + _SLACK:
                frames = shot.shard.frames
                rows = [r for r in range(shot.first, shot.last + 1) if frames[r].start >= time - _SLACK]
                if rows:
                    return replace(shot, first=rows[0], start=frames[rows[0]].start), rows[0]
        return None

    def before(self, video: str, time: float) -> tuple[Shot, int] | None:
        """What was on screen until ``time``, from the cut before it."""
        for shot in reversed(self.shots):
            if shot.shard.video == video and shot.start < time - _SLACK:
                frames = shot.shard.frames
                rows = [r for r in range(shot.first, shot.last + 1) if frames[r].start < time - _SLACK]
                if rows:
                    return replace(shot, last=rows[-1], end=frames[rows[-1]].end), rows[-1]
        return None

    def seen(self, shot: Shot, row: int, score: float, wanted: Wanted) -> Candidate:
        """A shot as evidence: what the encoder names in it, and how its best frame fits what is wanted."""
        labels = shot.shard.labels
        names = dict.fromkeys(labels[r].caption for r in range(shot.first, shot.last + 1) if r < len(labels))
        caption = labels[row].caption if row < len(labels) else ""
        others = [c for c in names if c and c != caption][:2]
        told = [_uncounted(c.removeprefix("a photo of "), wanted.counted) for c in [caption, *others] if c]
        if told or not getattr(self.encoder, "names", False):
            text = "; ".join(told) or "a picture that fits the question"
        else:
            text, score = "nothing that can be named", 0.0  # it fits anything
        file = shot.shard.vectors("frames", self.encoder.spec)
        near = wanted.options @ file.vector(row) if file is not None and len(wanted.options) else ()
        affinity = tuple(float(x) for x in near)
        return of_frame("frame", shot.shard, row, shot.start, shot.end, text, score, affinity)

    def detected(
        self,
        shot: Shot,
        row: int,
        score: float,
        entities: Sequence[str],
        kinds: Sequence[Relation],
        detector: DetectionCache,
        published: bool = False,
    ) -> Candidate | None:
        """What the detector finds of ``entities`` in the shot's best frame, told in the ``published`` form or in ours;
        None where it finds nothing.
        """
        found, frame = detector.detect(shot.shard, row, entities), shot.shard.frames[row]
        told = (
            scene_graph.published(found, kinds, frame.width, frame.height)
            if published
            else scene_graph.sentences(found, kinds)
        )
        if not found or not told:
            return None
        return of_frame("detection", shot.shard, row, frame.start, frame.end, ". ".join(told), score)
