"""What is seen that bears on a question: key frames, detections in them, counts over time, colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from ...store.archive.pictures import decode_jpeg
from ...store.archive.shard import Shard
from ...store.errors import EngineFailed, one_line
from ...store.vectors import Vectors
from ..text.things import FITS
from ..types import Candidate, Found, Request, of_frame
from ..understand.times import in_stretch
from . import counting
from .colours import colours
from .detections import DetectionCache
from .detectors import BatchDetector
from .keyframes import KeyframeOptions
from .visual import Shot, VisualIndex, Wanted

_COLOUR = re.compile(r"\bcolou?r(?:s|ed)?\b|\bfarb|\bcolor|\bcouleur|\bцвет|颜色|色", re.I)
_MOST_RUNS = 6
LANDMARKS = 2
"""Rows found first, on screen with which is looked."""
T = TypeVar("T")


@dataclass(slots=True)
class Looker:
    """Looks at stored frames for one question; ``notes`` are what the user should know.  ``failed``: the detector did,
    and was not asked again.
    """

    visual: VisualIndex
    detections: DetectionCache
    options: KeyframeOptions
    notes: list[str] = field(default_factory=list)
    failed: bool = False

    def look(self, question: str, request: Request, found: Found, captions: Vectors, wanted: Wanted) -> None:
        """Adds pictures to ``found``, best first.  ``captions``: encoded captions of the request."""
        told = len(self._detector_notes())
        known = self._safely(partial(self._known, request)) or []
        if "number" in request.type:
            wanted = replace(wanted, counted=tuple(known))
        self._look(question, request, found, captions, wanted, known)
        self.notes += [n for n in self._detector_notes()[told:] if n not in self.notes]

    def _look(
        self,
        question: str,
        request: Request,
        found: Found,
        captions: Vectors,
        wanted: Wanted,
        known: Sequence[str],
    ) -> None:
        votes: dict[str, list[tuple[float, float]]] = {}
        for c in found.rows[:6] if self.options.votes else ():
            votes.setdefault(c.video, []).append((c.start, c.end))
        shots = self.visual.best(captions, self.options, lambda s: self._named(request, s.shard, s.start, s.end), votes)
        if "number" in request.type:
            found.pictures += self._safely(partial(self._over_time, request, known, shots)) or []
        beside = list[Candidate]()
        if (request.asr and len(wanted.options)) or request.anchor or request.time or not shots:
            beside = _with_rows(self.visual, request, found.rows[:LANDMARKS], wanted)
        found.pictures += beside
        if _COLOUR.search(question):
            found.pictures += self._colours([*beside, *(_stand_in(*s) for s in shots[:2])][:2])
        self._look_ahead(shots[: self.options.count], known)
        for shot, row, score in shots[: self.options.count]:
            published = self.options.scene_graph == "published"
            look = partial(self.visual.detected, shot, row, score, known, request.type, self.detections, published)
            if known and (seen := self._safely(look)):
                found.pictures.append(seen)
            found.pictures.append(self.visual.seen(shot, row, score, wanted))

    @staticmethod
    def _named(request: Request, shard: Shard, start: float, end: float) -> bool:
        return in_stretch(request.stretch, shard.manifest.duration, start, end)

    def _look_ahead(self, shots: Sequence[tuple[Shot, int, float]], known: Sequence[str]) -> None:
        """Key frames of one video go together to a detector that takes several; what it finds is kept."""
        if known and isinstance(self.detections.detector, BatchDetector):
            rows: dict[str, list[int]] = {}
            for shot, row, _ in shots:
                rows.setdefault(shot.shard.video, []).append(row)
            for video, own in rows.items():
                self._safely(partial(self.detections.detect_rows, self.visual.shards[video], own, known))

    def _safely(self, work: Callable[[], T]) -> T | None:
        """What ``work`` gives; a detector that fails is noted, and left alone for the rest of the question."""
        if self.failed:
            return None
        try:
            return work()
        except EngineFailed as e:
            self.failed = True
            self.notes.append(f"answered without the detector: {one_line(e, 200)}")
            return None

    def _detector_notes(self) -> list[str]:
        return list(getattr(self.detections.detector, "notes", ()))

    def _colours(self, pictures: Sequence[Candidate]) -> list[Candidate]:
        """The colours of some pictures, as evidence."""
        out = []
        for c in pictures:
            if c.frame is not None and (names := colours(decode_jpeg(self.visual.shards[c.video].jpeg(c.frame)))):
                out.append(replace(c, kind="detection", text=f"colours: {', '.join(names)}", affinity=()))
        return out

    def _known(self, request: Request) -> list[str]:
        """The entities as the detector names them; the others become notes."""
        known = []
        for entity in request.det:
            if name := self.detections.detector.knows(entity):
                known.append(name)
            elif request.visual or request.type:
                self.notes.append(f"the detector does not know '{entity}'")
        return list(dict.fromkeys(known))

    def _over_time(
        self, request: Request, known: Sequence[str], shots: Sequence[tuple[Shot, int, float]]
    ) -> list[Candidate]:
        """How many of the first known thing there are from when to when; for questions about one video.

        Where not all fit, the times that the question names come first, then the longest; those without any come last.
        """
        shards = {s.shard.video: s.shard for s in self.visual.shots}
        if not known or len(shards) != 1 or not self.options.counted:
            return []
        shard, name = next(iter(shards.values())), known[0]
        even = counting.spread(range(len(shard.frames)), self.options.counted)
        rows = sorted({*even, *(row for _, row, _ in shots[: self.options.count])})
        seen = [[d for d in found if d.label == name] for found in self.detections.detect_rows(shard, rows, [name])]
        if not any(seen):
            return []
        frames = [shard.frames[r] for r in rows]
        runs = counting.runs(frames, seen)
        told = [
            _counted(
                shard,
                rows[0],
                counting.summary(name, runs, counting.tracked(frames, seen)),
                runs[0].start,
                runs[-1].end,
            )
        ]
        at_that_time = [r for r in runs if self._named(request, shard, r.start, r.end)]
        others = sorted((r for r in runs if r not in at_that_time), key=lambda r: (r.count == 0, r.start - r.end))
        counts = [
            _counted(shard, rows[0], counting.amount(r.count, name), r.start, r.end)
            for r in [*at_that_time, *others][:_MOST_RUNS]
        ]
        return [*counts[: len(at_that_time)], *told, *counts[len(at_that_time) :]]


def _with_rows(visual: VisualIndex, request: Request, rows: Sequence[Candidate], wanted: Wanted) -> list[Candidate]:
    """What is on screen with, right after or right before the rows that the question takes as its landmark."""
    hint = request.time[0].kind if request.time else "during"
    out = []
    for c in rows:
        if hint in ("next", "after"):
            seen = visual.after(c.video, c.end)
        elif hint in ("previous", "before"):
            seen = visual.before(c.video, c.start)
        else:
            seen = visual.at(c.video, (c.start + c.end) / 2)
        if seen:
            out.append(visual.seen(*seen, FITS, wanted))  # it is the time that fits
    return out


def _stand_in(shot: Shot, row: int, score: float) -> Candidate:
    return of_frame("detection", shot.shard, row, shot.start, shot.end, "", score)


def _counted(shard: Shard, row: int, text: str, start: float, end: float) -> Candidate:
    return of_frame("detection", shard, row, start, end, text, FITS)
