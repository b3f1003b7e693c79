"""``Asker.ask``: a question about videos of an archive becomes an answer that cites its evidence.

Everything is read from the store; no video is opened.  Engines and opened videos are kept, so that the next question
costs little more than encoding its text.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..store.archive import Archive
from ..store.encoders import ImageTextEncoder, TextEncoder
from ..store.engines import Options
from ..store.errors import NoSuchVideo, UsageError, VidragError, one_line
from ..store.records import Evidence
from ..store.shard import Shard
from ..store.vectors import Vectors
from . import decouple
from .answer import Answer
from .chat import LETTERS, Chat, Draft, LanguageModel, Task
from .context import Candidate, ContextOptions, interleaved, merge
from .decouple import DecoupleOptions, Request
from .detections import DetectionCache
from .keyframes import KeyframeOptions
from .retrieve import Hit, RetrieveOptions, query_vectors, retrieve
from .rows import RowKind, RowSet
from .visual import VisualIndex
from .words import sought, terms

LONGEST_QUESTION = 10_000
_FILE = re.compile(r"[^\s\"“”'(),;?]+\.[A-Za-z0-9]{2,5}\b")


class AskOptions(Options):
    """The options of every step of a question."""

    decouple: DecoupleOptions = DecoupleOptions()
    retrieve: RetrieveOptions = RetrieveOptions()
    keyframes: KeyframeOptions = KeyframeOptions()
    context: ContextOptions = ContextOptions()


@dataclass(slots=True)
class _Opened:
    """Some videos, opened for questions."""

    shards: list[Shard]
    rows: RowSet
    visual: VisualIndex


@dataclass(frozen=True, slots=True)
class _Vectors:
    """The encoded texts of one question: queries by kind, statements with each option, captions, pictured options."""

    queries: dict[RowKind, Vectors]
    options: Vectors
    captions: Vectors
    pictures: Vectors


@dataclass(slots=True)
class _Steps:
    """Seconds a step, and what the user should know."""

    timings: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - began


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
        self._opened: OrderedDict[tuple[tuple[str, int], ...], _Opened] = OrderedDict()

    def ask(self, question: str, videos: Sequence[str] | None = None, options: Sequence[str] = ()) -> Answer:
        """Asks about ``videos`` (ids, prefixes or names; None: all).

        Raises :class:`~vidrag.store.errors.UsageError` for an empty or overlong question, repeated options and unknown
        videos; a failing language model is no error but a note and an answer from evidence alone.
        """
        began, steps = time.perf_counter(), _Steps()
        question = question.encode("utf-8", "replace").decode()  # odd bytes of a command line
        choices = _checked(question, options)
        with steps.step("open"):
            asked, opened = self._open(question, videos, steps)
        with steps.step("decouple"):
            request = self._decouple(asked, steps)
        with steps.step("encode"):
            vectors = self._encode(asked, request, choices)
        with steps.step("retrieve"):
            hits = retrieve(opened.rows, vectors.queries, sought(asked), self.options.retrieve, request.anchor)
            rows = (self._row(opened.rows, h, vectors.options) for h in hits)
            found = [r for r in rows if r.kind in self.options.context.kinds]
        pictures = self._pictures(opened, request, found, vectors, steps)
        with steps.step("merge"):
            first, second = (pictures, found) if request.visual and not request.asr else (found, pictures)
            merged = merge(
                interleaved(first, second),
                [s.video for s in opened.shards],
                self.text_encoder.count_tokens,
                self.options.context,
            )
        steps.notes += [f"[{e.id}] is doubtful speech: {', '.join(e.doubts)}" for e, _ in merged if e.doubts]
        with steps.step("answer"):
            draft = self._answer(asked, choices, merged, opened, request, steps)
        steps.timings["total"] = time.perf_counter() - began
        letter = LETTERS[draft.choice] if draft.choice is not None else None
        return Answer(
            question,
            _spoken(draft, choices),
            letter,
            draft.abstained,
            draft.citations,
            tuple(e for e, _ in merged),
            request,
            (*steps.notes, *draft.notes),
            steps.timings,
            self.profile,
            self.fingerprints,
        )

    def _open(self, question: str, videos: Sequence[str] | None, steps: _Steps) -> tuple[str, _Opened]:
        """The videos that are asked about, and the question without the file names that say so."""
        damaged: list[str] = []
        if videos is None:
            ids = [s.video for s in self.archive.shards(damaged)]
            steps.notes += [f"left out, damaged: {d[:200]}" for d in damaged]
        else:
            ids = list(dict.fromkeys(self.archive.find(v) for v in videos))
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
        shards = self._shards(ids, all_of_them=videos is not None or bool(named))
        key = tuple((s.video, s.manifest.version) for s in shards)
        if key not in self._opened:
            self._opened[key] = _Opened(
                shards, RowSet(shards, self.text_encoder.spec), VisualIndex(shards, self.image_text_encoder)
            )
            while len(self._opened) > 16:
                self._opened.popitem(last=False)
        self._opened.move_to_end(key)
        return question.strip(" ,:") or "?", self._opened[key]

    def _shards(self, ids: Sequence[str], all_of_them: bool) -> list[Shard]:
        """The videos ``ids``; one that was taken out meanwhile is an error only where it was asked for by name."""
        found = []
        for video in ids:
            try:
                found.append(self.archive.shard(video))
            except NoSuchVideo:
                if all_of_them:
                    raise
        if not found:
            raise NoSuchVideo(f"{self.archive.location}: the last video was taken out while it was asked about")
        return found

    def _decouple(self, question: str, steps: _Steps) -> Request:
        if self.options.decouple.engine == "llm":
            if isinstance(self.chat, LanguageModel):
                request, note = decouple.by_model(question, self.chat)
                if note:
                    steps.notes.append(note)
                return request
            steps.notes.append("no language model is configured; the question was decoupled by rules")
        return decouple.by_rules(question)

    def _encode(self, question: str, request: Request, choices: Sequence[str]) -> _Vectors:
        """Every text of a question in one batch of each encoder."""
        texts = [question, request.asr or question, *request.det, *(f"{question} {c}" for c in choices)]
        found = self.text_encoder.queries(texts)
        things = len(request.det)
        looks = [*request.captions, *(f"a photo of {c}" for c in choices)]
        uniform = self.options.keyframes.method == "uniform"
        seen = (
            self.image_text_encoder.queries(looks)
            if looks and (request.visual or request.det or uniform)
            else found[:0]
        )
        cut = len(request.captions)
        return _Vectors(
            query_vectors(found[0], found[1] if request.asr else None, list(found[2 : 2 + things])),
            found[2 + things :],
            seen[:cut],
            seen[cut:],
        )

    def _row(self, rows: RowSet, hit: Hit, options: Vectors) -> Candidate:
        row = rows.rows[hit.at]
        shard = rows.shards[row.shard]
        return Candidate(
            row.kind,
            shard.video,
            shard.name,
            row.start,
            row.end,
            row.text,
            hit.score,
            affinity=tuple(rows.affinity(hit.at, options)),
            doubts=row.doubts,
        )

    def _pictures(
        self, opened: _Opened, request: Request, found: Sequence[Candidate], vectors: _Vectors, steps: _Steps
    ) -> list[Candidate]:
        """Key frames and what is detected in them, best first: where the question is about what is seen."""
        if not (request.visual or request.det or self.options.keyframes.method == "uniform"):
            return []
        visual, out = opened.visual, list[Candidate]()
        with steps.step("keyframes"):
            best = visual.best(vectors.captions, self.options.keyframes)
            if request.asr or not best:  # what is on screen while it is said or written
                landmarks = sorted(found[:6], key=lambda c: c.kind != request.anchor) if request.anchor else found
                joined = [
                    (s, row, 1.0)
                    for c in landmarks[:2]
                    if (at := visual.at(c.video, (c.start + c.end) / 2))
                    for s, row in [at]
                ]
                best = [*joined, *(b for b in best if all(b[0] != j[0] for j in joined))]
        known = self._known(request, steps)
        with steps.step("detect"):
            for shot, row, score in best[: self.options.keyframes.count]:
                if known and (seen := visual.detected(shot, row, score, known, request.type, self.detections)):
                    out.append(seen)
                out.append(visual.seen(shot, row, score, vectors.pictures))
        return out

    def _known(self, request: Request, steps: _Steps) -> list[str]:
        known = []
        for entity in request.det:
            name = self.detections.detector.knows(entity)
            if name:
                known.append(name)
            elif request.visual or request.type:
                steps.notes.append(f"the detector does not know '{entity}'")
        return list(dict.fromkeys(known))

    def _answer(
        self,
        question: str,
        choices: Sequence[str],
        merged: Sequence[tuple[Evidence, Candidate]],
        opened: _Opened,
        request: Request,
        steps: _Steps,
    ) -> Draft:
        evidence = tuple(e for e, _ in merged)
        asked = {t for text in (question, *choices) for t in terms(text)}
        task = Task(
            question,
            tuple(choices),
            evidence,
            {e.id: c.affinity for e, c in merged if c.affinity},
            {t: opened.rows.rarity(t) for t in asked},
            self._shown(opened, merged) if self.chat.looks else (),
            request.visual,
        )
        try:
            draft = self.chat.answer(task)
        except VidragError as e:
            steps.notes.append(f"answered from evidence alone: {one_line(e, 200)}")
            return self.fallback.answer(task)
        if draft.citations or draft.abstained or not evidence:
            return draft
        return Draft(draft.text, draft.choice, (), draft.abstained, (*draft.notes, "the answer cites no evidence"))

    def _shown(self, opened: _Opened, merged: Sequence[tuple[Evidence, Candidate]]) -> tuple[tuple[str, bytes], ...]:
        """The pictures of the frame rows, for engines that look."""
        shards = {s.video: s for s in opened.shards}
        return tuple((e.id, shards[c.video].jpeg(c.frame)) for e, c in merged if c.frame is not None)


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
