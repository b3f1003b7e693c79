"""The manifest: what is known of one video, one JSON file a version.

A manifest names its cells (results of stages, see :class:`~vidrag.store.records.Cell`), which of them is current for
each stage, that is made or found by the last ingest, and which belong to each profile that it was ingested under.  It
carries the SHA-256 of its own content, so a flipped bit is seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from ..errors import ArchiveDamaged, NotAnArchive, one_line
from ..fingerprints import canonical
from ..records import Cell, MediaInfo, Status, StoredFile
from ..shell import quoted

FORMAT = 1
"""Of manifests."""
T = TypeVar("T")
_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_MOST = 2**53
"""No number in a manifest is larger: nothing overflows, and any JSON reader sees the same one."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a video came from: data, never a key.  ``paths`` holds every path it was seen under, newest first."""

    sha256: str
    bytes: int
    paths: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """File names, newest first, without repeats."""
        return tuple(dict.fromkeys(re.split(r"[/\\]", p)[-1] for p in self.paths))


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """A profile as the store knows it: ``settings`` hashes those of its options that decide what ingest makes.

    ``given``: the words of a command line that name it and its options, where they are known; in messages only.
    """

    name: str
    settings: str = ""
    given: str = field(default="", compare=False)

    @property
    def words(self) -> str:
        """The words of a command line that name it."""
        return self.given or f"--profile {quoted(self.name)}"


@dataclass(frozen=True, slots=True)
class ProfileCells:
    """What the last ingest under a profile made or found: a fingerprint for each stage, and its ``settings``."""

    settings: str
    cells: Mapping[str, str]


EARLIER = ""
"""Stands for a profile where a video was indexed before profiles were noted."""


def chosen_profile(settings: Mapping[str, str], profile: ProfileKey) -> str | None:
    """The name of the profile whose cells ``profile`` reads, among those with these ``settings``; None for none.

    The one with its very options, under whatever name; else that of its name, whose options were others (``--set``);
    else the one from before profiles were noted.
    """
    same = [n for n, own in settings.items() if own == profile.settings] if profile.settings else []
    if profile.name in same:
        return profile.name
    return next((n for n in (*same, profile.name, EARLIER) if n in settings), None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of one video's index.

    ``deleted``: the video was taken out, or other content has taken its path; the next version starts afresh.  Cells
    that such a version still names are kept until it is old enough to be collected.  ``metadata``: what the video's
    owner says of it.
    """

    video: str
    version: int
    source: Source
    cells: tuple[Cell, ...] = ()
    current: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    written_by: str = ""
    deleted: bool = False
    profiles: Mapping[str, ProfileCells] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.source.names[0]

    def cell(self, stage: str, fingerprint: str | None = None) -> Cell | None:
        """The cell of ``stage`` under ``fingerprint``, by default the current one."""
        wanted = fingerprint or self.current.get(stage)
        return next((c for c in self.cells if c.stage == stage and c.fingerprint == wanted), None)

    @property
    def rows(self) -> Counter[str]:
        """How many rows of each kind are current."""
        cells = (self.cell(s) for s in self.current)
        return Counter({f.kind: f.rows for c in cells if c for f in c.files})

    @property
    def duration(self) -> float:
        """Seconds that were really read; the declared duration where nothing was."""
        read = [c.extent for s in self.current if (c := self.cell(s)) and c.extent is not None]
        media = self.cell("media")
        declared = media.data.get("duration") if media else None
        return max(read) if read else float(declared or 0.0)

    @property
    def recorded(self) -> str | None:
        """When it was recorded as its container says, ISO 8601; None where it does not say."""
        media = self.cell("media")
        return media.data.get("recorded") if media else None

    def under(self, profile: ProfileKey) -> Manifest | None:
        """The same version with the cells of ``profile`` as the current ones; None where there are none.

        See :func:`chosen_profile`.
        """
        if not self.profiles:
            return self
        name = chosen_profile({n: p.settings for n, p in self.profiles.items()}, profile)
        return None if name is None else dataclasses.replace(self, current=self.profiles[name].cells)

    def needed(self, cell: Cell) -> bool:
        """True for a cell that is current, or belongs to a profile."""
        maps = (self.current, *(p.cells for p in self.profiles.values()))
        return any(m.get(cell.stage) == cell.fingerprint for m in maps)

    def merged(self, cells: Mapping[str, Cell], paths: tuple[str, ...], profile: ProfileKey | None = None) -> Manifest:
        """The next version with ``cells`` (by stage) added and made current, for ``profile`` too, and new ``paths`` put
        first.

        A cell that is there already and did not fail is kept: two runs that computed the same thing agree on the first.
        """
        mine = list(self.cells)
        for cell in cells.values():
            have = self.cell(cell.stage, cell.fingerprint)
            if have is not None and have.status != "failed":
                continue
            mine = [c for c in mine if not (c.stage == cell.stage and c.fingerprint == cell.fingerprint)]
            mine.append(cell)
        known = self.source.paths
        source = dataclasses.replace(self.source, paths=(*(p for p in paths if p not in known), *known))
        new = {s: c.fingerprint for s, c in cells.items()}
        return dataclasses.replace(
            self,
            version=self.version + 1,
            source=source,
            cells=tuple(mine),
            current={**self.current, **new},
            profiles=self._with_profile(profile, new) if profile and new else self.profiles,
        )

    def _with_profile(self, profile: ProfileKey, new: Mapping[str, str]) -> Mapping[str, ProfileCells]:
        known = dict(self.profiles)
        if not known and self.current:
            known[EARLIER] = ProfileCells("", dict(self.current))
        before = known[profile.name].cells if profile.name in known else {}
        return {**known, profile.name: ProfileCells(profile.settings, {**before, **new})}

    def without(self, gone: Callable[[Cell], bool]) -> Manifest:
        """The next version without the cells for which ``gone`` holds."""
        cells = tuple(c for c in self.cells if not gone(c))
        left = {(c.stage, c.fingerprint) for c in cells}
        current = {s: fp for s, fp in self.current.items() if (s, fp) in left}
        profiles = {
            name: ProfileCells(p.settings, kept)
            for name, p in self.profiles.items()
            if (kept := {s: fp for s, fp in p.cells.items() if (s, fp) in left})
        }
        return dataclasses.replace(self, version=self.version + 1, cells=cells, current=current, profiles=profiles)

    def replaced(self, cell: Cell) -> Manifest:
        """This version with ``cell`` in the place of the one of its stage and fingerprint, if that is still there."""
        same = (cell.stage, cell.fingerprint)
        cells = tuple(cell if (c.stage, c.fingerprint) == same else c for c in self.cells)
        return dataclasses.replace(self, cells=cells)

    def without_profile(self, name: str) -> Manifest:
        """This version without a profile; where its cells are the current ones, another profile's are from now on."""
        left = {n: p for n, p in self.profiles.items() if n != name}
        gone = self.profiles[name].cells if name in self.profiles else {}
        others = next((dict(p.cells) for p in left.values()), None)
        current = others if others and dict(gone) == dict(self.current) else self.current
        return dataclasses.replace(self, profiles=left, current=current)

    def left(self, path: str, moved_to: Sequence[str], alive: Callable[[str], bool]) -> Manifest:
        """The version after the video has left ``path``.

        Where it was ``moved_to`` other paths, or is ``alive`` at another of its own, only the path goes.  Else the
        version says that the video was taken out: no reader finds it any more.
        """
        if self.deleted or path not in self.source.paths:
            return self
        others = [p for p in self.source.paths if p != path and p not in moved_to]
        there = [*moved_to, *filter(alive, others)]
        if there:
            paths = (*there, *(p for p in others if p not in there))
            return dataclasses.replace(self, source=dataclasses.replace(self.source, paths=paths))
        return dataclasses.replace(self.without(lambda c: not self.needed(c)), deleted=True)

    def encode(self) -> bytes:
        return sealed(self)


def sealed(made: Any) -> bytes:
    """A dataclass as the JSON of a manifest, with its format and checksum."""
    body = {"format": FORMAT, **dataclasses.asdict(made)}
    body["checksum"] = hashlib.sha256(canonical(body)).hexdigest()
    return json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def unsealed(data: bytes, where: str) -> dict[str, Any]:
    """What was :func:`sealed`, without format and checksum.  Raises ValueError, KeyError or TypeError for anything
    else, and :class:`NotAnArchive` for a newer format.
    """
    body = json.loads(data.decode("utf-8", "surrogatepass"))
    if not isinstance(body, dict):
        raise ValueError("not an object")
    checksum = body.pop("checksum", None)
    if hashlib.sha256(canonical(body)).hexdigest() != checksum:
        raise ValueError("its checksum does not hold")
    if (found := body.pop("format")) > FORMAT:
        raise NotAnArchive(f"{where}: written in format {found}, this vidrag reads up to {FORMAT}; update it")
    return body


def decode(data: bytes, where: str) -> Manifest:
    """Parses a manifest; anything that does not hold raises :class:`ArchiveDamaged` (a newer format a refusal)."""
    try:
        body = unsealed(data, where)
        source = _source(body)
        cells = tuple(_cell(c) for c in body.pop("cells"))
        if not all(isinstance(fp, str) for fp in body["current"].values()):
            raise ValueError("'current' names no fingerprints")
        profiles = {name: _profile(p) for name, p in body.pop("profiles", {}).items()}
        if not all(isinstance(text, str) for text in body.get("metadata", {}).values()):
            raise ValueError("'metadata' holds something else than text")
        return fitting(Manifest(source=source, cells=cells, profiles=profiles, **body))
    except NotAnArchive:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise ArchiveDamaged(f"{where}: not a valid manifest ({one_line(e, 200)})") from e


def _source(body: dict[str, Any]) -> Source:
    source = body.pop("source")
    paths = tuple(source["paths"])
    if not paths or not all(isinstance(p, str) for p in paths):
        raise ValueError("it names no paths")
    return fitting(Source(source["sha256"], source["bytes"], paths))


def _profile(raw: Mapping[str, Any]) -> ProfileCells:
    made = fitting(ProfileCells(**raw))
    if not all(isinstance(fp, str) for fp in made.cells.values()):
        raise ValueError("a profile names no fingerprints")
    return made


def _cell(raw: Mapping[str, Any]) -> Cell:
    files = tuple(stored_file(f) for f in raw["files"])
    cell = fitting(Cell(**{**raw, "files": files}))
    if cell.status not in get_args(Status):
        raise ValueError(f"status {cell.status!r}")
    if cell.stage == "media" and cell.status == "ok":
        _media(cell.data)
    if cell.encoder is not None and not _fits(cell.encoder.get("dim", 0), {"int"}):
        raise ValueError("'encoder' names no dimensions")
    return cell


def stored_file(raw: Mapping[str, Any]) -> StoredFile:
    """A file that a manifest names; ValueError where it could lead elsewhere."""
    file = fitting(StoredFile(**raw))
    if not _FILE_NAME.fullmatch(file.name) or file.name.startswith("."):
        raise ValueError(f"file name {file.name!r}")
    return file


def _media(data: Mapping[str, Any]) -> None:
    """Refuses what the probe cannot have said."""
    info = fitting(MediaInfo.of(data))
    for track in (*info.subtitles, *info.audio):
        fitting(track)


def fitting(made: T) -> T:
    """A record of a manifest whose fields hold what they are declared to hold; ValueError where they do not.

    An archive may come from anywhere, and a checksum only says that it is as it was written.
    """
    for one in dataclasses.fields(made):  # type: ignore[arg-type]
        value = getattr(made, one.name)
        if not _fits(value, {form.split("[")[0] for form in str(one.type).split(" | ")}):
            raise ValueError(f"{one.name} is {str(value)[:50]!r}")
    return made


def _fits(value: Any, forms: set[str]) -> bool:
    """``forms`` are names of types, as they are written in the declaration of a field."""
    if isinstance(value, bool):
        return "bool" in forms
    if isinstance(value, int | float):
        return ("float" in forms or (isinstance(value, int) and "int" in forms)) and abs(value) <= _MOST
    known = {"str": str, "Status": str, "Mapping": dict, "tuple": tuple, "Source": Source, "None": type(None)}
    return any(isinstance(value, known[form]) for form in forms if form in known)
