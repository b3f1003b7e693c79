"""Multiple choice, for benchmarks: how well does a row bear out the question together with each option?

Three things are summed for each option: its words in a row that fits the question, how near the rows lie to "question
option", and how much better a picture fits it than the others.  The weights are round numbers, chosen from a small
grid on generated videos; real clips had no part in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..text.things import FITS
from ..text.words import terms
from ..types import Candidate, Task

WORDS, NEAR, SHOWN = 4.0, 2.5, 6.0
"""Weights of an option's words, of nearness in units of the background, and of inner products with a picture."""
NOT_SAID_SUPPORT = 0.1
"""What an option that says that nothing is said counts as, as a share of all words."""
UNFIT = 0.2
"""How much of a row's words for an option counts although the row holds nothing of the question."""
PICTURE = 0.6
"""How much of a label's words counts where the picture fits the question."""
MODEL = 1.0
"""How much a language model's own probability counts beside the rows."""
_NOT_SAID = re.compile(
    r"\b(?:do(?:es)? not (?:say|tell|mention|show|state|specify|contain)|"
    r"not (?:mentioned|said|shown|stated|given|specified)|"
    r"(?:cannot|can not|can't|could not) be (?:determined|known|told|answered|inferred)|none of (?:the|these)|unknown|"
    r"not enough information|no information|nothing (?:is )?said)\b",
    re.I,
)
_SILENT = re.compile(
    r"^\W*(?:(?:it|(?:the|these|this)(?: \w+){1,3}) )?(?:is )?(?:"
    + _NOT_SAID.pattern
    + r"|there is no\b|not (?:clear|known)|no (?:row|video|evidence)\w* (?:say|mention|state|show)"
    r"|(?:es )?wird nicht|no se (?:menciona|dice)|n['’]est pas|не (?:упомян|сказан|указан)"
    r"|没有提|未提|言及されていない)",
    re.I,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """``shares`` ``(n_options,)`` sum to 1; ``ids``: for each option the rows that bear it out, best first; ``silent``:
    the option that says that nothing is said, None where there is none.
    """

    shares: NDArray[np.float64]
    ids: list[tuple[str, ...]]
    silent: int | None


def not_said(options: Sequence[str]) -> int | None:
    """Which option says that the videos do not answer; None where none does."""
    return next((i for i, o in enumerate(options) if _NOT_SAID.search(o)), None)


def says_nothing(answer: str) -> bool:
    """Whether a written answer says that the videos do not answer ("The video does not mention it.")."""
    return bool(_SILENT.match(answer))


def covered(wanted: Sequence[str], has: Sequence[str], weight: Mapping[str, float]) -> float:
    """Share of ``wanted`` terms found in ``has``, weighted by rarity; near misses of longer words count in part."""
    total = found = 0.0
    held = set(has)
    for term in wanted:
        w = weight.get(term, 1.0)
        total += w
        if term in held:
            found += w
        elif len(term) > 4 and not term.isdigit():
            found += w * 0.7 if any(_alike(term, h) for h in held if len(h) > 3) else 0.0
    return found / total if total else 0.0


@lru_cache(maxsize=50_000)
def _alike(term: str, other: str) -> bool:
    from rapidfuzz import fuzz

    return abs(len(term) - len(other)) <= 2 + len(term) // 2 and bool(fuzz.ratio(term, other) >= 80)


def claimed(text: str, asked: Sequence[str]) -> list[str]:
    """What a row must say for an option or an answer: its terms that the question does not hold, else all of them."""
    found = terms(text)
    return [t for t in found if t not in asked] or found


def support(task: Task, text: str) -> list[tuple[float, str]]:
    """How far each row of the evidence bears out ``text``, 0..1, with its id, best first.

    What a row says of it counts as far as the row fits the question.
    """
    asked = terms(task.question)
    wanted = claimed(text, asked)
    found = []
    for e in task.evidence:
        has = terms(e.searched)
        shows = e.kind in ("frame", "detection") and task.visual and e.score >= FITS
        fits = PICTURE if shows else covered(asked, has, task.weight)
        found.append((covered(wanted, has, task.weight) * (UNFIT + (1 - UNFIT) * fits), -e.rank, e.id))
    found.sort(reverse=True)
    return [(s, id) for s, _, id in found]


def supporting(task: Task, text: str, most: int = 3, near: float = 0.6) -> tuple[str, ...]:
    """Ids of the rows that bear out an option or an answer best, best first: those with at least ``near`` of the best
    one's support.  Empty where no row holds a word of it.
    """
    ranked = support(task, text)
    best = ranked[0][0] if ranked else 0.0
    return tuple(id for s, id in ranked[:most] if s > 0 and s >= near * best)


def weighed(task: Task, model: Sequence[float] = (), by_rows: bool = True) -> Weighed:
    """How likely each option of a task is.  ``model``: a language model's probabilities, counted beside the rows or,
    without ``by_rows``, alone.
    """
    count = len(task.options)
    silent, ids = not_said(task.options), list[tuple[str, ...]]()
    logits = np.zeros(count)
    for i, option in enumerate(task.options):
        ranked = support(task, option)
        ids.append(tuple(id for s, id in ranked[:2] if s > 0 and s >= 0.8 * ranked[0][0]))
        logits[i] = WORDS * (NOT_SAID_SUPPORT if i == silent else ranked[0][0] if ranked else 0.0)
    near = np.array(task.option_near) if task.option_near else np.zeros(count)
    logits += NEAR * (near - near.mean())
    if task.visual:
        logits += SHOWN * _shown(task.pictured, count)
    if model:
        own = np.log(np.maximum(np.array(model), 1e-6))
        logits = MODEL * own + (logits if by_rows else 0.0)
    for i in range(count):
        ids[i] = ids[i] or tuple(e.id for e in sorted(task.evidence, key=lambda e: e.rank)[:1])
    shares = np.exp(logits - logits.max())
    return Weighed(shares=shares / shares.sum(), ids=ids, silent=silent)


def _shown(pictures: Sequence[Candidate], count: int) -> NDArray[np.float64]:
    """For each option how much better the best picture fits it than the mean of the others, ``(count,)``."""
    found = [np.array(p.affinity) - np.mean(p.affinity) for p in pictures if len(p.affinity) == count]
    if not found:
        return np.zeros(count)
    weight = 1 / (1 + np.arange(len(found)))
    shown: NDArray[np.float64] = (np.array(found) * weight[:, None]).sum(0) / weight.sum()
    return shown
