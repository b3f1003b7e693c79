"""An opened archive: which videos it holds, finding one, reading it.  Nothing here writes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Self

import pyarrow.compute as pc

from ..cache_dir import cache_dir
from ..errors import AmbiguousVideo, ArchiveDamaged, NoSuchVideo, NotAnArchive, NotIndexed, StorageError, one_line
from ..fingerprints import digest
from ..shell import counted, path_word, printable
from ..storage.keys import manifest_name, manifest_version
from ..storage.open import open_backend
from ..storage.protocol import Backend
from . import catalogue, names
from . import manifest as manifests
from .catalogue import Catalogue
from .entries import Entry, entry
from .manifest import EARLIER, Manifest, ProfileKey
from .shard import Shard

FORMAT = 1
_VIDEO_ID = re.compile(r"[0-9a-f]{16}")
_FEW = 8
"""So many videos of one name are looked at to learn which was seen at a path, in archives that did not note paths."""
_MANY = 64
"""From so many videos on one listing of all of them is cheaper than one of each."""
log = logging.getLogger("vidrag.store")


class ArchiveReader:
    """An index on disk or in object storage, as readers see it."""

    def __init__(
        self,
        backend: Backend,
        keep_open: int = 256,
        named: bool = True,
        profile: ProfileKey | None = None,
        head: bytes = b"",
    ) -> None:
        """``head``: ``archive.json``, where it was read; ``named``: every video is in the catalogue of names (archives
        made by early versions have none).  ``profile``: see :meth:`under`.
        """
        self.profile = profile
        self.backend, self.location = backend, backend.location
        self._open: OrderedDict[str, tuple[Hashable, Shard]] = OrderedDict()
        self._keep_open, self._named, self._head = keep_open, named, head
        self._numbers: dict[str, tuple[tuple[int, ...], list[int]]] = {}
        self._lock = RLock()
        self._catalogue = catalogue.Reader(backend, self._known, self._lock)
        self._read: dict[str, tuple[int, Entry | None]] = {}
        self._made: Catalogue | None = None

    @classmethod
    def open(cls, location: str | Path) -> Self:
        """Opens an existing archive; :class:`NotAnArchive` where there is none or its format is newer."""
        backend = open_backend(location)
        where = f"{backend.location}/archive.json"
        try:
            data = backend.read("archive.json")
        except OSError as e:
            backend.check_root(empty=False)  # says more of what is wrong
            if isinstance(e, StorageError):
                raise
            if isinstance(e, FileNotFoundError):
                none = "holds no archive (no archive.json); make one with 'vidrag ingest'"
                raise NotAnArchive(f"{backend.location}: {none}") from e
            raise NotAnArchive(f"{where}: not readable ({e.strerror or one_line(e)})") from e
        try:
            head = json.loads(data)
            found, named = int(head["format"]), bool(head.get("names"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise ArchiveDamaged(f"{where}: not valid; restore it from a copy of any archive of format 1") from e
        if found > FORMAT:
            raise NotAnArchive(
                f"{backend.location}: has format {found}, this vidrag reads up to {FORMAT}; update vidrag"
            )
        return cls(backend, named=named, head=data)

    def under(self, profile: ProfileKey) -> Self:
        """The same archive for reading: of each video the cells of ``profile``, whatever was ingested last.

        A video that has none raises :class:`NotIndexed`.
        """
        found = type(self)(self.backend, self._keep_open, self._named, profile, self._head)
        found._catalogue = self._catalogue
        return found

    def ids(self) -> list[str]:
        """Ids of all videos that have a manifest, sorted."""
        return list(self.catalogue().numbers)

    def versions(self, video: str) -> list[int]:
        """Version numbers of the manifests of ``video``, newest first."""
        folder = f"videos/{video}"
        stamp = self.backend.stamp(folder)
        if stamp is not None and (known := self._numbers.get(video)) and known[0] == stamp:
            return list(known[1])
        names = self.backend.list(folder, "manifest-")
        found = sorted((v for n in names if (v := manifest_version(n)) is not None), reverse=True)
        if stamp is not None:
            self._numbers[video] = stamp, list(found)
        return found

    def newest_numbers(self) -> dict[str, int]:
        """For each video the highest version number in use: equal answers mean that nothing has changed."""
        known = self._catalogue.now()
        return known.numbers if known is not None else self.listed_numbers()

    def stored_catalogue(self) -> Catalogue | None:
        """The catalogue with what its marks tell; None where the archive has none."""
        return self._catalogue.now()

    def catalogue(self) -> Catalogue:
        """What is known of every video; made of all manifests where the archive has no catalogue."""
        return self._catalogue.now() or self.of_manifests()

    def of_manifests(self) -> Catalogue:
        """The catalogue as the manifests have it, whatever the stored one says; none is read twice."""
        numbers = self.listed_numbers()
        with self._lock:
            known = {v: k for v, k in self._read.items() if numbers.get(v) == k[0]}
            if todo := [v for v in numbers if v not in known]:
                known |= self._read_all({v: numbers[v] for v in todo})
            if known != self._read or self._made is None:
                self._read, self._made = known, Catalogue.of(known)
            return self._made

    def _known(self, videos: Sequence[str]) -> dict[str, tuple[int, Entry | None]]:
        """The highest version number in use (0: none) of each video and what its manifest says; None: it is gone."""
        if len(videos) > _MANY:
            self.backend.list("videos")
        return self._read_all({v: next(iter(self.versions(v)), 0) for v in videos})

    def _read_all(self, numbers: Mapping[str, int]) -> dict[str, tuple[int, Entry | None]]:
        self.fetch(numbers)
        found: dict[str, tuple[int, Entry | None]] = {}
        for video, number in numbers.items():
            try:
                one = self.newest(video, number) if number else None
                found[video] = number, None if one is None or one.deleted else entry(one)
            except ArchiveDamaged as e:
                found[video] = number, Entry(video=video, version=number, problem=one_line(e))
        return found

    def listed_numbers(self) -> dict[str, int]:
        """The same as their folders say, also of videos that were taken out."""
        found = ((v, self.versions(v)) for v in self.backend.list("videos") if _VIDEO_ID.fullmatch(v))
        return {v: numbers[0] for v, numbers in found if numbers}

    def fetch(self, numbers: Mapping[str, int]) -> None:
        """Brings the manifests that :meth:`newest_numbers` names nearer, all together instead of one by one."""
        self.backend.fetch([manifest_key(v, n) for v, n in numbers.items() if n])

    def manifest(self, video: str, number: int = 0) -> Manifest | None:
        """The newest valid manifest of ``video``; None where it has none, or was taken out.

        ``number``: the highest version in use, where a listing of a moment ago told it; it saves asking the storage.
        An invalid one is passed over with a warning; :class:`ArchiveDamaged` where none is valid,
        :class:`NotIndexed` where it has no cells of :attr:`profile`.
        """
        found = self.newest(video, number)
        if found is None or found.deleted:
            return None
        return self.asked(found)

    def asked(self, found: Manifest) -> Manifest:
        """A manifest with the cells of :attr:`profile` as the current ones; :class:`NotIndexed` where it has none."""
        profile = self.profile
        if profile is None:
            return found
        if (own := found.under(profile)) is not None:
            return own
        others = ", ".join(sorted(n for n in found.profiles if n != EARLIER)) or "an earlier one"
        raise NotIndexed(
            f"{found.name} is not indexed under profile '{profile.name}' (only under {others}); add it with: "
            f"{self.how_to_add(path_word(found.source.paths[0]))}"
        )

    def left_out(self, videos: int) -> str:
        """What a user is told of so many videos that have no cells of :attr:`profile`."""
        name = self.profile.name if self.profile else ""
        left = counted(videos, "video")
        return f"left out, not indexed under profile '{name}': {left}; add them with: {self.how_to_add()}"

    def how_to_add(self, source: str = "VIDEO...") -> str:
        """The command that makes the cells of :attr:`profile`."""
        return self._command("ingest", source)

    def how_to_embed(self) -> str:
        """The command that makes the vectors of :attr:`profile` from what is stored."""
        return self._command("embed")

    def _command(self, name: str, *words: str) -> str:
        return " ".join(["vidrag", name, path_word(self.location), *words, *(p.words for p in [self.profile] if p)])

    def newest(self, video: str, number: int = 0) -> Manifest | None:
        """Like :meth:`manifest`, but also the version that says that the video was taken out."""
        if number:
            try:
                return self.version(video, number)
            except StorageError:
                raise
            except (ArchiveDamaged, OSError):
                pass  # damaged, or gone since: look again
        found, _, damage = self._latest(video)
        if found is None and damage:
            raise ArchiveDamaged(f"{damage}; no other version of {video} is valid")
        return found

    def _latest(self, video: str, build: bool = False) -> tuple[Manifest | None, int, str]:
        """The newest valid version, the highest number in use (0: none), and what is wrong with those in between.

        ``build``: the next version is to build on it, so one that cannot be read just now must not be passed over.
        """
        numbers, damage = self.versions(video), ""
        for v in numbers:
            try:
                return self.version(video, v), numbers[0], damage
            except StorageError:
                raise
            except (ArchiveDamaged, OSError) as e:
                if build and isinstance(e, OSError):
                    raise StorageError(f"{one_line(e)}; run the command again") from e
                damage = str(e)
                log.warning("%s; trying the version before it", e)
        return None, max(numbers, default=0), damage

    def version(self, video: str, number: int, fresh: bool = False) -> Manifest:
        """One version of a video's manifest; :class:`ArchiveDamaged` where it is not valid."""
        key = manifest_key(video, number)
        found = manifests.decode(self.backend.read(key, fresh), f"{self.location}/{key}")
        if found.video != video or found.version != number:
            raise ArchiveDamaged(f"{self.location}/{key}: belongs to another video or version")
        return found

    def shard(self, video: str, number: int = 0) -> Shard:
        """The newest version of ``video``, kept open among the last used.  Safe to use from several threads.

        ``number``: see :meth:`manifest`.
        """
        with self._lock:
            return self._shard(video, number)

    def _shard(self, video: str, number: int) -> Shard:
        known, have = self._open.get(video, (None, None))
        number = number or next(iter(self.versions(video)), 0)
        # a tag, too: numbers begin anew where a video was collected and came back
        tag = self.backend.tag(manifest_key(video, number))
        if have is None or have.manifest.version != number or tag is None or known != tag:
            found = self.manifest(video, number)
            if found is None:
                self._open.pop(video, None)
                raise NoSuchVideo(f"{self.location}: no video with id {video}")
            if have is None or have.manifest != found:
                have = Shard(self.backend, f"videos/{video}", found, self.how_to_embed())
            self._open[video] = tag, have
        self._open.move_to_end(video)
        while len(self._open) > self._keep_open:
            self._open.popitem(last=False)
        return have

    def shards(
        self, damaged: list[str] | None = None, other: list[str] | None = None, videos: Iterable[str] | None = None
    ) -> Iterator[Shard]:
        """Every video (or those with the ids ``videos``) that can be read; what is wrong with the others is logged, and
        told in ``damaged``.  ``other`` gets the ids of those that have no cells of :attr:`profile`.
        """
        numbers = self.newest_numbers() if videos is None else dict.fromkeys(videos, 0)
        self.fetch(numbers)
        for video, number in numbers.items():
            try:
                yield self.shard(video, number)
            except NotIndexed:
                if other is not None:
                    other.append(video)
            except NoSuchVideo:  # taken out since; or its removal was cut short, and files of it are still there
                continue
            except ArchiveDamaged as e:
                log.warning("%s", e)
                if damaged is not None:
                    damaged.append(str(e))

    def seen_at(self, path: str) -> list[Manifest]:
        """The newest version of each video that was seen at ``path`` and has not left it."""
        few = ids if len(ids := names.lookup(self.backend, names.base(path))) <= _FEW else []
        found = []
        for video in dict.fromkeys([*names.at_path(self.backend, path), *few]):
            one = self.newest(video)
            if one is not None and not one.deleted and path in one.source.paths:
                found.append(one)
        return found

    def find(self, name: str) -> str:
        """The id of the video that ``name`` means: an id, a prefix of one (4 digits or more), a file name or a path.

        Raises :class:`NoSuchVideo`, or :class:`AmbiguousVideo` where several fit.
        """
        if not name.strip():
            raise NoSuchVideo("the name of the video is empty; 'vidrag ls ARCHIVE' lists them")
        hits = self.meant_by(name)
        if not hits:
            like = self._like(name)
            meant = f"; is it {' or '.join(like)}?" if like else f"; 'vidrag ls {path_word(self.location)}' lists them"
            raise NoSuchVideo(f"no video '{name}' in {self.location}{meant}")
        if len(hits) > 1:
            raise AmbiguousVideo(f"'{name}' fits {len(hits)} videos ({', '.join(hits[:5])}); give an id")
        return hits[0]

    def meant_by(self, name: str) -> list[str]:
        """The ids of the videos that ``name`` may mean, sorted; cheaper than :meth:`find` where there is none."""
        if not name.strip():
            return []
        if _VIDEO_ID.fullmatch(name) and self.versions(name):
            return [name]
        return sorted(set(self._by_name(name) or self._by_prefix(name.lower())))

    def _like(self, name: str) -> list[str]:
        """Up to three file names that hold ``name`` or are like it."""
        from rapidfuzz import fuzz, process

        known = pc.list_flatten(self.catalogue().table["names"]).unique().to_pylist()
        found = process.extract(
            name, known, scorer=fuzz.partial_ratio, processor=str.casefold, limit=3, score_cutoff=85
        )
        return [printable(n) for n, _, _ in found]

    def _by_prefix(self, start: str) -> list[str]:
        if len(start) < 4 or not re.fullmatch("[0-9a-f]{4,16}", start):
            return []
        return [v for v in self.backend.list("videos", start) if _VIDEO_ID.fullmatch(v) and self._holds(v)]

    def _holds(self, video: str) -> bool:
        try:
            found = self.newest(video)
        except ArchiveDamaged:
            return True
        return found is not None and not found.deleted

    def _by_name(self, name: str) -> list[str]:
        """Ids of videos with this name or path; where there are none, of those with this name before its ending."""
        wanted = names.same(name)
        known = names.lookup(self.backend, names.base(name)) if self._named else self.ids()
        exact, loose = [], []
        for video in known:
            try:
                found = self.newest(video)
            except ArchiveDamaged:
                continue
            if found is None or found.deleted:
                continue
            own = [names.same(n) for n in found.source.names]
            if wanted in own or name in found.source.paths:
                exact.append(video)
            elif wanted in [names.stem(n) for n in own]:
                loose.append(video)
        return exact or loose

    def cache_file(self, name: str) -> Path:
        """Where something that can be computed again is kept; its folder may not exist or be writable.

        It lies in this user's cache, never in the archive, which may come from anybody: what is prepared there would be
        believed.  An archive that is made anew at the same address has another.
        """
        return self._cache / name

    @cached_property
    def _cache(self) -> Path:
        with contextlib.suppress(FileNotFoundError):
            head = hashlib.sha256(self._head or self.backend.read("archive.json")).hexdigest()
            return cache_dir() / "archives" / digest([self.backend.address, head])
        raise NotAnArchive(f"{self.location}: holds no archive (no archive.json)")


def manifest_key(video: str, number: int) -> str:
    """Where version ``number`` of a video's manifest lies."""
    return f"videos/{video}/{manifest_name(number)}"
