"""Gives a finished file the name under which readers find it, so that two writers can never both have it.

``rename()`` replaces what another writer has just put there; ``link()`` cannot.  Where a disk has no links (FAT, exFAT,
some network mounts) ``renameat2(RENAME_NOREPLACE)`` keeps the same promise: the name appears with all of its bytes, and
only where nothing had it.  A disk that can do neither is refused before any work.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from ..errors import StorageError

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)
_NOREPLACE = 1


class Naming:
    """The way of one disk, found out by the first file that is given a name."""

    def __init__(self, where: str) -> None:
        self._where, self._links = where, True

    def link(self, source: Path, folder: int, name: str) -> bool | None:
        """Gives ``source`` a second name; False where something has it, None where this disk cannot do that."""
        return self._linked(source, name, dst_dir_fd=folder)

    def give(self, folder: int, old: str, new: str) -> bool:
        """Gives the file ``old`` the name ``new``, in an open folder; False where something has it.

        The file may keep its old name, too.  Raises :class:`StorageError` where the disk cannot do it safely.
        """
        given = self._linked(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        return self._renamed(folder, old, new) if given is None else given

    def _linked(self, old: str | Path, new: str, **how: int) -> bool | None:
        try:
            if self._links:
                os.link(old, new, **how)  # type: ignore[arg-type]
                return True
        except FileExistsError:
            return False
        except OSError as e:
            if e.errno not in _NO_LINKS:
                raise
            self._links = e.errno == errno.EXDEV  # only this file lies elsewhere
        return None

    def _renamed(self, folder: int, old: str, new: str) -> bool:
        call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        code = errno.ENOSYS
        if call is not None:
            if call(folder, os.fsencode(old), folder, os.fsencode(new), _NOREPLACE) == 0:
                return True
            code = ctypes.get_errno()
        if code == errno.EEXIST:
            return False
        if code not in _NO_LINKS:
            raise OSError(code, os.strerror(code), new)
        raise StorageError(
            f"{self._where}: this disk has neither hard links nor a rename that replaces nothing, so two writers could "
            "destroy each other's work; put the archive on another disk (ext4, xfs, NFS, exFAT by the kernel's own "
            "driver) or into object storage"
        )
