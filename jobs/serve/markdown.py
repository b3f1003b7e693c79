"""Answers as Markdown for chat clients: marks of evidence are links, and rows are listed as sources.

What comes from a video makes no link, picture or HTML there: a client would fetch a picture that an answer names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...query.types import Answer
from ...store.records import Evidence, clock
from ..printing import how, shown_rows
from .passages import Addresses

SOURCES, NEAREST = "**Sources**", "**Nearest**"
_MARK = re.compile(r"\[(E\d+)\]")
_SPACE = re.compile(r"\s*\n\s*|[ \t]+")
_SPECIAL = re.compile(r"[\\`~\[\]<>]|(?<=:/)/|(?<=www)\.", re.IGNORECASE)
_LONGEST, _MOST = 160, 6
"""Characters of a source, and how many of them."""


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, line by line.  What is escaped of a beginning of a text is a beginning of what
    is escaped of the whole.
    """
    plain = _SPACE.sub(lambda m: "  \n" if "\n" in m[0] else " ", text)
    return _SPECIAL.sub(r"\\\g<0>", plain)


def answer(found: Answer, addresses: Addresses) -> str:
    """The text of an answer, with links where it cites rows; those that it cites without a mark come at its end."""
    by_id = {e.id: e for e in found.evidence}
    letter = f"{found.choice}. " if found.choice else ""
    parts, last = [letter], 0
    for mark in _MARK.finditer(found.text):
        if mark[1] in by_id:
            parts += [escaped(found.text[last : mark.start()]), _link(by_id[mark[1]], addresses)]
            last = mark.end()
    parts.append(escaped(found.text[last:]))
    marked = {m[1] for m in _MARK.finditer(found.text)}
    parts += [f" {_link(e, addresses)}" for e in found.cited() if e.id not in marked]
    return "".join(parts)


def sources(found: Answer, addresses: Addresses, asked: str = "") -> str:
    """What follows an answer: its rows, notes, and how the question was ``asked`` where that differs; may be empty."""
    rows = shown_rows(found)
    lines = [_source(e, addresses) for e in rows[:_MOST]]
    if len(rows) > _MOST:
        lines.append(f"- and {len(rows) - _MOST} more, linked above")
    told = [SOURCES if found.citations else NEAREST, "\n".join(lines)] if rows else []
    told += [f"*Asked: {escaped(asked)}*"] if asked else []
    told += [f"*Note: {escaped(_clickless(n, found))}*" for n in found.notes]
    return "\n\n".join(told)


def _clickless(note: str, found: Answer) -> str:
    """A note, its marks without brackets."""
    known: Mapping[str, Evidence] = {e.id: e for e in found.evidence}
    return _MARK.sub(lambda m: m[1] if m[1] in known else m[0], note)


def _link(row: Evidence, addresses: Addresses) -> str:
    return f"[{row.id}]({addresses.moment(row.video, row.start, row.end)})"


def _source(row: Evidence, addresses: Addresses) -> str:
    text = " ".join(row.text.split())
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    times = f"{clock(row.start)}-{clock(row.end)}"
    kind = how(row.kind, row.speaker, bool(row.doubts))
    return f"- {_link(row, addresses)} {escaped(row.name)} {times}, {escaped(kind)}: {escaped(text)}"
