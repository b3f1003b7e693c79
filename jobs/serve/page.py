"""The page's HTML: a shell that scripts fill, with lists and transcripts inside for browsers without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ...store.errors import UsageError
from ...store.records import clock, spoken_text
from ...store.shell import counted

if TYPE_CHECKING:
    from ...store.archive.entries import Entry
    from ...store.archive.shard import Shard
    from ..library import Library

MOST_LINES = 2000
"""Lines of a transcript, or of the text on screen, that a page without scripts shows."""
_VIDEOS = 200
_TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_FOLDER = resources.files(__package__) / "page"


def library(library: Library, query: Mapping[str, str]) -> str:
    """The page of all videos; ``query``: the address's parameters, of which ``names``, ``sort``, ``status`` and
    ``cursor`` say what a page without scripts lists.
    """
    names, sort, status = (query.get(k, "") for k in ("names", "sort", "status"))
    start = int(query["cursor"]) if query.get("cursor", "").isdecimal() and len(query["cursor"]) < 12 else 0
    try:
        page = library.listing.page(names, sort or "name", status, start, _VIDEOS)
    except UsageError:
        page = library.listing.page(start=start, limit=_VIDEOS)
    items = "\n".join(_entry(e) for e in page.entries)
    more = ""
    if page.next is not None:
        given = {"names": names, "sort": sort, "status": status, "cursor": str(page.next)}
        words = urlencode({k: v for k, v in given.items() if v})
        more = f'<p><a href="/?{_text(words)}">More videos</a></p>'
    body = f"""<h1>{_text(library.name)}</h1>
<p>{counted(page.total, "video")}. Searching and asking need JavaScript; every transcript can be read without it.</p>
<ul>
{items}
</ul>
{more}"""
    return _page(library.name, body)


def video(library: Library, shard: Shard) -> str:
    """The page of one video with what is said in it and what stands on its pictures."""
    base = f"/api/v1/videos/{shard.video}"
    parts = [
        f'<p><a href="/">{_text(library.name)}</a></p>',
        f"<h1>{_text(shard.name)}</h1>",
        f"<p>{clock(shard.manifest.duration)}</p>",
        f'<p><a href="{base}/captions.srt?download=1">Subtitles (SRT)</a> '
        f'<a href="{base}/rows.jsonl">All rows (JSON lines)</a></p>',
    ]
    parts += _part("Transcript", [(s.start, spoken_text(s.text, s.speaker)) for s in shard.speech])
    parts += _part("On screen", [(t.start, t.text) for t in shard.text])
    return _page(f"{shard.name} - {library.name}", "\n".join(parts))


def runs(library: Library, run: str = "") -> str:
    """The page of all runs, or of one."""
    body = (
        f'<p><a href="/">{_text(library.name)}</a></p><h1>Runs</h1>'
        "<p>This page needs JavaScript; <code>vidrag report</code> prints the same in a terminal.</p>"
    )
    return _page(f"Runs - {library.name}", body)


def problem(library: Library, message: str) -> str:
    """What is shown in place of a page that cannot be made."""
    return _page(library.name, f'<p><a href="/">{_text(library.name)}</a></p>\n<p role="alert">{_text(message)}</p>')


def login(name: str, failed: bool) -> str:
    """The form that asks for the server's token; ``failed``: the last one was wrong."""
    told = '<p role="alert">This is not the server\'s token.</p>' if failed else ""
    body = f"""<h1>{_text(name)}</h1>
<form method="post" action="/login">
{told}
<p><label for="token">Token of this server</label></p>
<p><input id="token" name="token" type="password" autocomplete="current-password" required></p>
<p><button type="submit">Enter</button></p>
</form>"""
    return _page(name, body)


@cache
def static(name: str) -> tuple[bytes, str, str] | None:
    """Content, media type and ETag of a file of the page; None where there is none of that name."""
    kind = _TYPES.get(name.rpartition(".")[2])
    if kind is None or "/" in name or "\\" in name or name not in _names():
        return None
    data = (_FOLDER / name).read_bytes()
    return data, kind, f'"{sha256(data).hexdigest()[:24]}"'


@cache
def _names() -> frozenset[str]:
    return frozenset(f.name for f in _FOLDER.iterdir() if f.is_file())


@cache
def _shell() -> Template:
    scripts = sorted(n for n in _names() if n.endswith(".js") and n not in ("boot.js", "app.js"))
    links = "\n".join(f'<link rel="modulepreload" href="/static/{n}">' for n in scripts)
    return Template(Template((_FOLDER / "index.html").read_text("utf-8")).safe_substitute(preload=links))


def _page(title: str, fallback: str) -> str:
    return _shell().substitute(title=_text(title), fallback=fallback)


def _entry(one: Entry) -> str:
    told = [clock(one.seconds), *([one.recorded.isoformat()] if one.recorded else [])]
    if one.failed:
        told.append(f"failed: {', '.join(one.failed)}")
    return f'<li><a href="/v/{_text(one.id)}">{_text(one.name)}</a> {_text(", ".join(told))}</li>'


def _part(title: str, lines: list[tuple[float, str]]) -> Iterator[str]:
    if not lines:
        return
    yield f"<h2>{title}</h2>"
    for start, text in lines[:MOST_LINES]:
        yield f"<p><time>{clock(start)}</time> {_text(text)}</p>"
    if len(lines) > MOST_LINES:
        yield f"<p>{len(lines) - MOST_LINES} more lines are in the files above.</p>"


def _text(text: str) -> str:
    """Text as HTML; what no UTF-8 can hold is spelled out."""
    return escape(text.encode("utf-8", "backslashreplace").decode("utf-8"))
