"""An archive: what readers see of it, and publishing into it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..errors import ArchiveDamaged, NoSuchVideo, StorageError
from ..fingerprints import sha256_of
from ..records import Cell
from ..storage.faults import storage_errors
from ..storage.keys import is_deletable, manifest_name, manifest_version
from ..storage.open import open_backend
from . import catalogue, names
from .manifest import Manifest, ProfileKey, Source
from .reading import FORMAT, ArchiveReader, manifest_key
from .stored_files import now, version

_ATTEMPTS = 20
"""Writers that may be faster before one gives up."""


class Archive(ArchiveReader):
    """An index on disk or in object storage.  Reading never writes to it."""

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

    def update_catalogue(self, always: bool = False) -> bool:
        """Puts what has changed into a new version of the catalogue; False where there is too little of it.

        ``always``: make it anew of all manifests.
        """
        return catalogue.write(self.backend, self.place, self.of_manifests, self._known, always)

    def describe(self, video: str, metadata: Mapping[str, str]) -> Manifest:
        """Publishes what a video's owner says of it, in the place of what was said before."""
        return self._advance(video, lambda m: dataclasses.replace(m, metadata=dict(metadata)))

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
        except ArchiveDamaged:  # no version can be read: nothing to hide from readers, but from those of the catalogue
            base = None
            catalogue.mark(self.backend, video, max(self.versions(video), default=0) + 1)
        if base is not None and not base.deleted:
            self._advance(video, lambda m: Manifest(m.video, m.version, m.source, deleted=True))
        with self._lock:
            self._open.pop(video, None)
        kept = 0 if base is None else 1  # the version that says so keeps the numbers going up
        for name in [*files, *(manifest_name(v) for v in reversed(self.versions(video)[kept:]))]:
            self.backend.delete(f"{folder}/{name}")
        return base is not None and not base.deleted

    def _advance(self, video: str, change: Callable[[Manifest], Manifest]) -> Manifest:
        """Puts ``change(newest)`` in the newest one's place under the next number; the newest itself where it is equal.

        A writer that lost the race builds on the winner's version and tries the next number.
        """
        for _ in range(_ATTEMPTS):
            base, highest, _ = self._latest(video, build=True)
            if base is None:
                raise NoSuchVideo(f"{self.location}: no video with id {video}")
            if made := self._put(base, change(base), highest):
                return made
        raise self._outrun(video)

    def _put(self, base: Manifest, new: Manifest, highest: int) -> Manifest | None:
        """``new`` as the version after ``highest``, which may be a damaged one above ``base``.

        ``base`` where nothing would change, None where another was faster.
        """
        if base.version and dataclasses.replace(new, version=base.version) == base:
            return base
        new = dataclasses.replace(new, version=highest + 1, created=now(), written_by=f"vidrag {version()}")
        key = manifest_key(base.video, new.version)
        catalogue.mark(self.backend, base.video, new.version)
        if not self.backend.put_if_absent(key, new.encode()):
            return None
        with self._lock:
            self._open.pop(base.video, None)
        return new

    def _outrun(self, video: str) -> StorageError:
        return StorageError(f"{self.location}/videos/{video}: {_ATTEMPTS} writers were faster; run the command again")

    def drop(self, video: str, gone: Callable[[Cell], bool], current: bool = True) -> Manifest:
        """Publishes a version without the cells for which ``gone`` holds; their files stay until they are collected.

        ``current``: also those that are the current ones of their stage, or belong to a profile, by then.
        """
        return self._advance(video, lambda m: m.without(lambda c: gone(c) and (current or not m.needed(c))))

    def forget(self, video: str, profile: str) -> None:
        """Publishes a version that knows nothing of ``profile``; where its cells were current, another's are now."""
        self._advance(video, lambda m: m.without_profile(profile))

    def leave(self, video: str, path: str, moved_to: Sequence[str], alive: Callable[[str], bool]) -> Manifest:
        """Publishes that ``video`` is no longer at ``path``, which holds other content now; see :meth:`Manifest.left`.

        Files of a video that was taken out stay until that version is old enough to be collected.
        """
        self._name(video, Source("", 0, tuple(moved_to)))
        return self._advance(video, lambda m: m.left(path, moved_to, alive))

    def publish(
        self,
        source: Source,
        cells: Mapping[str, Cell],
        staged: Mapping[str, Path],
        profile: ProfileKey | None = None,
        add: bool = True,
    ) -> Manifest:
        """Makes ``cells`` (by stage) current for the video and for ``profile``; returns the manifest that says so.

        ``staged`` maps the file names that the cells name to finished local files.  All or nothing: the files get their
        final names first, then one manifest appears under a number that did not exist.  ``add``: False raises
        :class:`NoSuchVideo` for a video that is not in the archive, or not any more.
        """
        video = source.sha256[:16]
        with self._placed(video, staged):
            for _ in range(_ATTEMPTS):
                base, highest, _ = self._latest(video, build=True)
                if fresh := base is None or base.deleted:
                    if not add:
                        raise NoSuchVideo(f"{self.location}: video {video} was taken out")
                    base = Manifest(video, base.version if base else 0, source)
                if fresh or not set(source.paths) <= set(base.source.paths):
                    self._name(video, source)
                if made := self._put(base, base.merged(cells, source.paths, profile), highest):
                    return made
            raise self._outrun(video)

    @contextlib.contextmanager
    def _placed(self, video: str, staged: Mapping[str, Path]) -> Iterator[None]:
        """Gives files their final names, before the version that names them is published inside the ``with``."""
        for name, path in staged.items():
            self.place(f"videos/{video}/{name}", path)
        yield
        for name, path in staged.items():  # swept away in between, by a removal or a collection of garbage
            if self.backend.size(f"videos/{video}/{name}") is None:
                self.backend.put_file(f"videos/{video}/{name}", path)

    def replace(self, video: str, cell: Cell, staged: Mapping[str, Path]) -> Manifest:
        """Publishes that the cell of this stage and fingerprint has other files: the same content, stored otherwise."""
        with self._placed(video, staged):
            return self._advance(video, lambda m: m.replaced(cell))

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


def video_ids(archive: Archive, names: Sequence[str] | None) -> list[str]:
    """Ids for names, without repeats; all videos where ``names`` is None."""
    if names is None:
        return archive.ids()
    return list(dict.fromkeys(archive.find(n) for n in names))
