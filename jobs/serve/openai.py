"""An archive as a model for chat clients: ``/v1/models`` and ``/v1/chat/completions`` in OpenAI's form.

Each question is answered from the archive; its citations are links in the text, as clients drop fields that they do not
know.  Temperature and the like are passed over; what would change what comes back is refused.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...query.types import Answer, Usage
from ...store.errors import UsageError, VidragError, one_line
from ..library import Library
from . import errors, markdown
from .asking import Slots
from .errors import Refused
from .passages import Addresses

log = logging.getLogger("vidrag.serve")
_BEGAN = int(time.time())


class _Part(BaseModel):
    type: str
    text: str = ""


class _Message(BaseModel):
    role: str
    content: str | list[_Part] | None = None


class _StreamOptions(BaseModel):
    include_usage: bool | None = False


class _Request(BaseModel):
    """What is read of a request; all else is passed over."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[_Message] = Field(min_length=1)
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    n: int | None = 1
    tool_choice: Any = None
    response_format: Any = None
    modalities: list[str] | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    question: str
    history: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Completed:
    """``asked``: the question as it was asked of the archive, where that differs; empty otherwise."""

    answer: Answer
    asked: str


def router(library: Library, slots: Slots, address: str) -> APIRouter:
    """``address``: where the server's pages are, for links; without a slash at the end."""
    routes = APIRouter(tags=["openai"])
    door = _Door(library, slots, Addresses(address))

    @routes.get("/models")
    def models() -> dict[str, Any]:
        """The archive as a model."""
        return {"object": "list", "data": [door.model()]}

    @routes.get("/models/{name:path}")
    def model(name: str) -> Response:
        """The same by its name."""
        try:
            door.check_model(name)
        except VidragError as e:
            return _failed(e)
        return JSONResponse(door.model())

    @routes.post("/chat/completions", openapi_extra=_body())
    async def completions(request: Request) -> Response:
        """An answer to the last message of the user, from the archive."""
        try:
            return await door.complete(await _read(request))
        except VidragError as e:
            return _failed(e)

    return routes


def _body() -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True}}


async def _read(request: Request) -> _Request:
    try:
        return _Request.model_validate(await request.json())
    except ValidationError as e:
        told = [f"{'.'.join(map(str, x['loc'])) or 'body'}: {x['msg']}" for x in e.errors()[:3]]
        raise UsageError("; ".join(told)) from e
    except (ValueError, RecursionError) as e:
        raise UsageError("the body is no JSON") from e


def _failed(error: VidragError) -> JSONResponse:
    """An error in OpenAI's shape."""
    status = errors.status_of(error)
    return JSONResponse(_error(error, status), status, {"Retry-After": "2"} if status == 503 else None)


def _error(error: VidragError, status: int) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = error.code if isinstance(error, Refused) else type(error).__name__
    return {"error": {"message": one_line(error), "type": kind, "param": None, "code": code}}


class _Door:
    def __init__(self, library: Library, slots: Slots, addresses: Addresses) -> None:
        self._library, self._slots, self._at = library, slots, addresses
        self._name = f"vidrag/{library.name}"

    def model(self) -> dict[str, Any]:
        return {"id": self._name, "object": "model", "created": _BEGAN, "owned_by": "vidrag"}

    def check_model(self, name: str) -> None:
        if name not in (self._name, self._library.name, "vidrag"):
            raise Refused(404, f"no model is called '{name[:80]}'; this server has '{self._name}'", "model_not_found")

    async def complete(self, given: _Request) -> Response:
        self.check_model(given.model)
        asked = _asked(given)
        if not given.stream:
            found = await self._slots.run(lambda: self._ask(asked, None))
            return JSONResponse(self._whole(found))
        events = self._events(asked, bool(given.stream_options and given.stream_options.include_usage))
        first = await anext(events)  # an error that comes before the first word is a status
        return StreamingResponse(_after(first, events), media_type="text/event-stream")

    def _ask(self, asked: _Asked, tell: Callable[[str], object] | None) -> _Completed:
        question = self._library.standalone(asked.question, asked.history)
        found = self._library.ask(question, tell=tell)
        return _Completed(found, question if question != asked.question else "")

    def _text(self, found: _Completed) -> str:
        after = markdown.sources(found.answer, self._at, found.asked)
        return f"{markdown.answer(found.answer, self._at)}\n\n{after}".rstrip()

    def _whole(self, found: _Completed) -> dict[str, Any]:
        message = {"role": "assistant", "content": self._text(found), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(found.answer.usage)}

    def _head(self, kind: Literal["chat.completion", "chat.completion.chunk"]) -> dict[str, Any]:
        made = int(time.time())
        return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": made, "model": self._name}

    async def _events(self, asked: _Asked, include_usage: bool) -> AsyncIterator[str]:
        """The pieces of an answer as it is written.  What a model has taken back is followed by what it says now."""
        head = self._head("chat.completion.chunk")
        loop, written = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def chunk(delta: dict[str, str], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return _event({**head, "choices": [choice]})

        async def work() -> _Completed:
            try:
                return await self._slots.run(lambda: self._ask(asked, tell))
            finally:
                written.put_nowait(None)

        def tell(text: str) -> None:
            loop.call_soon_threadsafe(written.put_nowait, text)

        answering, sent = asyncio.create_task(work()), ""
        try:
            while (text := await written.get()) is not None:
                piece = markdown.escaped(text.partition("[")[0].strip())  # where marks lead is known at the end
                if piece.startswith(sent) and piece != sent:
                    yield chunk({"content": piece[len(sent) :]} if sent else {"role": "assistant", "content": piece})
                    sent = piece
            found = await answering
            whole = self._text(found)
            rest = whole[len(sent) :] if whole.startswith(sent) else f"\n\n---\n\n{whole}"
            yield chunk({"content": rest} if sent else {"role": "assistant", "content": rest})
            yield chunk({}, "stop")
            if include_usage:
                yield _event({**head, "choices": [], "usage": _usage(found.answer.usage)})
            yield "data: [DONE]\n\n"
        except VidragError as e:
            if not sent:
                raise
            yield _event(_error(e, errors.status_of(e)))
        except Exception as e:
            log.exception("a question failed")
            problem = VidragError(f"unexpected {type(e).__name__}; see the server's log")
            if not sent:
                raise problem from e
            yield _event(_error(problem, 500))
        finally:
            answering.cancel()


async def _after(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for event in rest:
        yield event


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _usage(usage: Usage) -> dict[str, int]:
    """Tokens of the language model; none where answers are quotes."""
    total = usage.read + usage.written
    return {"prompt_tokens": usage.read, "completion_tokens": usage.written, "total_tokens": total}


def _asked(given: _Request) -> _Asked:
    """The last question and what was said before.  Raises UsageError for what would not be done as it is meant."""
    if (given.n or 1) != 1:
        raise UsageError(f"n {given.n}: a question has one answer; leave 'n' out")
    if given.tool_choice not in (None, "none", "auto"):
        raise UsageError("tool_choice: an archive calls no tools; leave it out, or give 'none'")
    kind = given.response_format.get("type") if isinstance(given.response_format, dict) else None
    if kind not in (None, "text"):
        raise UsageError(
            f"response_format: answers are text; '{str(kind)[:40]}' cannot be had, but /api/v1/ask is JSON"
        )
    if given.modalities and set(given.modalities) != {"text"}:
        raise UsageError("modalities: answers are text")
    turns = [(m.role, _text_of(m)) for m in given.messages if m.role in ("user", "assistant")]
    last = max((i for i, (role, _) in enumerate(turns) if role == "user"), default=None)
    if last is None:
        raise UsageError("messages: there is none of the user")
    history, question = list[tuple[str, str]](), ""
    for role, text in turns[:last]:
        if role == "user":
            question = text
        elif question:
            history.append((question, _without_sources(text)))
            question = ""
    return _Asked(turns[last][1], history)


def _text_of(message: _Message) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    if message.role == "user" and (other := [p.type for p in message.content if p.type not in ("text", "input_text")]):
        raise UsageError(f"content of type '{other[0][:40]}' is not looked at; an archive is asked in words")
    return "\n".join(p.text for p in message.content if p.text)


def _without_sources(text: str) -> str:
    for title in (markdown.SOURCES, markdown.NEAREST):
        text = text.partition(f"\n\n{title}")[0]
    return text
