"""Chat completions as they come over the wire, whole or in pieces.  What does not fit raises ``ValueError`` or such."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...types import Reply


def whole(body: bytes) -> Reply:
    """The reply in the JSON of a chat completion."""
    told = json.loads(body)
    _raise_error(told)
    choice = told["choices"][0]
    text = choice["message"]["content"]
    if not isinstance(text, str | None):
        raise TypeError("its content is no text")
    read, written = _counts(told.get("usage"))
    cut = choice.get("finish_reason") == "length"
    return Reply(text=text or "", read=read, written=written, cut=cut, top=_top(choice))


def _counts(usage: Any) -> tuple[int | None, int | None]:
    """Tokens read and written; None for what a server does not tell."""
    if usage is None:
        return None, None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return None if read is None else int(read), None if written is None else int(written)


def _raise_error(told: Any) -> None:
    """An error with a good status, as ``{"error": ...}``, or flat, as older versions of vLLM have it."""
    error = told.get("error") or (told if told.get("object") == "error" else None)
    if error:
        raise ValueError(f"an error: {error.get('message') if isinstance(error, dict) else error}")


def _top(choice: Mapping[str, Any]) -> Mapping[str, float]:
    """Probabilities of the candidates for the first token; empty where the server gave none."""
    try:
        listed = choice["logprobs"]["content"][0]["top_logprobs"]
        found = [(str(t["token"]), float(t["logprob"])) for t in listed]
    except (LookupError, TypeError, ValueError, AttributeError):
        return {}
    out: dict[str, float] = {}
    for token, logprob in found:
        if logprob <= 0.01:  # not a number, or none of a probability: passed over
            out[token] = out.get(token, 0.0) + math.exp(min(logprob, 0.0))
    return out


class Pieces:
    """A reply that comes piece by piece; ``tell`` gets the text of each.

    One without an end is ``cut``, as is one that reached its limit.
    """

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        self._tell = tell
        self._text = list[str]()
        self._counts: tuple[int | None, int | None] = None, None
        self._why: str | None = None
        self._top: Mapping[str, float] = {}
        self._ended = False

    def read(self, chunks: Iterable[bytes]) -> Reply:
        """All of a stream of server-sent events."""
        rest = b""
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._line(line)
            if self._ended:
                break
        self._line(rest)
        return self.reply()

    def _line(self, line: bytes) -> None:
        field, _, data = line.strip().partition(b":")
        if field != b"data" or self._ended:
            return
        if data.strip() == b"[DONE]":
            self._ended = True
        elif data.strip():
            try:
                told = json.loads(data)
            except ValueError:  # cut in the middle of a piece
                return
            self.add(told)

    def add(self, told: Any) -> None:
        """One piece, parsed."""
        _raise_error(told)
        if told.get("usage"):
            self._counts = _counts(told["usage"])
        for choice in told.get("choices") or ():
            self._why = choice.get("finish_reason") or self._why
            self._top = self._top or _top(choice)
            text = (choice.get("delta") or {}).get("content")
            if not isinstance(text, str | None):
                raise TypeError("a piece of it is no text")
            if text:
                self._text.append(text)
                if self._tell:
                    self._tell(text)

    def reply(self) -> Reply:
        cut = self._why == "length" or (self._why is None and not self._ended)
        read, written = self._counts
        return Reply(text="".join(self._text), read=read, written=written, cut=cut, top=self._top)
