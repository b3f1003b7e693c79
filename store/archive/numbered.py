"""Folders of numbered manifests, each of which names files beside it; the newest that is valid counts.

``FOLDER/manifest-000001.json`` appears under a number that did not exist, after the files that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ..errors import ArchiveDamaged, NotAnArchive, StorageError, one_line
from ..records import StoredFile
from ..storage.keys import manifest_name, manifest_version
from ..storage.protocol import Backend
from .manifest import sealed, unsealed


class NumberedManifest(Protocol):
    @property
    def version(self) -> int: ...

    @property
    def files(self) -> tuple[StoredFile, ...]: ...


M = TypeVar("M", bound=NumberedManifest)


@dataclass(frozen=True)
class Numbered(Generic[M]):
    """One such folder.  ``parse`` makes a manifest of its JSON and raises ValueError, TypeError or KeyError where it
    does not hold; ``check`` raises :class:`ArchiveDamaged` for a file that is not what its manifest says; ``keeps``:
    whether a file that no manifest names stays.
    """

    folder: str
    parse: Callable[[dict[str, Any]], M]
    check: Callable[[M, StoredFile, Path], object]
    keeps: Callable[[str], bool] = lambda name: False

    def key(self, number: int) -> str:
        return f"{self.folder}/{manifest_name(number)}"

    def versions(self, backend: Backend) -> list[int]:
        """Version numbers, newest first."""
        names = backend.list(self.folder, "manifest-")
        return sorted((v for n in names if (v := manifest_version(n)) is not None), reverse=True)

    def load(self, backend: Backend, number: int) -> M:
        """One version; :class:`ArchiveDamaged` where it does not hold, :class:`NotAnArchive` where it is newer."""
        key = self.key(number)
        where = f"{backend.location}/{key}"
        try:
            made = self.parse(unsealed(backend.read(key), where))
        except (NotAnArchive, StorageError):
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise ArchiveDamaged(f"{where}: not a valid manifest of the {self.folder} ({one_line(e, 200)})") from e
        if made.version != number:
            raise ArchiveDamaged(f"{where}: is of another version")
        return made

    def publish(self, backend: Backend, made: M, staged: Mapping[str, Path]) -> bool:
        """Makes a version appear whose files, ``staged`` by name, have been placed; False where its number exists."""
        if not backend.put_if_absent(self.key(made.version), sealed(made)):
            return False
        for name, path in staged.items():  # swept away in between by a collection of garbage
            if backend.size(f"{self.folder}/{name}") is None:
                backend.put_file(f"{self.folder}/{name}", path)
        return True
