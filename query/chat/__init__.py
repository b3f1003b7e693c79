"""Chat engines: whatever turns a question and its evidence into an answer.

Every engine has ``answer``.  Language models get it from :class:`LanguageModel` and bring ``complete``.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from ...store.records import Evidence
from .. import prompts
from ..passages import Passage
from ..request import Order

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Task:
    """A question ready to be answered.

    ``evidence`` is in time order; ``passages`` say which rows belong together, best first (empty: each row
    stands alone).  ``weight`` tells how rare
    each term is among the rows searched (higher is rarer); ``subjects`` are the names and phrases of the question.
    ``pictures`` are JPEGs of key frames, with the id of their row, for engines that look at pictures.  ``order``: the
    question asks which option comes first or last; ``anchor``: the kind of row that it asks for.
    """

    question: str
    options: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    passages: tuple[Passage, ...] = ()
    weight: Mapping[str, float] = field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    pictures: tuple[tuple[str, bytes], ...] = ()
    visual: bool = False
    order: Order | None = None
    anchor: Literal["speech", "text"] | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An engine's answer, not checked yet.  ``choice`` is the index of an option; ``citations`` are evidence ids;
    ``confidence`` how sure it is, 0..1 (None: it cannot tell).
    """

    text: str
    choice: int | None = None
    citations: tuple[str, ...] = ()
    abstained: bool = False
    notes: tuple[str, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; ``images`` are JPEGs shown with it."""

    role: str
    text: str
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote, and how many tokens it read and wrote (None where it does not tell)."""

    text: str
    read: int | None = None
    written: int | None = None


@runtime_checkable
class Chat(Protocol):
    """Answers questions.  The same task gives the same draft."""

    looks: bool
    """True where the engine wants pictures of key frames."""

    def answer(self, task: Task) -> Draft: ...


class LanguageModel(ABC):
    """A chat engine that writes text: the prompt and the reading of the reply are shared by all of them."""

    looks = False

    @abstractmethod
    def complete(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None, max_tokens: int = 300
    ) -> Reply:
        """The model's reply; with ``schema`` a JSON text that should fit it.

        Raises :class:`~vidrag.store.errors.EngineFailed` where the model cannot be reached in time.
        """

    def answer(self, task: Task) -> Draft:
        ids = [e.id for e in task.evidence]
        reply = self.complete(prompts.answer(task), schema=prompts.answer_schema(task), max_tokens=300)
        return read_reply(reply.text, len(task.options), ids)


def read_reply(text: str, options: int, ids: Sequence[str]) -> Draft:
    """A model's reply as a draft; whatever it wrote, only ids that exist are cited."""
    try:
        told = json.loads(text)
        if not isinstance(told, dict):
            raise ValueError("not an object")
        answer = str(told.get("answer") or "").strip()
        letter = str(told.get("choice") or "").strip()[:1].upper()
        raw = told.get("citations")
        cited = [str(c).strip("[] ") for c in raw] if isinstance(raw, list) else []
        abstained = told.get("answerable") is False
    except (ValueError, RecursionError):
        answer, letter, abstained = text.strip(), "", False
        cited = re.findall(r"\bE\d+\b", text)
        if options and (match := re.search(r"\b([A-Z])\b(?=[).:]|\s*$)", text)):
            letter = match[1]
    choice = LETTERS.find(letter) if letter else -1
    notes = []
    if unknown := [c for c in cited if c not in ids]:
        notes.append(f"the model cited {', '.join(unknown[:5])}, which do not exist; dropped")
    if options and not 0 <= choice < options:
        notes.append("the model chose none of the options")
    return Draft(
        answer,
        choice if 0 <= choice < options else None,
        tuple(dict.fromkeys(c for c in cited if c in ids)),
        abstained,
        tuple(notes),
    )
