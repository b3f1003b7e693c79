"""The archive's root: create, open, list, find, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from threading import RLock

from ..cache_dir import cache_dir
from ..errors import AmbiguousVideo, ArchiveDamaged, NoSuchVideo, NotAnArchive, NotIndexed, StorageError, one_line
from ..fingerprints import digest, sha256_of
from ..records import Cell
from ..shell import path_word
from ..storage.faults import storage_errors
from ..storage.keys import is_deletable, manifest_name, manifest_version
from ..storage.open import open_backend
from ..storage.protocol import Backend
from . import manifest as manifests
from . import names
from .manifest import EARLIER, Manifest, ProfileKey, Source
from .shard import Shard
from .stored_files import now, version

FORMAT = 1
_VIDEO_ID = re.compile(r"[0-9a-f]{16}")
_FEW = 8
"""So many videos of one name are looked at to learn which was seen at a path, in archives that did not note paths."""
log = logging.getLogger("vidrag.store")


class Archive:
    """An index on disk or in object storage.  Reading never writes to it."""

    def __init__(
        self, backend: Backend, keep_open: int = 256, named: bool = True, profile: ProfileKey | None = None
    ) -> None:
        """``named``: every video is in the catalogue of names (archives made by early versions have none).
        ``profile``: see :meth:`under`.
        """
        self.profile = profile
        self.backend, self.location = backend, backend.location
        self._open: OrderedDict[str, tuple[Hashable, Shard]] = OrderedDict()
        self._keep_open, self._named = keep_open, named
        self._held: dict[str, tuple[int, ...]] = {}
        self._numbers: dict[str, tuple[tuple[int, ...], list[int]]] = {}
        self._lock = RLock()

    @classmethod
    def open(cls, location: str | Path) -> Archive:
        """Opens an existing archive; :class:`NotAnArchive` where there is none or its format is newer."""
        backend = open_backend(location)
        backend.check_root(empty=False)
        where = f"{backend.location}/archive.json"
        try:
            head = json.loads(backend.read("archive.json"))
            found, named = int(head["format"]), bool(head.get("names"))
        except FileNotFoundError as e:
            raise NotAnArchive(
                f"{backend.location}: holds no archive (no archive.json); make one with 'vidrag ingest'"
            ) from e
        except StorageError:
            raise
        except OSError as e:
            raise NotAnArchive(f"{where}: not readable ({e.strerror or one_line(e)})") from e
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise ArchiveDamaged(f"{where}: not valid; restore it from a copy of any archive of format 1") from e
        if found > FORMAT:
            raise NotAnArchive(
                f"{backend.location}: has format {found}, this vidrag reads up to {FORMAT}; update vidrag"
            )
        return cls(backend, named=named)

    def under(self, profile: ProfileKey) -> Archive:
        """The same archive for reading: of each video the cells of ``profile``, whatever was ingested last.

        A video that has none raises :class:`NotIndexed`.
        """
        return Archive(self.backend, self._keep_open, self._named, profile)

    @classmethod
    def create(cls, location: str | Path) -> Archive:
        """Opens an archive for writing, making it where the folder is new or empty."""
        backend = open_backend(location)
        if backend.size("archive.json") is None:
            backend.check_root(empty=True)
            backend.check_writable()
            head = {"format": FORMAT, "names": 1, "created_by": f"vidrag {version()}", "created": now()}
            backend.put_if_absent("archive.json", json.dumps(head).encode())
        archive = cls.open(location)
        backend.check_writable()
        return archive

    def ids(self) -> list[str]:
        """Ids of all videos that have a manifest, sorted."""
        return [n for n in self.backend.list("videos") if _VIDEO_ID.fullmatch(n) and self._has(n)]

    def _has(self, video: str) -> bool:
        stamp = self.backend.stamp(f"videos/{video}")
        if stamp is not None and self._held.get(video) == stamp:
            return True
        names = self.backend.list(f"videos/{video}")
        if not any(manifest_version(n) for n in names):
            return False
        if any(n.endswith((".parquet", ".faiss")) for n in names):
            if stamp is not None:
                self._held[video] = stamp
            return True
        try:  # nothing was found in it, or it was taken out
            found = self.newest(video)
            return found is not None and not found.deleted
        except ArchiveDamaged:
            return True

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
        """For each video folder the highest version number in use: equal answers mean that nothing has changed."""
        found = ((v, self.versions(v)) for v in self.backend.list("videos") if _VIDEO_ID.fullmatch(v))
        return {v: numbers[0] for v, numbers in found if numbers}

    def fetch(self, numbers: Mapping[str, int]) -> None:
        """Brings the manifests that :meth:`newest_numbers` names nearer, all together instead of one by one."""
        self.backend.fetch([_key(v, n) for v, n in numbers.items() if n])

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
        return f"left out, not indexed under profile '{name}': {videos} videos; add them with: {self.how_to_add()}"

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
        key = _key(video, number)
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
        tag = self.backend.tag(_key(video, number))  # numbers begin anew where a video was collected and came back
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

    def discard(self, video: str) -> bool:
        """Takes a video out of the archive; False where it was not in it.

        One manifest that says so makes it gone for every reader to come; then its files are removed, and of readers
        that have it open those that lose a file say so.
        """
        folder = f"videos/{video}"
        held = [n for n in self.backend.list(folder) if is_deletable(f"{folder}/{n}")]
        files = [n for n in held if manifest_version(n) is None]
        try:
            base = self.newest(video)
        except ArchiveDamaged:  # no version can be read: nothing to hide from readers
            base = None
        if base is not None and not base.deleted:
            self._advance(video, lambda m: dataclasses.replace(m, cells=(), current={}, profiles={}, deleted=True))
        with self._lock:
            self._open.pop(video, None)
        kept = 0 if base is None else 1  # the version that says so keeps the numbers going up
        for name in [*files, *(manifest_name(v) for v in reversed(self.versions(video)[kept:]))]:
            self.backend.delete(f"{folder}/{name}")
        return base is not None and not base.deleted

    def _advance(self, video: str, change: Callable[[Manifest], Manifest], attempts: int = 20) -> Manifest:
        """Puts ``change(newest)`` in the newest one's place under the next number; the newest itself where it is equal.

        A writer that lost the race builds on the winner's version and tries the next number.
        """
        for _ in range(attempts):
            base, highest, _ = self._latest(video, build=True)
            if base is None:
                raise NoSuchVideo(f"{self.location}: no video with id {video}")
            if made := self._put(base, change(base), highest):
                return made
        raise self._outrun(video, attempts)

    def _put(self, base: Manifest, new: Manifest, highest: int) -> Manifest | None:
        """``new`` as the version after ``highest``, which may be a damaged one above ``base``.

        ``base`` where nothing would change, None where another was faster.
        """
        if base.version and dataclasses.replace(new, version=base.version) == base:
            return base
        new = dataclasses.replace(new, version=highest + 1, created=now(), written_by=f"vidrag {version()}")
        key = _key(base.video, new.version)
        if not self.backend.put_if_absent(key, new.encode()):
            return None
        with self._lock:
            self._open.pop(base.video, None)
        return new

    def _outrun(self, video: str, attempts: int) -> StorageError:
        return StorageError(f"{self.location}/videos/{video}: {attempts} writers were faster; run the command again")

    def drop(self, video: str, gone: Callable[[Cell], bool], current: bool = True) -> Manifest:
        """Publishes a version without the cells for which ``gone`` holds; their files stay until they are collected.

        ``current``: also those that are the current ones of their stage, or belong to a profile, by then.
        """
        return self._advance(video, lambda m: m.without(lambda c: gone(c) and (current or not m.needed(c))))

    def forget(self, video: str, profile: str) -> None:
        """Publishes a version that knows nothing of ``profile``; where its cells were current, another's are now."""
        self._advance(video, lambda m: m.without_profile(profile))

    def seen_at(self, path: str) -> list[Manifest]:
        """The newest version of each video that was seen at ``path`` and has not left it."""
        few = ids if len(ids := names.lookup(self.backend, names.base(path))) <= _FEW else []
        found = []
        for video in dict.fromkeys([*names.at_path(self.backend, path), *few]):
            one = self.newest(video)
            if one is not None and not one.deleted and path in one.source.paths:
                found.append(one)
        return found

    def leave(self, video: str, path: str, moved_to: Sequence[str], alive: Callable[[str], bool]) -> Manifest:
        """Publishes that ``video`` is no longer at ``path``, which holds other content now; see :meth:`Manifest.left`.

        Files of a video that was taken out stay until that version is old enough to be collected.
        """
        self._name(video, Source("", 0, tuple(moved_to)))
        return self._advance(video, lambda m: m.left(path, moved_to, alive))

    def find(self, name: str) -> str:
        """The id of the video that ``name`` means: an id, a prefix of one (4 digits or more), a file name or a path.

        Raises :class:`NoSuchVideo`, or :class:`AmbiguousVideo` where several fit.
        """
        if not name.strip():
            raise NoSuchVideo("the name of the video is empty; 'vidrag ls ARCHIVE' lists them")
        if _VIDEO_ID.fullmatch(name) and self.versions(name):
            return name
        hits = sorted(set(self._by_name(name) or self._by_prefix(name.lower())))
        if not hits:
            raise NoSuchVideo(
                f"no video '{name}' in {self.location}; 'vidrag ls {path_word(self.location)}' lists them"
            )
        if len(hits) > 1:
            raise AmbiguousVideo(f"'{name}' fits {len(hits)} videos ({', '.join(hits[:5])}); give an id")
        return hits[0]

    def _by_prefix(self, start: str) -> list[str]:
        if len(start) < 4 or not re.fullmatch("[0-9a-f]{4,16}", start):
            return []
        return [v for v in self.backend.list("videos", start) if _VIDEO_ID.fullmatch(v) and self._has(v)]

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

    def publish(
        self,
        source: Source,
        cells: Mapping[str, Cell],
        staged: Mapping[str, Path],
        profile: ProfileKey | None = None,
        attempts: int = 20,
        add: bool = True,
    ) -> Manifest:
        """Makes ``cells`` (by stage) current for the video and for ``profile``; returns the manifest that says so.

        ``staged`` maps the file names that the cells name to finished local files.  All or nothing: the files get their
        final names first, then one manifest appears under a number that did not exist.  ``add``: False raises
        :class:`NoSuchVideo` for a video that is not in the archive, or not any more.
        """
        video = source.sha256[:16]
        folder = f"videos/{video}"
        for name, path in staged.items():
            self.place(f"{folder}/{name}", path)
        for _ in range(attempts):
            base, highest, _ = self._latest(video, build=True)
            if fresh := base is None or base.deleted:
                if not add:
                    raise NoSuchVideo(f"{self.location}: video {video} was taken out")
                base = Manifest(video, base.version if base else 0, source)
            if fresh or not set(source.paths) <= set(base.source.paths):
                self._name(video, source)
            if made := self._put(base, base.merged(cells, source.paths, profile), highest):
                break
        else:
            raise self._outrun(video, attempts)
        for name, path in staged.items():  # swept away in between, by a removal or a collection of garbage
            if self.backend.size(f"{folder}/{name}") is None:
                self.backend.put_file(f"{folder}/{name}", path)
        return made

    def _name(self, video: str, source: Source) -> None:
        """Makes a video known by the names and paths of ``source``, before the manifest that says so."""
        names.add(self.backend, video, source.names)
        for path in source.paths:
            names.add_path(self.backend, video, path)

    def place(self, key: str, path: Path) -> None:
        """Makes the bytes of ``path`` appear as ``key``, whose name holds their hash."""
        if self.backend.put_file(key, path):
            return
        with storage_errors(path):
            try:
                same = sha256_of(self.backend.local_path(key, fresh=True)) == sha256_of(path)
            except FileNotFoundError:  # collected since
                same = False
        if not same:  # what was there is damaged: mend it
            if not self.backend.delete(key):
                raise StorageError(f"{self.location}/{key}: is a link or a folder where a file belongs; take it away")
            self.backend.put_file(key, path)

    def staging(self, source: Source) -> AbstractContextManager[Path]:
        """A private folder for files on their way into the archive; see :meth:`Backend.scratch`."""
        return self.backend.scratch(f"videos/{source.sha256[:16]}")

    def cache_file(self, name: str) -> Path:
        """Where something that can be computed again is kept; its folder may not exist or be writable.

        It lies in this user's cache, never in the archive, which may come from anybody: what is prepared there would be
        believed.  An archive that is made anew at the same address has another.
        """
        return self._cache / name

    @cached_property
    def _cache(self) -> Path:
        with contextlib.suppress(FileNotFoundError):
            head = hashlib.sha256(self.backend.read("archive.json")).hexdigest()
            return cache_dir() / "archives" / digest([self.backend.address, head])
        raise NotAnArchive(f"{self.location}: holds no archive (no archive.json)")


def _key(video: str, number: int) -> str:
    return f"videos/{video}/{manifest_name(number)}"


def video_ids(archive: Archive, names: Sequence[str] | None) -> list[str]:
    """Ids for names, without repeats; all videos where ``names`` is None."""
    if names is None:
        return archive.ids()
    return list(dict.fromkeys(archive.find(n) for n in names))
