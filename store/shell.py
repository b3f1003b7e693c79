"""Text for terminals: paths as words of a command line that a user pastes into a shell, odd characters escaped."""

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


def printable(text: str) -> str:
    """Text that any file or terminal can hold: odd bytes of file names and control characters escaped."""
    if text.isascii() and text.isprintable():
        return text
    clean = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in clean)


def counted(number: int, noun: str) -> str:
    """The number and an English noun of regular plural: ``1 video``, ``2 videos``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
