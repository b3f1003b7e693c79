"""``Asker.ask``: a question about videos of an archive becomes an answer that cites its evidence.

The way of a question: which videos it is about (open), what it wants (understand), which rows may answer it (find),
what the pictures show (look), which of all that is evidence (merge), and the answer.  Everything is read from the
store; no video is opened.  Engines and opened videos are kept, so that the next question costs little more than
encoding its text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ..store.archive.archive import Archive
from ..store.encoders import ImageTextEncoder, TextEncoder
from ..store.errors import EngineMissing, ModelMissing, UsageError, VidragError, one_line
from ..store.options import Options
from ..store.records import Evidence, clock
from .answer.answering import draft_of
from .answer.context import ContextOptions, interleaved, merge
from .answer.extractive import nearest
from .answer.models import Chat, LanguageModel
from .find.finding import Finder
from .find.names import called, spoken_of, titled
from .find.opening import Opened, Opener
from .find.rerankers import Reranker
from .find.retrieve import RetrieveOptions
from .find.rows import RowSet
from .find.search import Searcher
from .look.detections import DetectionCache
from .look.keyframes import KeyframeOptions
from .look.looking import Looker
from .look.showing import shown
from .look.visual import VisualIndex, Wanted
from .text.words import terms
from .types import LIKELY, OF_ROWS, Answer, Candidate, Draft, Found, Part, QuestionKind, Request, Task
from .understand import cues, decouple
from .understand.decouple import DecoupleOptions
from .understand.kinds import Kinds, common_terms, own_terms
from .understand.options import LETTERS, unlettered
from .understand.times import edge

LONGEST_QUESTION = 10_000
_OF_VIDEOS = ("whole", "details", "decided", "tasks", "beginning", "ending")
"""Kinds of questions that the name of a video narrows down, as it is not what they look for."""


class AskOptions(Options):
    """The options of every step of a question."""

    decouple: DecoupleOptions = DecoupleOptions()
    retrieve: RetrieveOptions = RetrieveOptions()
    keyframes: KeyframeOptions = KeyframeOptions()
    context: ContextOptions = ContextOptions()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A question with its evidence, ready to be answered."""

    question: str
    request: Request
    task: Task
    rows: RowSet
    steps: _Steps


class Asker:
    """Answers any number of questions over one archive.

    ``fallback`` answers where ``chat`` fails; ``fingerprints`` and ``profile`` are echoed in every answer; ``searcher``
    finds the videos that are opened for a question about all of an archive with an index; ``reranker`` orders the rows
    that retrieval finds once more.
    """

    def __init__(
        self,
        archive: Archive,
        text_encoder: TextEncoder,
        image_text_encoder: ImageTextEncoder,
        detections: DetectionCache,
        chat: Chat | LanguageModel,
        fallback: Chat | LanguageModel,
        options: AskOptions,
        profile: str = "",
        fingerprints: Mapping[str, str] | None = None,
        searcher: Searcher | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self.archive, self.options = archive, options
        self.text_encoder, self.image_text_encoder, self.detections = text_encoder, image_text_encoder, detections
        self.chat, self.fallback, self.reranker = chat, fallback, reranker
        self.profile, self.fingerprints = profile, dict(fingerprints or {})
        shots = partial(VisualIndex, encoder=image_text_encoder, longest_shot=options.keyframes.shot_s)
        self.opener = Opener(archive, text_encoder.spec, shots, searcher)

    @cached_property
    def _finder(self) -> Finder:
        return Finder(self.text_encoder, self.options.retrieve)

    @cached_property
    def _kinds(self) -> Kinds:
        return Kinds(self.text_encoder)

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
        if draft.abstained and (name := called(ready.rows, task.question)):
            steps.notes.append(name)
        steps.timings["total"] = time.perf_counter() - began
        return Answer(
            question=ready.question,
            text=_spoken(draft, task.options),
            choice=LETTERS[draft.choice] if draft.choice is not None else None,
            abstained=draft.abstained,
            citations=draft.citations,
            evidence=task.evidence,
            request=ready.request,
            nearest=nearest(task.evidence) if draft.abstained and not task.options else (),
            pictured=_pictured(ready.rows, task.evidence),
            notes=(*steps.notes, *draft.notes),
            timings=steps.timings,
            profile=self.profile,
            fingerprints=self.fingerprints,
            confidence=draft.confidence,
            scores=draft.scores,
            usage=draft.usage,
            degraded=steps.degraded,
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
        with steps.step("understand"):
            asked, ids, missing = self.opener.about(question, videos)
            searched = " ".join([asked, *choices]) if self.options.decouple.options else asked
            decoupled = self.options.decouple.worded(self._decouple(searched, steps))
        with steps.step("encode"):
            sought = self._finder.encode(searched, decoupled, choices)
            kind = self._kinds.of(sought.vectors[0]) if not choices else "fact"
            if kind in ("fact", "whole") and decoupled.time and cues.SHOWN.search(asked):
                kind = "seen"  # what is on screen with, after or before something
            request = _wanting(decoupled, kind, asked)
            looks = self._looks(request, choices)
            seen = self._pictured(request, choices) if looks else np.zeros((0, 1), np.float32)
        with steps.step("open"):
            opened = self.opener.opened(ids, sought, seen[: len(request.captions)], steps.notes)
            if kind in ("beginning", "ending") and spoken_of(opened.rows, own_terms(asked, None, "whole", kind)):
                request = decoupled  # "when did the war end?"
            whole = opened
            if not choices:
                request, opened = self._of_titles(asked, request, opened, steps)
            others = self.opener.sample(opened)
        with steps.step("find"):
            request, beyond, plain = _placed(request, opened)
            found = self._finder.find(opened.rows, sought, request, others, self._again(asked, steps))
            head = self._how_many(ids is None and opened is whole, opened) if found.kind == "details" else ""
            told = beyond if plain or found.sure < LIKELY else ""
            told = f"No video in this archive is called “{missing}”." if missing else told
        found.keep(self.options.context.kinds)
        if not looks and found.sure < LIKELY and (known := self._things_alone(asked, request)):
            request = replace(request, kind="seen", det=known)
            looks, seen = True, self._pictured(request, choices)
        if looks and not found.parts:
            with steps.step("look"):
                looker = Looker(opened.visual, self.detections, self.options.keyframes, steps.notes)
                wanted = Wanted(seen[len(request.captions) :])
                looker.look(asked, request, found, seen[: len(request.captions)], wanted)
                steps.degraded |= looker.failed
        with steps.step("merge"):
            merged = merge(
                [*(p.row for p in found.parts), *_ranked(found, request)],
                [s.video for s in opened.shards],
                self._room(found),
                found.beside,
            )
        steps.notes += [f"[{e.id}] is doubtful speech: {', '.join(e.doubts)}" for e, _ in merged if e.doubts]
        task = Task(
            question=asked,
            options=tuple(choices),
            evidence=tuple(e for e, _ in merged),
            weight={t: opened.rows.rarity(t) for text in (asked, *choices) for t in terms(text)},
            option_near=found.option_near,
            pictured=tuple(c for c in found.pictures if c.affinity),
            pictures=shown(opened.shards, merged, self.chat.frames) if self.chat.looks else (),
            visual=request.visual,
            kind=found.kind or request.kind,
            sure=found.sure,
            grounds=found.grounds,
            parts=_numbered(found.parts, merged),
            head=head,
            told=told,
            tell=tell,
        )
        return Prepared(question=question, request=request, task=task, rows=opened.rows, steps=steps)

    def _looks(self, request: Request, choices: Sequence[str]) -> bool:
        """Whether pictures may matter to the answer, whatever the rows say."""
        if request.kind == "seen" or self.options.keyframes.method == "uniform":
            return True
        return (bool(choices) or isinstance(self.chat, LanguageModel)) and (request.visual or bool(request.det))

    def _things_alone(self, asked: str, request: Request) -> tuple[str, ...]:
        """The things that a question asks of and the detector knows, where it asks of nothing else, as "is there a
        fridge?" does: pictures may answer it where no row says it.
        """
        known = tuple(thing for thing in request.det if self.detections.detector.knows(thing))
        rest = set(own_terms(asked, None, "seen", "every")).difference(terms(" ".join(known)))
        return () if rest else known

    def _pictured(self, request: Request, choices: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of what pictures are looked for by, the captions before the options, ``(n, dim)``."""
        texts = [*request.captions, *(f"a photo of {c}" for c in choices)]
        return self.image_text_encoder.queries(texts) if texts else np.zeros((0, 1), np.float32)

    def _how_many(self, every: bool, opened: Opened[VisualIndex]) -> str:
        """The number of videos and their length in all; nothing of one.  ``every``: all of the archive are meant."""
        videos = len(self.opener.archive.ids()) if every else len(opened.shards)
        length = sum(s.manifest.duration for s in opened.shards)
        told = f", {clock(length)} in all:" if videos == len(opened.shards) else ", of these:"
        return f"{videos} videos{told}" if videos > 1 else ""

    def _of_titles(
        self, asked: str, request: Request, opened: Opened[VisualIndex], steps: _Steps
    ) -> tuple[Request, Opened[VisualIndex]]:
        """Only the videos that a question about the whole names by the words of their file names."""
        places, rest = titled(asked, opened.rows)
        if places and request.kind in OF_ROWS:
            named = self._kinds.of(self._finder.encode(rest, request, ()).vectors[0])
            plain = named != "details" or any(len(opened.rows.titles[i]) > 1 for i in places)  # "how many bottles ...?"
            if plain and named in _OF_VIDEOS and set(terms(rest)) <= common_terms("whole", named):
                request = _wanting(request, named, rest)
        narrows = request.kind in _OF_VIDEOS or request.stretch is not None
        least = 2 if request.kind == "compare" else 1
        if not narrows or not least <= len(places) < len(opened.shards):
            return request, opened
        return request, self.opener.open([opened.shards[i].video for i in places], steps.notes)

    def _decouple(self, question: str, steps: _Steps) -> Request:
        if self.options.decouple.engine == "llm":
            if isinstance(self.chat, LanguageModel):
                request, note = decouple.by_model(question, self.chat.complete)
                if note:
                    steps.notes.append(note)
                    steps.degraded = True
                return request
            steps.notes.append("no language model is configured; the question was decoupled by rules")
        return decouple.by_rules(question)

    def _again(self, question: str, steps: _Steps) -> Callable[[Sequence[str]], NDArray[np.float32] | None] | None:
        """Scores of texts by the re-ranker, None where it fails; None where there is no re-ranker."""
        reranker = self.reranker
        if reranker is None or not reranker.identity:
            return None

        def scores(texts: Sequence[str]) -> NDArray[np.float32] | None:
            try:
                return reranker.scores(question, texts)
            except Exception as e:  # an engine may raise anything
                steps.notes.append(f"rows were not ranked again: {type(e).__name__}: {one_line(e, 200)}")
                steps.degraded = True
                return None

        return scores

    def _room(self, found: Found) -> ContextOptions:
        """The budget: room for the parts that are told, besides the rows that were found."""
        context, parts = self.options.context, len(found.parts)
        tokens = context.tokens if isinstance(self.chat, LanguageModel) else max(context.tokens, 200 * parts)
        return context.model_copy(update={"rows": context.rows + parts, "tokens": tokens})

    def _answer(self, task: Task, steps: _Steps) -> Draft:
        if task.kind == "details" and task.parts:  # a model sees rows alone
            return draft_of(self.fallback, task)
        try:
            draft = draft_of(self.chat, task)
        except (EngineMissing, ModelMissing):
            raise
        except VidragError as e:
            steps.notes.append(f"answered from evidence alone: {one_line(e, 200)}")
            steps.degraded = True
            return draft_of(self.fallback, task)
        if draft.citations or draft.abstained or not task.evidence:
            return draft
        return replace(draft, notes=(*draft.notes, "the answer cites no evidence"))


def _pictured(rows: RowSet, evidence: Sequence[Evidence]) -> frozenset[str]:
    """The videos of the evidence of which frames are stored."""
    cited = {e.video for e in evidence}
    return frozenset(s.video for s in rows.shards if s.video in cited and s.manifest.rows["frames"])


def _wanting(request: Request, kind: QuestionKind, asked: str) -> Request:
    """The request of a question of that kind; how a video begins or ends is a stretch of it as a whole."""
    if kind == "beginning" or kind == "ending":
        return replace(request, kind="whole", stretch=request.stretch or edge(asked, kind))
    return replace(request, kind=kind, visual=request.visual or kind == "seen")


def _placed(request: Request, opened: Opened[VisualIndex]) -> tuple[Request, str, bool]:
    """The request with the stretch of time that it names, where the videos reach it; what is to be told of one that
    they do not; and whether it can mean nothing else.

    A moment that lies beyond the end may be a time of the day that somebody speaks of.
    """
    stretch = request.stretch
    if stretch is None:
        return request, "", True
    ends = [s.manifest.duration for s in opened.shards]
    if any(end > start for start, end in map(stretch.within, ends)):
        return request, "", True
    of_the_day = stretch.instant and stretch.words.count(":") == 1 and stretch.start < 24 * 60
    longest = max(ends, default=0.0)
    what = opened.shards[0].name if len(ends) == 1 else "the longest of the videos"
    told = f"“{stretch.words}” lies beyond the end: {what} is {clock(longest)} long."
    asked = set(own_terms(stretch.rest, None, "whole", "topic", "seen")).difference(*opened.rows.titles)
    return replace(request, stretch=None), told, request.kind == "whole" or not of_the_day or not asked


def _ranked(found: Found, request: Request) -> list[Candidate]:
    """Rows and pictures as one ranking: pictures first, in turns, where the question is about what is seen."""
    if request.visual and request.kind == "seen":
        return interleaved(found.pictures, found.rows)
    return interleaved(found.rows, found.pictures) if request.visual else [*found.rows, *found.pictures]


def _numbered(parts: Sequence[Part], merged: Sequence[tuple[Evidence, Candidate]]) -> tuple[tuple[str, Part], ...]:
    """The parts whose rows are evidence, with the ids of these."""
    ids = {candidate: evidence.id for evidence, candidate in merged}
    return tuple((ids[p.row], p) for p in parts if p.row in ids)


def _checked(question: str, options: Sequence[str]) -> list[str]:
    if not question.strip() or not any(c.isalnum() for c in question):
        raise UsageError('the question is empty; ask something, for example "What is the talk about?"')
    if len(question) > LONGEST_QUESTION:
        raise UsageError(f"the question has {len(question)} characters, {LONGEST_QUESTION} are allowed; shorten it")
    if len(options) == 1 or len(options) > len(LETTERS):
        raise UsageError(f"{len(options)} options given; give none, or 2 to {len(LETTERS)}")
    choices = unlettered(options)
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
