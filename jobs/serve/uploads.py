"""Uploads that go on where they stopped: bytes are put behind those that are there, then the file gets its name.

While it comes, ``NAME`` is the file ``.NAME.part``, which ingest passes over.  Nothing that is there is ever replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ...store.storage import owned
from ...store.storage.naming import Naming
from .allowed import UPLOADS, Allowed
from .errors import Refused

LONGEST_NAME = 200
MOST_AT_ONCE = 4
_STALL_S = 60.0
"""A body that brings nothing for so long has ended."""
_SPARE = 64 << 20
"""Bytes of the disk that uploads leave free."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Uploaded(BaseModel):
    """``bytes``: how many are there, the offset of the next ones."""

    name: str
    bytes: int


class UploadDone(BaseModel):
    """What ``POST /ingest`` takes."""

    root: str
    path: str


class Uploads:
    """The upload folder."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._naming = Naming(str(folder))
        self._free = MOST_AT_ONCE

    def offset(self, name: str) -> int:
        """How many bytes of an upload are there; raises :class:`Refused` where the file is there as a whole."""
        _check_name(name)
        self._check_free(name)
        try:
            return os.stat(_part(name), dir_fd=self._fd, follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    async def put(self, name: str, offset: int, length: int, body: AsyncIterator[bytes]) -> int:
        """Writes ``length`` bytes behind the ``offset`` that are there; gives how many there are now.

        Raises :class:`Refused` where they do not fit; what came of them stays.
        """
        _check_name(name)
        if offset + length > self.limit:
            raise Refused(413, f"an upload may have {self.limit // 1_000_000} MB", "BodyTooLarge")
        if self._free < 1:
            raise Refused(503, f"{MOST_AT_ONCE} uploads are under way; try again in a while", "Busy")
        self._free -= 1
        try:
            self._check_free(name)
            if length > shutil.disk_usage(self.folder).free - _SPARE:
                raise _full(offset)
            with self._opened(name, os.O_WRONLY | os.O_CREAT) as file:
                there = os.fstat(file).st_size
                if there != offset:
                    raise Refused(409, f"{there} bytes are there; go on with offset={there}", "WrongOffset")
                os.lseek(file, offset, os.SEEK_SET)
                return offset + await _copy(body, file, offset)
        finally:
            self._free += 1

    def finish(self, name: str, total: int | None) -> None:
        """Gives the file its name; raises :class:`Refused` where something has it, or ``total`` differs."""
        _check_name(name)
        self._check_free(name)
        with self._opened(name, os.O_RDWR) as file:
            size = os.fstat(file).st_size
            if total is not None and size != total:
                raise Refused(409, f"{size} of {total} bytes are there", "WrongOffset")
            os.fsync(file)
            if not self._naming.give(self._fd, _part(name), name):
                raise _taken(name)
            with contextlib.suppress(FileNotFoundError):  # it has both names where the disk has links
                owned.remove_upload(_part(name), self._fd)
            os.fsync(self._fd)

    def drop(self, name: str) -> None:
        """Takes away what has come of an upload that is not done."""
        _check_name(name)
        with self._opened(name, os.O_RDWR):
            owned.remove_upload(_part(name), self._fd)

    def _check_free(self, name: str) -> None:
        try:
            os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        raise _taken(name)

    @contextlib.contextmanager
    def _opened(self, name: str, flags: int) -> Iterator[int]:
        """The part file, for one writer at a time; a link in its place is not followed."""
        try:
            file = os.open(_part(name), flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o666, dir_fd=self._fd)
        except FileNotFoundError:
            raise Refused(404, f"nothing has come of '{name}'", "NotFound") from None
        except OSError as e:
            raise _full(0) if e.errno in _FULL else _taken(name) from e
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise _taken(name)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused(409, f"'{name}' is being uploaded by another request", "Busy") from None
            yield file
        finally:
            os.close(file)


async def _copy(body: AsyncIterator[bytes], file: int, offset: int) -> int:
    """Writes what comes; gives how many bytes that were."""
    written = 0
    try:
        while True:
            async with asyncio.timeout(_STALL_S):
                part = await anext(body, b"")
            if not part:
                return written
            await run_in_threadpool(_write, file, part)
            written += len(part)
    except TimeoutError:
        raise Refused(
            408, f"nothing came for {_STALL_S:.0f} seconds; go on with offset={offset + written}", "Slow"
        ) from None
    except ClientDisconnect:
        raise Refused(408, "the body broke off", "Slow") from None
    except OSError as e:
        if e.errno in _FULL:
            raise _full(os.fstat(file).st_size) from e
        raise


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _part(name: str) -> str:
    return f".{name}.part"


def _full(there: int) -> Refused:
    return Refused(507, f"the disk of the upload folder is full; {there} bytes stay: make room, then go on", "DiskFull")


def _taken(name: str) -> Refused:
    return Refused(409, f"something in the upload folder is called '{name}' already; choose another name", "NameTaken")


def _check_name(name: str) -> None:
    """Raises :class:`Refused` for what is no plain name of a file."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= LONGEST_NAME or name[0] in ".-" or not name.isprintable() or any(c in name for c in "/\\"):
        told = f"a name has 1 to {LONGEST_NAME} bytes, no / \\ or control characters, and begins with no . or -"
        raise Refused(400, told, "BadName")


Name = Annotated[str, InPath(max_length=1000)]


def router(allowed: Allowed) -> APIRouter:
    """The routes below ``/uploads``."""
    routes = APIRouter(prefix="/uploads/{name}", tags=["ingest"])
    place = None if allowed.uploads is None else Uploads(allowed.uploads, allowed.upload_limit)

    def uploads() -> Uploads:
        if place is None:
            raise Refused(403, "uploads are off; start the server with --uploads FOLDER", "NotAllowed")
        return place

    @routes.head("")
    def offset(name: Name) -> Response:
        """How many bytes of an upload are there, in ``Upload-Offset``; 409 where a file has the name."""
        return Response(headers={"upload-offset": str(uploads().offset(name))})

    @routes.put("")
    async def put(name: Name, request: Request, offset: Annotated[int, Query(ge=0)] = 0) -> Uploaded:
        """Puts the body's bytes behind the ``offset`` ones that are there; what has come stays when it breaks off."""
        found, length = uploads(), request.headers.get("content-length", "")
        if not length.isascii() or not length.isdecimal() or len(length) > 15:
            raise Refused(411, "send Content-Length", "NoLength")
        return Uploaded(name=name, bytes=await found.put(name, offset, int(length), request.stream()))

    @routes.post("/done")
    def done(name: Name, total: Annotated[int | None, Query(alias="bytes", ge=0)] = None) -> UploadDone:
        """Gives an upload its name; ``bytes``: how many it must have.  What it gives is what ``POST /ingest`` takes."""
        uploads().finish(name, total)
        return UploadDone(root=UPLOADS, path=name)

    @routes.delete("", status_code=204)
    def drop(name: Name) -> None:
        """Takes away what has come of an upload that is not done."""
        uploads().drop(name)

    return routes
