"""Keeps the index over an archive sound: the part of verify and gc that is about it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..archive.archive import Archive
from ..archive.maintenance import Checked, Collected, Damage, key_of, problem_of
from ..errors import ArchiveDamaged, NotAnArchive, StorageError, one_line
from ..records import StoredFile
from ..storage.keys import is_known, manifest_name, manifest_version
from .ann import AnnFile
from .index import FOLDER, TABLES, IndexManifest, load, versions
from .postings import StoredLists

NAME = FOLDER
"""Stands where a video's id stands in what is told of damage."""
log = logging.getLogger("vidrag.store")


def verify(archive: Archive) -> Checked | None:
    """Reads every file that the newest version of the index names, and every manifest; None where there is no index."""
    damage, newest = list[Damage](), None
    numbers = versions(archive)
    for number in numbers:
        try:
            found = load(archive, number)
            newest = newest or found
        except (StorageError, NotAnArchive):
            raise
        except FileNotFoundError:
            continue  # collected since it was listed
        except (ArchiveDamaged, OSError) as e:
            damage.append(Damage(NAME, f"{FOLDER}/{manifest_name(number)}", one_line(e)))
    if not numbers:
        return None
    for file in newest.files if newest else ():
        key = f"{FOLDER}/{file.name}"
        if newest and (problem := problem_of(archive, key, file, partial(_header, manifest=newest, file=file))):
            damage.append(Damage(NAME, key, problem))
    files = newest.files if newest else ()
    return Checked(NAME, NAME, len(files), sum(f.bytes for f in files), tuple(damage))


def _header(path: Path, manifest: IndexManifest, file: StoredFile) -> None:
    if file.name.endswith(".faiss"):
        encoder = manifest.encoders.get(file.kind.removesuffix(".faiss"))
        AnnFile(path, file.rows, encoder.dim if encoder else 0)
    else:
        StoredLists(path, TABLES, manifest.rows)


def set_aside(archive: Archive, damage: Sequence[Damage]) -> list[str]:
    """Moves damaged files of the index to ``quarantine/``, and the manifests that name them: it can be made again.

    Returns the keys that are no files, such as links: they are left where they are.
    """
    bad = {d.key for d in damage if d.video == NAME}
    for number in versions(archive) if bad else ():
        key = f"{FOLDER}/{manifest_name(number)}"
        try:
            named = {f"{FOLDER}/{f.name}" for f in load(archive, number).files}
        except StorageError:
            raise
        except (ArchiveDamaged, NotAnArchive, OSError):
            continue
        if named & bad:
            archive.backend.set_aside(key)
    return [key for key in sorted(bad) if not archive.backend.set_aside(key)]


def collect(archive: Archive, grace_s: float, dry_run: bool, out: Collected) -> None:
    """Removes older versions of the index and what no version names, where they are older than ``grace_s`` seconds.

    The newest version stays, and all of them where it cannot be read.
    """
    backend, keep = archive.backend, set[str]()
    numbers = versions(archive)
    entries = backend.entries(FOLDER)
    young = {e.name for e in entries if e.age_s < grace_s}
    try:
        for number in numbers:
            name = manifest_name(number)
            if number == numbers[0] or name in young:
                keep |= {name, *(f.name for f in load(archive, number).files)}
    except StorageError:
        raise
    except (ArchiveDamaged, NotAnArchive, OSError) as e:
        log.warning("%s; the index is left alone", one_line(e))
        return
    for entry in sorted(entries, key=lambda e: (manifest_version(e.name) is None, e.name)):
        if not is_known(key_of(FOLDER, entry), entry.folder):
            out.foreign.append(key_of(FOLDER, entry))
        elif entry.name not in keep and entry.name not in young:
            out.take(backend, FOLDER, entry, dry_run)
