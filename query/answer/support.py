"""How far evidence bears out each option of a question: numbers that every answering engine can use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..text.likeness import Spelt, likeness, numbers_heard, spelt
from ..text.synonyms import also_called
from ..text.words import sought, terms, words
from ..types import LINES, Passage, Task
from ..understand.cues import names
from .passages import alone

NOT_SAID = re.compile(
    r"\b(?:do(?:es)? not (?:say|tell|mention|show)|not (?:mentioned|said|shown|stated|given|specified)|"
    r"(?:cannot|can not|can't|could not) be (?:determined|known|told|answered|inferred)|none of (?:the|these)|unknown|"
    r"not enough information|no information|nothing (?:is )?said)\b",
    re.I,
)
_AFTER_NOT = re.compile(
    r"\b(?:not|instead of|rather than|no longer|never)\s+(?:(?:the|a|an|in|at|by|on|of)\s+)*(.{1,60})", re.I
)
_CORRECTS = re.compile(
    r"\b(?:correct(?:ion|ed|ing)?|mistake\w*|sorry|apolog\w+|i meant|misspoke|wrong(?:ly)?|take (?:that|it) back|"
    r"actually|in fact|revised?|updated?|put (?:it )?right)\b",
    re.I,
)
_WRONG = re.compile(
    r"\b(?:correction|correct (?:an?|the|my|our|this|that)|mistake\w*|sorry|apolog\w+|misspoke|wrong(?:ly)?|"
    r"not (?:right|correct|true))\b",
    re.I,
)
_HEARD = 0.99
_MISREAD = 88
"""Likeness of letters, of 100, from which on a word of screen text is another one misread."""
NOTHING = "The videos do not say."
"""What is answered where no row answers."""
_LITTLE = 3  # terms of a remark that only says that something was wrong
_REMARK = 6.0  # seconds from the beginning of a remark to that of the next
NAMES = (
    "said",
    "heard",
    "covered",
    "subject",
    "dense",
    "denied",
    "outdated",
    "was",
    "rank",
    "shown",
    "pictured",
    "written",
    "asked",
    "lacks",
    "tinted",
)
"""What is known of an option and a passage, see :func:`features`."""


def not_said(options: Sequence[str]) -> int | None:
    """Which option says that the videos do not answer; None where none does."""
    return next((i for i, o in enumerate(options) if NOT_SAID.search(o)), None)


@dataclass(frozen=True, slots=True)
class Features:
    """``values``: float32 ``(n_options, n_passages, len(NAMES))``; ``passages`` in the same order."""

    values: NDArray[np.float32]
    passages: tuple[Passage, ...]


def features(task: Task) -> Features:
    """What each passage says for each option.

    ``said``: share of the option's own terms that the passage holds, by rarity; ``heard``: likeness of the option to a
    stretch of it, by letters and sound; ``covered``: share of the question's terms, of a slide those on the line that
    holds the option; ``subject``: likeness of the question's names and phrases, the worst counting half; ``dense``:
    inner product with the question; ``denied``: the passage says "not <option>"; ``outdated``: a later row corrects it;
    ``was``: it corrects an earlier row that said this option; ``rank``: 1 for the first, falling; ``shown``: how much
    better the picture fits this option than the others; ``pictured``: 1 where a question about what is seen meets a
    picture; ``written``: 1 for screen text, which is read better than speech is heard; ``asked``: 1 where the question
    asks for rows of this very kind; ``lacks``: how much screen text lacks of that name or phrase of the question that
    it holds least of, 0 where the question only describes what it is about; ``tinted``: whether the picture shows the
    colours that the option names, from -1 to 1, 0 where it names none.
    """
    passages = task.passages or alone(task.evidence)
    options = task.options or ("",)
    out = np.zeros((len(options), len(passages), len(NAMES)), np.float32)
    if not passages:
        return Features(out, ())
    asked = sought(task.question)
    told = [terms(also_called(p.answer) if p.kind == "frame" else p.answer) for p in passages]
    about = [set(terms(p.about)) for p in passages]
    texts = [spelt(p.answer) for p in passages]
    corrections = _corrections(passages, about)
    late = {earlier for earlier, _ in corrections}
    of = dict(zip(NAMES, np.moveaxis(out, -1, 0), strict=True))
    if task.options:
        of["heard"][:] = likeness([spelt(o) for o in options], texts)
    of["covered"][:] = [covered(asked, t, task.weight) for t in about]
    named = task.subjects  # where none is found, as in languages that the rules do not know, all words count
    of["subject"][:] = _subject(named, [spelt(p.about) for p in passages]) if named else of["covered"]
    of["dense"][:] = [max(0.0, p.dense) for p in passages]
    of["outdated"][:] = [j in late for j in range(len(passages))]
    of["rank"][:] = [1 / p.rank for p in passages]
    of["written"][:] = [p.kind == "text" for p in passages]
    of["asked"][:] = [p.kind == task.anchor for p in passages]
    if not task.described:
        _weigh_subjects(task, passages, about, of)
    slides = {j: lines for j, p in enumerate(passages) if (lines := _lines(p, asked, task.weight))}
    for i, option in enumerate(options):
        own, wanted = claimed(option, asked), words(option)
        of["said"][i] = said = [covered(own, t, task.weight) for t in told]
        for j, lines in slides.items():
            of["covered"][i, j] *= _on_its_line(lines, own, task.weight)
        of["denied"][i] = [_denied(wanted, p.answer) for p in passages] if wanted else 0
        for earlier, later in corrections:
            of["was"][i, later] = max(of["was"][i, later], said[earlier])
    if of["denied"].any():
        _said_instead(options, passages, of)
    for j, p in enumerate(passages) if task.visual else ():
        if p.shown:
            of["pictured"][:, j] = 1
            of["shown"][:, j] = [x - (sum(p.shown) - x) / max(1, len(p.shown) - 1) for x in p.shown]
        if p.tints:
            of["tinted"][:, j] = p.tints
    return Features(out, passages)


def claimed(text: str, asked: Sequence[str]) -> list[str]:
    """What a row must say for an option or an answer: its terms that the question does not hold, else all of them."""
    found = terms(text)
    return [t for t in found if t not in asked] or found


def covered(wanted: Sequence[str], has: Sequence[str] | set[str], weight: Mapping[str, float]) -> float:
    """Share of ``wanted`` terms found in ``has``, weighted by rarity; near misses of longer words count in part."""
    total = found = 0.0
    for term in wanted:
        w = weight.get(term, 1.0)
        total += w
        if term in has:
            found += w
        elif len(term) > 4 and not term.isdigit():
            found += w * 0.7 if any(_alike(term, h) for h in has if len(h) > 3) else 0.0
    return found / total if total else 0.0


@lru_cache(maxsize=50_000)
def _alike(term: str, other: str) -> bool:
    from rapidfuzz import fuzz

    return abs(len(term) - len(other)) <= 2 + len(term) // 2 and bool(fuzz.ratio(term, other) >= 80)


def _subject(subjects: Sequence[str], about: Sequence[Spelt]) -> NDArray[np.float32]:
    """Likeness of the subjects to each text: half their mean, half the worst.

    A subject counts as far as any of the texts holds it: one that none does is said in other words.
    """
    found = likeness([spelt(s) for s in subjects], about)
    known = found.max(1) + 0.05
    mean = known @ found / known.sum()
    worst = (1 - known[:, None] * (1 - found)).min(0)
    out: NDArray[np.float32] = (0.5 * mean + 0.5 * np.maximum(worst, 0)).astype(np.float32)
    return out


def _lines(passage: Passage, asked: Sequence[str], weight: Mapping[str, float]) -> list[tuple[list[str], float]]:
    """The terms of each line of a slide, and the share that it holds of what the slide holds of the question; empty for
    other rows, for slides of one line, and where there is nothing of the question.
    """
    lines = [terms(line) for line in passage.answer.split(LINES)] if passage.kind == "text" else []
    if len(lines) < 2 or passage.link != "alone":
        return []
    whole = covered(asked, [t for line in lines for t in line], weight)
    return [(line, covered(asked, line, weight) / whole) for line in lines] if whole else []


def _on_its_line(lines: Sequence[tuple[list[str], float]], own: Sequence[str], weight: Mapping[str, float]) -> float:
    """The share of the line that holds most of an option, see :func:`_lines`; 1 where none holds any."""
    holds = [covered(own, line, weight) for line, _ in lines]
    most = max(holds)
    return max(share for (_, share), held in zip(lines, holds, strict=True) if held == most) if most else 1.0


def _weigh_subjects(
    task: Task, passages: Sequence[Passage], about: Sequence[set[str]], of: dict[str, NDArray[np.float32]]
) -> None:
    """What screen text lacks of what the question is about: fills ``lacks``, and lowers ``subject`` where it is a name.

    A name is not said in other words, a phrase may be: of one that is found in part, only those words count that are.
    """
    known = set().union(*about)
    named = names(task.question)
    wanted = [t if s in named else ([x for x in t if _holds(known, x)] or t) for s in task.subjects if (t := terms(s))]
    strictly = [terms(n) for n in named]
    for j, held in enumerate(about):
        if passages[j].kind == "text":
            of["lacks"][:, j] = _lacking(wanted, held, task.weight)
            of["subject"][:, j] = np.minimum(of["subject"][:, j], 1 - _lacking(strictly, held, task.weight))


def _holds(held: set[str], term: str) -> bool:
    """Whether a term is there, as it is or with a letter of many misread."""
    from rapidfuzz import fuzz

    return term in held or any(fuzz.ratio(term, h) >= _MISREAD for h in held)


def _lacking(phrases: Sequence[Sequence[str]], held: set[str], weight: Mapping[str, float]) -> float:
    """What a text lacks of the phrase of which it holds least: share of its terms by rarity, 0..1."""
    worst = 0.0
    for wanted in phrases:
        total = sum(weight.get(t, 1.0) for t in wanted)
        found = sum(weight.get(t, 1.0) for t in wanted if _holds(held, t))
        worst = max(worst, 1 - found / total) if total else worst
    return worst


def _said_instead(options: Sequence[str], passages: Sequence[Passage], of: dict[str, NDArray[np.float32]]) -> None:
    """Where speech denies an option ("not 45") and no other is heard in it, the number that it sounds most like is."""
    denied = of["denied"] > 0
    heard = np.maximum(of["said"], of["heard"]) >= _HEARD
    for j in np.flatnonzero(denied.any(0) & ~(heard & ~denied).any(0)).tolist():
        if passages[j].kind == "speech":
            like = np.where(heard[:, j], 0, numbers_heard(options, passages[j].answer))
            best = int(like.argmax())
            of["heard"][best, j] = max(of["heard"][best, j], like[best])


def _denied(wanted: Sequence[str], text: str) -> bool:
    """Whether a text says "not <option>", of which ``wanted`` are the words."""
    held = (words(m[1]) for m in _AFTER_NOT.finditer(text))
    return any(h[: len(wanted)] == wanted for h in held)


@lru_cache(maxsize=20_000)
def _put_right(text: str) -> tuple[bool, frozenset[str]]:
    """Whether a row says that something was wrong, and the first term of each thing that it says is not so."""
    denied = (terms(m[1])[:1] for m in _AFTER_NOT.finditer(text))
    return bool(_CORRECTS.search(text)), frozenset(t for first in denied for t in first)


@lru_cache(maxsize=20_000)
def _owns_up(text: str) -> bool:
    """Whether a text says that something was wrong, and little else."""
    return len(terms(text)) <= _LITTLE and bool(_WRONG.search(text))


def _corrections(passages: Sequence[Passage], about: Sequence[set[str]]) -> set[tuple[int, int]]:
    """Pairs of passages of which the later corrects the earlier: it says nearly the same, and that it was wrong, or
    that is said right before it.
    """
    out = set()
    spoken = [p for p in passages if p.kind == "speech" and p.link == "alone"]
    for j, q in enumerate(passages):
        corrects, denied = _put_right(q.answer)
        if not corrects and q.kind == "speech":  # "We were wrong. He has two."
            before = [p for p in spoken if p.video == q.video and 0 < q.start - p.start <= _REMARK]
            corrects = bool(before) and _owns_up(max(before, key=lambda p: p.start).answer)
        for i, p in enumerate(passages) if denied or corrects else ():
            if q.video != p.video or q.start <= p.start or q.kind != p.kind or not about[i]:
                continue
            alike = len(about[i] & about[j]) / len(about[i])
            sure = corrects and any(t.isdigit() for t in denied & about[i])  # "93, not 12": the name may be misheard
            if alike < (0.3 if sure else 0.5) or not (about[i] - about[j] or about[j] - about[i]):
                continue
            if corrects or not denied.isdisjoint(about[i]):
                out.add((i, j))
    return out
