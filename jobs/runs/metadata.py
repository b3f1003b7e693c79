"""What the owner of videos says of them: columns of a CSV or JSONL file, kept in the archive."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...store.archive.archive import Archive
from ...store.errors import ArchiveDamaged, UsageError

NAMES = ("video", "path", "file", "filename", "name", "id")
"""The first of these columns that a file has names the video: a path, a file name or an id."""
LONGEST = 2000
"""Characters of a text that is kept."""


@dataclass(slots=True)
class Described:
    """``changed``: videos of which something else is said now; ``unknown``: names that no video has."""

    changed: int = 0
    unknown: list[str] = field(default_factory=list)


def read(path: Path) -> list[tuple[str, dict[str, str]]]:
    """The name of a video and what is said of it, for each row of a file.

    Raises :class:`UsageError` for a file that cannot be read, a broken line, and one that names no videos.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as e:
        raise UsageError(f"--meta {path}: {e.strerror or e}") from e
    except UnicodeDecodeError as e:
        raise UsageError(f"--meta {path}: not UTF-8 (byte {e.start}); save it as UTF-8") from e
    rows = list(_lines(text, path) if path.suffix.lower() in (".jsonl", ".ndjson") else _table(text, path))
    columns = dict.fromkeys(c for _, row in rows for c in row)
    naming = next((c for n in NAMES for c in columns if c.strip().casefold() == n), None)
    if naming is None:
        raise UsageError(f"--meta {path}: no column names the videos; call one of them {', '.join(NAMES[:-1])} or id")
    found = []
    for where, row in rows:
        name = _text(row.get(naming)).strip()
        if not name:
            raise UsageError(f"--meta {path}: {where}: names no video in column '{naming}'")
        told = {c.strip(): _text(v).strip()[:LONGEST] for c, v in row.items() if c != naming}
        found.append((name, {c: t for c, t in told.items() if c}))
    return found


def _lines(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as e:
            raise UsageError(f"--meta {path}: line {number}: not JSON ({e})") from e
        if not isinstance(row, dict):
            raise UsageError(f'--meta {path}: line {number}: expected an object such as {{"video": "a.mp4"}}')
        yield f"line {number}", row


def _table(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if None in row:
                raise UsageError(f"--meta {path}: line {reader.line_num}: more fields than the first line has columns")
            yield f"line {reader.line_num}", row
    except csv.Error as e:
        raise UsageError(f"--meta {path}: line {reader.line_num + 1}: {e}") from e


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def describe(archive: Archive, rows: list[tuple[str, dict[str, str]]]) -> Described:
    """Keeps what is said of each video that the archive holds; an empty text takes away what was said before."""
    out = Described()
    for name, told in rows:
        try:
            meant = archive.meant_by(name)
            manifest = archive.newest(meant[0]) if len(meant) == 1 else None
        except ArchiveDamaged:
            manifest = None
        if manifest is None or manifest.deleted:
            out.unknown.append(name)
            continue
        new = {c: t for c, t in {**manifest.metadata, **told}.items() if t}
        if new != dict(manifest.metadata):
            archive.describe(manifest.video, new)
            out.changed += 1
    return out
