"""The pages of the documentation and their blocks of code, for the tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
"""All that are written by hand."""
_BLOCK = re.compile(r"^(?:<!-- (not run)[^\n]*-->\n)?^```(\w*)\n(.*?)^```", re.M | re.S)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code; ``runs``: it has no ``<!-- not run -->`` before it."""

    page: Path
    language: str
    text: str
    runs: bool


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The blocks of a page in these languages, in order."""
    for mark, language, text in _BLOCK.findall(page.read_text("utf-8")):
        if language in languages:
            yield Block(page, language, text, not mark)
