"""Chat engines: whatever turns a question and its evidence into an answer.

Every engine has ``answer``.  Language models get it from :class:`LanguageModel` and bring ``complete``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import Field

from ....store.engines import EngineOptions
from ....store.errors import EngineFailed
from ....store.records import Evidence
from ...types import Order
from ..passages import Passage

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Task:
    """A question ready to be answered.

    ``evidence`` is in time order; ``passages`` say which rows belong together, best first (empty: each row stands
    alone).  ``weight`` tells how rare each term is among the rows searched (higher is rarer); ``subjects`` are the
    names and phrases of the question; ``described``: it does not name what it is about, see
    :class:`~..request.Request`.  ``pictures`` are JPEGs of frames in time order, for engines that look at pictures,
    each with the id of its row or, where no row stands for it, with its time.  ``order``: the question asks which
    option comes first or last; ``anchor``: the kind of row that it asks for.  ``tell`` is given the answer as far as it
    is written, again and again, by engines that write word by word; what it was given is not checked.
    """

    question: str
    options: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    passages: tuple[Passage, ...] = ()
    weight: Mapping[str, float] = field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    described: bool = False
    pictures: tuple[tuple[str, bytes], ...] = ()
    visual: bool = False
    order: Order | None = None
    anchor: Literal["speech", "text"] | None = None
    tell: Callable[[str], object] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took of a language model: ``calls``, of which ``cached`` were replies kept from earlier, tokens
    ``read`` and ``written`` by the others (where the engine tells), and the texts of all ``replies`` in order.
    """

    calls: int = 0
    cached: int = 0
    read: int = 0
    written: int = 0
    replies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """An engine's answer, not checked yet.  ``choice`` is the index of an option; ``citations`` are evidence ids.

    ``scores``, one an option or empty: how far the engine believes in each, 0..1; ``confidence``: that of the answer
    given, None where the engine cannot tell.  Scores are probabilities that sum to 1.
    """

    text: str
    choice: int | None = None
    citations: tuple[str, ...] = ()
    abstained: bool = False
    notes: tuple[str, ...] = ()
    confidence: float | None = None
    scores: tuple[float, ...] = ()
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; ``images`` are JPEGs shown with it."""

    role: str
    text: str
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote, and how many tokens it read and wrote (None where it does not tell).

    ``cut``: it ended before the model had done.  ``top``: probabilities of candidates for the first token, where they
    were asked for.  ``cached``: it was kept from earlier.
    """

    text: str
    read: int | None = None
    written: int | None = None
    cut: bool = False
    top: Mapping[str, float] = field(default_factory=dict)
    cached: bool = False


class ModelOptions(EngineOptions):
    """What all language models have.  ``rotations``: orders in which the options are shown, where their letters have
    probabilities; ``rows``: most rows of evidence that the model reads, the best ones; ``by_rows``: what the rows say
    of an option counts beside the model's probability; ``remember``: take replies that the archive has kept.
    """

    runtime = frozenset({"threads", "remember"})
    rotations: int = Field(2, ge=1, le=26)
    rows: int = Field(16, ge=1, le=500)
    by_rows: bool = True
    remember: bool = True


class TooMuch(EngineFailed):
    """The prompt is more than the model can read at a time, or than there is memory for: a shorter one may do."""


@runtime_checkable
class Chat(Protocol):
    """Answers questions.  The same task gives the same draft, as far as the engine's arithmetic does."""

    looks: bool
    """True where the engine wants pictures of key frames."""
    frames: int
    """How many pictures it wants at the most: those of rows, and frames evenly spread over the videos for the rest; 0:
    those of rows only.
    """

    def answer(self, task: Task) -> Draft: ...


class LanguageModel(ABC):
    """A chat engine that writes text: the prompt and the reading of the reply are shared by all of them.

    ``identity`` names the model and every option that changes its replies; where it is empty none are kept.
    ``rotations``, ``rows`` and ``by_rows``: see :class:`ModelOptions`; ``looks`` and ``frames``: see :class:`Chat`.
    ``notes``: what the user should know of the work so far.
    """

    looks = False
    frames = 0
    notes: Sequence[str] = ()
    identity = ""
    rotations = 2
    rows = 16
    by_rows = True

    @abstractmethod
    def complete(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None, max_tokens: int = 300
    ) -> Reply:
        """The model's reply; with ``schema`` a JSON text that should fit it.

        Raises :class:`~vidrag.store.errors.EngineFailed` where the model cannot be reached in time, :class:`TooMuch`
        where a shorter prompt may do.
        """

    def stream(
        self,
        messages: Sequence[Message],
        tell: Callable[[str], object],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 300,
    ) -> Reply:
        """Like :meth:`complete`; ``tell`` gets each piece as it comes."""
        reply = self.complete(messages, schema=schema, max_tokens=max_tokens)
        tell(reply.text)
        return reply

    def first_token(self, messages: Sequence[Message]) -> Reply | None:
        """A reply of one token with the probabilities of its rivals in ``top``; None where the engine has none."""
        return None

    def answer(self, task: Task) -> Draft:
        from ..answering import answer

        return answer(self, task)


def unlettered(options: Sequence[str]) -> list[str]:
    """The options without the letters in front of them, where all have theirs: "E. coli" keeps its initial."""
    own = [re.match(r"\s*\(?([A-Z])[.):](?:\s+|$)", o) for o in options]
    if all(m and m[1] == LETTERS[i] for i, m in enumerate(own)):
        return [o[m.end() :].strip() for o, m in zip(options, own, strict=True) if m]
    return [o.strip() for o in options]
