"""Files outside of archives that appear under their names in one step."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import owned
from .faults import storage_errors


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to: what is there at the end appears as ``path``, in the place of what was there.

    Nothing appears where the ``with`` fails.  :class:`~vidrag.store.errors.StorageError` where the disk refuses.
    """
    temp = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with storage_errors(path):
        try:
            yield temp
            with temp.open("rb") as f:
                os.fsync(f.fileno())
            os.replace(temp, path)
        finally:
            owned.remove(temp)


def write_whole(path: Path, text: str) -> None:
    """Writes a text file as :func:`whole_file` does; odd bytes of file names are spelled out."""
    with whole_file(path) as temp:
        temp.write_text(text, encoding="utf-8", errors="backslashreplace")
