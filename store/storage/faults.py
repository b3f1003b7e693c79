"""Errors of the operating system as errors of the storage, with what to do next."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import StorageError


@contextlib.contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turns ``OSError`` of a write into :class:`StorageError` that names the path and the remedy."""
    try:
        yield
    except StorageError:
        raise
    except OSError as e:
        hints = {
            errno.ENOSPC: "no space left; free some and run the same command again",
            errno.EDQUOT: "disk quota reached; free some space and run the same command again",
            errno.EROFS: "the disk is read-only; questions still work, ingest needs a writable archive",
            errno.EACCES: "no permission to write; check the owner of the archive",
            errno.EPERM: "no permission to write; check the owner of the archive",
            errno.EMFILE: "too many open files; raise 'ulimit -n'",
        }
        known = isinstance(e.filename, str) and os.path.dirname(e.filename)  # else a name in some open folder
        raise StorageError(f"{e.filename if known else path}: {hints.get(e.errno or 0, e.strerror or e)}") from e


@contextlib.contextmanager
def machine_errors(path: Path | str) -> Iterator[None]:
    """Turns what the machine lacks (file numbers, memory) into :class:`StorageError`: it says nothing about a file.

    Without it a reader would take a sound manifest for a damaged one and go back to the version before.
    """
    try:
        yield
    except OSError as e:
        if e.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        with storage_errors(path):
            raise
