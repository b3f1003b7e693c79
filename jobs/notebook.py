"""Answers and what a search found as HTML for notebooks: pictures, times, names.

Everything that comes from a video or a file name is escaped, and pictures are part of the text, so that a saved
notebook shows them without the archive.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from ..query.find.results import Results
from ..query.types import Answer
from ..store.errors import VidragError
from ..store.records import clock
from . import pictures, printing

if TYPE_CHECKING:
    from .library import Library

_WIDTH = 160
_MOST = 20
"""Rows that are shown with a picture."""
_CELL = "padding:4px 8px;text-align:left;vertical-align:top"


def answer(found: Answer, library: Library) -> str:
    """The answer, the rows that it cites or the nearest ones, and notes."""
    text = re.sub(r"\[(E\d+)\]", r"<b>[\1]</b>", escape(f"{found.choice}. " * bool(found.choice) + found.text))
    lines = "".join(f"<p>{line}</p>" for line in text.splitlines())
    rows = printing.shown_rows(found)
    title = "" if found.citations or not rows else "<p><i>Nearest:</i></p>"
    table = _table(
        _row(library, e.video, e.start, e.end, e.id, e.name, printing.how(e.kind, e.speaker, bool(e.doubts)), e.text, i)
        for i, e in enumerate(rows)
    )
    return f"<div>{lines}{title}{table}{_notes(found.notes)}</div>"


def results(found: Results, library: Library) -> str:
    """The rows of a page."""
    if not found.found:
        return f"<div><p>nothing matches</p>{_notes(found.notes)}</div>"
    table = _table(
        _row(
            library, h.video, h.start, h.end, str(h.rank), h.name,
            printing.how(h.kind, h.speaker, bool(h.doubts)), h.text, i,
        )
        for i, h in enumerate(found.found)
    )  # fmt: skip
    return f"<div>{table}{_notes(found.notes)}</div>"


def _table(rows: Iterable[str]) -> str:
    body = "".join(rows)
    return f"<table>{body}</table>" if body else ""


def _row(
    library: Library, video: str, start: float, end: float, mark: str, name: str, how: str, text: str, place: int
) -> str:
    shown = _picture(library, video, start, name) if place < _MOST else ""
    times = f"{clock(start)}–{clock(end)}"
    about = f"<b>{escape(mark)}</b> {escape(name)}<br>{times}, {escape(how)}"
    return f'<tr><td style="{_CELL}">{shown}</td><td style="{_CELL}">{about}<br>{escape(text)}</td></tr>'


def _picture(library: Library, video: str, time: float, name: str) -> str:
    """The picture on screen then; nothing where none is stored or it cannot be read."""
    try:
        data = pictures.picture(library.archive.shard(video), time, _WIDTH)
    except VidragError:
        return ""
    told = escape(f"{name} at {clock(time)}")
    return f'<img alt="{told}" width="{_WIDTH}" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'


def _notes(notes: Iterable[str]) -> str:
    return "".join(f"<p><small>note: {escape(n)}</small></p>" for n in notes)
