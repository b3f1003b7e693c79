"""The archive's root: create, open, list, find, publish."""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from . import manifest as manifests
from .backend import TEMPORARY, Backend, LocalBackend, storage_errors
from .errors import AmbiguousVideo, ArchiveDamaged, NoSuchVideo, NotAnArchive, StorageError
from .manifest import Manifest, Source
from .models import sha256_of
from .records import Cell, StoredFile
from .shard import Shard

FORMAT = 1
_VIDEO_ID = re.compile(r"[0-9a-f]{16}")
log = logging.getLogger("vidrag.store")


def version() -> str:
    import importlib.metadata

    return importlib.metadata.version("vidrag")


class Archive:
    """An index on disk.  Reading never writes, apart from ``cache/``, which may be deleted at any time."""

    def __init__(self, backend: Backend, location: str, keep_open: int = 256) -> None:
        self.backend, self.location = backend, location
        self._open: OrderedDict[str, Shard] = OrderedDict()
        self._keep_open = keep_open

    @classmethod
    def open(cls, location: str | Path) -> Archive:
        """Opens an existing archive; :class:`NotAnArchive` where there is none or its format is newer."""
        root = Path(location)
        if not root.exists():
            raise NotAnArchive(f"{root}: no such archive; make one with 'vidrag ingest {root} VIDEO...'")
        if not root.is_dir():
            raise NotAnArchive(f"{root}: is a file, not an archive folder")
        archive = cls(LocalBackend(root), str(root))
        try:
            head = json.loads(archive.backend.read("archive.json"))
            found = int(head["format"])
        except OSError as e:
            raise NotAnArchive(f"{root}: holds no archive (no readable archive.json)") from e
        except (ValueError, TypeError, KeyError) as e:
            raise ArchiveDamaged(
                f"{root / 'archive.json'}: not valid; restore it from a copy of any archive of format 1"
            ) from e
        if found > FORMAT:
            raise NotAnArchive(f"{root}: has format {found}, this vidrag reads up to {FORMAT}; update vidrag")
        return archive

    @classmethod
    def create(cls, location: str | Path) -> Archive:
        """Opens an archive for writing, making it where the folder is new or empty."""
        root = Path(location)
        if root.exists() and not root.is_dir():
            raise NotAnArchive(f"{root}: is a file, not an archive folder")
        if (
            root.is_dir()
            and not (root / "archive.json").exists()
            and any(not p.name.startswith(TEMPORARY) for p in root.iterdir())
        ):
            raise NotAnArchive(f"{root}: is a folder with other things in it; name a new or an empty one")
        if not (root / "archive.json").exists():
            with storage_errors(root):
                root.mkdir(parents=True, exist_ok=True)
            head = {"format": FORMAT, "created_by": f"vidrag {version()}", "created": _now()}
            LocalBackend(root).put_if_absent("archive.json", json.dumps(head).encode())
        archive = cls.open(root)
        archive.check_writable()
        return archive

    def check_writable(self) -> None:
        """Raises :class:`StorageError` before any work where nothing could be published."""
        root = Path(self.location)
        probe = root / f".tmp-{secrets.token_hex(8)}"
        with storage_errors(root):
            probe.touch(exist_ok=False)
            probe.unlink()

    def ids(self) -> list[str]:
        """Ids of all videos that have a manifest, sorted."""
        return [n for n in self.backend.list("videos") if _VIDEO_ID.fullmatch(n) and self._versions(n)]

    def _versions(self, video: str) -> list[int]:
        """Version numbers of the manifests of ``video``, newest first."""
        names = self.backend.list(f"videos/{video}")
        return sorted((v for n in names if (v := manifests.manifest_version(n)) is not None), reverse=True)

    def manifest(self, video: str) -> Manifest | None:
        """The newest valid manifest of ``video``; None where it has none at all.

        An invalid one is passed over with a warning; :class:`ArchiveDamaged` where none is valid.
        """
        folder, damage = f"videos/{video}", ""
        for v in self._versions(video):
            key = f"{folder}/{manifests.manifest_name(v)}"
            try:
                found = manifests.decode(self.backend.read(key), f"{self.location}/{key}")
                if found.video != video or found.version != v:
                    raise ArchiveDamaged(f"{self.location}/{key}: belongs to another video or version")
                return found
            except (ArchiveDamaged, OSError) as e:
                damage = str(e)
                log.warning("%s; trying the version before it", e)
        if damage:
            raise ArchiveDamaged(f"{damage}; no other version of {video} is valid")
        return None

    def shard(self, video: str) -> Shard:
        """The newest version of ``video``, kept open among the last used."""
        have = self._open.get(video)
        if have is None or have.manifest.version != next(iter(self._versions(video)), None):
            found = self.manifest(video)
            if found is None:
                self._open.pop(video, None)
                raise NoSuchVideo(f"{self.location}: no video with id {video}")
            if have is None or have.manifest.version != found.version:
                self._open[video] = Shard(self.backend, f"videos/{video}", found)
        self._open.move_to_end(video)
        while len(self._open) > self._keep_open:
            self._open.popitem(last=False)
        return self._open[video]

    def shards(self, damaged: list[str] | None = None) -> Iterator[Shard]:
        """Every video that can be read; what is wrong with the others is logged, and told in ``damaged``."""
        for video in self.ids():
            try:
                yield self.shard(video)
            except ArchiveDamaged as e:
                log.warning("%s", e)
                if damaged is not None:
                    damaged.append(str(e))

    def discard(self, video: str) -> None:
        """Takes a video out of the archive: its manifests first, so that no reader sees half of it."""
        folder = f"videos/{video}"
        self._open.pop(video, None)
        names = self.backend.list(folder)
        for name in sorted(names, key=lambda n: manifests.manifest_version(n) is None):
            self.backend.delete(f"{folder}/{name}")

    def find(self, name: str) -> str:
        """The id of the video that ``name`` means: an id, a prefix of one (4 digits or more), a file name or a path.

        Raises :class:`NoSuchVideo`, or :class:`AmbiguousVideo` where several fit.
        """
        if not name.strip():
            raise NoSuchVideo("the name of the video is empty; 'vidrag ls ARCHIVE' lists them")
        if _VIDEO_ID.fullmatch(name) and self._versions(name):
            return name
        by_id = [v for v in self.ids() if len(name) >= 4 and v.startswith(name.lower())]
        by_name = [s.video for s in self.shards() if name in s.manifest.source.names or name in s.manifest.source.paths]
        if not by_name:
            stem = [s.video for s in self.shards() if name in {n.rsplit(".", 1)[0] for n in s.manifest.source.names}]
            by_name = stem
        hits = sorted(set(by_name or by_id))
        if not hits:
            raise NoSuchVideo(f"no video '{name}' in {self.location}; 'vidrag ls {self.location}' lists them")
        if len(hits) > 1:
            raise AmbiguousVideo(f"'{name}' fits {len(hits)} videos ({', '.join(hits[:5])}); give an id")
        return hits[0]

    def publish(
        self, source: Source, cells: Mapping[str, Cell], staged: Mapping[str, Path], attempts: int = 20
    ) -> Manifest:
        """Makes ``cells`` (by stage) the current ones of the video and returns the manifest that says so.

        ``staged`` maps the file names that the cells name to finished local files.  All or nothing: the files get their
        final names first, then one manifest appears under a number that did not exist.  A writer that lost the race
        builds on the winner's version and tries the next number.
        """
        video = source.sha256[:16]
        folder = f"videos/{video}"
        for name, path in staged.items():
            key = f"{folder}/{name}"
            if not self.backend.put_file(key, path) and sha256_of(self.backend.local_path(key)) != sha256_of(path):
                self.backend.delete(key)  # its name holds its hash, so what was there is damaged: mend it
                self.backend.put_file(key, path)
        for _ in range(attempts):
            base = self.manifest(video) or Manifest(video, 0, source)
            new = base.merged(cells, source.paths)
            if base.version and new.current == base.current and new.cells == base.cells and new.source == base.source:
                return base
            new = _stamped(new)
            if self.backend.put_if_absent(f"{folder}/{manifests.manifest_name(new.version)}", new.encode()):
                self._open.pop(video, None)
                return new
        raise StorageError(f"{self.location}/{folder}: {attempts} other writers were faster; run the command again")

    def staging(self, source: Source):  # type: ignore[no-untyped-def]
        """A private folder beside the video's files; see :meth:`Backend.scratch`."""
        return self.backend.scratch(f"videos/{source.sha256[:16]}")


def _stamped(manifest: Manifest) -> Manifest:
    import dataclasses

    return dataclasses.replace(manifest, created=_now(), written_by=f"vidrag {version()}")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def stored(kind: str, fingerprint: str, path: Path, rows: int) -> tuple[StoredFile, str]:
    """Describes a finished file and gives it its content-addressed name.

    The name holds the cell's fingerprint and the start of the file's own hash: two workers that compute one cell and
    differ in a byte never write under one name.
    """
    sha = sha256_of(path)
    stem, _, ending = kind.partition(".")
    name = f"{stem}-{fingerprint}-{sha[:12]}.{ending or 'parquet'}"
    return StoredFile(kind, name, os.path.getsize(path), sha, rows), name


def video_ids(archive: Archive, names: Sequence[str] | None) -> list[str]:
    """Ids for names, without repeats; all videos where ``names`` is None."""
    if names is None:
        return archive.ids()
    return list(dict.fromkeys(archive.find(n) for n in names))
