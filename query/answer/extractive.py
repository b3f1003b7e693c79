"""Answers without a language model: quotes the rows that answer, tells the whole or a stretch of time in order,
chooses the option that the evidence bears out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce

from pydantic import Field

from ...store.engines import EngineOptions
from ...store.records import PERCEIVED, Evidence, clock
from ...store.sentences import ends_sentence, joined, sentences
from ...store.shell import counted
from ..text.things import FITS
from ..types import LIKELY, Draft, Part, Task
from .options import weighed

NOTHING = "The videos do not say."
NOT_CLEAR = "Nothing in these videos clearly says so."
NEAREST = 3
"""Rows that are named where none answers."""
_LONGEST = 400
"""Characters of a quote of several rows."""
_MORE, _FURTHER = 2, 1.0
"""What is said about something: times as many quotes as of a fact, and by how much further from the best one."""
_ADJACENT_S = 1.0
"""Seconds between two rows that may be one sentence."""
_FOLLOWS = (
    "This seems to go on from something that was said before. Each question is answered by itself: ask it in full."
)


class ExtractiveOptions(EngineOptions):
    """``sure``: how likely the rows must answer a question to be quoted, 0..1; ``quotes``: how many at the most;
    ``apart``: how much less than the best one's score another quote's may be.  What is said about something is told
    in twice as many, in time order, that may be further from the best one.
    """

    sure: float = Field(LIKELY, ge=0, le=1)
    quotes: int = Field(3, ge=1, le=10)
    apart: float = Field(1.5, ge=0)


class Extractive:
    """Reads nothing but rows.  Deterministic."""

    Options = ExtractiveOptions
    requires = ("rapidfuzz",)
    extra = "query"
    looks = False
    frames = 0

    @staticmethod
    def weights(options: ExtractiveOptions) -> Sequence[str]:
        return ()

    def __init__(self, options: ExtractiveOptions) -> None:
        self.options = options

    def answer(self, task: Task) -> Draft:
        if task.options:
            return self._choose(task)
        if task.told:
            return Draft(text=task.told, abstained=True, confidence=1 - task.sure)
        if task.parts:
            return _in_order(task)
        if task.kind == "followup":
            return Draft(text=_FOLLOWS, abstained=True, confidence=1 - task.sure)
        return self._quote(task)

    def _quote(self, task: Task) -> Draft:
        """The best rows, where they are likely enough to answer; pictures only of what is seen."""
        ranked = sorted(task.evidence, key=lambda e: e.rank)
        seen = (
            [e for e in ranked if e.kind in ("frame", "detection") and e.score >= FITS] if task.kind == "seen" else []
        )
        rows = [e for e in ranked if e.kind in ("speech", "text") and e.score > 0]
        if task.sure < self.options.sure and not seen:
            return Draft(text=NOT_CLEAR, abstained=True, confidence=1 - task.sure)
        apart, most = self.options.apart, self.options.quotes
        if task.kind == "topic":
            apart, most = apart + _FURTHER, most * _MORE
        best = [e for e in rows if e.score >= rows[0].score - apart]
        if seen:
            best = seen[:2] if task.sure < self.options.sure else [*best[:1], *seen[:1]]
        passages, cited = list[list[Evidence]](), list[str]()
        for row in best:
            if len(passages) < most and row.id not in cited:
                passages.append(_passage(row, [e for e in task.evidence if e.id not in cited]))
                cited += [row.id, *(e.id for e in passages[-1])]
        if task.kind == "topic":
            videos = [passage[0].video for passage in passages]
            passages.sort(key=lambda passage: (videos.index(passage[0].video), passage[0].start))
        quotes = [quoted(*passage) for passage in passages]
        if not quotes:
            return Draft(text=NOT_CLEAR, abstained=True, confidence=1 - task.sure)
        return Draft(text="\n".join(quotes), citations=tuple(dict.fromkeys(cited)), confidence=task.sure)

    def _choose(self, task: Task) -> Draft:
        by_id = {e.id: e for e in task.evidence}
        told = weighed(task)
        best = int(told.shares.argmax())
        sure, scores = float(told.shares[best]), tuple(round(float(s), 4) for s in told.shares)
        if not any(told.ids) or best == told.silent:
            text = task.options[told.silent] if told.silent is not None else NOTHING
            return Draft(text=text, choice=told.silent, abstained=True, confidence=sure, scores=scores)
        ids = told.ids[best]
        return Draft(
            text=f"{task.options[best]}. {quoted(by_id[ids[-1]])}",
            choice=best,
            citations=ids,
            confidence=sure,
            scores=scores,
        )


def _in_order(task: Task) -> Draft:
    """Everything that is asked for, video by video in time order, with a line for each part."""
    lines, video = [task.head] if task.head else [], None
    for id, part in task.parts:
        if part.row.video != video:
            own = [p for _, p in task.parts if p.row.video == part.row.video]
            lines.append(_heading(task, own))
            video = part.row.video
        titled = _titled(part if task.kind != "details" else replace(part, title=""))
        lines.append(f"{clock(part.row.start)} {titled}“{_one_line(part.row.text)}” [{id}]")
    ids = tuple(id for id, _ in task.parts)
    return Draft(text="\n".join(lines), citations=ids, confidence=task.sure)


def _heading(task: Task, own: Sequence[Part]) -> str:
    name = own[0].row.name
    if task.kind == "every":
        return f"{name}: {counted(len(own), 'mention')}"
    if task.kind == "details":
        return f"{name}: {own[0].title}"
    return f"{name}:"


def _titled(part: Part) -> str:
    own = _one_line(part.row.text)
    title = _one_line(part.title)
    speaker = f"{part.row.speaker}: " if part.row.speaker else ""
    if part.row.kind == "frame":
        return f"{PERCEIVED['frame']}: "
    return f"{title}: {speaker}" if title and title.casefold() not in own.casefold() else speaker


def nearest(evidence: Iterable[Evidence]) -> tuple[str, ...]:
    """Ids of the rows of speech and screen text that lie nearest to the question, best first."""
    rows = sorted((e for e in evidence if e.kind in ("speech", "text")), key=lambda e: e.rank)
    return tuple(e.id for e in rows[:NEAREST])


def quoted(*rows: Evidence) -> str:
    """Rows that follow each other in quotation marks, with who or what says them, where, and their ids."""
    row = rows[0]
    by = f" by {row.speaker}" if row.speaker else ""
    text, ids = reduce(joined, (_one_line(r.text) for r in rows)), " ".join(f"[{r.id}]" for r in rows)
    return f"“{text}” ({PERCEIVED[row.kind]}{by}, {row.name} {clock(row.start)}) {ids}"


def _passage(row: Evidence, evidence: Sequence[Evidence]) -> list[Evidence]:
    """A row, and beside it as much of the rows before and after it as belongs to its first and last sentence."""
    passage = [row]
    for other in evidence:
        if (after := _goes_on(passage[-1], other)) or _goes_on(other, passage[0]):
            part = sentences(other.text)[0 if after else -1]
            if len(part) + sum(len(e.text) for e in passage) <= _LONGEST:
                passage.insert(len(passage) if after else 0, replace(other, text=part))
    return passage


def _goes_on(row: Evidence, other: Evidence) -> bool:
    """Whether the ``other`` row of speech goes on with the sentence that a row ends in."""
    if not row.kind == other.kind == "speech" or (row.video, row.speaker) != (other.video, other.speaker):
        return False
    return row.start < other.start and other.start - row.end <= _ADJACENT_S and not ends_sentence(row.text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
