"""Any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, xllamacpp, Ollama."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from ...store.engines import EngineOptions
from ...store.errors import EngineFailed, EngineMissing, one_line
from . import LanguageModel, Message, Reply


class OpenAIOptions(EngineOptions):
    """``base_url``, ``model``: by default from ``OPENAI_BASE_URL`` and ``OPENAI_MODEL``.  ``api_key_env``: the variable
    that holds the key.  ``images``: send key frames (the model must take pictures).  ``json_schema``: ask the server to
    enforce the reply's schema.  ``timeout_s``: of one request.
    """

    runtime = frozenset({"threads", "timeout_s", "retries", "api_key_env"})
    base_url: str | None = None
    model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    images: bool = False
    json_schema: bool = True
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
        base = options.base_url or os.environ.get("OPENAI_BASE_URL")
        key = os.environ.get(options.api_key_env)
        self.model = options.model or os.environ.get("OPENAI_MODEL") or ""
        if not self.model:
            raise EngineMissing("chat=openai: no model named; set OPENAI_MODEL or --set chat.model=NAME")
        if not key and not base:
            raise EngineMissing(
                f"chat=openai: neither a key in {options.api_key_env} nor a server in OPENAI_BASE_URL; set one of them"
            )
        self._errors: Any = (openai.OpenAIError,)
        self._client = openai.OpenAI(
            base_url=base, api_key=key or "none", timeout=options.timeout_s, max_retries=options.retries
        )

    def complete(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None, max_tokens: int = 300
    ) -> Reply:
        extra: dict[str, Any] = {}
        if schema is not None and self.options.json_schema:
            extra["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": dict(schema), "strict": True},
            }
        try:
            done = self._client.chat.completions.create(
                model=self.model,
                messages=[_wire(m) for m in messages],  # type: ignore[misc]
                temperature=self.options.temperature,
                max_tokens=max_tokens,
                **extra,
            )
            text = done.choices[0].message.content or ""
            usage = done.usage
            read, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
            if not isinstance(text, str):
                raise TypeError("not a text")
        except self._errors as e:
            raise EngineFailed(f"the language model at {self._client.base_url.host} failed: {one_line(e, 200)}") from e
        except (IndexError, AttributeError, TypeError, ValueError) as e:  # a server that sends something else
            raise EngineFailed(f"the language model at {self._client.base_url.host} sent no chat completion") from e
        return Reply(text, read, written)


def _wire(message: Message) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role, "content": message.text}
    pictures = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(data).decode()}}
        for data in message.images
    ]
    return {"role": message.role, "content": [*pictures, {"type": "text", "text": message.text}]}
