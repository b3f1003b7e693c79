"""Vectors of texts that come with this package, computed once on each machine."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from itertools import chain

import numpy as np

from ...store.cache_dir import cache_dir
from ...store.vectors import Vectors

_by_section: dict[tuple[str, str], dict[str, Vectors]] = {}


@cache
def bundled(package: str, name: str) -> tuple[str, dict[str, list[str]]]:
    """A TOML file of ``package``: as it is written, and its texts by section."""
    text = (resources.files(package) / name).read_text("utf-8")
    return text, tomllib.loads(text)


def by_section(space: str, package: str, name: str, encode: Callable[[Sequence[str]], Vectors]) -> dict[str, Vectors]:
    """The vectors ``(n, dim)`` of each section of a bundled TOML file, made once in each ``space``."""
    text, texts = bundled(package, name)
    found = _by_section.get((space, text))
    if found is None:
        vectors = remembered(space, text, lambda: encode([*chain(*texts.values())]))
        cuts = np.cumsum([len(own) for own in texts.values()])[:-1]
        found = _by_section[space, text] = dict(zip(texts, np.split(vectors, cuts), strict=True))
    return found


def remembered(space: str, text: str, encode: Callable[[], Vectors]) -> Vectors:
    """What ``encode`` gives, read from the cache of this machine where it was made before.

    ``space`` and ``text`` name encoder and texts.  A cache that cannot be read or written costs time and nothing else.
    """
    path = cache_dir() / "vectors" / f"{hashlib.sha256(f'{space} {text}'.encode()).hexdigest()[:32]}.npy"
    try:
        found: Vectors = np.load(path, allow_pickle=False)
        if found.dtype == np.float32 and found.ndim == 2 and np.isfinite(found).all():
            return found
    except (OSError, ValueError, EOFError):
        pass
    found = encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f"{path.name}.{hashlib.sha256(found.tobytes()).hexdigest()[:8]}.part")
        with staged.open("wb") as f:
            np.save(f, found)
        staged.replace(path)
    except OSError:
        pass
    return found
