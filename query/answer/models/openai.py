"""Any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, xllamacpp, Ollama.

Replies are read as bytes under a limit of size and of time as a whole: a server that drips a byte a second would pass
every time-out between two bytes.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, JsonValue

from ....store.circuit_breaker import CircuitBreaker
from ....store.errors import EngineFailed, EngineMissing, OptionError, one_line
from ....store.fingerprints import digest
from ....store.transport import is_private
from ...types import Message, Reply
from . import LanguageModel, ModelOptions, TooMuch
from .dialects import Dialect, is_too_much
from .wire import Pieces, whole

MOST_BYTES = 4 << 20
TOP = 20
"""Candidates for a token that are asked for; OpenAI gives no more."""


class OpenAIOptions(ModelOptions):
    """``base_url``, ``model``: by default from ``OPENAI_BASE_URL`` and ``OPENAI_MODEL``.  ``api_key_env``: the variable
    that holds the key.  ``images``: send key frames (the model must take pictures).  ``json_schema``: ask the server to
    enforce the reply's schema.  ``logprobs``: choose options by the probability of their letters where the server gives
    them.  ``frames``: how many pictures are sent, 0: those of rows only.  ``thinking_tokens``: what a model that thinks
    may write beside its reply.  ``extra``: further fields of every request, as the server has them.  ``timeout_s``: of
    one request.
    """

    runtime = frozenset({"threads", "remember", "timeout_s", "retries", "api_key_env"})
    base_url: str | None = None
    model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    images: bool = False
    frames: int = Field(0, ge=0, le=256)
    thinking_tokens: int = Field(0, ge=0, le=1 << 17)
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    json_schema: bool = True
    logprobs: bool = True
    temperature: float = Field(0.0, ge=0, le=2)
    timeout_s: float = Field(120.0, gt=0)
    retries: int = Field(1, ge=0, le=10)


class OpenAIChat(LanguageModel):
    """A language model behind an HTTP endpoint.  No key, prompt or reply is logged."""

    Options = OpenAIOptions
    requires = ("openai",)
    extra = "openai"

    @staticmethod
    def weights(options: OpenAIOptions) -> Sequence[str]:
        return ()

    def __init__(self, options: OpenAIOptions) -> None:
        import openai

        self.options, self.looks = options, options.images
        self.rotations, self.rows, self.by_rows = options.rotations, options.rows, options.by_rows
        self.frames = options.frames
        base = options.base_url or os.environ.get("OPENAI_BASE_URL")
        key = os.environ.get(options.api_key_env)
        self.model = options.model or os.environ.get("OPENAI_MODEL") or ""
        if not self.model:
            raise EngineMissing("chat=openai: no model named; set OPENAI_MODEL or --set chat.model=NAME")
        if not key and not base:
            raise EngineMissing(
                f"chat=openai: neither a key in {options.api_key_env} nor a server in OPENAI_BASE_URL; set one of them"
            )
        if key and base and not is_private(base):
            raise OptionError(
                f"chat=openai: {base} is not encrypted, and the key in {options.api_key_env} would be read on the way; "
                "use https://, reach it through a tunnel to 127.0.0.1, or name a variable that is not set with "
                "--set chat.api_key_env=NAME where the server wants no key"
            )
        self._refusals: Any = (openai.BadRequestError, openai.UnprocessableEntityError, openai.PermissionDeniedError)
        self._errors: Any = (openai.OpenAIError, *_transport_errors())
        self._client = openai.OpenAI(
            base_url=base, api_key=key or "none", timeout=options.timeout_s, max_retries=options.retries
        )
        told = [str(self._client.base_url), self.model, options.temperature, options.json_schema, options.images]
        if options.extra or options.thinking_tokens:
            told += [options.thinking_tokens, options.extra]
        self.identity = f"openai:{self.model}:{digest(told)}"
        self._dialect = Dialect(options.json_schema, TOP if options.logprobs else 0)
        self._circuit = CircuitBreaker(min(5.0, options.timeout_s / 2))

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 300,
        tell: Callable[[str], object] | None = None,
    ) -> Reply:
        return self._ask(messages, schema, max_tokens, tell)

    def first_token(self, messages: Sequence[Message]) -> Reply | None:
        """As :meth:`.LanguageModel.first_token`; a server that has refused, or gave none, is not asked again."""
        if not self._dialect.top:
            return None
        try:
            reply = self._ask(messages, None, 1, letters=True)
        except _Refused:
            reply = Reply(text="")
        if not reply.top:
            self._dialect.top = 0
            return None
        return reply

    def _ask(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        max_tokens: int,
        tell: Callable[[str], object] | None = None,
        letters: bool = False,
    ) -> Reply:
        return self._circuit.call(lambda: self._send(messages, schema, max_tokens, tell, letters))

    def _send(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        max_tokens: int,
        tell: Callable[[str], object] | None,
        letters: bool,
    ) -> Reply:
        o, told = self.options, [_wire(m) for m in messages]
        limit = max_tokens if letters else max_tokens + o.thinking_tokens
        left = o.retries
        while True:
            fields = self._dialect.fields(schema, limit, o.temperature, tell is not None, letters)
            try:
                return self._once({"model": self.model, "messages": told, **fields}, tell)
            except _BrokenOff:
                if not left:
                    raise
                left -= 1
            except _Refused as e:
                if is_too_much(e.reason):
                    raise TooMuch(str(e)) from e
                if not self._dialect.learn(e.reason, fields):
                    raise

    def _once(self, body: Mapping[str, Any], tell: Callable[[str], object] | None) -> Reply:
        who = f"the language model '{self.model}' at {self._client.base_url.host}"
        began, pieces = False, None
        try:
            create: Any = self._client.chat.completions.with_streaming_response.create
            with create(**body, extra_body=self.options.extra or None) as response:
                began = True
                chunks = self._limited(response.iter_bytes())
                if tell is not None and "event-stream" in response.headers.get("content-type", ""):
                    pieces = Pieces(tell)
                    return pieces.read(chunks)
                reply = whole(b"".join(chunks))
        except self._refusals as e:
            raise _Refused(f"{who} refused: {one_line(e, 200)}", f"{e} {e.body}") from e
        except self._errors as e:
            if pieces is not None:  # some of it has been told: half a reply, not a new one
                return pieces.reply()
            error = _BrokenOff if began else EngineFailed
            raise error(f"{who} {'broke off' if began else 'failed'}: {one_line(e, 200)}") from e
        except (
            LookupError,
            AttributeError,
            TypeError,
            ValueError,
            RecursionError,
        ) as e:  # a server that sends what else
            raise EngineFailed(f"{who} sent no chat completion: {one_line(e, 100)}") from e
        if tell is not None:
            tell(reply.text)
        return reply

    def _limited(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same, as long as it is in time and not too much."""
        end, size = time.monotonic() + self.options.timeout_s, 0
        for chunk in chunks:
            size += len(chunk)
            if size > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES >> 20} MB")
            if time.monotonic() > end:
                raise EngineFailed(
                    f"the language model '{self.model}' at {self._client.base_url.host} took more than "
                    f"{self.options.timeout_s:g} s (time-out) for its reply"
                )
            yield chunk


class _BrokenOff(EngineFailed):
    """The server was there and stopped in the middle."""


class _Refused(EngineFailed):
    """The server does not take the request as it is; ``reason`` is all that it says."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def _transport_errors() -> list[type[Exception]]:
    """What the HTTP client raises while a reply is read; the package is another one from version to version."""
    found = []
    for name in ("httpx2", "httpx"):
        with contextlib.suppress(ImportError):
            module: Any = importlib.import_module(name)
            found += [module.HTTPError, module.StreamError]
    return found


def _wire(message: Message) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role, "content": message.text}
    pictures = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(data).decode()}}
        for data in message.images
    ]
    return {"role": message.role, "content": [*pictures, {"type": "text", "text": message.text}]}
