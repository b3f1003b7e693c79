"""Where an archive's bytes lie.  Keys are relative POSIX paths; nothing that exists is ever overwritten.

``put_file`` and ``put_if_absent`` are the only ways in.  Both are durable when they return.  :class:`LocalBackend`
syncs the data, then the name appears by ``link()``, which unlike ``rename()`` cannot replace another writer's file,
then the folder is synced.  :mod:`.objects.backend` does the same with conditional requests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """Something directly below a folder; ``age_s`` is seconds since it was written, by the storage's own clock.

    ``folder``: a real one; a link is none.
    """

    name: str
    bytes: int
    age_s: float
    folder: bool = False


class Journal(Protocol):
    """Lines that are appended while a run works, and survive its end by any cause."""

    def write(self, lines: bytes) -> None:
        """Appends whole lines."""
        ...

    def sync(self) -> None:
        """Makes what was written durable."""
        ...

    def close(self) -> None: ...


class Backend(Protocol):
    """Storage with atomic creation.  Keys never start with ``/`` or hold ``..``.

    Where writing fails the error is :class:`StorageError`; reading what is not there is ``FileNotFoundError``, and
    reading that fails otherwise is another ``OSError``.
    """

    location: str
    """The archive's address as messages name it."""
    address: str
    """The same as any process on this machine or another that shares the storage can open it."""

    def check_root(self, *, empty: bool) -> None:
        """Raises :class:`NotAnArchive` where an archive cannot be here; ``empty``: where one is to be made."""
        ...

    def check_writable(self) -> None:
        """Raises :class:`StorageError` where nothing could be written."""
        ...

    def put_file(self, key: str, source: Path) -> bool:
        """Makes the finished file ``source`` appear as ``key``.

        False where ``key`` existed: it is left as it was, but its age starts again, so that a sweep spares it.
        """
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Creates ``key``; False where it existed already (it is left as it was)."""
        ...

    def mark(self, key: str) -> None:
        """Creates an empty ``key`` that a kill of this process does not remove; it need not survive a power cut."""
        ...

    def read(self, key: str, fresh: bool = False) -> bytes:
        """The bytes of ``key``; ``fresh``: not those that were kept from earlier."""
        ...

    def read_part(self, key: str, start: int, size: int, fresh: bool = False) -> bytes:
        """``size`` bytes of ``key`` from byte ``start`` on, fewer where it ends; ``fresh``: see :meth:`read`."""
        ...

    def fetch(self, keys: Sequence[str]) -> None:
        """Brings manifests that are about to be read to this machine, side by side, where that is worth it."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes of ``key``; None where it does not exist."""
        ...

    def delete(self, key: str, dry_run: bool = False) -> bool:
        """Removes ``key``, which must be one of :func:`.keys.is_deletable`; True where it is gone.

        False where what stands there is not vidrag's: a link, a folder, or a scratch folder with other things in it.
        That is left alone.
        """
        ...

    def set_aside(self, key: str) -> bool:
        """Takes ``key`` away to ``quarantine/``, replacing what is there; True and False as for :meth:`delete`."""
        ...

    def list(self, prefix: str, begins: str = "") -> list[str]:
        """Names (not keys) directly below the folder ``prefix`` that begin with ``begins``, sorted; empty where there
        is no such folder.
        """
        ...

    def stamp(self, prefix: str) -> tuple[int, ...] | None:
        """Equal to what it was before only where nothing was put below the folder ``prefix`` or taken from it since.

        None where that cannot be told without listing it, as just after a change.
        """
        ...

    def tag(self, key: str) -> Hashable:
        """Equal to what it was before only where the file is the same one; None where that is not known."""
        ...

    def entries(self, prefix: str) -> Sequence[Entry]:
        """What lies directly below the real folder ``prefix``, leftovers of dead writers included."""
        ...

    def local_path(self, key: str, fresh: bool = False, size: int | None = None) -> Path:
        """A local file with the bytes of ``key``; ``fresh``: not one kept from earlier, which may have gone bad.

        ``size``: bytes that it is said to have, which saves asking; where it has others, what comes may be cut.
        """
        ...

    def scratch(self, prefix: str) -> contextlib.AbstractContextManager[Path]:
        """A private folder for files on their way to ``put_file`` under ``prefix``; gone afterwards."""
        ...

    def journal(self, key: str) -> Journal:
        """A new journal at ``key``."""
        ...

    def read_journal(self, key: str) -> bytes:
        """What has been written to the journal at ``key`` so far."""
        ...

    def delete_journal(self, key: str) -> None: ...
