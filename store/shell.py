"""Paths as words of a command line that a user pastes into a shell."""

from __future__ import annotations

import os
import re
import shlex

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def quoted(word: str) -> str:
    """One word of a bash command line, printable whatever ``word`` holds: line breaks, bytes that are no UTF-8."""
    if word.isprintable():
        return shlex.quote(word)
    plain = {"\\": r"\\", "'": r"\'", "\n": r"\n", "\t": r"\t"}
    return "$'" + "".join(plain.get(c) or (c if c.isprintable() else _escaped(c)) for c in word) + "'"


def _escaped(character: str) -> str:
    return "".join(f"\\x{b:02x}" for b in character.encode("utf-8", "surrogateescape"))


def path_word(path: str) -> str:
    """A path as :func:`quoted` gives it, which no program takes for an option.

    An archive may come from anywhere, and so do the paths in it.
    """
    return quoted(os.path.join(".", path) if path.startswith("-") else path)


def is_address(path: str) -> bool:
    """True for what a program may take for the address of something elsewhere."""
    return bool(_URL.match(path))
