"""``/original``, ``/play.mp4`` and ``/clip.mp4``: the file itself, a stream for any browser, and a part of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from ..library import Library
from .errors import Refused
from .media import LONGEST_CLIP, Originals, stream_command

MOST_STREAMS = 2
_PART = 1 << 16
_STALL_S = 60.0
"""A stream that gives nothing for so long has ended."""


class Streams:
    """Programs that make streams, :data:`MOST_STREAMS` at most at once; each ends when its viewer leaves."""

    def __init__(self) -> None:
        self._free = MOST_STREAMS

    async def start(self, command: list[str]) -> asyncio.subprocess.Process:
        if self._free < 1:
            raise Refused(503, f"{MOST_STREAMS} streams are being made already; try again in a while", "Busy")
        self._free -= 1
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.defpath, "LC_ALL": "C"},
            )
        except BaseException:
            self._free += 1
            raise

    async def stop(self, process: asyncio.subprocess.Process) -> None:
        self._free += 1
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


async def next_part(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    try:
        return await asyncio.wait_for(process.stdout.read(_PART), _STALL_S)
    except TimeoutError:
        return b""


class _Stream(StreamingResponse):
    """What a program writes, ``first`` having been read; the program ends when the reader goes."""

    def __init__(
        self, streams: Streams, process: asyncio.subprocess.Process, first: bytes, headers: dict[str, str]
    ) -> None:
        super().__init__(_parts(process, first), media_type="video/mp4", headers=headers)
        self._streams, self._process = streams, process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._streams.stop(self._process)


async def _parts(process: asyncio.subprocess.Process, part: bytes) -> AsyncIterator[bytes]:
    while part:
        yield part
        part = await next_part(process)


def router(library: Library, originals: Originals) -> APIRouter:
    routes, streams = APIRouter(prefix="/videos/{video}", tags=["media"]), Streams()

    async def path_of(video: str) -> tuple[str, Path, str]:
        shard = await run_in_threadpool(library.shard, video)
        found = await run_in_threadpool(originals.find, shard.manifest)
        if found.path is None:
            raise Refused(409 if found.state == "changed" else 404, found.message, f"Original{found.state.title()}")
        kind = found.mime.partition(";")[0] or "application/octet-stream"
        return shard.name, found.path, kind

    async def streamed(command: list[str], headers: dict[str, str]) -> StreamingResponse:
        process = await streams.start(command)
        try:
            first = await next_part(process)
            if not first:
                raise Refused(422, "no stream can be made of this file", "NoStream")
        except BaseException:
            await streams.stop(process)
            raise
        return _Stream(streams, process, first, headers)

    @routes.get("/original", response_class=FileResponse)
    async def original(video: str) -> FileResponse:
        """The file as it is, with ranges."""
        _, path, kind = await path_of(video)
        headers = {"cache-control": "private, no-cache"}
        return FileResponse(path, headers=headers, media_type=kind, content_disposition_type="inline")

    @routes.get("/play.mp4", response_class=StreamingResponse)
    async def play(video: str, start: Annotated[float, Query(ge=0, le=1e6)] = 0.0) -> StreamingResponse:
        """A stream that every browser plays, 480 lines at most, made from second ``start`` on while it is sent."""
        _, path, _ = await path_of(video)
        return await streamed(stream_command(path, start, None, small=True), {})

    @routes.get("/clip.mp4", response_class=StreamingResponse)
    async def clip(
        video: str, start: Annotated[float, Query(ge=0, le=1e6)], end: Annotated[float, Query(ge=0, le=1e6)]
    ) -> StreamingResponse:
        """The seconds from ``start`` to ``end`` as a file, ten minutes at most."""
        if not 0.04 <= end - start <= LONGEST_CLIP:
            raise Refused(
                400, f"a clip is up to {LONGEST_CLIP:.0f} seconds long, and ends after it starts", "UsageError"
            )
        name, path, _ = await path_of(video)
        stem = (
            "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name.rpartition(".")[0])
            or "clip"
        )
        headers = {"content-disposition": f'attachment; filename="{stem[:80]}-{start:.0f}-{end:.0f}.mp4"'}
        return await streamed(stream_command(path, start, end - start, small=False), headers)

    return routes
