"""The records that go from room to room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..store.archive.shard import Shard
from ..store.records import Evidence, EvidenceKind

Relation = Literal["location", "number", "relation"]
When = Literal["beginning", "end", "at", "after", "before", "next", "previous", "during"]
Scope = Literal["moment", "whole", "several"]
QuestionKind = Literal[
    "fact", "topic", "whole", "every", "compare", "followup", "seen", "details", "decided", "tasks", "beginning",
    "ending",
]
AnswerKind = Literal[
    "fact", "topic", "whole", "every", "compare", "followup", "seen", "details", "decided", "tasks", "stretch"
]
"""What an answer is made like: what the question wants, or everything in the stretch of time that it names.

``topic``: what is said about something; ``details``: what is known of the videos themselves, their length say;
``decided`` and ``tasks``: what people agreed on, and who is to do what.
"""
AGREED: tuple[Literal["decided", "tasks"], ...] = ("decided", "tasks")
OF_ROWS: tuple[AnswerKind, ...] = ("fact", "topic")
"""Kinds that are answered with the best rows alone."""
LIKELY = 0.5
"""From here on rows are taken to answer a question."""
MOST_THINGS = 5
LINES = " / "
"""Between the lines of a slide, where rows that share their time become one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeHint:
    """Where in a video to look.  ``text``: the event that ``after``, ``before``, ``next`` (right after), ``previous``
    (right before) and ``during`` refer to; ``seconds``: the time that ``at`` names.
    """

    kind: When
    text: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Seconds ``[start, end)`` of a video that a question names; negative ones count from its end, ``end`` None is its
    end.  ``words``: the part of the question that names them, ``rest`` the question without; ``instant``: it names one
    moment, around which it lies.
    """

    start: float
    end: float | None
    words: str
    rest: str
    instant: bool = False

    def within(self, duration: float) -> tuple[float, float]:
        """Start and end in a video of ``duration`` seconds; the end is at or before the start where it lies outside."""
        start = max(0.0, duration + self.start) if self.start < 0 else self.start
        return start, duration if self.end is None else min(self.end, duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to look for.  ``asr``: a sentence to find in speech, or None; ``det``: up to five physical things; ``type``:
    what to say of them; ``captions``: statements that a matching picture would bear out.

    ``time``: where to look; ``scope``: one moment, the whole of a video, or several videos; ``negations``: what the
    question excludes; ``visual``: the question is about what is seen; ``anchor``: the kind of row that it names as its
    landmark ("while the speaker says"); ``stretch``: the time that it names; ``kind``: what it wants.
    """

    asr: str | None = None
    det: tuple[str, ...] = ()
    type: tuple[Relation, ...] = ()
    captions: tuple[str, ...] = ()
    time: tuple[TimeHint, ...] = ()
    scope: Scope = "moment"
    negations: tuple[str, ...] = ()
    visual: bool = False
    anchor: Literal["speech", "text"] | None = None
    stretch: Stretch | None = None
    kind: AnswerKind = "fact"

    def as_json(self) -> dict[str, Any]:
        told = asdict(self)
        kept = {k: told[k] for k in ("kind", "asr", "det", "type", "captions", "scope", "negations")}
        return kept | {"time": [{k: v for k, v in t.items() if v is not None} for t in told["time"]]}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A row that may become evidence.  ``affinity``: of a picture, inner products with the options.

    Each is itself and no other: a picture that is found in two ways is two candidates, which may hold the same values.
    """

    kind: EvidenceKind
    video: str
    name: str
    start: float
    end: float
    text: str
    score: float
    frame: int | None = None
    affinity: tuple[float, ...] = ()
    doubts: tuple[str, ...] = ()
    speaker: str | None = None


def of_frame(
    kind: EvidenceKind,
    shard: Shard,
    row: int,
    start: float,
    end: float,
    text: str,
    score: float,
    affinity: tuple[float, ...] = (),
) -> Candidate:
    """What stored frame ``row`` tells of ``[start, end)``."""
    return Candidate(
        kind=kind,
        video=shard.video,
        name=shard.name,
        start=start,
        end=end,
        text=text,
        score=score,
        frame=row,
        affinity=affinity,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What tells whether rows answer a question.  ``near``: how near the nearest row lies; ``held``: the share of the
    question's words that one of the best rows holds, one half of it with what stands around it; ``few``: 0 among a
    hundred rows or more, higher among fewer.
    """

    near: float = 0.0
    held: float = 0.0
    few: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A row that is told in order; ``title``: of what it begins, may be empty."""

    row: Candidate
    title: str = ""


@dataclass(slots=True, kw_only=True)
class Found:
    """Candidates of each kind, best first.

    ``parts``: what is told in order, where the question is about the whole, a stretch of time or every mention; their
    rows need room besides those that were found.  ``beside``: what is said right before and after some of the rows.
    ``sure``: how likely the rows answer the question, 0..1, on what ``grounds``; ``kind``: how the answer is made;
    ``option_near``: see :class:`Task`.
    """

    rows: list[Candidate] = field(default_factory=list)
    pictures: list[Candidate] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    beside: dict[Candidate, list[Candidate]] = field(default_factory=dict)
    sure: float = 0.0
    grounds: Grounds = field(default_factory=Grounds)
    kind: AnswerKind | None = None
    option_near: tuple[float, ...] = ()

    def keep(self, kinds: Sequence[EvidenceKind]) -> None:
        """Drops rows of other kinds, before they lead to anything else."""
        self.rows = [c for c in self.rows if c.kind in kinds]
        self.parts = [p for p in self.parts if p.row.kind in kinds]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A question ready to be answered.

    ``evidence`` is in time order.  ``weight`` tells how rare each term is among the rows searched (higher is rarer);
    ``option_near``: how near rows lie to the question with each option, see :class:`.Scored`; ``pictured``: pictures
    that fit, best first.  ``pictures`` are JPEGs of frames in time order, for engines that look at pictures, each with
    the id of its row or, where no row stands for it, with its time.  ``kind``: how the answer is made; ``sure`` and
    ``grounds``: see :class:`Found`; ``parts``: what is told in order, each with the id of its row, after ``head``;
    ``told``: what must be said instead, of a time beyond the end, say.  ``tell`` is given the answer as far as it is
    written, again and again, by engines that write word by word; what it was given is not checked.
    """

    question: str
    options: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    weight: Mapping[str, float] = field(default_factory=dict)
    option_near: tuple[float, ...] = ()
    pictured: tuple[Candidate, ...] = ()
    pictures: tuple[tuple[str, bytes], ...] = ()
    visual: bool = False
    kind: AnswerKind = "fact"
    sure: float = 1.0
    grounds: Grounds = field(default_factory=Grounds)
    parts: tuple[tuple[str, Part], ...] = ()
    head: str = ""
    told: str = ""
    tell: Callable[[str], object] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer took of a language model: ``calls``, of which ``cached`` were replies kept from earlier, tokens
    ``read`` and ``written`` by the others (where the engine tells), and the texts of all ``replies`` in order.
    """

    calls: int = 0
    cached: int = 0
    read: int = 0
    written: int = 0
    replies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An engine's answer, not checked yet.  ``choice`` is the index of an option; ``citations`` are evidence ids.

    ``scores``, one an option or empty: how far the engine believes in each, 0..1; ``confidence``: that of the answer
    given, None where the engine cannot tell.  Scores are probabilities that sum to 1.
    """

    text: str
    choice: int | None = None
    citations: tuple[str, ...] = ()
    abstained: bool = False
    notes: tuple[str, ...] = ()
    confidence: float | None = None
    scores: tuple[float, ...] = ()
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn; ``images`` are JPEGs shown with it."""

    role: str
    text: str
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model wrote, and how many tokens it read and wrote (None where it does not tell).

    ``cut``: it ended before the model had done.  ``top``: probabilities of candidates for the first token, where they
    were asked for.  ``cached``: it was kept from earlier.
    """

    text: str
    read: int | None = None
    written: int | None = None
    cut: bool = False
    top: Mapping[str, float] = field(default_factory=dict)
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``choice`` is the letter of the chosen option (None without options, or where none was chosen); ``citations`` are
    ids of ``evidence``, which is in time order; ``nearest``: ids of the rows that lie nearest to a question that none
    answers; ``pictured``: the videos of the evidence of which frames are stored; ``timings`` are seconds a step.

    ``confidence``, ``scores`` and ``usage`` are those of the :class:`Draft`; ``degraded``: a language model
    or the detector failed and the answer is what could be done without it.
    """

    question: str
    text: str
    choice: str | None
    abstained: bool
    citations: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    request: Request
    nearest: tuple[str, ...] = ()
    pictured: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    profile: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    confidence: float | None = None
    scores: tuple[float, ...] = ()
    usage: Usage = field(default_factory=Usage)
    degraded: bool = False

    def as_json(self) -> dict[str, Any]:
        """The object that ``vidrag ask --json`` prints."""
        return {
            "question": self.question,
            "answer": self.text,
            "choice": self.choice,
            "abstained": self.abstained,
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "scores": [round(s, 4) for s in self.scores],
            "citations": list(self.citations),
            "nearest": list(self.nearest),
            "evidence": [_evidence_json(e) for e in self.evidence],
            "request": self.request.as_json(),
            "notes": list(self.notes),
            "timings": {k: round(v, 4) for k, v in self.timings.items()},
            "profile": self.profile,
            "fingerprints": dict(self.fingerprints),
        }

    def cited(self) -> list[Evidence]:
        """The cited rows in the order of ``citations``."""
        by_id = {e.id: e for e in self.evidence}
        return [by_id[c] for c in self.citations]


def _evidence_json(evidence: Evidence) -> dict[str, object]:
    told = asdict(evidence)
    told |= {"start": round(evidence.start, 3), "end": round(evidence.end, 3), "score": round(evidence.score, 4)}
    del told["frame"]  # a detail of the store
    if not told.pop("doubts"):
        return told
    told["doubts"] = list(evidence.doubts)
    return told
