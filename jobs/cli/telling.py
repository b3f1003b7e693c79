"""How far an evaluation is, told on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluate.asking import Report


def progress() -> Report:
    """Says on stderr how far an arm is: in place on a terminal, once an arm elsewhere."""

    def report(arm: str, done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{arm}: {done}/{of} ", end="\n" if done == of else "", file=sys.stderr, flush=True)
        elif done == of:
            print(f"{arm}: {of} questions", file=sys.stderr, flush=True)

    return report


def say(line: str) -> None:
    """Writes a line to stderr at once."""
    print(line, file=sys.stderr, flush=True)
