"""The index over a whole archive: which rows of which videos it holds, and whether they still are the newest.

``index/manifest-000001.json`` names its files: approximate vector indexes (:mod:`.ann`) and one SQLite file with the
catalogue of videos and the inverted lists (:mod:`.postings`).  They are published as everything else is: files under
names that hold their hash, then a manifest under a number that did not exist.  The shards stay the truth: the index
only says where to look, and :mod:`.coverage` says for which videos it may be believed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..archive.archive import Archive
from ..archive.manifest import Manifest, fitting, stored_file
from ..archive.numbered import Numbered
from ..archive.shard import verified_path
from ..encoders import EncoderSpec
from ..errors import ArchiveDamaged, NotAnArchive, StorageError, one_line
from ..records import StoredFile
from .ann import AnnFile
from .postings import MOST_ROWS, StoredLists

FOLDER = "index"
Kind = Literal["speech", "text", "frames"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_VECTORS: Mapping[Kind, str] = {"speech": "speech_vectors", "text": "text_vectors", "frames": "frame_vectors"}
TABLES = (
    "CREATE TABLE videos (video TEXT, version INTEGER)",
    "CREATE TABLE blocks (video TEXT, kind TEXT, file TEXT, vectors TEXT, rows INTEGER, first INTEGER, "
    "vector INTEGER, words INTEGER, doubtful BLOB)",
)
MEND = "it is not used, searches are exact and slower; 'vidrag index' makes it again"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a video's newest version holds of one kind; ``vectors`` is None where its rows have none."""

    file: StoredFile
    vectors: StoredFile | None
    encoder: EncoderSpec | None

    @property
    def names(self) -> tuple[str, str]:
        return self.file.name, self.vectors.name if self.vectors else ""


def wanted(manifest: Manifest) -> dict[Kind, Wanted]:
    """The rows of a video, by kind; kinds without rows are left out."""
    found: dict[Kind, Wanted] = {}
    for kind in KINDS:
        cell, vectors = manifest.cell(kind), manifest.cell(_VECTORS[kind])
        file = cell.file(kind) if cell and cell.status == "ok" else None
        if file is None or not file.rows:
            continue
        made = vectors.file(f"{kind}.faiss") if vectors and vectors.status == "ok" else None
        spec = _spec(vectors.encoder) if vectors else None
        if made is None or spec is None or made.rows != file.rows:
            made = spec = None
        found[kind] = Wanted(file, made, spec)
    return found


def _spec(encoder: Mapping[str, Any] | None) -> EncoderSpec | None:
    try:
        return fitting(EncoderSpec(**dict(encoder or {})))
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one video and kind: ``first`` is the number of the first in the inverted lists (-1: not there),
    ``vector`` the position of its vector (-1: none); ``words`` the sum of the lengths, ``doubtful`` the rows that
    ingest doubts.
    """

    video: str
    kind: Kind
    file: str
    vectors: str
    rows: int
    first: int
    vector: int
    words: int
    doubtful: NDArray[np.int32]

    @property
    def names(self) -> tuple[str, str]:
        return self.file, self.vectors

    def as_row(self) -> tuple[Any, ...]:
        own = [getattr(self, f.name) for f in dataclasses.fields(self)]
        return (*own[:-1], self.doubtful.astype("<i4").tobytes())


def _block(
    video: str, kind: Kind, file: str, vectors: str, rows: int, first: int, vector: int, words: int, doubtful: bytes
) -> Block:
    numbers = np.frombuffer(doubtful, "<i4")
    names = all(isinstance(x, str) for x in (video, kind, file, vectors))
    counts = all(isinstance(x, int) and -1 <= x <= MOST_ROWS for x in (rows, first, vector)) and isinstance(words, int)
    if not (names and kind in KINDS and counts and rows > 0 and words >= 0):
        raise ValueError("a block")
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < rows):
        raise ValueError("doubtful rows")
    return Block(video, kind, file, vectors, rows, first, vector, words, numbers)


def _versions(rows: Sequence[tuple[Any, ...]]) -> dict[str, int]:
    if {type(v) for v, _ in rows} - {str} or {type(n) for _, n in rows} - {int}:
        raise ValueError("a version")
    return dict(rows)


@dataclass(frozen=True, slots=True)
class IndexManifest:
    """One version of the index.  ``files`` by kind: ``catalogue.sqlite`` and ``<kind>.faiss``; ``encoders`` and
    ``trained`` (rows for which the lists were laid out) by kind; ``terms`` names the way in which text became terms;
    ``rows``: numbers given in the inverted lists; ``profile``: see :func:`.coverage.profile_of`.
    """

    version: int
    files: tuple[StoredFile, ...]
    encoders: Mapping[str, EncoderSpec]
    trained: Mapping[str, int]
    terms: str
    rows: int
    videos: int
    created: str = ""
    written_by: str = ""
    profile: str = ""

    def file(self, kind: str) -> StoredFile | None:
        return next((f for f in self.files if f.kind == kind), None)


def _parse(body: dict[str, Any]) -> IndexManifest:
    files = tuple(stored_file(f) for f in body.pop("files"))
    encoders = {k: fitting(EncoderSpec(**e)) for k, e in body.pop("encoders").items()}
    made = IndexManifest(files=files, encoders=encoders, **body)
    numbers = [made.version, made.rows, made.videos, *made.trained.values(), *(f.rows for f in files)]
    if not all(isinstance(n, int) and 0 <= n <= MOST_ROWS for n in numbers) or not all(
        isinstance(t, str) for t in (made.terms, made.profile)
    ):
        raise ValueError("its numbers are out of range")
    held = {f.kind.removesuffix(".faiss") for f in files if f.kind.endswith(".faiss")}
    if not held <= {*KINDS} or not held == encoders.keys() == made.trained.keys():
        raise ValueError("its files and encoders do not fit each other")
    return made


def _check(manifest: IndexManifest, file: StoredFile, path: Path) -> None:
    if file.name.endswith(".faiss"):
        encoder = manifest.encoders.get(file.kind.removesuffix(".faiss"))
        AnnFile(path, file.rows, encoder.dim if encoder else 0)
    else:
        StoredLists(path, TABLES, manifest.rows)


INDEX = Numbered(FOLDER, _parse, _check)


def versions(archive: Archive) -> list[int]:
    """Version numbers of the index, newest first."""
    return INDEX.versions(archive.backend)


def newest(archive: Archive, notes: list[str]) -> ArchiveIndex | None:
    """The newest version of the index whose catalogue is sound; what is wrong with others goes into ``notes``.

    An older version is as right as the newest: what it does not hold is searched exactly.
    """
    for number in versions(archive):
        try:
            return ArchiveIndex(archive, INDEX.load(archive.backend, number))
        except StorageError:
            raise
        except (ArchiveDamaged, NotAnArchive, OSError) as e:
            notes.append(f"the index of the archive is damaged: {one_line(e, 200)}; {MEND}")
    return None


class ArchiveIndex:
    """An opened version of the index.  Vector files are opened, and their hashes checked, when they are first used."""

    def __init__(self, archive: Archive, manifest: IndexManifest) -> None:
        self.archive, self.manifest = archive, manifest
        self._opened: dict[Kind, AnnFile] = {}
        self.lists = StoredLists(self.path("catalogue.sqlite"), TABLES, manifest.rows)
        self.videos = self.lists.table("videos", _versions)
        self.blocks: list[Block] = self.lists.table("blocks", lambda rows: [_block(*row) for row in rows])
        self._check()

    def path(self, kind: str) -> Path:
        """The local file of ``kind``, its hash checked."""
        file = self.manifest.file(kind)
        if file is None:
            raise ArchiveDamaged(f"{self.archive.location}/{FOLDER}: the manifest names no {kind}; {MEND}")
        return verified_path(self.archive.backend, FOLDER, file, "the manifest of the index", MEND)

    def _check(self) -> None:
        """No two blocks may claim the same number, and none one that was not given."""
        for of, most in (("first", {None: self.manifest.rows}), ("vector", {k: self.rows(k) for k in KINDS})):
            for kind, limit in most.items():
                own = [b for b in self.blocks if getattr(b, of) >= 0 and kind in (None, b.kind)]
                end = 0
                for block in sorted(own, key=lambda b: int(getattr(b, of))):
                    if getattr(block, of) < end:
                        raise ArchiveDamaged(f"{self.lists.path}: two videos claim the same rows")
                    end = getattr(block, of) + block.rows
                if end > limit:
                    raise ArchiveDamaged(f"{self.lists.path}: claims rows that there are not")

    def rows(self, kind: Kind) -> int:
        """How many vectors of ``kind`` it holds."""
        file = self.manifest.file(f"{kind}.faiss")
        return file.rows if file else 0

    def vectors(self, kind: Kind) -> AnnFile:
        """The vector index of ``kind``; :class:`ArchiveDamaged` where its file is not as it was written."""
        if kind not in self._opened:
            path, dim = self.path(f"{kind}.faiss"), self.manifest.encoders[kind].dim
            self._opened[kind] = AnnFile(path, self.rows(kind), dim)
        return self._opened[kind]
