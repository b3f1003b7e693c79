"""Chat engines: whatever turns a question and its evidence into an answer.

An engine is a :class:`Chat`, which answers by itself, or a :class:`LanguageModel`, which completes texts;
:func:`.answering.draft_of` asks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from pydantic import Field

from ....store.engines import EngineOptions
from ....store.errors import EngineFailed
from ...types import Draft, Message, Reply, Task


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

    @property
    def looks(self) -> bool:
        """True where the engine wants pictures of key frames."""

    @property
    def frames(self) -> int:
        """How many pictures it wants at the most: those of rows, and frames evenly spread over the videos for the
        rest; 0: those of rows only.
        """

    def answer(self, task: Task) -> Draft: ...


class LanguageModel(ABC):
    """An engine that writes text: the prompts and the reading of replies are shared by all of them.

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
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 300,
        tell: Callable[[str], object] | None = None,
    ) -> Reply:
        """The model's reply; with ``schema`` a JSON text that should fit it.  ``tell`` is given each new piece of the
        text as it comes, or all of it where it comes as a whole.

        Raises :class:`~vidrag.store.errors.EngineFailed` where the model cannot be reached in time, :class:`TooMuch`
        where a shorter prompt may do.
        """

    def first_token(self, messages: Sequence[Message]) -> Reply | None:
        """A reply of one token with the probabilities of its rivals in ``top``; None where the engine has none."""
        return None
