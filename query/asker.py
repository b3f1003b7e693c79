"""``Asker.ask``: a question about videos of an archive becomes an answer that cites its evidence.

Everything is read from the store; no video is opened.  Engines and opened videos are kept, so that the next question
costs little more than encoding its text.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..store.archive import Archive
from ..store.encoders import ImageTextEncoder, TextEncoder
from ..store.engines import Options
from ..store.errors import (
    EngineMissing,
    ModelMissing,
    NoSuchVideo,
    NotIndexed,
    UsageError,
    VidragError,
    one_line,
)
from ..store.records import Evidence
from ..store.shard import Shard
from . import decouple
from .answer import Answer
from .chat import LETTERS, Chat, Draft, LanguageModel, Task
from .context import Candidate, ContextOptions, interleaved, merge
from .decouple import DecoupleOptions
from .detections import DetectionCache
from .encoding import encode
from .gather import FIRST, Found, Joined, found_rows
from .hops import HopOptions
from .keyframes import KeyframeOptions
from .looking import Looker
from .ordering import ordered
from .passages import Passage
from .request import Request
from .retrieve import RetrieveOptions
from .rows import RowSet
from .support import covered
from .visual import VisualIndex
from .words import sought, terms

LONGEST_QUESTION = 10_000
_SAYS = 0.5
"""Share of a question from which on its best row says what it asks."""
_MOST_ROWS = 40_000
"""Rows that are kept open beside those that are asked about: 60 MB of vectors."""
_FILE = re.compile(r"[^\s\"“”'(),;?]+\.[A-Za-z0-9]{2,5}\b")


class AskOptions(Options):
    """The options of every step of a question."""

    decouple: DecoupleOptions = DecoupleOptions()
    retrieve: RetrieveOptions = RetrieveOptions()
    hops: HopOptions = HopOptions()
    keyframes: KeyframeOptions = KeyframeOptions()
    context: ContextOptions = ContextOptions()


@dataclass(slots=True)
class _Opened:
    """Some videos, opened for questions."""

    shards: list[Shard]
    rows: RowSet
    visual: VisualIndex


@dataclass(slots=True)
class _Steps:
    """Seconds a step, and what the user should know."""

    timings: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    degraded: bool = False

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question with its evidence, ready to be answered."""

    question: str
    request: Request
    task: Task
    steps: _Steps


class Asker:
    """Answers any number of questions over one archive.

    ``fallback`` answers where ``chat`` fails; ``fingerprints`` and ``profile`` are echoed in every answer.
    """

    def __init__(
        self,
        archive: Archive,
        text_encoder: TextEncoder,
        image_text_encoder: ImageTextEncoder,
        detections: DetectionCache,
        chat: Chat,
        fallback: Chat,
        options: AskOptions,
        profile: str = "",
        fingerprints: Mapping[str, str] | None = None,
    ) -> None:
        self.archive, self.options = archive, options
        self.text_encoder, self.image_text_encoder, self.detections = text_encoder, image_text_encoder, detections
        self.chat, self.fallback = chat, fallback
        self.profile, self.fingerprints = profile, dict(fingerprints or {})
        self._count_tokens = lru_cache(maxsize=20_000)(text_encoder.count_tokens)
        self._opened: OrderedDict[tuple[tuple[str, int], ...], _Opened] = OrderedDict()

    def ask(
        self,
        question: str,
        videos: Sequence[str] | None = None,
        options: Sequence[str] = (),
        tell: Callable[[str], object] | None = None,
    ) -> Answer:
        """Asks about ``videos`` (ids, prefixes or names; None: all).  ``tell``: see :class:`.Task`.

        Raises :class:`~vidrag.store.errors.UsageError` for an empty or overlong question, repeated options and unknown
        videos; a failing language model is no error but a note and an answer from evidence alone, one that is not there
        is :class:`~vidrag.store.errors.ModelMissing`.
        """
        began = time.perf_counter()
        ready = self.prepare(question, videos, options, tell)
        task, steps = ready.task, ready.steps
        with steps.step("answer"):
            draft = self._answer(task, steps)
        steps.timings["total"] = time.perf_counter() - began
        return Answer(
            ready.question,
            _spoken(draft, task.options),
            LETTERS[draft.choice] if draft.choice is not None else None,
            draft.abstained,
            draft.citations,
            task.evidence,
            ready.request,
            (*steps.notes, *draft.notes),
            steps.timings,
            self.profile,
            self.fingerprints,
            draft.confidence,
            draft.scores,
            draft.usage,
            steps.degraded,
        )

    def prepare(
        self,
        question: str,
        videos: Sequence[str] | None = None,
        options: Sequence[str] = (),
        tell: Callable[[str], object] | None = None,
    ) -> Prepared:
        """All of :meth:`ask` but the answer: the task that a chat engine gets, with the same errors."""
        steps = _Steps()
        question = question.encode("utf-8", "replace").decode()  # odd bytes of a command line
        choices = _checked(question, [o.encode("utf-8", "replace").decode() for o in options])
        with steps.step("open"):
            asked, opened = self._open(question, videos, steps)
        with steps.step("decouple"):
            request = self.options.decouple.worded(self._decouple(asked, steps))
        with steps.step("encode"):
            encoded = encode(
                asked,
                request,
                choices,
                self.text_encoder,
                self.image_text_encoder,
                written=len(opened.rows.of("text")) > 0,
                looks=self._looks(request) and bool(opened.visual.shots),
            )
        with steps.step("retrieve"):
            found = found_rows(
                opened.rows,
                asked,
                request,
                encoded.queries,
                choices,
                self.options.retrieve,
                self.options.hops,
            )
        found.keep(self.options.context.kinds)
        if self._looks(request):
            with steps.step("look"):
                looker = Looker(opened.visual, self.detections, self.options.keyframes, steps.notes)
                looker.look(asked, request, found, encoded.captions, encoded.pictures)
        weight = {t: opened.rows.rarity(t) for text in (asked, *choices) for t in terms(text)}
        with steps.step("merge"):
            merged = merge(
                _ranked(found, request, asked, weight),
                [s.video for s in opened.shards],
                self._count_tokens,
                self._room(found),
            )
        steps.notes += [f"[{e.id}] is doubtful speech: {', '.join(e.doubts)}" for e, _ in merged if e.doubts]
        task = Task(
            asked,
            tuple(choices),
            tuple(e for e, _ in merged),
            _passages(merged, found.joined),
            weight,
            request.subjects,
            _shown_pictures(opened, merged) if self.chat.looks else (),
            request.visual,
            request.order,
            request.anchor,
            tell,
        )
        return Prepared(question, request, task, steps)

    def _open(self, question: str, videos: Sequence[str] | None, steps: _Steps) -> tuple[str, _Opened]:
        """The videos that are asked about, and the question without the file names that say so."""
        damaged, other = list[str](), list[str]()
        whole = list(self.archive.shards(damaged, other)) if videos is None else []
        if videos is None:
            ids = [s.video for s in whole]
            steps.notes += [f"left out, damaged: {d[:200]}" for d in damaged]
        else:
            ids = list(dict.fromkeys(self.archive.find(v) for v in videos))
        if not ids and len(other) == 1:
            self.archive.shard(other[0])  # says under which profile it is
        if other and ids:
            steps.notes.append(self.archive.left_out(len(other)))
        elif other:
            raise NotIndexed(f"{self.archive.location}: all {self.archive.left_out(len(other))}")
        if not ids:
            raise NoSuchVideo(
                f"{self.archive.location}: no videos yet; 'vidrag ingest {self.archive.location} VIDEO' adds some"
            )
        named = {}
        for name in _FILE.findall(question):
            try:
                found = self.archive.find(name)
            except UsageError:
                continue
            if found in ids:
                named[name] = found
        if named:
            ids = list(dict.fromkeys(named.values()))
            for name in named:
                question = re.sub(
                    rf"\b(?:in|of|from|at)\s+{re.escape(name)}\b[,:]?\s*|{re.escape(name)}", "", question, flags=re.I
                )
        shards = whole if whole and not named else [self.archive.shard(v) for v in ids]
        key = tuple((s.video, s.manifest.version) for s in shards)
        if key not in self._opened:
            self._opened[key] = _Opened(
                shards,
                RowSet(shards, self.text_encoder.spec),
                VisualIndex(shards, self.image_text_encoder, self.options.keyframes.shot_s),
            )
            while len(self._opened) > 1 and (
                len(self._opened) > 16 or sum(len(o.rows.rows) for o in self._opened.values()) > _MOST_ROWS
            ):
                self._opened.popitem(last=False)
        self._opened.move_to_end(key)
        return question.strip(" ,:") or "?", self._opened[key]

    def _decouple(self, question: str, steps: _Steps) -> Request:
        if self.options.decouple.engine == "llm":
            if isinstance(self.chat, LanguageModel):
                request, note = decouple.by_model(question, self.chat)
                if note:
                    steps.notes.append(note)
                    steps.degraded = True
                return request
            steps.notes.append("no language model is configured; the question was decoupled by rules")
        return decouple.by_rules(question)

    def _room(self, found: Found) -> ContextOptions:
        """The budget of rows: one more for each chapter that a question about the whole gets."""
        context = self.options.context
        return context.model_copy(update={"rows": context.rows + found.chapters})

    def _looks(self, request: Request) -> bool:
        return request.visual or bool(request.det) or self.options.keyframes.method == "uniform"

    def _answer(self, task: Task, steps: _Steps) -> Draft:
        if draft := ordered(task):
            return draft
        try:
            draft = self.chat.answer(task)
        except (EngineMissing, ModelMissing):
            raise
        except VidragError as e:
            steps.notes.append(f"answered from evidence alone: {one_line(e, 200)}")
            steps.degraded = True
            return self.fallback.answer(task)
        if draft.citations or draft.abstained or not task.evidence:
            return draft
        return replace(draft, notes=(*draft.notes, "the answer cites no evidence"))


def _shown_pictures(opened: _Opened, merged: Sequence[tuple[Evidence, Candidate]]) -> tuple[tuple[str, bytes], ...]:
    """The pictures of the frame rows, for engines that look."""
    shards = {s.video: s for s in opened.shards}
    return tuple((e.id, shards[c.video].jpeg(c.frame)) for e, c in merged if c.frame is not None)


def _ranked(found: Found, request: Request, question: str, weight: Mapping[str, float]) -> list[Candidate]:
    """Rows and pictures as one ranking.

    Taken in turns where the question is about what is seen, unless rows say most of what it asks; else rows first.
    """
    asked = sought(question)
    best = max((covered(asked, terms(c.text), weight) for c in found.rows[:FIRST]), default=0.0)
    if not request.visual or (best >= _SAYS and not found.joined):
        return [*found.rows[:FIRST], *interleaved(found.rows[FIRST:], found.pictures)]
    first, second = (found.rows, found.pictures) if request.asr else (found.pictures, found.rows)
    return interleaved(first, second)


def _passages(merged: Sequence[tuple[Evidence, Candidate]], joined: Sequence[Joined]) -> tuple[Passage, ...]:
    """Each row of the evidence, and the pairs that belong together."""
    of = {id(c): e for e, c in merged}
    out = [
        Passage((e.id,), "alone", e.kind, e.video, e.start, e.text, e.text, e.rank, c.dense, c.affinity)
        for e, c in merged
    ]
    for j in joined:
        a, b = of.get(id(j.first)), of.get(id(j.second))
        if a and b:
            about = a.text if b.kind == "frame" else f"{a.text} {b.text}"
            rank, dense = min(a.rank, b.rank), max(j.first.dense, j.second.dense)
            out.append(
                Passage((a.id, b.id), j.link, b.kind, b.video, b.start, about, b.text, rank, dense, j.second.affinity)
            )
    return tuple(sorted(out, key=lambda p: p.rank))


def _checked(question: str, options: Sequence[str]) -> list[str]:
    if not question.strip() or not any(c.isalnum() for c in question):
        raise UsageError('the question is empty; ask something, for example "What is the talk about?"')
    if len(question) > LONGEST_QUESTION:
        raise UsageError(f"the question has {len(question)} characters, {LONGEST_QUESTION} are allowed; shorten it")
    if len(options) == 1 or len(options) > len(LETTERS):
        raise UsageError(f"{len(options)} options given; give none, or 2 to {len(LETTERS)}")
    choices = [re.sub(r"^\s*\(?([A-Z])[.):]\s+", "", o).strip() for o in options]
    if any(not c for c in choices):
        raise UsageError(f"option {LETTERS[next(i for i, c in enumerate(choices) if not c)]} is empty")
    seen: dict[str, int] = {}
    for i, choice in enumerate(choices):
        if (first := seen.setdefault(" ".join(choice.lower().split()), i)) != i:
            raise UsageError(f"options {LETTERS[first]} and {LETTERS[i]} are the same: '{choice}'")
    return choices


def _spoken(draft: Draft, choices: Sequence[str]) -> str:
    if draft.text or draft.choice is None:
        return draft.text
    return choices[draft.choice]
