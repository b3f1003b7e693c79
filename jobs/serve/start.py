"""Starts the server: checks what it is given, listens, says how to get there."""

from __future__ import annotations

import logging
import socket
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from ...store.errors import UsageError, VidragError, one_line
from ..library import Library
from .app import ServeOptions, make_app
from .runs import Allowed
from .security import Access, is_loopback

log = logging.getLogger("vidrag.serve")
SHORTEST_TOKEN = 16
_LOCAL = ("localhost", "127.0.0.1", "::1")
_MOST_CONNECTIONS = 256
_ANYWHERE = ("0.0.0.0", "::")


def start(
    archive: str,
    profile: str,
    settings: Sequence[str],
    *,
    host: str,
    port: int,
    token: str,
    media: Sequence[str],
    names: Sequence[str],
    address: str,
    roots: Sequence[str],
    uploads: Path | None,
    upload_limit: int,
    browse: bool,
) -> int:
    """Serves until it is stopped.

    ``names``: further names of this server; ``address``: how others reach it, where a proxy stands before it;
    ``roots``: ``NAME=FOLDER`` each; ``browse``: opens the page in a browser.
    Raises :class:`~vidrag.store.errors.UsageError` where others could reach it without a token, and where it cannot
    listen.
    """
    _check_token(host, token)
    library = Library(archive, profile, settings)
    library.listing.table()  # an archive that cannot be read is told of now
    allowed = Allowed.of(roots, uploads, upload_limit)
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    shown = "localhost" if host in (*_ANYWHERE, *_LOCAL) else f"[{host}]" if ":" in host else host
    own = f"http://{shown}:{port}"
    address = _public(address) or own
    called = {*_LOCAL, *_own_names(host), *(n.lower() for n in names), urlsplit(address).hostname or ""}
    access = Access(frozenset(called - {""}), not is_loopback(host), token)
    app = make_app(library, ServeOptions(access=access, address=address, media=media, allowed=allowed))
    link = f"{own}/login#{token}" if token else own
    print(f"serving {library.name}: {link}\nCtrl-C stops it", flush=True)
    threading.Thread(target=_load, args=(library,), daemon=True).start()
    if browse:
        threading.Timer(1.0, webbrowser.open, (link,)).start()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _check_token(host: str, token: str) -> None:
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError(f"the token must have {SHORTEST_TOKEN} or more letters and digits and no spaces")
    if not is_loopback(host) and not token:
        raise UsageError(
            f"--host {host} lets others reach this archive; give a token with --token-file FILE or VIDRAG_TOKEN, "
            "for example one that 'openssl rand -hex 16' prints"
        )


def _public(address: str) -> str:
    """The address without a slash at the end; empty where none is given."""
    parts = urlsplit(address)
    if address and (
        parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query
    ):
        raise UsageError(
            f"--address {address}: give the address of the server's root, for example https://films.example"
        )
    return address.rstrip("/")


def _own_names(host: str) -> list[str]:
    """What a server that others reach may be called; addresses are always taken."""
    if is_loopback(host):
        return []
    return [n.lower() for n in (socket.gethostname(), socket.getfqdn(), host)]


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)  # told so, asyncio sends small replies at once
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as e:
        raise UsageError(f"cannot listen at {host} port {port}: {e.strerror or e}; --port 0 takes a free one") from e
    return listening


def _load(library: Library) -> None:
    """Loads the engines ahead of the first question; what is missing is told then."""
    try:
        _ = library.asker, library.lister
    except VidragError as e:
        log.warning("questions cannot be answered yet: %s", one_line(e))
