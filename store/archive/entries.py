"""What the catalogue says of one video, as a record and as a row of a table."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from ..errors import ArchiveDamaged, one_line
from . import schema
from .manifest import Manifest

_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of one video.

    ``version``: of its manifest; file ``names`` and ``paths`` it was seen at, newest first; ``seconds``: its length;
    ``recorded``: the day, where it is known; ``indexed``: when its index last changed, ISO 8601; ``speech``, ``text``,
    ``frames`` and ``chapters``: how many rows are stored; ``languages`` and ``speakers`` of its speech; ``failed``:
    stages; ``cells``: the current fingerprint of each stage, by profile (empty: of the last ingest); ``metadata``: what
    its owner says of it; ``problem``: why its manifest cannot be read, where nothing else is known.
    """

    video: str
    version: int
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    sha256: str = ""
    bytes: int = 0
    seconds: float = 0.0
    recorded: date | None = None
    indexed: str = ""
    speech: int = 0
    text: int = 0
    frames: int = 0
    chapters: int = 0
    languages: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    cells: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def id(self) -> str:
        return self.video

    @property
    def name(self) -> str:
        return self.names[0] if self.names else self.video

    @property
    def counts(self) -> dict[str, int]:
        """How many rows of each kind are stored."""
        return {"speech": self.speech, "text": self.text, "frames": self.frames, "chapters": self.chapters}

    @property
    def state(self) -> str:
        """``failed``, ``ok``, or ``none`` where there is nothing to find in it."""
        return "failed" if self.failed or self.problem else "ok" if any(self.counts.values()) else "none"

    @property
    def profiles(self) -> list[str]:
        """Names of the profiles it was indexed under."""
        return sorted(filter(None, self.cells))


def entry(found: Manifest) -> Entry:
    """What a manifest tells of its video."""
    speech = found.cell("speech")
    heard = speech.data if speech else {}
    cells = [c for s in found.current if (c := found.cell(s))]
    rows = found.rows
    return Entry(
        video=found.video,
        version=found.version,
        names=found.source.names,
        paths=found.source.paths,
        sha256=found.source.sha256,
        bytes=found.source.bytes,
        seconds=round(found.duration, 3),
        recorded=recorded(found),
        indexed=found.created,
        speech=rows["speech"],
        text=rows["text"],
        frames=rows["frames"],
        chapters=rows["chapters"],
        languages=_texts(heard.get("languages")),
        speakers=_texts(heard.get("speakers")),
        failed=tuple(c.stage for c in cells if c.status == "failed"),
        cells={"": dict(found.current), **{n: dict(p.cells) for n, p in found.profiles.items()}},
        metadata=found.metadata,
    )


def _clean(text: str) -> str:
    """Text as UTF-8 can hold it: odd bytes of file names are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_clean(v) for v in value]
    return _clean(value) if isinstance(value, str) else value


def _exact(text: str) -> str:
    """The text that :func:`_clean` spelled out."""
    return re.sub(r"\\udc([89a-f][0-9a-f])", lambda m: chr(0xDC00 + int(m[1], 16)), text)


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts in a cell's data, which may come from anywhere."""
    return tuple(t for t in value if isinstance(t, str)) if isinstance(value, list | tuple) else ()


def recorded(found: Manifest) -> date | None:
    """The day on which a video was recorded: as its owner says, else its container, else its name; None where none
    does.
    """
    told = (found.metadata.get("recorded"), found.metadata.get("date"), found.recorded)
    for text in (*filter(None, told), *found.source.names):
        if day := _DAY.search(text):
            try:
                return date(int(day[1]), int(day[2]), int(day[3]))
            except ValueError:
                continue
    return None


def to_table(entries: Sequence[Entry]) -> pa.Table:
    plain = [
        {
            **{f.name: _plain(getattr(e, f.name)) for f in dataclasses.fields(e)},
            "cells": json.dumps(e.cells, sort_keys=True),
            "metadata": _clean(json.dumps(e.metadata, ensure_ascii=False)),
        }
        for e in entries
    ]
    return pa.Table.from_pylist(plain, schema=schema.SCHEMAS["catalogue"])


@functools.lru_cache(1024)
def _cells(text: str) -> Mapping[str, Mapping[str, str]]:
    """Most videos of an archive have the same."""
    found: Mapping[str, Mapping[str, str]] = json.loads(text)
    return found


def from_row(row: Mapping[str, Any]) -> Entry:
    try:
        held = {n: tuple(v) if isinstance(v, list) else v for n, v in row.items()}
        held |= {n: tuple(map(_exact, held[n])) for n in ("names", "paths")}
        return Entry(**{**held, "cells": _cells(row["cells"]), "metadata": json.loads(row["metadata"])})
    except (ValueError, TypeError) as e:
        what = f"the catalogue's row of {row['video']} does not hold ({one_line(e)})"
        raise ArchiveDamaged(f"{what}; 'vidrag gc' makes it again") from e
