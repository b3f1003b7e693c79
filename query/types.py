"""What a question asks to look for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Relation = Literal["location", "number", "relation"]
When = Literal["beginning", "end", "at", "after", "before", "next", "previous", "during"]
Scope = Literal["moment", "whole", "several"]
Order = Literal["first", "last", "sequence"]
MOST_THINGS = 5


@dataclass(frozen=True, slots=True)
class TimeHint:
    """Where in a video to look.  ``text``: the event that ``after``, ``before``, ``next`` (right after), ``previous``
    (right before) and ``during`` refer to; ``seconds``: the time that ``at`` names.
    """

    kind: When
    text: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What to look for.  ``asr``: a sentence to find in speech, or None; ``det``: up to five physical things; ``type``:
    what to say of them; ``captions``: statements that a matching picture would bear out.

    ``time``: where to look; ``scope``: one moment, the whole of a video, or several videos; ``negations``: what the
    question excludes; ``order``: the question asks which of its options comes first or last, or for their sequence.
    ``subjects``: names and phrases that a row must be about, ``names`` the names alone; ``described``: the question
    does not name what it asks about but describes it ("the place where ..."), so that the row that answers need not
    hold them.  ``visual``: the question is about what is seen; ``anchor``: the kind of row that it names as its
    landmark ("while the speaker says").
    """

    asr: str | None = None
    det: tuple[str, ...] = ()
    type: tuple[Relation, ...] = ()
    captions: tuple[str, ...] = ()
    time: tuple[TimeHint, ...] = ()
    scope: Scope = "moment"
    negations: tuple[str, ...] = ()
    order: Order | None = None
    subjects: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    described: bool = False
    visual: bool = False
    anchor: Literal["speech", "text"] | None = None

    def as_json(self) -> dict[str, Any]:
        told = asdict(self)
        kept = {k: told[k] for k in ("asr", "det", "type", "captions", "scope", "negations", "order")}
        return kept | {"time": [{k: v for k, v in t.items() if v is not None} for t in told["time"]]}

    def hint(self, *kinds: When) -> TimeHint | None:
        """The first time hint of one of ``kinds``."""
        return next((t for t in self.time if t.kind in kinds), None)
