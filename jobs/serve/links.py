"""Addresses of moments and pictures, relative to the server's root."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from ...query.find.results import Results
from ...query.types import Answer

API = "/api/v1"


def moment(video: str, start: float | None = None, end: float | None = None, query: str = "") -> str:
    """The page of a video, at a moment."""
    given = {"t": _number(start), "e": _number(end), "q": query}
    words = urlencode({k: v for k, v in given.items() if v})
    return f"/v/{video}" + (f"?{words}" if words else "")


def frame(video: str, at: float) -> str:
    """The stored picture on screen at second ``at``."""
    return f"{API}/videos/{video}/frame?t={_number(at)}"


def numbered_frame(video: str, number: int) -> str:
    return f"{API}/videos/{video}/frame?n={number}"


def _number(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}".rstrip("0").rstrip(".")


def answer(found: Answer, asked: str = "") -> dict[str, Any]:
    """The object of ``vidrag ask --json``, its evidence with links.  ``asked``: what was asked in place of it."""
    told = found.as_json()
    rows = [
        {
            **e,
            "url": moment(e["video"], e["start"], e["end"]),
            "frame_url": frame(e["video"], e["start"]) if e["video"] in found.pictured else None,
        }
        for e in told["evidence"]
    ]
    return {**told, "evidence": rows, "asked": asked or found.question}


def hits(found: Results, query: str) -> dict[str, Any]:
    """The object of ``vidrag search --json``, its hits with links and without paths of the machine."""
    told = found.as_json()
    rows = []
    for hit in told["hits"]:
        picture = None if hit["frame"] is None else numbered_frame(hit["video"], hit["frame"])
        del hit["path"]
        rows.append({**hit, "url": moment(hit["video"], hit["start"], hit["end"], query), "frame_url": picture})
    return {**told, "hits": rows}
