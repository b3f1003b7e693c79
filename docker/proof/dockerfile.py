"""Reads a Dockerfile and a .dockerignore: as much of their language as this repository's files use.

What is not understood is an error, never skipped: a proof that ignores an instruction proves another image.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KNOWN = frozenset("ARG CMD COPY ENTRYPOINT ENV FROM LABEL RUN STOPSIGNAL USER WORKDIR".split())
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class ProofError(Exception):
    """Something in the files, the machine or an image is not as it must be; the message is one line."""


@dataclass(frozen=True)
class Instruction:
    """One instruction; ``value`` is its text with continued lines joined, ``line`` where it begins."""

    line: int
    name: str
    value: str

    def words(self) -> list[str]:
        """The value split as a JSON list (the exec form) or as shell words."""
        if self.value.startswith("["):
            return [str(w) for w in json.loads(self.value)]
        return shlex.split(self.value)

    def pairs(self, variables: Mapping[str, str]) -> dict[str, str]:
        """``KEY=VALUE ...`` of ENV, LABEL and ARG; a key without a value has an empty one."""
        return {k: v for k, _, v in (w.partition("=") for w in shlex.split(expand(self.value, variables)))}


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``$NAME`` and ``${NAME}`` replaced; an unknown name is an error, where Docker would put nothing."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in variables:
            raise ProofError(f"${name} is not set in '{text}'")
        return variables[name]

    return _VARIABLE.sub(value, text)


def parse(text: str) -> list[Instruction]:
    """Instructions in order, comments dropped."""
    found, parts, began = list[Instruction](), list[str](), 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        began = began or number
        parts.append(line.removesuffix("\\").strip())
        if not line.endswith("\\"):
            name, _, value = " ".join(parts).partition(" ")
            if name not in KNOWN:
                raise ProofError(f"line {began}: the proof does not know {name}")
            found.append(Instruction(began, name, value))
            parts, began = [], 0
    if parts:
        raise ProofError(f"line {began}: the file ends in a continued line")
    return found


@dataclass(frozen=True)
class Copy:
    """A COPY: ``stage`` is that of --from, ``owner`` that of --chown."""

    sources: tuple[str, ...]
    target: str
    stage: str | None
    owner: str | None


def parse_copy(instruction: Instruction, variables: Mapping[str, str]) -> Copy:
    flags, names = dict[str, str](), list[str]()
    for word in shlex.split(expand(instruction.value, variables)):
        if word.startswith("--"):
            key, _, value = word[2:].partition("=")
            if key not in ("from", "chown"):
                raise ProofError(f"line {instruction.line}: the proof does not know COPY --{key}")
            flags[key] = value
        else:
            names.append(word)
    if len(names) < 2 or (len(names) > 2 and not names[-1].endswith("/")):
        raise ProofError(f"line {instruction.line}: COPY needs sources and a folder that ends in /")
    return Copy(tuple(names[:-1]), names[-1], flags.get("from"), flags.get("chown"))


class Ignore:
    """A .dockerignore: the last rule that fits a path or a folder above it decides; ``!`` takes it in again."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._rules = [
            (line.startswith("!"), _pattern(line.removeprefix("!").strip("/")))
            for line in lines
            if line and not line.startswith("#")
        ]

    def drops(self, path: str) -> bool:
        parts = path.split("/")
        above = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        dropped = False
        for keeps, rule in self._rules:
            if any(rule.fullmatch(p) for p in above):
                dropped = not keeps
        return dropped

    def files(self, root: Path) -> list[str]:
        """Every file of the build context, relative to ``root``; symlinks are refused."""
        found = []
        for folder, folders, names in os.walk(root):
            folders[:] = [f for f in folders if f not in (".git", ".venv")]  # large, and dropped by every rule
            for name in names:
                path = (Path(folder) / name).relative_to(root).as_posix()
                if not self.drops(path):
                    if (Path(folder) / name).is_symlink():
                        raise ProofError(f"{path} is a symlink; the build context has none")
                    found.append(path)
        return sorted(found)


def _pattern(text: str) -> re.Pattern[str]:
    out = ""
    for piece in re.split(r"(\*\*/|\*\*|\*|\?)", text):
        out += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece))
    return re.compile(out)
