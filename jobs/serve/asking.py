"""``/search`` and ``/ask``."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from ...query.find.results import kinds_of
from ...query.find.scope import Scope, conditions, day_of, seconds_of
from ...store.errors import UsageError, VidragError, one_line
from ..library import Library
from . import errors, links
from .errors import Refused
from .shapes import AnswerInfo, Hits, Question

log = logging.getLogger("vidrag.serve")
_T = TypeVar("_T")
MOST_WAITING = 32
_LAST_PAGE = 1000


class Slots:
    """As many questions at a time as there are cores; others wait, :data:`MOST_WAITING` at most."""

    def __init__(self, cores: int | None = None) -> None:
        self.cores = cores or len(os.sched_getaffinity(0))
        self._limiter: anyio.CapacityLimiter | None = None
        self._waiting = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """The result of ``work``, done in a thread of its own; 503 where too many wait."""
        limiter = self._limiter = self._limiter or anyio.CapacityLimiter(self.cores)
        if self._waiting >= self.cores + MOST_WAITING:
            raise Refused(503, "too many questions are waiting; ask again in a moment", "Busy")
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=limiter)
        finally:
            self._waiting -= 1


def router(library: Library, slots: Slots) -> APIRouter:
    routes = APIRouter(tags=["questions"])

    @routes.get("/search", response_model=Hits)
    async def search(
        q: str,
        kind: Annotated[list[str] | None, Query()] = None,
        video: Annotated[list[str] | None, Query()] = None,
        start: Annotated[str | None, Query(alias="from")] = None,
        end: Annotated[str | None, Query(alias="to")] = None,
        language: str | None = None,
        speaker: str | None = None,
        since: str | None = None,
        until: str | None = None,
        folder: str | None = None,
        where: Annotated[list[str] | None, Query()] = None,
        top: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: str = "1",
    ) -> Response:
        """Moments that fit a text, by meaning and by words; nothing below a line of relevance."""
        if not cursor.isdecimal() or not 1 <= int(cursor[:5]) <= _LAST_PAGE:
            raise UsageError("cursor: give what an earlier reply named as 'next'")
        kinds, page = kinds_of(kind or ()), int(cursor)
        scope = Scope(
            videos=video,
            start=seconds_of("from", start),
            end=seconds_of("to", end),
            language=language,
            speaker=speaker,
            since=day_of("since", since),
            until=day_of("until", until),
            folder=folder,
            where=conditions("where", where or ()),
        )

        def found() -> bytes:
            results = library.search(q, kinds, top, page, scope)
            asked = {"query": q, "kinds": ["frame" if k == "frames" else k for k in kinds]}
            more = {"next": str(page + 1) if results.more and page < _LAST_PAGE else None}
            return _json({**asked, **more, **links.hits(results, q)})

        return Response(await slots.run(found), media_type="application/json")

    @routes.post("/ask", response_model=AnswerInfo)
    async def ask(question: Question, request: Request) -> Response:
        """An answer that cites its evidence; with ``Accept: text/event-stream`` as it is written."""
        if "text/event-stream" in request.headers.get("accept", ""):
            return StreamingResponse(_events(library, slots, question), media_type="text/event-stream")
        told = await slots.run(lambda: _json(_answer(library, question, None)))
        return Response(told, media_type="application/json")

    return routes


def _json(told: dict[str, Any]) -> bytes:
    """Written in the thread that answers; the schema is that of the command line, which tests hold it to."""
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _answer(library: Library, asked: Question, tell: Callable[[str], object] | None) -> dict[str, Any]:
    standalone = library.standalone(asked.question, [(t.question, t.answer) for t in asked.conversation])
    found = library.ask(standalone, asked.videos, asked.options, tell)
    return links.answer(found, standalone) | {"question": asked.question}


async def _events(library: Library, slots: Slots, asked: Question) -> AsyncIterator[str]:
    """Server-sent events: ``text`` as far as it is written, then ``answer`` or ``error``."""
    loop, written = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def tell(text: str) -> None:
        loop.call_soon_threadsafe(written.put_nowait, text)

    async def work() -> dict[str, Any]:
        try:
            return await slots.run(lambda: _answer(library, asked, tell))
        finally:
            written.put_nowait(None)

    answering = asyncio.create_task(work())
    try:
        while (text := await written.get()) is not None:
            yield event("text", {"text": text})
        yield event("answer", await answering)
    except VidragError as e:
        yield event("error", errors.body(e))
    except Exception as e:
        log.exception("a question failed")
        told = {"code": "Unexpected", "message": f"unexpected {type(e).__name__}: {one_line(e, 100)}", "exit_code": 1}
        yield event("error", {"error": told})
    finally:
        answering.cancel()


def event(name: str, data: Any) -> str:
    """A server-sent event whose data is JSON."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
