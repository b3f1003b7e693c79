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
import pyarrow.compute as pc

from ..errors import ArchiveDamaged, one_line
from . import schema
from .manifest import Manifest, ProfileKey, chosen_profile

_JSON = ("cells", "profiles", "metadata")
"""Columns that are JSON objects."""
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of one video.

    ``version``: of its manifest; file ``names`` and ``paths`` it was seen at, newest first; ``seconds``: its length;
    ``recorded``: the day, where it is known; ``indexed``: when its index last changed, ISO 8601; ``speech``, ``text``,
    ``frames`` and ``chapters``: how many rows are stored; ``languages`` and ``speakers`` of its speech; ``failed``:
    stages; ``cells``: the fingerprint of each stage; ``metadata``: what its owner says of it; ``problem``: why its
    manifest cannot be read, where nothing else is known.

    All this is of the last ingest.  ``profiles``: the ``settings`` of each profile that it was indexed under and, as
    ``other``, those fields that have other values for it.
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
    cells: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
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
    def profile_names(self) -> list[str]:
        """Names of the profiles it was indexed under."""
        return sorted(filter(None, self.profiles))

    def under(self, profile: ProfileKey) -> Entry | None:
        """What is known of the video under ``profile`` (:meth:`.Manifest.under`); None where it has no cells of it."""
        own = _own(self.profiles, profile)
        return None if own is None else dataclasses.replace(self, **own)


def _own(profiles: Mapping[str, Mapping[str, Any]], profile: ProfileKey) -> Mapping[str, Any] | None:
    """The fields that have other values under ``profile``; None where the video is not indexed under it."""
    if not profiles:
        return {}
    name = chosen_profile({n: p["settings"] for n, p in profiles.items()}, profile)
    return None if name is None else profiles[name]["other"]


def under(table: pa.Table, profile: ProfileKey) -> pa.Table:
    """The rows of the videos that are indexed under ``profile``, with what is known of them under it."""
    same: list[str] = []
    other: list[str] = []
    for text in pc.unique(table["profiles"]).to_pylist():  # mostly one, or few
        own = _own(_parsed(text), profile)
        if own is not None:
            (other if own else same).append(text)
    kept = table.filter(pc.is_in(table["profiles"], pa.array(same, pa.string())))
    if not other:
        return kept
    changed = table.filter(pc.is_in(table["profiles"], pa.array(other, pa.string()))).to_pylist()
    found = [e for row in changed if (e := from_row(row).under(profile))]
    return pa.concat_tables([kept, to_table(found)]).sort_by("video")


def entry(found: Manifest) -> Entry:
    """What a manifest tells of its video."""
    last = _of_current(found)
    return dataclasses.replace(
        last,
        profiles={
            n: {"settings": p.settings, "other": _other(found, p.cells, last)} for n, p in found.profiles.items()
        },
    )


def _other(found: Manifest, cells: Mapping[str, str], last: Entry) -> dict[str, Any]:
    """The fields that have other values than in ``last`` where ``cells`` are the current ones."""
    if cells == found.current:
        return {}
    own = _of_current(dataclasses.replace(found, current=cells))
    values = ((f.name, getattr(own, f.name)) for f in dataclasses.fields(own))
    return {n: v for n, v in values if v != getattr(last, n) and n != "recorded"}


def _of_current(found: Manifest) -> Entry:
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
        cells=dict(found.current),
        metadata=found.metadata,
    )


def spelled_out(text: str) -> str:
    """Text as UTF-8 can hold it: odd bytes of file names are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [spelled_out(v) for v in value]
    return spelled_out(value) if isinstance(value, str) else value


def _exact(text: str) -> str:
    """The text that :func:`spelled_out` spelled out."""
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
            **{n: spelled_out(json.dumps(getattr(e, n), ensure_ascii=False, sort_keys=n != "metadata")) for n in _JSON},
        }
        for e in entries
    ]
    return pa.Table.from_pylist(plain, schema=schema.SCHEMAS["catalogue"])


@functools.lru_cache(1024)
def _parsed(text: str) -> Mapping[str, Any]:
    """Most videos of an archive have the same."""
    found: Mapping[str, Any] = json.loads(text, object_hook=_tuples)
    return found


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}


def from_row(row: Mapping[str, Any]) -> Entry:
    try:
        held = _tuples(dict(row))
        held |= {n: tuple(map(_exact, held[n])) for n in ("names", "paths")}
        return Entry(**{**held, **{n: _parsed(row[n]) for n in _JSON}})
    except (ValueError, TypeError) as e:
        what = f"the catalogue's row of {row['video']} does not hold ({one_line(e)})"
        raise ArchiveDamaged(f"{what}; 'vidrag gc' makes it again") from e
