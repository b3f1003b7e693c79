"""``/original``, ``/copy.mp4``, ``/play.mp4`` and ``/clip.mp4``: the file, its pictures in an MP4, a stream, a part."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from ...ingest.sources import Location
from ...store.archive.manifest import Manifest
from ..library import Library
from .errors import Refused
from .media import LONGEST_CLIP, Originals, can_be_copied, copy_command, stream_command

MOST_STREAMS = 2
MOST_COPIES = 4
_COPY_S = 300.0
_NO_COPY = "the pictures of this file cannot be put into an MP4 as they are"
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


class Copies:
    """Files whose pictures are in an MP4 as they were, made when they are first asked for.

    The last :data:`MOST_COPIES` are kept while the server runs.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._made = OrderedDict[str, tuple[str, ExitStack]]()
        self._turns = defaultdict[str, asyncio.Lock](asyncio.Lock)

    async def made(self, manifest: Manifest, location: Location) -> str:
        """The path of the copy of an original."""
        key = manifest.source.sha256
        async with self._turns[key]:
            if key not in self._made:
                self._made[key] = await self._make(manifest, location)
                while len(self._made) > MOST_COPIES:
                    self._made.popitem(last=False)[1][1].close()  # which deletes it
            self._made.move_to_end(key)
            return self._made[key][0]

    async def _make(self, manifest: Manifest, location: Location) -> tuple[str, ExitStack]:
        """The path, and what deletes it when it is closed."""
        with ExitStack() as file:
            path = file.enter_context(tempfile.NamedTemporaryFile(prefix="vidrag-", suffix=".mp4")).name
            async with AsyncExitStack() as held:
                command = copy_command(await _local(held, location), manifest, path)
                process = await self._streams.start(command)
                held.push_async_callback(self._streams.stop, process)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _COPY_S)
            if process.returncode:
                raise Refused(422, _NO_COPY, "NoStream")
            return path, file.pop_all()


class _Stream(StreamingResponse):
    """What a program writes, ``first`` having been read; ``held`` ends when the reader goes."""

    def __init__(
        self, held: AsyncExitStack, process: asyncio.subprocess.Process, first: bytes, headers: dict[str, str]
    ) -> None:
        super().__init__(_parts(process, first), media_type="video/mp4", headers=headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


async def _parts(process: asyncio.subprocess.Process, part: bytes) -> AsyncIterator[bytes]:
    while part:
        yield part
        part = await next_part(process)


async def _local(held: AsyncExitStack, location: Location) -> Path:
    """A file with the original's content; an object is fetched as a whole."""
    return await run_in_threadpool(held.enter_context, location.fetched())


def _object_reply(location: Location, manifest: Manifest, headers: dict[str, str], kind: str, wanted: str) -> Response:
    """An object, or the range of it that is ``wanted``."""
    info = location.info()
    if info.bytes != manifest.source.bytes:
        raise Refused(409, "The original has changed since it was indexed.", "OriginalChanged")
    start, end, status = 0, info.bytes, 200
    asked = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", wanted)
    if asked and any(asked.groups()):
        first, last = asked.groups()
        start = int(first) if first else max(0, info.bytes - int(last))
        end = min(int(last) + 1, info.bytes) if first and last else info.bytes
        status = 206
        if start >= end:
            return Response(status_code=416, headers={"content-range": f"bytes */{info.bytes}"})
        headers = {**headers, "content-range": f"bytes {start}-{end - 1}/{info.bytes}"}
    headers = {**headers, "accept-ranges": "bytes", "content-length": str(end - start)}
    return StreamingResponse(location.parts(info, start, end), status, headers, kind)


def router(library: Library, originals: Originals) -> APIRouter:
    routes, streams = APIRouter(prefix="/videos/{video}", tags=["media"]), Streams()
    copies, unchanged = Copies(streams), {"cache-control": "private, no-cache"}

    async def found(video: str) -> tuple[Manifest, Location, str]:
        manifest = (await run_in_threadpool(library.shard, video)).manifest
        told = await run_in_threadpool(originals.find, manifest)
        if told.location is None:
            raise Refused(409 if told.state == "changed" else 404, told.message, f"Original{told.state.title()}")
        return manifest, told.location, told.mime.partition(";")[0] or "application/octet-stream"

    async def streamed(
        location: Location, start: float, seconds: float | None, headers: dict[str, str]
    ) -> StreamingResponse:
        async with AsyncExitStack() as held:
            path = await _local(held, location)
            process = await streams.start(stream_command(path, start, seconds, small=seconds is None))
            held.push_async_callback(streams.stop, process)
            first = await next_part(process)
            if not first:
                raise Refused(422, "no stream can be made of this file", "NoStream")
            return _Stream(held.pop_all(), process, first, headers)

    @routes.get("/original", response_class=FileResponse)
    async def original(video: str, range: Annotated[str, Header()] = "") -> Response:
        """The file as it is, with ranges."""
        manifest, location, kind = await found(video)
        if location.remote:
            return await run_in_threadpool(_object_reply, location, manifest, unchanged, kind, range)
        return FileResponse(location.text, headers=unchanged, media_type=kind, content_disposition_type="inline")

    @routes.get("/copy.mp4", response_class=FileResponse)
    async def copy(video: str) -> FileResponse:
        """The pictures as they are in an MP4, with ranges; sound that browsers do not play is encoded anew."""
        manifest, location, _ = await found(video)
        if not can_be_copied(manifest):
            raise Refused(422, _NO_COPY, "NoStream")
        path = await copies.made(manifest, location)
        return FileResponse(path, headers=unchanged, media_type="video/mp4", content_disposition_type="inline")

    @routes.get("/play.mp4", response_class=StreamingResponse)
    async def play(video: str, start: Annotated[float, Query(ge=0, le=1e6)] = 0.0) -> StreamingResponse:
        """A stream that every browser plays, 480 lines at most, made from second ``start`` on while it is sent."""
        _, location, _ = await found(video)
        return await streamed(location, start, None, {})

    @routes.get("/clip.mp4", response_class=StreamingResponse)
    async def clip(
        video: str, start: Annotated[float, Query(ge=0, le=1e6)], end: Annotated[float, Query(ge=0, le=1e6)]
    ) -> StreamingResponse:
        """The seconds from ``start`` to ``end`` as a file, ten minutes at most."""
        if not 0.04 <= end - start <= LONGEST_CLIP:
            raise Refused(
                400, f"a clip is up to {LONGEST_CLIP:.0f} seconds long, and ends after it starts", "UsageError"
            )
        manifest, location, _ = await found(video)
        name = manifest.source.names[0].rpartition(".")[0]
        stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name) or "clip"
        headers = {"content-disposition": f'attachment; filename="{stem[:80]}-{start:.0f}-{end:.0f}.mp4"'}
        return await streamed(location, start, end - start, headers)

    return routes
