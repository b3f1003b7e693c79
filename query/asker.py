"""``Asker.ask``: a question about videos of an archive becomes an answer that cites its evidence.

Everything is read from the store; no video is opened.  Engines and opened videos are kept, so that the next question
costs little more than encoding its text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ..store.archive import Archive
from ..store.encoders import ImageTextEncoder, TextEncoder
from ..store.engines import Options
from ..store.errors import EngineMissing, ModelMissing, UsageError, VidragError, one_line
from .answer.answering import answerer
from .answer.context import ContextOptions, interleaved, merge
from .answer.models import Chat, LanguageModel
from .answer.passages import passages
from .answer.support import covered
from .find.encoding import encode
from .find.gather import FIRST, found_rows
from .find.hops import HopOptions
from .find.opening import Opener
from .find.rerankers import Reranker
from .find.retrieve import RetrieveOptions
from .find.search import Searcher
from .look.colours import coloured
from .look.detections import DetectionCache
from .look.keyframes import KeyframeOptions
from .look.looking import Looker
from .look.showing import shown
from .look.visual import VisualIndex, Wanted
from .text.words import sought, terms
from .types import Answer, Candidate, Draft, Found, Request, Task
from .understand import decouple
from .understand.decouple import DecoupleOptions
from .understand.options import LETTERS, unlettered

LONGEST_QUESTION = 10_000
_SAYS = 0.5
"""Share of a question from which on its best row says what it asks."""


class AskOptions(Options):
    """The options of every step of a question."""

    decouple: DecoupleOptions = DecoupleOptions()
    retrieve: RetrieveOptions = RetrieveOptions()
    hops: HopOptions = HopOptions()
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
        self.chat, self.fallback = chat, fallback
        self.profile, self.fingerprints = profile, dict(fingerprints or {})
        self._count_tokens = lru_cache(maxsize=20_000)(text_encoder.count_tokens)
        self.reranker = reranker
        shots = partial(VisualIndex, encoder=image_text_encoder, longest_shot=options.keyframes.shot_s)
        self.opener = Opener(archive, text_encoder.spec, shots, searcher)

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
            question=ready.question,
            text=_spoken(draft, task.options),
            choice=LETTERS[draft.choice] if draft.choice is not None else None,
            abstained=draft.abstained,
            citations=draft.citations,
            evidence=task.evidence,
            request=ready.request,
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
        with steps.step("open"):
            asked, ids = self.opener.about(question, videos)
            view = self.opener.indexed() if ids is None else None
            opened = self.opener.open(ids, steps.notes) if view is None else None
        with steps.step("decouple"):
            request = self.options.decouple.worded(self._decouple(asked, steps))
        with steps.step("encode"):
            encoded = encode(
                asked,
                request,
                choices,
                self.text_encoder,
                self.image_text_encoder,
                written=opened is None or len(opened.rows.of("text")) > 0,
                looks=self._looks(request) and (opened is None or bool(opened.visual.shots)),
            )
        if opened is None:
            with steps.step("open"):
                opened = self.opener.likely(view, asked, choices, encoded, steps.notes)
        with steps.step("retrieve"):
            found = found_rows(
                opened.rows,
                asked,
                request,
                encoded.queries,
                choices,
                self.options.retrieve,
                self.options.hops,
                self._again(asked, steps),
            )
        found.keep(self.options.context.kinds)
        if self._looks(request):
            with steps.step("look"):
                looker = Looker(opened.visual, self.detections, self.options.keyframes, steps.notes)
                wanted = Wanted(encoded.pictures, coloured(choices) if self.options.keyframes.colours else ())
                looker.look(asked, request, found, encoded.captions, wanted)
                steps.degraded |= looker.failed
        weight = {t: opened.rows.rarity(t) for text in (asked, *choices) for t in terms(text)}
        with steps.step("merge"):
            merged = merge(
                _ranked(found, request, asked, weight),
                [s.video for s in opened.shards],
                self._count_tokens,
                self._room(found),
                found.beside,
            )
        steps.notes += [f"[{e.id}] is doubtful speech: {', '.join(e.doubts)}" for e, _ in merged if e.doubts]
        task = Task(
            question=asked,
            options=tuple(choices),
            evidence=tuple(e for e, _ in merged),
            passages=passages(merged, found.joined),
            weight=weight,
            subjects=request.subjects,
            described=request.described,
            pictures=shown(opened.shards, merged, self.chat.frames) if self.chat.looks else (),
            visual=request.visual,
            order=request.order,
            anchor=request.anchor,
            tell=tell,
        )
        return Prepared(question=question, request=request, task=task, steps=steps)

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
        """The budget of rows: one more for each chapter that a question about the whole gets."""
        context = self.options.context
        return context.model_copy(update={"rows": context.rows + found.chapters})

    def _looks(self, request: Request) -> bool:
        return request.visual or bool(request.det) or self.options.keyframes.method == "uniform"

    def _answer(self, task: Task, steps: _Steps) -> Draft:
        try:
            draft = answerer(self.chat).answer(task)
        except (EngineMissing, ModelMissing):
            raise
        except VidragError as e:
            steps.notes.append(f"answered from evidence alone: {one_line(e, 200)}")
            steps.degraded = True
            return answerer(self.fallback).answer(task)
        if draft.citations or draft.abstained or not task.evidence:
            return draft
        return replace(draft, notes=(*draft.notes, "the answer cites no evidence"))


def _ranked(found: Found, request: Request, question: str, weight: Mapping[str, float]) -> list[Candidate]:
    """Rows and pictures as one ranking.

    Taken in turns where the question is about what is seen, unless rows say most of what it asks or each holds one of
    several options that are to be put in order; else rows first.
    """
    asked = sought(question)
    best = max((covered(asked, terms(c.text), weight) for c in found.rows[:FIRST]), default=0.0)
    shown = any(j.second.kind in ("frame", "detection") for j in found.joined)
    if not request.visual or (best >= _SAYS and not shown) or found.named > 1:
        ahead = max(FIRST, found.named)
        return [*found.rows[:ahead], *interleaved(found.rows[ahead:], found.pictures)]
    first, second = (found.rows, found.pictures) if request.asr else (found.pictures, found.rows)
    return interleaved(first, second)


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
