"""Errors as the API tells them: one JSON shape, a status for each exit code of the command line."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ...store.errors import NoSuchVideo, NotAnArchive, StorageError, UsageError, VidragError, one_line

_STATUS = {2: 400, 3: 422, 4: 500, 5: 503}
"""By exit code; what is not there is 500."""


class Refused(VidragError):
    """A request that the server does not serve, with the ``status`` of its reply."""

    exit_code = 2

    def __init__(self, status: int, message: str, code: str = "Refused") -> None:
        super().__init__(message)
        self.status, self.code = status, code


def status_of(error: VidragError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, NoSuchVideo):
        return 404
    if isinstance(error, StorageError):  # a bucket or disk that is away may come back
        return 503
    return 500 if isinstance(error, NotAnArchive) else _STATUS.get(error.exit_code, 500)


def body(error: VidragError) -> dict[str, Any]:
    """The JSON object of an error."""
    code = error.code if isinstance(error, Refused) else type(error).__name__
    return {"error": {"code": code, "message": one_line(error), "exit_code": error.exit_code}}


def _reply(error: VidragError) -> JSONResponse:
    status = status_of(error)
    return JSONResponse(body(error), status, {"Retry-After": "2"} if status == 503 else None)


def install(app: FastAPI) -> None:
    """Makes every error of ``app`` one of this shape."""

    @app.exception_handler(VidragError)
    async def _known(request: Request, error: VidragError) -> JSONResponse:
        return _reply(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(f"{_place(e['loc'])}: {e['msg']}" for e in error.errors()[:3])
        return _reply(UsageError(told))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return _reply(
            Refused(error.status_code, str(error.detail), "NotFound" if error.status_code == 404 else "Refused")
        )

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        told = {
            "code": "Unexpected",
            "message": f"unexpected {type(error).__name__}; see the server's log",
            "exit_code": 1,
        }
        return JSONResponse({"error": told}, 500)


def _place(where: tuple[Any, ...]) -> str:
    return ".".join(str(p) for p in where if p not in ("query", "body", "path")) or "body"
