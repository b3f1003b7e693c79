"""What is seen that bears on a question: key frames, detections in them, counts over time, grids of pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from ...store.errors import EngineFailed, EngineMissing, one_line
from ...store.nouns import plural, singular
from ...store.pictures import decode_jpeg
from ...store.shard import Shard
from ...store.vectors import Vectors
from ..text.words import sought, terms
from ..types import Candidate, Found, Joined, Request
from ..understand.times import in_time
from . import alike, counting, panels
from .colours import colours
from .detections import DetectionCache
from .detectors import BatchDetector
from .keyframes import KeyframeOptions
from .visual import Shot, VisualIndex, Wanted

_SHOWN = re.compile(
    r"\b(?:shows?|showing|depicts?|depicting|contains?|features?|are of|is of)\s+(?:an? |the )?([^?]{2,120})", re.I
)
_COLOUR = re.compile(r"\bcolou?r(?:s|ed)?\b", re.I)
_PANELS = re.compile(r"\b(?:pictures?|photos?|photographs?|images?|panels?|tiles?|thumbnails?|cells?)\b", re.I)
_MOST_RUNS = 6
_ALIKE = "alike-1"
_LESS = 0.1
"""Share of the best key frame's score by which another may be less and still fit as well."""
LANDMARKS = 6
"""Rows found first, of which one may be the landmark of a question."""
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
        shots = self.visual.best(captions, self.options, lambda s: in_time(request, s.shard, s.start, s.end), votes)
        joined = list[Joined]()
        if request.asr or request.anchor or request.time or not shots:  # what is on screen while it is said or written
            joined = _joined_pictures(self.visual, request, question, found.rows, wanted)
        found.joined += joined
        if "number" in request.type:
            joined_counts = self._grids(question, request, joined)
            found.joined += joined_counts
            found.pictures += [j.second for j in joined_counts]
            found.pictures += self._safely(partial(self._over_time, request, known, shots)) or []
            if self.options.alike and not known and (thing := _asked_number_of(question, request)):
                found.pictures += self._alike(thing, shots[: self.options.count])
        found.pictures += [j.second for j in joined]
        if _COLOUR.search(question):
            found.pictures += self._colours([*(j.second for j in joined), *(_stand_in(*s) for s in shots[:2])][:2])
        self._look_ahead(shots[: self.options.count], known)
        for shot, row, score in shots[: self.options.count]:
            look = partial(self.visual.detected, shot, row, score, known, request.type, self.detections)
            if known and (seen := self._safely(look)):
                found.pictures.append(seen)
            found.pictures.append(self.visual.seen(shot, row, score, wanted))

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
                out.append(replace(c, kind="detection", text=f"colours: {', '.join(names)}", affinity=(), tints=()))
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

    def _alike(self, thing: str, shots: Sequence[tuple[Shot, int, float]]) -> list[Candidate]:
        """How many things alike there are in the key frames, where the detector does not know ``thing``."""
        out = list[Candidate]()
        for shot, row, _ in shots:
            seen = self.detections.remembered(shot.shard, row, _ALIKE, [], lambda p, _: alike.counted(p))
            if seen:
                frame = shot.shard.frames[row]
                text = f"{len(seen)} things that look alike, perhaps {plural(singular(thing))}"
                out.append(_counted(shot.shard, row, text, frame.start, frame.end))
        return out

    def _over_time(
        self, request: Request, known: Sequence[str], shots: Sequence[tuple[Shot, int, float]]
    ) -> list[Candidate]:
        """How many of the first known thing there are from when to when; for questions about one video.

        Where not all fit, the times that the question names come first, then those of the key frames that fit it best,
        of these what is shown longest without a change; those without any come last.
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
        at_that_time = [r for r in runs if in_time(request, shard, r.start, r.end)]
        least = shots[0][2] - _LESS * abs(shots[0][2]) if shots else 0.0
        fits = [shard.frames[row] for _, row, score in shots if score >= least]
        still = {r: max((f.end - f.start for f in fits if r.start <= f.start < r.end), default=0.0) for r in runs}
        others = [r for r in runs if r not in at_that_time]
        others.sort(key=lambda r: (r.count == 0, -still[r], r.start - r.end))
        best = [*at_that_time, *others][:_MOST_RUNS]
        counts = [_counted(shard, rows[0], counting.amount(r.count, name), r.start, r.end) for r in best]
        ahead = len(at_that_time)
        if not ahead and request.scope == "moment":
            ahead = min(2, sum(r.count > 0 and still[r] > 0 for r in others))
        return [*counts[:ahead], *told, *counts[ahead:]]

    def _grids(self, question: str, request: Request, joined: Sequence[Joined]) -> list[Joined]:
        """How many pictures of a grid show the thing asked for: of the frames on screen with a landmark."""
        if not _PANELS.search(question):
            return []
        thing = match[1].strip(" .") if (match := _SHOWN.search(question)) else " ".join(request.det)
        if not thing:
            return []
        out = list[Joined]()
        encoder = self.visual.encoder
        identity = f"panels-2/{encoder.spec.space}"
        for j in joined:
            if j.second.frame is None:
                continue
            shard = self.visual.shards[j.second.video]
            try:
                seen = self.detections.remembered(
                    shard, j.second.frame, identity, [thing], lambda p, t: panels.showing(p, t[0], encoder)
                )
            except EngineMissing as e:  # a question alone needs no reader of frames
                self.notes.append(f"pictures within a picture were not counted: {one_line(e, 120)}")
                return out
            if seen:
                count = sum(d.label == thing for d in seen)
                frame = shard.frames[j.second.frame]
                text = f"{count} of the pictures show {thing}"
                counted = _counted(shard, j.second.frame, text, frame.start, frame.end)
                out.append(Joined(first=j.first, second=counted, link="during"))
        return out


def _joined_pictures(
    visual: VisualIndex,
    request: Request,
    question: str,
    rows: Sequence[Candidate],
    wanted: Wanted,
) -> list[Joined]:
    """What is on screen with, right after or right before the rows that the question names as its landmark: of those
    found first the ones of the kind that it names, and of these the ones that hold most of its words.
    """
    hint = request.hint("next", "previous", "after", "before", "during")
    asked = set(sought(question))
    named = sorted(
        rows[:LANDMARKS],
        key=lambda c: (bool(request.anchor) and c.kind != request.anchor, -len(asked.intersection(terms(c.text)))),
    )
    out = []
    for c in named[:2]:
        if hint and hint.kind in ("next", "after"):
            seen, link = visual.after(c.video, c.end), "next"
        elif hint and hint.kind in ("previous", "before"):
            seen, link = visual.before(c.video, c.start), "previous"
        else:
            seen, link = visual.at(c.video, (c.start + c.end) / 2), "during"
        if seen:
            shot, row = seen
            out.append(Joined(first=c, second=visual.seen(shot, row, 1.0, wanted), link=link))  # type: ignore[arg-type]
    return out


def _asked_number_of(question: str, request: Request) -> str | None:
    """The first of the things of a request of which the question wants the number."""
    for thing in request.det:
        if re.search(rf"\b(?:how many|number of)(?: \w+){{0,2}}? {re.escape(thing)}\b", question, re.I):
            return thing
    return None


def _stand_in(shot: Shot, row: int, score: float) -> Candidate:
    return Candidate(
        kind="detection",
        video=shot.shard.video,
        name=shot.shard.name,
        start=shot.start,
        end=shot.end,
        text="",
        score=score,
        frame=row,
    )


def _counted(shard: Shard, row: int, text: str, start: float, end: float) -> Candidate:
    return Candidate(
        kind="detection", video=shard.video, name=shard.name, start=start, end=end, text=text, score=1.0, frame=row
    )
