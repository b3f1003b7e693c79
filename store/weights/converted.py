"""Files made of weights, such as another format of them: made once on a machine, kept in the cache, hashes checked."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ..cache_dir import cache_dir
from ..errors import ModelMissing
from ..fingerprints import sha256_of
from . import models

_SUMS = "sums.json"
"""The SHA-256 of each file, by name; it appears last."""


def converted(ref: str, form: str, convert: Callable[[Path], None]) -> Path:
    """The folder of files that ``convert`` writes into an empty folder, made of the weights ``ref``.

    It is made once, and again where one of its files is missing, cut short or changed.  ``form`` names what is written;
    code that writes other bytes needs another name, so that whoever publishes last changes nothing.  Raises
    :class:`ModelMissing` where the cache cannot be written, and what ``convert`` raises.
    """
    folder = cache_dir() / "weights" / "converted" / f"{models.fingerprint(ref)}-{form}"
    if _is_sound(folder):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_suffix(".lock")):
            if not _is_sound(folder):
                _publish(folder, convert)
    except OSError as e:
        raise ModelMissing(
            f"weights '{ref}' have to be converted, and {e.filename or folder} cannot be written "
            f"({e.strerror or e}); VIDRAG_CACHE names another folder for that"
        ) from e
    return folder


def _is_sound(folder: Path) -> bool:
    try:
        sums = json.loads((folder / _SUMS).read_bytes())
        return all(models.verified(folder / name, sha256, folder.name) for name, sha256 in sums.items())
    except (OSError, ValueError, AttributeError, TypeError, ModelMissing):
        return False


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits for other processes that convert the same: one is enough.  Where a disk has no locks, all of them do it."""
    with lock.open("ab") as held:
        with contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _publish(folder: Path, convert: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".convert-") as made:
        convert(Path(made))
        sums = {p.name: sha256_of(p) for p in sorted(Path(made).iterdir())}
        (Path(made) / _SUMS).write_text(json.dumps(sums))
        for name in (*sums, _SUMS):
            os.chmod(Path(made) / name, 0o644)  # a cache may be shared
            os.replace(Path(made) / name, folder / name)
