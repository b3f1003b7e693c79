"""Vectors of texts that come with this package, computed once on each machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from ...store.cache_dir import cache_dir
from ...store.vectors import Vectors


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
