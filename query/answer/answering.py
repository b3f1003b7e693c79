"""How a language model is asked (docs/asking.md), and what is done when it does not do as it is told.

Options are shown in several orders: a small model favours places (Zheng et al., 2024, arXiv 2309.03882).  The evidence
comes first and the options last, so that an engine that keeps its prefix reads the evidence once.  The rows that bear
out the chosen option by their words are cited, which costs nothing; only where none does the model is asked for them.

A free answer cites the rows that the model names, and first the one that bears it out best: small models write the
right sentence and name the row beside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...store.encoders import well_formed
from ...store.errors import EngineFailed, one_line
from ...store.shell import counted
from ..types import Draft, Message, Reply, Task, Usage
from . import prompts
from .extractive import NOTHING
from .models import Chat, LanguageModel, TooMuch
from .models.replies import letter_mass, read_reply, said_so_far
from .options import not_said, says_nothing, supporting, weighed

LEAST_MASS = 0.05
"""Share of the first token's probability that the letters must have together, else the model does not reply so."""
_KEPT = 4000


@dataclass(slots=True)
class _Talk:
    """Asks one model, and adds up what that took."""

    model: LanguageModel
    usage: Usage = field(default_factory=Usage)

    def ask(
        self, messages: Sequence[Message], schema: Mapping[str, Any], tell: Callable[[str], object] | None = None
    ) -> Reply:
        written = list[str]()

        def piece(text: str) -> None:
            written.append(text)
            if tell and (said := said_so_far("".join(written))):
                tell(said)

        return self._count(self.model.complete(messages, schema=schema, max_tokens=300, tell=piece if tell else None))

    def letter(self, messages: Sequence[Message]) -> Reply | None:
        reply = self.model.first_token(messages)
        return None if reply is None else self._count(reply)

    def _count(self, reply: Reply) -> Reply:
        u, new = self.usage, not reply.cached
        self.usage = Usage(
            calls=u.calls + 1,
            cached=u.cached + reply.cached,
            read=u.read + (reply.read or 0) * new,
            written=u.written + (reply.written or 0) * new,
            replies=(*u.replies, well_formed(reply.text[:_KEPT])),
        )
        return reply


def draft_of(engine: Chat | LanguageModel, task: Task) -> Draft:
    """What an engine answers; a language model is asked here.

    Raises :class:`EngineFailed` where it fails, or twice replies with what is no answer.
    """
    if not isinstance(engine, LanguageModel):
        return engine.answer(task)
    talk, told = _Talk(engine), len(engine.notes)
    task, less = _shortened(task, engine.rows), ""
    while True:
        try:
            draft = _answered(talk, task)
        except TooMuch as e:
            task, less = _halved(task, e)
        else:
            notes = (*filter(None, [less]), *engine.notes[told:], *draft.notes)
            return replace(draft, notes=notes, usage=talk.usage)


def _answered(talk: _Talk, task: Task) -> Draft:
    if not task.options and not task.evidence and not task.pictures:
        return Draft(text=NOTHING, abstained=True, notes=("no rows were found; the model was not asked",))
    notes: tuple[str, ...] = ()
    if task.options:
        scores, why = _scores(talk, task)
        if scores:
            return _chosen(talk, task, scores)
        notes = (f"{why}; the option was chosen by a JSON reply, once",)
    draft = _written(talk, task)
    if draft.text and not task.options and not draft.abstained:
        draft = replace(draft, citations=_backed(task, draft))
    return replace(draft, notes=(*notes, *draft.notes))


def _halved(task: Task, error: TooMuch) -> tuple[Task, str]:
    """The task with half of its pictures, or rows where it has none, and a note; raises ``error`` if none is left."""
    if task.pictures:
        pictures = task.pictures[1::2]
        left = f"with {len(pictures)} pictures" if pictures else "without pictures"
        task = replace(task, pictures=pictures)
    elif len(task.evidence) > 1:
        task = _shortened(task, len(task.evidence) // 2)
        left = f"with {counted(len(task.evidence), 'row')}"
    else:
        raise error
    return task, f"the prompt was too much for the model, which answered {left} ({one_line(error, 120)})"


def _backed(task: Task, draft: Draft) -> tuple[str, ...]:
    """The row that bears out an answer best, then the rows cited, as far as they say anything of it."""
    first = supporting(task, draft.text, most=1)
    near = set(supporting(task, draft.text, most=len(task.evidence), near=0.0))
    kept = [c for c in draft.citations if c in near] if first else draft.citations
    return tuple(dict.fromkeys([*first, *kept]))


def _shortened(task: Task, most: int) -> Task:
    """The task with its best ``most`` rows, and without the pictures of the others."""
    kept = {e.id for e in sorted(task.evidence, key=lambda e: e.rank)[:most]}
    left_out = {e.id for e in task.evidence} - kept
    return replace(
        task,
        evidence=tuple(e for e in task.evidence if e.id in kept),
        parts=tuple(p for p in task.parts if p[0] in kept),
        pictures=tuple(p for p in task.pictures if p[0] not in left_out),
    )


def _scores(talk: _Talk, task: Task) -> tuple[tuple[float, ...], str]:
    """The probability of each option, averaged over orders of the options; or none, and why."""
    count = len(task.options)
    orders = min(talk.model.rotations, count)
    scores = [0.0] * count
    for turn in range(orders):
        shift = turn * count // orders
        order = [(i + shift) % count for i in range(count)]
        reply = talk.letter(prompts.choose(task, order))
        if reply is None:
            return (), "the engine gives no token probabilities"
        mass = letter_mass(reply.top, count)
        if (total := sum(mass)) < LEAST_MASS:
            return (), "the model does not reply with a letter"
        for place, option in enumerate(order):
            scores[option] += mass[place] / total / orders
    return tuple(scores), ""


def _chosen(talk: _Talk, task: Task, scores: tuple[float, ...]) -> Draft:
    told = weighed(task, scores, talk.model.by_rows)
    choice = int(told.shares.argmax())
    sure, shares = float(told.shares[choice]), tuple(round(float(s), 4) for s in told.shares)
    if choice == told.silent:
        return Draft(text="", choice=choice, abstained=True, confidence=sure, scores=shares)
    cited = told.ids[choice] if told.ids and supporting(task, task.options[choice]) else ()
    if not cited and task.evidence:
        reply = talk.ask(prompts.cite(task, choice), prompts.cite_schema(task))
        draft, _ = read_reply(reply.text, (), [e.id for e in task.evidence], reply.cut)
        cited = draft.citations if draft else ()
    return Draft(text="", choice=choice, citations=cited, confidence=sure, scores=shares)


def _written(talk: _Talk, task: Task) -> Draft:
    """The model's reply as JSON, asked for once more where it is not what was asked for."""
    ids, none = [e.id for e in task.evidence], not_said(task.options)
    messages, schema = prompts.answer(task), prompts.answer_schema(task)
    usable: tuple[Draft, str] | None = None
    for again in (False, True):
        reply = talk.ask(messages, schema, task.tell)
        draft, problem = read_reply(reply.text, task.options, ids, reply.cut)
        if draft and draft.choice is not None and draft.choice == none:
            draft, problem = replace(draft, abstained=True, citations=()), ""
        if draft and not task.options and says_nothing(draft.text):
            draft, problem = replace(draft, abstained=True, citations=()), ""
        if draft and not problem:
            return draft
        if draft and (usable is None or draft.citations):
            usable = draft, problem
        if not again:
            messages = [
                *messages,
                Message(role="assistant", text=well_formed(reply.text[:500]) or "{}"),
                prompts.correction(problem),
            ]
    if usable is None:
        raise EngineFailed(f"the model's reply {problem}, also when asked again")
    draft, problem = usable
    return replace(draft, notes=(f"the model's reply {problem}, also when asked again",))
