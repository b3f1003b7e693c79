"""Where vidrag keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder of caches and joined weights: ``$VIDRAG_CACHE``, else the user's cache."""
    if given := os.environ.get("VIDRAG_CACHE"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("vidrag"))
