"""The catalogue: what is known of every video, in one file, so that nobody lists or opens all of them to learn it.

``catalogue/manifest-000001.json`` names one Parquet file with a row for each video.  A writer that is about to publish
version 7 of a video first puts the empty mark ``catalogue/<video>-000007``.  So whoever reads the catalogue knows which
rows may be out of date, and reads the manifests of these videos, which stay the truth; from time to time a writer puts
what the marks say into a new version.  A mark goes when two versions have its row, so a reader of the one before never
misses it; one whose writer died goes after a day.  A lost or damaged catalogue is made again from the manifests.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import ArchiveDamaged, NotAnArchive, StorageError, one_line
from ..records import StoredFile
from ..storage.faults import storage_errors
from ..storage.keys import manifest_version
from ..storage.protocol import Backend
from . import schema
from .entries import Entry, from_row, to_table
from .manifest import fitting, stored_file
from .numbered import Numbered
from .shard import verified_path
from .stored_files import now, stored, version

FOLDER = "catalogue"
KIND = "videos"
DEAD_MARK_S = 86_400.0
"""A writer takes less than this between its mark and its manifest, or has died."""
FEW_MARKS, FEW_SHARE = 32, 0.05
"""So many videos with news, and no more than this share of all, are left to the readers."""
_MARK = re.compile(r"([0-9a-f]{16})-([0-9]{6,})")
_MEND = "'vidrag gc' makes it again"
log = logging.getLogger("vidrag.store")


@dataclass(frozen=True, slots=True)
class CatalogueManifest:
    """One version of the catalogue: its one file."""

    version: int
    files: tuple[StoredFile, ...]
    created: str = ""
    written_by: str = ""


def _parse(body: dict[str, Any]) -> CatalogueManifest:
    files = tuple(stored_file(f) for f in body.pop("files"))
    made = fitting(CatalogueManifest(files=files, **body))
    if [f.kind for f in files] != [KIND]:
        raise ValueError("it names other files")
    return made


def _check(manifest: CatalogueManifest, file: StoredFile, path: Path) -> None:
    schema.open_parquet(path, FOLDER, file.rows)


CATALOGUE = Numbered(FOLDER, _parse, _check, lambda name: _MARK.fullmatch(name) is not None)


def mark(backend: Backend, video: str, number: int) -> None:
    """Says that version ``number`` of a video is about to be published."""
    backend.put_if_absent(f"{FOLDER}/{video}-{number:06d}", b"")


Resolve = Callable[[Sequence[str]], Mapping[str, tuple[int, Entry | None]]]
"""The highest version number in use (0: none) of each video and what is known of it; None for one that is gone."""


class Stored:
    """One stored version; its columns are read when they are first used."""

    def __init__(self, number: int, path: Path | None = None, rows: int = 0) -> None:
        """Raises :class:`ArchiveDamaged` where the ids do not hold."""
        self.number, self._path, self._rows = number, path, rows
        head = self._columns(["video", "version"])
        ids = head["video"].combine_chunks()
        good = pc.all(pc.match_substring_regex(ids, "^[0-9a-f]{16}$")).as_py() in (True, None)
        if not good or (len(ids) and pc.all(pc.greater(ids[1:], ids[:-1])).as_py() not in (True, None)):
            raise ArchiveDamaged(f"{path}: holds rows that are no videos")
        self.numbers: dict[str, int] = dict(zip(ids.to_pylist(), head["version"].to_pylist(), strict=True))

    def _columns(self, names: Sequence[str] | None = None) -> pa.Table:
        if self._path is None:
            empty = schema.SCHEMAS[FOLDER].empty_table()
            return empty if names is None else empty.select(names)
        return schema.read_table(self._path, schema.open_parquet(self._path, FOLDER, self._rows), names)

    @functools.cached_property
    def table(self) -> pa.Table:
        """All columns."""
        return self._columns()


class Catalogue:
    """What is known of all videos at one time."""

    def __init__(self, base: Stored, news: Mapping[str, tuple[int, Entry | None]]) -> None:
        """``news``: what is known better of some videos than in ``base``."""
        self._base, self._news = base, news

    @classmethod
    def of(cls, known: Mapping[str, tuple[int, Entry | None]]) -> Catalogue:
        """A catalogue of these videos and no others."""
        return cls(Stored(0), known)

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """The highest version number in use of each video."""
        if not self._news:
            return self._base.numbers
        found = dict(self._base.numbers)
        for video, (number, known) in self._news.items():
            if known is None:
                found.pop(video, None)
            else:
                found[video] = number
        return dict(sorted(found.items()))

    @functools.cached_property
    def table(self) -> pa.Table:
        """A row for each video, by id, in the columns of ``schema.SCHEMAS["catalogue"]``."""
        base = self._base.table
        if not self._news:
            return base
        gone = pc.is_in(base["video"], pa.array(list(self._news), pa.string()))
        rows = [dataclasses.replace(e, version=n) for n, e in self._news.values() if e is not None]
        return pa.concat_tables([base.filter(pc.invert(gone)), to_table(rows)]).sort_by("video")

    def entries(self, videos: Sequence[str] | None = None) -> Iterator[Entry]:
        """What is known of each video, by id; ``videos``: of these only."""
        table = self.table
        return self.entries_of(
            table if videos is None else table.filter(pc.is_in(table["video"], pa.array(videos, pa.string())))
        )

    @staticmethod
    def entries_of(table: pa.Table) -> Iterator[Entry]:
        """The rows of a table with the catalogue's columns and perhaps others."""
        for batch in table.select(schema.SCHEMAS[FOLDER].names).to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                yield from_row(row)


class Reader:
    """Reads the catalogue of one archive as it is now.  Safe to use from several threads."""

    def __init__(self, backend: Backend, resolve: Resolve, lock: RLock | None = None) -> None:
        self._backend, self._resolve, self._lock = backend, resolve, lock or RLock()
        self._loaded: Stored | None = None
        self.news: dict[str, tuple[int, Entry | None]] = {}
        self._seen: dict[str, int] = {}  # the mark of each of them
        self._made: Catalogue | None = None
        self._stamp: tuple[int, ...] | None = None
        self._tag: Hashable = None
        self._damaged: tuple[int, Hashable] | None = None

    @property
    def held(self) -> Mapping[str, int]:
        """The version of each video that the stored catalogue holds."""
        return self._loaded.numbers if self._loaded is not None else {}

    def now(self) -> Catalogue | None:
        """The catalogue as it is now; None where none is stored, or none can be read (a warning says why)."""
        with self._lock:
            return self._now()

    def _now(self) -> Catalogue | None:
        stamp = self._backend.stamp(FOLDER)
        if self._made is not None and stamp is not None and stamp == self._stamp:
            return self._made
        names = self._backend.list(FOLDER)
        base = self._base(names)
        if base is None:
            return None
        held = base.numbers
        marked = marks(names)
        # one that was gone is looked for again: its numbers begin anew where it was collected and came back
        news = {v: n for v, n in self.news.items() if n[1] is not None and self._seen.get(v) == marked.get(v)}
        todo = [v for v, mark in marked.items() if mark > held.get(v, 0) and news.get(v, (0,))[0] < mark]
        found = {**news, **self._resolve(todo)} if todo else news
        news = {v: n for v, n in found.items() if marked.get(v, 0) > held.get(v, 0)}
        if self._made is None or news != self.news or self._loaded is not base:
            self._made = Catalogue(base, news)
        self._loaded, self.news, self._seen = base, news, {v: marked[v] for v in news}
        pending = any(news[v][0] < mark for v, mark in marked.items() if v in news)
        self._stamp = None if pending else stamp
        return self._made

    def _base(self, names: Sequence[str]) -> Stored | None:
        number = max((manifest_version(n) or 0 for n in names), default=0)
        if not number:
            return None
        tag = self._backend.tag(CATALOGUE.key(number))  # numbers begin anew where all were set aside
        if self._loaded is not None and (self._loaded.number, self._tag) == (number, tag):
            return self._loaded
        if self._damaged == (number, tag):
            return None
        try:
            (file,) = CATALOGUE.load(self._backend, number).files
            path = verified_path(self._backend, FOLDER, file, "the manifest of the catalogue", _MEND)
            found = Stored(number, path, file.rows)
        except StorageError:
            raise
        except (ArchiveDamaged, NotAnArchive, OSError) as e:
            log.warning("%s; every video is listed instead, %s", one_line(e, 200), _MEND)
            self._damaged = number, tag
            return None
        self.news, self._tag = {}, tag
        return found


def marks(names: Sequence[str]) -> dict[str, int]:
    """The highest marked version of each video."""
    found: dict[str, int] = {}
    for name in names:
        if m := _MARK.fullmatch(name):
            found[m[1]] = max(found.get(m[1], 0), int(m[2]))
    return found


def write(
    backend: Backend,
    place: Callable[[str, Path], None],
    everything: Callable[[], Catalogue],
    resolve: Resolve,
    always: bool = False,
) -> bool:
    """Puts what the marks say into a new version; False where there is too little news, or another job was faster.

    ``place``: see :meth:`.Archive.place`; ``everything``: the catalogue made of all manifests, for an archive that has
    none; ``always``: make it of these.
    """
    entries = backend.entries(FOLDER)
    names = [e.name for e in entries]
    reader = Reader(backend, resolve)
    before = None if always else reader.now()
    held = reader.held if before is not None else {}
    if before is not None and len(reader.news) <= min(FEW_MARKS, FEW_SHARE * len(held)):
        return False
    table = (before or everything()).table
    number = max((manifest_version(n) or 0 for n in names), default=0) + 1
    with backend.scratch(FOLDER) as folder:
        path = folder / KIND
        with storage_errors(path):
            pq.write_table(table, path, row_group_size=4096, compression="zstd", write_page_checksum=True)
        file, name = stored(KIND, "0" * 16, path, table.num_rows)
        place(f"{FOLDER}/{name}", path)
        made = CatalogueManifest(number, (file,), now(), f"vidrag {version()}")
        if not CATALOGUE.publish(backend, made, {name: path}):
            return False
    for one in entries:  # marks of which the version before knew already; see the head of this module
        if m := _MARK.fullmatch(one.name):
            known, still = reader.news.get(m[1], (0, None))
            gone = m[1] not in held and still is None
            if int(m[2]) <= (known if gone else held.get(m[1], 0)) or one.age_s > DEAD_MARK_S:
                backend.delete(f"{FOLDER}/{one.name}")
    return True
