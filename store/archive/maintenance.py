"""Keeps an archive sound: checks every byte, sets damage aside, collects what no version needs."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ArchiveDamaged, StorageError, one_line
from ..records import Cell, StoredFile
from ..storage.faults import machine_errors
from ..storage.keys import is_deletable, is_known, is_scratch, manifest_name, manifest_version
from ..storage.protocol import Backend, Entry
from ..vectors import VectorFile
from . import schema
from .archive import Archive
from .manifest import Manifest

log = logging.getLogger("vidrag.store")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what it should be; ``key`` is its place in the archive; ``video`` is empty for answers."""

    video: str
    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What was read of one video, and what is wrong with it."""

    video: str
    name: str
    files: int
    bytes: int
    damage: tuple[Damage, ...]


def verify(archive: Archive, videos: Sequence[str], threads: int = 2) -> Iterator[Checked]:
    """Reads every file that the newest version of each video names, and every manifest; changes nothing.

    Sizes, SHA-256, row counts and headers are held against the manifest.  Videos come in any order.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        yield from pool.map(lambda v: _check(archive, v), videos)


def _check(archive: Archive, video: str) -> Checked:
    folder, damage, newest = f"videos/{video}", list[Damage](), None
    for number in archive.versions(video):
        try:
            found = archive.version(video, number, fresh=True)
            newest = newest or found
        except StorageError:
            raise
        except FileNotFoundError:
            continue  # collected since it was listed
        except (ArchiveDamaged, OSError) as e:
            damage.append(Damage(video, f"{folder}/{manifest_name(number)}", one_line(e)))
    if newest is None:
        return Checked(video, "?", 0, 0, tuple(damage))
    files = {f.name: (c, f) for c in newest.cells for f in c.files}
    for cell, file in files.values():
        if problem := problem_of(archive, f"{folder}/{file.name}", file, partial(_header, cell=cell, file=file)):
            damage.append(Damage(video, f"{folder}/{file.name}", problem))
    size = sum(f.bytes for _, f in files.values())
    return Checked(video, newest.name, len(files), size, tuple(damage))


def problem_of(archive: Archive, key: str, file: StoredFile, header: Callable[[Path], object]) -> str:
    """What is wrong with a stored file; empty where it is as its manifest says and ``header`` lets its path pass."""
    try:
        path = archive.backend.local_path(key, fresh=True)
        digest, size = hashlib.sha256(), 0
        with machine_errors(path), path.open("rb", buffering=0) as f:
            while block := f.read(_BLOCK):
                digest.update(block)
                size += len(block)
        if size != file.bytes:
            return f"has {size} bytes, its manifest says {file.bytes}"
        if digest.hexdigest() != file.sha256:
            return "its SHA-256 is not the one in its manifest"
        header(path)
    except StorageError:
        raise
    except FileNotFoundError:
        return "is missing"
    except OSError as e:
        return f"cannot be read ({e.strerror or one_line(e)})"
    except ArchiveDamaged as e:
        return one_line(e).removeprefix(f"{path}: ")
    return ""


def _header(path: Path, cell: Cell, file: StoredFile) -> None:
    if file.name.endswith(".faiss"):
        VectorFile(path, file.rows, int((cell.encoder or {}).get("dim", 0)))
    elif file.kind in schema.SCHEMAS:  # others are of a later version, which knows what they hold
        schema.open_parquet(path, file.kind, file.rows)


def verify_answers(archive: Archive) -> Iterator[Checked]:
    """Reads every stored batch of answers; :attr:`Checked.video` is empty.  Their pages carry checksums."""
    for entry in archive.backend.entries("answers"):
        if not entry.name.endswith(".parquet") or not is_deletable(f"answers/{entry.name}"):
            continue
        key, problem = f"answers/{entry.name}", ""
        try:
            file = pq.ParquetFile(archive.backend.local_path(key, fresh=True), page_checksum_verification=True)
            if missing := set(schema.SCHEMAS["answers"].names) - set(file.schema_arrow.names):
                problem = f"has no column '{min(missing)}'"
            for batch in file.iter_batches(1000):
                del batch  # reading it checks it
        except StorageError:
            raise
        except FileNotFoundError:
            continue  # removed since it was listed
        except (OSError, pa.ArrowException) as e:
            problem = f"cannot be read ({one_line(e, 100)})"
        yield Checked("", entry.name, 1, entry.bytes, (Damage("", key, problem),) if problem else ())


def quarantine(archive: Archive, damage: Sequence[Damage], readers: Callable[[str], set[str]]) -> list[str]:
    """Moves damaged files to ``quarantine/`` and publishes versions of their videos that do without them.

    ``readers`` names the stages that read a stage: what was computed from lost rows goes with them, so that the next
    ingest makes both again.  Returns the keys that are no files, such as links: they are left where they are.
    """
    left = list[str]()

    def set_aside(key: str) -> None:
        if key not in left and not archive.backend.set_aside(key):
            left.append(key)

    for key in (d.key for d in damage if not d.video):  # answers: nothing refers to them
        set_aside(key)
    for video in sorted({d.video for d in damage if d.video}):
        bad = {d.key for d in damage if d.video == video and not _sound_again(archive, d)}
        for key in bad:  # first, so that none of them is built upon
            if manifest_version(key.rsplit("/", 1)[1]) is not None:
                set_aside(key)
        if manifest := archive.manifest(video):
            archive.drop(video, _lost(manifest, bad, readers))
        for key in bad:
            set_aside(key)
    return left


def _sound_again(archive: Archive, damage: Damage) -> bool:
    """True for what could not be read only for a moment: with it a whole version would go, or hours of work."""
    name = damage.key.rsplit("/", 1)[1]
    number = manifest_version(name)
    try:
        if number is not None:
            archive.version(damage.video, number, fresh=True)
            return True
        manifest = archive.manifest(damage.video)
    except StorageError:
        raise
    except (ArchiveDamaged, OSError):
        return False
    named = [(c, f) for c in manifest.cells for f in c.files if f.name == name] if manifest else []
    return bool(named) and not any(
        problem_of(archive, damage.key, f, partial(_header, cell=c, file=f)) for c, f in named
    )


def _lost(manifest: Manifest, bad: set[str], readers: Callable[[str], set[str]]) -> Callable[[Cell], bool]:
    """True for cells that name a file of ``bad``, and for those of stages that read one of theirs."""
    hit = {c.stage for c in manifest.cells for f in c.files if f"videos/{manifest.video}/{f.name}" in bad}
    below = {stage for s in hit for stage in readers(s)}
    return lambda c: c.stage in below or any(f"videos/{manifest.video}/{f.name}" in bad for f in c.files)


@dataclass(slots=True)
class Collected:
    """What a collection removed, or would remove: keys and their bytes; ``foreign``: keys of what is not vidrag's."""

    keys: list[str] = field(default_factory=list)
    bytes: int = 0
    foreign: list[str] = field(default_factory=list)

    def take(self, backend: Backend, prefix: str, entry: Entry, dry_run: bool) -> None:
        """Removes an entry of the folder ``prefix`` where it is vidrag's."""
        key = key_of(prefix, entry)
        if is_deletable(key) and backend.delete(key, dry_run):
            self.keys.append(key)
            self.bytes += entry.bytes
        else:
            self.foreign.append(key)


def key_of(prefix: str, entry: Entry) -> str:
    return f"{prefix}/{entry.name}" if prefix else entry.name


def collect(archive: Archive, grace_s: float, dry_run: bool = False) -> Collected:
    """Removes what no version needs: old cells and versions, files of writers that were killed, removed videos.

    Nothing younger than ``grace_s`` seconds is touched, by the storage's own clock: a reader keeps what it has opened,
    a writer what it has not yet named.  First each video gets a version without its old cells; what only earlier
    versions name goes when these are older than the grace period.  What vidrag did not write is left alone and named.
    """
    out, backend = Collected(), archive.backend
    for prefix in ("", "runs", "answers", "videos", "names", "cache"):
        for entry in backend.entries(prefix):
            key = key_of(prefix, entry)
            if not is_known(key, entry.folder):
                out.foreign.append(key)
            elif is_scratch(entry.name) or prefix == "cache":  # earlier versions kept caches in the archive
                if entry.age_s >= grace_s:
                    out.take(backend, prefix, entry, dry_run)
            elif prefix == "videos":
                try:
                    _collect_video(archive, entry.name, grace_s, dry_run, out)
                except StorageError:
                    raise
                except (ArchiveDamaged, OSError) as e:
                    log.warning("%s; %s is left alone", e, entry.name)
            elif prefix == "names":
                _collect_names(archive, key, grace_s, dry_run, out)
    return out


def _collect_names(archive: Archive, folder: str, grace_s: float, dry_run: bool, out: Collected) -> None:
    for entry in archive.backend.entries(folder):
        if not is_known(key_of(folder, entry), entry.folder):
            out.foreign.append(key_of(folder, entry))
        elif is_scratch(entry.name) and entry.age_s >= grace_s:
            out.take(archive.backend, folder, entry, dry_run)


def forget(archive: Archive, profile: str, dry_run: bool = False) -> int:
    """Takes the name of a profile from every video; what belonged to it alone is collected from then on.

    Returns how many videos were indexed under it.
    """
    count = 0
    for video in archive.ids():
        found = archive.manifest(video)
        if found is None or profile not in found.profiles:
            continue
        count += 1
        if not dry_run:
            archive.forget(video, profile)
    return count


def _collect_video(archive: Archive, video: str, grace_s: float, dry_run: bool, out: Collected) -> None:
    folder, backend = f"videos/{video}", archive.backend
    numbers, keep = archive.versions(video), set[str]()
    # not the highest that can be read: the one above it may only be out of reach for the moment
    newest = archive.version(video, numbers[0]) if numbers else None
    ages = {e.name: e.age_s for e in backend.entries(folder)}

    def old(name: str) -> bool:
        return ages.get(name, 0.0) >= grace_s

    if newest is not None:
        name = manifest_name(newest.version)
        slim = newest.without(lambda c: not newest.needed(c))
        if old(name) and slim.cells != newest.cells:
            if not dry_run:
                # by then a writer may have published a newer one, or made an old cell current again
                stale = {(c.stage, c.fingerprint) for c in newest.cells if not newest.needed(c)}
                slim = archive.drop(video, lambda c: (c.stage, c.fingerprint) in stale, current=False)
                if slim.version < newest.version:
                    raise ArchiveDamaged(f"{archive.location}/{folder}/{name}: cannot be read any more")
                name = manifest_name(slim.version)
            keep |= {name, *_names(slim)}
        elif not (newest.deleted and old(name)):
            keep |= {name, *_names(newest)}
    for number in archive.versions(video):
        name = manifest_name(number)
        if name in ages and not old(name):
            with contextlib.suppress(ArchiveDamaged, OSError):
                keep |= {name, *_names(archive.version(video, number))}
    for entry in sorted(backend.entries(folder), key=lambda e: (manifest_version(e.name) is None, e.name)):
        if not is_known(f"{folder}/{entry.name}", entry.folder):
            out.foreign.append(f"{folder}/{entry.name}")
        elif entry.name not in keep and entry.age_s >= grace_s:
            out.take(backend, folder, entry, dry_run)


def _names(manifest: Manifest) -> set[str]:
    return {f.name for c in manifest.cells for f in c.files}
