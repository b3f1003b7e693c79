"""The only door by which vidrag deletes anything; :mod:`.keys` says which names it lets through.

An archive, a cache or a results folder may hold other things: a film that somebody put there, a link to a folder with a
thesis in it.  So nothing goes but regular files under names that vidrag writes, in real folders of the right shape; no
link is ever followed, removed or replaced.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from ..errors import StorageError
from .keys import is_deletable


def check(key: str) -> None:
    """Raises :class:`StorageError` for a key that vidrag never writes: nothing else may be deleted or moved."""
    if not is_deletable(key):
        raise StorageError(f"{key}: is not a name that vidrag writes; it is left alone")


def is_file(name: str | Path, folder: int | None = None) -> bool:
    """True for a regular file, not a link to one; ``folder``: an open folder that ``name`` is in."""
    return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def remove(name: str | Path, folder: int | None = None, dry_run: bool = False) -> bool:
    """Removes a regular file; False where it is a link or a folder, which stays.  True where nothing is there."""
    try:
        if not is_file(name, folder):
            return False
        if not dry_run:
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    return True


def remove_folder(name: str | Path, folder: int | None, ours: Callable[[str], bool], dry_run: bool = False) -> bool:
    """Removes a real folder and the files in it whose names are ``ours``; False where it has to stay.

    Whatever else lies in it stays, and the folder with it.
    """
    try:
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    try:
        kept = [n for n in os.listdir(inner) if not (ours(n) and remove(n, inner, dry_run))]
        if not kept and not dry_run:
            os.rmdir(name, dir_fd=folder)
        return not kept
    except FileNotFoundError:
        return True
    except OSError as e:
        if e.errno != errno.ENOTEMPTY:
            raise
        return False  # something has come since
    finally:
        os.close(inner)


def remove_upload(name: str, folder: int) -> None:
    """Removes the part file ``name`` of an upload in the open ``folder``; a link is removed, not followed."""
    os.unlink(name, dir_fd=folder)
