"""Keeps a folder of numbered manifests sound: the part of verify and gc that is about the index and the catalogue.

Both can be made again from the videos' own manifests, so what is damaged is only set aside.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..errors import ArchiveDamaged, NotAnArchive, StorageError, one_line
from ..storage.keys import is_known, manifest_version
from .archive import Archive
from .catalogue import FOLDER
from .maintenance import Checked, Collected, Damage, key_of, problem_of
from .numbered import Numbered

log = logging.getLogger("vidrag.store")


def verify(archive: Archive, of: Numbered[Any]) -> Checked | None:
    """Reads every file that the newest version names, and every manifest; None where there are none.

    :attr:`Checked.video` is the name of the folder.
    """
    damage, newest = list[Damage](), None
    numbers = of.versions(archive.backend)
    for number in numbers:
        try:
            found = of.load(archive.backend, number)
            newest = newest or found
        except (StorageError, NotAnArchive):
            raise
        except FileNotFoundError:
            continue  # collected since it was listed
        except (ArchiveDamaged, OSError) as e:
            damage.append(Damage(of.folder, of.key(number), one_line(e)))
    if not numbers:
        return None
    files = newest.files if newest else ()
    for file in files:
        key = f"{of.folder}/{file.name}"
        if problem := problem_of(archive, key, file, partial(of.check, newest, file)):
            damage.append(Damage(of.folder, key, problem))
    return Checked(of.folder, of.folder, len(files), sum(f.bytes for f in files), tuple(damage))


def behind(archive: Archive) -> Checked | None:
    """What the catalogue says differently from the manifests; None where it is right, or there is none."""
    stored = archive.stored_catalogue()
    other = dict(stored.numbers.items() ^ archive.of_manifests().numbers.items()) if stored is not None else {}
    if not other:
        return None
    problem = f"says of {len(other)} videos something else than their manifests"
    return Checked(FOLDER, FOLDER, 0, 0, (Damage(FOLDER, FOLDER, problem),))


def set_aside(archive: Archive, of: Numbered[Any], damage: Sequence[Damage]) -> list[str]:
    """Moves damaged files to ``quarantine/``, and the manifests that name them.

    Returns the keys that are no files, such as links: they are left where they are.
    """
    bad = {d.key for d in damage if d.video == of.folder and d.key != of.folder}
    for number in of.versions(archive.backend) if bad else ():
        try:
            named = {f"{of.folder}/{f.name}" for f in of.load(archive.backend, number).files}
        except StorageError:
            raise
        except (ArchiveDamaged, NotAnArchive, OSError):
            continue
        if named & bad:
            archive.backend.set_aside(of.key(number))
    return [key for key in sorted(bad) if not archive.backend.set_aside(key)]


def collect(archive: Archive, of: Numbered[Any], grace_s: float, dry_run: bool, out: Collected) -> None:
    """Removes older versions and files that no version names, where they are older than ``grace_s`` seconds.

    The newest version stays, and all of them where it cannot be read.
    """
    backend, keep = archive.backend, set[str]()
    numbers = of.versions(backend)
    entries = backend.entries(of.folder)
    young = {e.name for e in entries if e.age_s < grace_s}
    try:
        for number in numbers:
            name = of.key(number).rpartition("/")[2]
            if number == numbers[0] or name in young:
                keep |= {name, *(f.name for f in of.load(backend, number).files)}
    except StorageError:
        raise
    except (ArchiveDamaged, NotAnArchive, OSError) as e:
        log.warning("%s; the %s is left alone", one_line(e), of.folder)
        return
    for entry in sorted(entries, key=lambda e: (manifest_version(e.name) is None, e.name)):
        if not is_known(key_of(of.folder, entry), entry.folder):
            out.foreign.append(key_of(of.folder, entry))
        elif entry.name not in keep and entry.name not in young and not of.keeps(entry.name):
            out.take(backend, of.folder, entry, dry_run)
