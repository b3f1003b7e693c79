"""What comes back: the answer with its evidence, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...store.records import Evidence
from ..types import Request
from .context import as_json
from .models import Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """``choice`` is the letter of the chosen option (None without options, or where none was chosen); ``citations`` are
    ids of ``evidence``, which is in time order; ``timings`` are seconds a step.

    ``confidence``, ``scores`` and ``usage`` are those of the :class:`~.chat.Draft`; ``degraded``: a language model
    or the detector failed and the answer is what could be done without it.
    """

    question: str
    text: str
    choice: str | None
    abstained: bool
    citations: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    request: Request
    notes: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    profile: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    confidence: float | None = None
    scores: tuple[float, ...] = ()
    usage: Usage = field(default_factory=Usage)
    degraded: bool = False

    def as_json(self) -> dict[str, Any]:
        """The object that ``vidrag ask --json`` prints."""
        return {
            "question": self.question,
            "answer": self.text,
            "choice": self.choice,
            "abstained": self.abstained,
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "scores": [round(s, 4) for s in self.scores],
            "citations": list(self.citations),
            "evidence": [as_json(e) for e in self.evidence],
            "request": self.request.as_json(),
            "notes": list(self.notes),
            "timings": {k: round(v, 4) for k, v in self.timings.items()},
            "profile": self.profile,
            "fingerprints": dict(self.fingerprints),
        }

    def cited(self) -> list[Evidence]:
        """The cited rows in the order of ``citations``."""
        by_id = {e.id: e for e in self.evidence}
        return [by_id[c] for c in self.citations]
