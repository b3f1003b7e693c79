"""The application: the page, the API and the other doors around one library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from ...store.archive.stored_files import version
from ...store.errors import VidragError, one_line
from ..library import Library
from ..runs.known import Ingested
from . import asking, errors, links, openai, page, playing, runs, tools, videos
from .errors import Refused
from .media import Originals
from .runs import Allowed
from .security import COOKIE, Access, Guard
from .shapes import Ingesting


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """``access``: who may ask; ``media``: see :class:`.Originals`; ``allowed``: what may be indexed from the page;
    ``address``: how other programs reach the server, without a slash at the end.
    """

    access: Access
    address: str
    media: Sequence[str] = ()
    allowed: Allowed = field(default_factory=Allowed)


def make_app(library: Library, options: ServeOptions) -> Guard:
    """The ASGI application, behind its guard."""
    return Guard(make_api(library, options), options.access)


def make_api(library: Library, options: ServeOptions) -> FastAPI:
    """The same without a guard."""
    originals = Originals(Ingested(library.archive), options.media)
    allowed, slots = options.allowed, asking.Slots()
    mcp = tools.http_app(library, options.address, slots.run)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(tools.lifespan(mcp))
            yield

    app = FastAPI(
        title="vidrag", version=version(), docs_url=None, redoc_url=None, openapi_url="/openapi.json", lifespan=lifespan
    )
    errors.install(app)
    ingest = Ingesting(allowed=allowed.any, roots=sorted(allowed.roots), uploads=allowed.uploads is not None)
    app.include_router(asking.router(library, slots), prefix=links.API)
    app.include_router(videos.router(library, originals, ingest, media=True), prefix=links.API)
    app.include_router(playing.router(library, originals), prefix=links.API)
    app.include_router(runs.router(library, allowed), prefix=links.API)
    app.include_router(openai.router(library, slots, options.address), prefix="/v1")
    app.router.routes.append(Route("/mcp", mcp, include_in_schema=False))  # without a redirect to /mcp/
    app.mount("/mcp", mcp)
    _pages(app, library, options.access)
    return app


def _pages(app: FastAPI, library: Library, access: Access) -> None:
    def html(text: str, status: int = 200) -> HTMLResponse:
        return HTMLResponse(text, status, {"cache-control": "no-cache"})

    async def shown(make: Callable[[], str]) -> HTMLResponse:
        try:
            return html(await run_in_threadpool(make))
        except VidragError as e:
            return html(page.problem(library, one_line(e)), errors.status_of(e))

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> HTMLResponse:
        return await shown(lambda: page.library(library, dict(request.query_params)))

    @app.get("/v/{video}", include_in_schema=False)
    async def video(video: str) -> HTMLResponse:
        return await shown(lambda: page.video(library, library.shard(video)))

    @app.get("/runs", include_in_schema=False)
    @app.get("/runs/{run}", include_in_schema=False)
    async def all_runs(run: str = "") -> HTMLResponse:
        return await shown(lambda: page.runs(library, run))

    @app.get("/static/{name}", include_in_schema=False)
    def static(request: Request, name: str) -> Response:
        found = page.static(name)
        if found is None:
            raise Refused(404, f"no file is called {name[:80]}", "NotFound")
        data, kind, tag = found
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=kind, headers=headers)

    @app.get("/login", include_in_schema=False)
    def login() -> HTMLResponse:
        return html(page.login(library.name, failed=False))

    @app.post("/login", include_in_schema=False)
    async def enter(request: Request) -> Response:
        is_form = "form" in request.headers.get("content-type", "")
        given = parse_qs((await request.body()).decode("utf-8", "replace")) if is_form else await _json(request)
        token = given.get("token", "")
        token = token[0] if isinstance(token, list) and token else token
        if not isinstance(token, str) or not access.is_token(token):
            if is_form:
                return html(page.login(library.name, failed=True), 401)
            raise Refused(401, "this is not the server's token", "NoToken")
        reply: Response = RedirectResponse("/", 303) if is_form else JSONResponse({"ok": True})
        reply.set_cookie(COOKIE, access.cookie(), httponly=True, samesite="strict", max_age=30 * 86400)
        return reply

    @app.get("/health/live", include_in_schema=False)
    def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready", include_in_schema=False)
    def ready() -> dict[str, str]:
        library.listing.table()
        return {"status": "ok"}


async def _json(request: Request) -> dict[str, object]:
    try:
        told = await request.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Refused(400, "send a JSON object", "UsageError")
    return told
