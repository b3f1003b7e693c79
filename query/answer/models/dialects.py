"""In what servers of chat completions differ, and what is learnt from their refusals (docs/language_models.md).

A request begins as most servers take it.  A refusal names the field: it is then left out or said otherwise, for good.
Nothing is guessed from a server's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_FEW = 5
"""Candidates for a token that every server with probabilities gives."""
_TOO_MUCH = (
    "context length", "context_length", "context size", "context window", "exceed_context", "maximum model length",
    "prompt is too long", "image(s) may be provided", "too many images",
)  # fmt: skip
_FORM = ("response_format", "json_schema", "json schema", "guided", "grammar", "structured output")


def is_too_much(reason: str) -> bool:
    """Whether a request was refused for its length, or for the number of its pictures."""
    return any(t in reason.lower() for t in _TOO_MUCH)


class Dialect:
    """What one server takes, as far as it is known.  ``top``: candidates for a token, 0 where it gives none."""

    def __init__(self, schema: bool, top: int) -> None:
        self.top = top
        self._limit = "max_tokens"  # the newer name is not known to Ollama, which then writes without end
        self._forms = ["json_schema", "json_object"] if schema else []
        self._temperature = self._usage = True

    def fields(
        self, schema: Mapping[str, Any] | None, limit: int, temperature: float, stream: bool, letters: bool
    ) -> dict[str, Any]:
        """The fields of a request beside model and messages."""
        out: dict[str, Any] = {self._limit: limit}
        if self._temperature:
            out["temperature"] = temperature
        if schema is not None and self._forms:
            out["response_format"] = {"type": self._forms[0]}
            if self._forms[0] == "json_schema":
                out["response_format"]["json_schema"] = {"name": "reply", "schema": dict(schema), "strict": True}
        if stream:
            out["stream"] = True
            if self._usage:
                out["stream_options"] = {"include_usage": True}
        if letters:
            out |= {"logprobs": True, "top_logprobs": self.top}
        return out

    def learn(self, reason: str, sent: Mapping[str, Any]) -> bool:
        """Takes a refusal in; True where the same request will now be sent in another way."""
        told = reason.lower()
        if "max_completion_tokens" in told and "max_tokens" in sent:
            self._limit = "max_completion_tokens"
        elif "stream_options" in told and "stream_options" in sent:
            self._usage = False
        elif "temperature" in told and "support" in told and "temperature" in sent:
            self._temperature = False
        elif "logprobs" in told and "logprobs" in sent:
            self.top = _FEW if self.top > _FEW and re.search(r"more than|at most|maximum|less than|max", told) else 0
            return self.top > 0
        elif "response_format" in sent and any(t in told for t in _FORM):
            self._forms = self._forms[1:] if self._forms[:1] == [sent["response_format"]["type"]] else self._forms
        else:
            return False
        return True
