"""Opens the storage behind an archive's address."""

from __future__ import annotations

import os
from pathlib import Path

from .local import LocalBackend
from .protocol import Backend


def open_backend(location: str | Path) -> Backend:
    """The backend of an archive's address: a folder, or a URL such as ``s3://bucket/prefix``."""
    text = os.fspath(location)
    if "://" in text:
        from .objects.backend import ObjectBackend

        return ObjectBackend(text)
    return LocalBackend(Path(text))
