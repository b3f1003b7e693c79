"""What visitors may have indexed: files below named folders, and an upload folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...store.errors import UsageError
from .errors import Refused

UPLOADS = "uploads"
"""Name of the upload folder among the roots."""
_NAME = re.compile(r"\w[\w .-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """``roots``: folders by name, without links in their paths; ``uploads``: the folder for uploads, one of them;
    ``upload_limit``: bytes that an upload may have.
    """

    roots: Mapping[str, Path] = field(default_factory=dict)
    uploads: Path | None = None
    upload_limit: int = 20_000_000_000

    @classmethod
    def of(cls, roots: Sequence[str], uploads: Path | None = None, upload_limit: int = 20_000_000_000) -> Allowed:
        """``roots``: ``NAME=FOLDER`` each.  The upload folder is made where there is none.

        Raises :class:`~vidrag.store.errors.UsageError` for what is no name or no folder.
        """
        found: dict[str, Path] = {}
        for text in roots:
            name, equals, folder = text.partition("=")
            if not equals or not _NAME.fullmatch(name):
                raise UsageError(f"--allow-ingest {text}: give NAME=FOLDER; names are words")
            if name in found or (name == UPLOADS and uploads is not None):
                raise UsageError(f"--allow-ingest {text}: another folder has this name")
            found[name] = _folder("--allow-ingest", Path(folder))
        if uploads is not None:
            try:
                uploads.mkdir(exist_ok=True)
            except OSError as e:
                raise UsageError(f"--uploads {uploads}: {e.strerror}") from e
            uploads = found[UPLOADS] = _folder("--uploads", uploads)
        return cls(roots=found, uploads=uploads, upload_limit=upload_limit)

    @property
    def any(self) -> bool:
        """Whether anything may be indexed."""
        return bool(self.roots)

    def find(self, root: str, path: str) -> Path:
        """The file or folder ``path`` below the folder called ``root``, without links.

        Raises :class:`Refused` where it may not be indexed: nothing may, no such folder, a path that leads out of it.
        """
        if not self.any:
            raise Refused(403, "indexing is off; start the server with --allow-ingest NAME=FOLDER", "NotAllowed")
        if root not in self.roots:
            raise Refused(
                404, f"no folder is called '{root[:64]}'; known are {', '.join(sorted(self.roots))}", "NoSuchRoot"
            )
        if "\0" in path or "://" in path or os.path.isabs(path) or ".." in Path(path).parts:
            raise Refused(400, f"path: give a file or folder in '{root}'", "BadPath")
        folder = self.roots[root]
        try:
            found = Path(os.path.realpath(folder / path))
        except (OSError, ValueError):
            raise Refused(400, f"path: give a file or folder in '{root}'", "BadPath") from None
        if not found.is_relative_to(folder):
            raise Refused(400, f"path: leads out of '{root}'", "BadPath")
        if not os.path.exists(found):
            raise Refused(404, f"there is no such file or folder in '{root}'", "NotFound")
        return found


def _folder(switch: str, path: Path) -> Path:
    found = Path(os.path.realpath(path.expanduser()))
    if not found.is_dir():
        raise UsageError(f"{switch} {path}: is no folder")
    return found
