"""Finds videos by file name without reading every manifest.

Each name of a video, with and without its ending, and each path that it was seen at is an empty entry
``names/<2 hex>/<16 hex>-<video id>``, where the hex digits are those of the name's or path's hash.  Entries are written
before the manifest that needs them; one whose video has gone is passed over by whoever reads it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from ..storage.protocol import Backend

_ENTRY = re.compile(r"[0-9a-f]{16}-([0-9a-f]{16})")


def same(name: str) -> str:
    """The form under which two spellings of one name (NFC and NFD) are equal."""
    return unicodedata.normalize("NFC", name)


def stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


def base(path: str) -> str:
    """The file name of a path of any system."""
    return re.split(r"[/\\]", path)[-1]


def add(backend: Backend, video: str, names: Iterable[str]) -> None:
    """Makes ``video`` known under each of ``names``."""
    for name in {form for n in names for form in (same(n), same(stem(n)))}:
        folder, entry = _place(name)
        backend.put_if_absent(f"{folder}/{entry}-{video}", b"")


def lookup(backend: Backend, name: str) -> list[str]:
    """Ids that have been known under ``name`` or as ``name`` with any ending."""
    return _found(backend, same(name))


def add_path(backend: Backend, video: str, path: str) -> None:
    """Makes ``video`` known as what was seen at ``path``."""
    folder, entry = _place(f"\0{path}")
    backend.put_if_absent(f"{folder}/{entry}-{video}", b"")


def at_path(backend: Backend, path: str) -> list[str]:
    """Ids of videos that have been seen at ``path``; archives of early versions know of none."""
    return _found(backend, f"\0{path}")


def _found(backend: Backend, name: str) -> list[str]:
    folder, entry = _place(name)
    found = (_ENTRY.fullmatch(n) for n in backend.list(folder, entry))
    return [m[1] for m in found if m]


def _place(name: str) -> tuple[str, str]:
    digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"names/{digits[:2]}", digits
