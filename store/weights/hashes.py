"""SHA-256 of large files, read once on a machine for each state of a file."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

_YOUNG_NS = 2_000_000_000


def sha256(path: Path, kept: Path) -> str:
    """SHA-256 of ``path``; remembered in the folder ``kept`` for its path, size, times and inode.

    A file that changed within the last two seconds is read and not remembered: it may change again within one tick.
    """
    st = path.stat()
    stamp = f"{path.resolve()}|{st.st_size}|{st.st_mtime_ns}|{st.st_ctime_ns}|{st.st_ino}|{st.st_dev}"
    mark = kept / hashlib.sha256(stamp.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    try:
        if re.fullmatch("[0-9a-f]{64}", known := mark.read_text("ascii")):
            return known
    except (OSError, ValueError):
        pass
    with path.open("rb") as f:
        found = hashlib.file_digest(f, "sha256").hexdigest()
    if time.time_ns() - max(st.st_mtime_ns, st.st_ctime_ns) > _YOUNG_NS:
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(found, "ascii")
        except OSError:  # a read-only home only means that it is read again next time
            pass
    return found
