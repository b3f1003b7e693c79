"""Asks the questions of a data set under one arm after another, and keeps a trace of each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...query.asker import Asker
from ...store.archive.archive import Archive
from ...store.errors import (
    AmbiguousVideo,
    ArchiveDamaged,
    EngineMissing,
    ModelMissing,
    NoSuchVideo,
    UsageError,
    VidragError,
    one_line,
)
from ...store.fingerprints import digest, sha256_of
from .. import build, profile
from ..answers.asking import code
from .arms import Arm
from .controls import FormGuesser, blind
from .dataset import Dataset, Question
from .judge import Judge
from .traces import Trace, TraceFile, fell_back
from .videos import Videos

Report = Callable[[str, int, int], None]
"""Told the arm's name, how many of its questions are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all arms of a run share.  ``subtitled``: the archive of official subtitles; ``folder``: where traces go,
    None for nowhere; ``judge`` scores answers to questions that have a reference answer.
    """

    dataset: Dataset
    archive: Archive
    subtitled: Archive | None
    profile: str
    overrides: tuple[str, ...]
    seed: int
    folder: Path | None
    judge: Judge | None = None


@dataclass(slots=True)
class ArmRun:
    """What came of an arm.  ``error`` says why it did not run; ``notes`` what else should be known; ``reused`` how
    many traces were there already.
    """

    arm: Arm
    traces: dict[str, Trace] = field(default_factory=dict)
    error: VidragError | None = None
    notes: list[str] = field(default_factory=list)
    reused: int = 0
    fingerprints: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        return one_line(self.error) if self.error else ""

    @property
    def failed(self) -> int:
        """Questions without an answer, or answered by what steps in for a language model that failed."""
        return sum("answer" not in t or fell_back(t) for t in self.traces.values())


def run(setting: Setting, arms: Sequence[Arm], asked: Sequence[Question], report: Report) -> list[ArmRun]:
    """Asks ``asked`` under each arm.  An arm that cannot run says why, and the others go on."""
    load = build.shared_engines()
    out = []
    for arm in arms:
        made = ArmRun(arm)
        try:
            _run(setting, arm, asked, made, load, report)
        except (UsageError, EngineMissing, ModelMissing, ArchiveDamaged) as e:
            made.error = e
        out.append(made)
    return out


def _run(setting: Setting, arm: Arm, asked: Sequence[Question], made: ArmRun, load: build.Load, report: Report) -> None:
    dataset, control = setting.dataset, arm.options.control
    archive = setting.archive
    if arm.options.subtitled:
        if setting.subtitled is None:
            raise UsageError("needs an archive whose speech came from the official subtitles; --subtitled ARCHIVE")
        archive = setting.subtitled
    chosen = profile.load(setting.profile, (*setting.overrides, *arm.options.set))
    videos = Videos(archive.under(chosen.key()))
    if arm.options.subtitled:
        asked = _subtitled(videos, asked, made)
    if control:
        asked = [q for q in asked if q.options]
    prints: dict[str, Any] = {"control": control, "code": code_fingerprint()}
    if setting.judge:
        prints["judge"] = setting.judge.model.identity
    answer: Callable[[Question], dict[str, Any]]
    if control == "form":
        if not dataset.scored:
            raise UsageError("needs right answers to learn from; this data set tells none")
        answer = FormGuesser(asked).guess
        prints["trained"] = digest([[q.id, q.options, q.answer] for q in asked])
    elif control == "blind":
        chat = load("chat", chosen.chat.name, dict(chosen.chat.options))
        prints |= {"chat": [chosen.chat.name, dict(chosen.chat.options)], **served(chat)}
        answer = functools.partial(blind, chat)
    else:
        asker = build.asker(archive, chosen, load)
        prints |= {**asker.fingerprints, **served(asker.chat)}
        answer = functools.partial(_ask, asker, videos)
    made.fingerprints = prints

    of_arm = digest(prints)
    of_question = {q.id: _print(of_arm, q, None if control else videos) for q in asked}
    file = TraceFile(setting.folder / "traces" / f"{arm.name}.jsonl" if setting.folder else None)
    made.reused = file.keep(of_question)
    report(arm.name, made.reused, len(asked))
    try:
        for question in asked:
            if question.id in file.by_id:
                continue
            told = _trace(setting, arm, question, None if control else videos)
            told["fingerprint"] = of_question[question.id]
            try:
                found = answer(question)
                if setting.judge and question.reference:
                    told["judged"] = setting.judge.score(question.question, question.reference, found)
                told["answer"] = found
            except VidragError as e:
                told["error"] = {"type": type(e).__name__, "message": one_line(e)}
            file.add(told)
            report(arm.name, len(file.by_id), len(asked))
        file.write([q.id for q in asked])
    finally:
        file.close()
    made.traces = {q.id: file.by_id[q.id] for q in asked}


def _subtitled(videos: Videos, asked: Sequence[Question], made: ArmRun) -> list[Question]:
    """The questions whose videos the archive of official subtitles has, with speech from subtitles in some."""
    there, missing = [], 0
    ids: dict[str, None] = {}
    for question in asked:
        try:
            ids |= dict.fromkeys(videos.ids(question))
            there.append(question)
        except (NoSuchVideo, AmbiguousVideo, ArchiveDamaged):
            missing += 1
    where, found = videos.archive.location, videos.from_subtitles([*ids])
    if not found:
        raise UsageError(f"{where}: no speech from subtitles in it; index with --set subtitles.use=only")
    if missing:
        made.notes.append(f"{missing} questions not asked: their videos are not in {where}")
    if found < len(ids):
        made.notes.append(f"{found} of {len(ids)} videos in {where} have speech from subtitles")
    return there


def _print(of_arm: str, question: Question, videos: Videos | None) -> str:
    content = [[v, videos.content(v)] for v in videos.ids(question)] if videos else []
    return digest([of_arm, question.id, question.question, question.options, content])


def _trace(setting: Setting, arm: Arm, question: Question, videos: Videos | None) -> dict[str, Any]:
    versions = []
    for video in videos.ids(question) if videos else ():
        if videos and (own := videos.archive.manifest(video)):
            versions.append({"id": video, "name": own.name, "version": own.version, "content": videos.content(video)})
    return {
        "id": question.id,
        "arm": arm.name,
        "control": arm.options.control,
        "dataset": setting.dataset.name,
        "right": question.answer,
        "options": list(question.options),
        "reference": question.reference,
        "groups": dict(question.groups),
        "archive": videos.archive.location if videos else None,
        "videos": versions,
        "overrides": [*setting.overrides, *arm.options.set],
        "seed": setting.seed,
    }


def _ask(asker: Asker, videos: Videos, question: Question) -> dict[str, Any]:
    """The answer as ``vidrag ask --json`` has it, with the letter that the question has for the option."""
    options, letters = question.distinct()
    ids = None if question.videos is None else videos.ids(question)
    alike = len(options) == 1
    answer = asker.ask(question.question, ids, () if alike else options)
    told = {**answer.as_json(), "tokens": answer.usage.read + answer.usage.written}
    if alike:
        told["choice"] = letters
        told["notes"] = [*told["notes"], "all options are the same"]
    elif told["choice"]:
        told["choice"] = letters[ord(told["choice"]) - ord("A")]
    return told


def served(chat: object) -> dict[str, Any]:
    """What a chat engine that asks a server took from its environment."""
    return {"chat_model": str(identity)} if (identity := getattr(chat, "identity", None)) else {}


@functools.cache
def code_fingerprint() -> str:
    """Changes with the code that answers, and with the controls."""
    return digest([code(), sha256_of(Path(__file__).with_name("controls.py"))])
