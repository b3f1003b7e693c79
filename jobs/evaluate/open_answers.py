"""Open questions asked, and their answers scored; the guard that ``ask`` is no worse than its search's first hit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...query.asker import Asker
from ...store.errors import EngineMissing, ModelMissing, VidragError, one_line
from ...store.storage.whole import write_whole
from . import stats
from .asking import Report
from .judge import Judge
from .open_sets import OpenQuestion, OpenSet
from .score import meets, rounded

Way = Literal["named", "all", "elsewhere"]
WAYS: tuple[Way, ...] = ("named", "all", "elsewhere")
"""Asked of the video that answers, of the whole archive, and of another video, where silence is right."""
FIGURES = ("hit@1", "hit@5", "hit@10", "P@10", "cited", "first", "holds", "silent", "cited_picture", "judged")
_SLACK_S = -0.02
"""A row has to share so much time with a place: times in files are rounded."""

Hit = Mapping[str, Any]
"""A row that a search found, as ``vidrag search --json`` has it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was asked: ``answer`` is its JSON, with ``error`` where it failed; ``scores``: see :func:`score`;
    ``hit``: the first hit of a search for the question.
    """

    question: OpenQuestion
    answer: Mapping[str, Any]
    scores: Mapping[str, float]
    hit: Hit | None = None

    @property
    def right(self) -> bool:
        """A right row is cited and the truth is in the text; silence where no video answers."""
        if not self.question.answerable:
            return self.scores["silent"] == 1
        return self.scores.get("cited", 0) == 1 and self.scores.get("holds", 1) == 1

    @property
    def hit_right(self) -> bool:
        """The same of the first hit, as if it were the answer."""
        return self.hit is not None and _met(self.question, self.hit) and holds(self.question, self.hit["text"]) != 0


def score(question: OpenQuestion, answer: Mapping[str, Any], way: Way) -> dict[str, float]:
    """The figures that mean something for this answer, each 0 to 1.

    ``hit@k``: one of the first k rows of the evidence, by rank, meets a place; ``P@10``: how many of ten do;
    ``cited``, ``first``: a cited row does, the first cited one does; ``holds``: see :func:`holds`.
    """
    rows = sorted(answer.get("evidence", ()), key=lambda r: r["rank"])
    by_id = {r["id"]: r for r in rows}
    cited = [by_id[c] for c in answer.get("citations", ()) if c in by_id]
    spoke = not answer.get("abstained")
    out: dict[str, float] = {
        "silent": not spoke,
        "cited_picture": any(r["kind"] in ("frame", "detection") for r in cited),
    }
    if question.answerable and way != "elsewhere":
        if question.places:
            met = [_met(question, r) for r in rows[:10]]
            out |= {f"hit@{k}": any(met[:k]) for k in (1, 5, 10)}
            out["P@10"] = sum(met) / 10
            out["cited"] = spoke and any(_met(question, r) for r in cited)
            out["first"] = spoke and any(_met(question, r) for r in cited[:1])
        if (held := holds(question, answer.get("answer", ""))) is not None:
            out["holds"] = spoke and held
    return {k: float(v) for k, v in out.items()}


def _met(question: OpenQuestion, row: Mapping[str, Any]) -> bool:
    return any(meets(p, row, _SLACK_S) for p in question.places)


def holds(question: OpenQuestion, text: str) -> bool | None:
    """Whether ``text`` fits the question's pattern or has one of its short answers; None where it has neither."""
    if question.pattern:
        return bool(question.pattern.search(text))
    return any(_plain(a) in _plain(text) for a in question.answers) if question.answers else None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w]+", " ", text.lower()).split())


def measure(
    found: OpenSet,
    asker: Asker,
    first_hit: Callable[[str], Hit | None],
    judge: Judge | None,
    folder: Path,
    *,
    ways: Sequence[Way] = WAYS,
    most: int = 0,
    seed: int = 0,
    report: Report,
) -> list[dict[str, Any]]:
    """Asks the set in each of ``ways`` and returns the figures of each, unanswerable questions apart.

    ``most``: so many questions of each way at the most, evenly taken (0: all).  What was answered is written to
    ``folder/answers-WAY.jsonl``.
    """

    def ask(q: OpenQuestion, way: Way) -> Asked:
        video = {"named": q.video, "elsewhere": q.elsewhere, "all": None}[way]
        answer, hit, judged = dict[str, Any](), None, dict[str, float]()
        try:
            answer = asker.ask(q.question, [video] if video else None).as_json()
            hit = first_hit(q.question) if way == "all" and q.answerable else None
            if judge and q.reference and way != "elsewhere":
                judged["judged"] = judge.score(q.question, q.reference, answer)
        except (EngineMissing, ModelMissing):
            raise
        except VidragError as e:
            answer["error"] = f"{type(e).__name__}: {one_line(e)}"
        return Asked(q, answer, score(q, answer, way) | judged, hit)

    out = []
    for way in ways:
        questions, done = chosen(found.questions, way, most), list[Asked]()
        for question in questions:
            done.append(ask(question, way))
            report(f"{found.name} {way}", len(done), len(questions))
        if done:
            kept = [
                {"id": a.question.id, "right": a.right, "scores": a.scores, "hit": a.hit, "answer": a.answer}
                for a in done
            ]
            write_whole(
                folder / f"answers-{way}.jsonl", "".join(json.dumps(k, ensure_ascii=False) + "\n" for k in kept)
            )
            out += [{"set": found.name, **table} for table in tables(way, done, seed)]
    return out


def chosen(questions: Sequence[OpenQuestion], way: Way, most: int) -> list[OpenQuestion]:
    """The questions that can be asked in this way, at most ``most`` of them where it is not 0."""
    if way == "all":
        asked = [q for q in questions if q.places or not q.answerable]
    else:
        asked = [q for q in questions if (q.answerable and q.video if way == "named" else q.elsewhere)]
    return asked[:: -(-len(asked) // most)] if 0 < most < len(asked) else asked


def tables(way: Way, done: Sequence[Asked], seed: int) -> list[dict[str, Any]]:
    """The figures of questions asked in one way; of those asked of all, the unanswerable ones apart.

    The first table has the ``guard`` of questions asked of all, and shares ``right`` where patterns say what is.
    """
    answerable = [a for a in done if a.question.answerable]
    groups: dict[str, list[Asked]] = {way: [*done]}
    if way == "all":
        groups = {"all": answerable, "all, unanswerable": [a for a in done if not a.question.answerable]}
    out: list[dict[str, Any]] = []
    for name, part in groups.items():
        if part:
            means = {f: stats.mean([a.scores[f] for a in part if f in a.scores], seed) for f in FIGURES}
            errors = sum("error" in a.answer for a in part)
            figures = {f: rounded(m) for f, m in means.items() if m}
            out.append({"asked": name, "questions": len(part), "errors": errors, "figures": figures})
    if way == "all" and answerable:
        out[0]["guard"] = guard(answerable, seed)
    if way != "elsewhere" and any(a.question.pattern for a in done):
        kinds: dict[str, list[float]] = {}
        for a in done:
            for group in ("all", f"kind: {a.question.kind}", f"language: {a.question.lang}"):
                kinds.setdefault(group, []).append(float(a.right))
        out[0]["right"] = {k: rounded(stats.mean(kinds[k], seed)) for k in sorted(kinds)}
    return out


def guard(done: Sequence[Asked], seed: int) -> dict[str, Any]:
    """The shares right of ``ask`` and of its search's first hit, and their paired difference.

    ``answered``: over the questions where ``ask`` was not silent, which the guard is about; ``all``: over all.
    """
    out = {}
    for name, part in (("answered", [a for a in done if not a.scores["silent"]]), ("all", done)):
        asks, hits = [float(a.right) for a in part], [float(a.hit_right) for a in part]
        means = {"ask": stats.mean(asks, seed), "first_hit": stats.mean(hits, seed)}
        out[name] = {k: rounded(v) for k, v in {**means, "difference": stats.paired(asks, hits, seed)}.items()}
    return out
