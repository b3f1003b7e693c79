"""The only door by which vidrag deletes anything, and the names that it lets through.

An archive, a cache or a results folder may hold other things: a film that somebody put there, a link to a folder with a
thesis in it.  So nothing goes but regular files under names that vidrag writes, in real folders of the right shape; no
link is ever followed, removed or replaced.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from ..errors import StorageError

_VIDEO = "[0-9a-f]{16}"
_RUN = r"[0-9]{8}-[0-9]{6}-[0-9a-f]+"
_SCRATCH = re.compile(r"\.tmp-[0-9a-f]{16}")
_FILES = re.compile(
    rf"""
    videos/{_VIDEO}/(
        manifest-[0-9]{{6,}}\.json
        | [a-z_]+-[0-9a-f]{{16}}-[0-9a-f]{{12}}\.(parquet|faiss)
        | try-[a-z_]+-[0-9a-f]{{16}}-[A-Za-z0-9_.-]+
    )
    | names/[0-9a-f]{{2}}/[0-9a-f]{{16}}-{_VIDEO}
    | index/(manifest-[0-9]{{6,}}\.json | [a-z_]+-[0-9a-f]{{16}}-[0-9a-f]{{12}}\.(sqlite|faiss))
    | runs/{_RUN}\.(jsonl(/[0-9]{{6}})? | parquet | txt)
    | answers/{_RUN}\.(jsonl(/[0-9]{{6}})? | parquet)
    | cache/[a-z]+\.sqlite(-wal|-shm)?
    """,
    re.VERBOSE,
)
_FOLDERS = re.compile(rf"(videos(/{_VIDEO})?|names(/[0-9a-f]{{2}})?|index|runs|answers)?")
_KIND = "speech|text|frames|labels|chapters|vectors"
_STAGED = re.compile(
    rf"({_KIND})(\.parquet|\.faiss)?|(ledger|answers)\.parquet|catalogue(-journal|-wal|-shm)?"
    r"|[a-z_]+-[0-9a-f]{16}-[0-9a-f]{12}\.(parquet|faiss|sqlite)"
)


def is_scratch(name: str) -> bool:
    """True for the name of a file or folder on its way into the archive, which a killed writer leaves behind."""
    return _SCRATCH.fullmatch(name) is not None


def is_deletable(key: str) -> bool:
    """True for keys of files that vidrag writes into an archive and may take out again."""
    folder, _, name = key.rpartition("/")
    return _FILES.fullmatch(key) is not None or (is_scratch(name) and _FOLDERS.fullmatch(folder) is not None)


def check(key: str) -> None:
    """Raises :class:`StorageError` for a key that vidrag never writes: nothing else may be deleted or moved."""
    if not is_deletable(key):
        raise StorageError(f"{key}: is not a name that vidrag writes; it is left alone")


def is_known(key: str, folder: bool) -> bool:
    """True for everything that vidrag writes, folders (``folder``) included."""
    if is_scratch(key.rpartition("/")[2]):
        return is_deletable(key)
    if folder:  # a journal in object storage is one
        return (
            bool(_FOLDERS.fullmatch(key))
            or key in ("cache", "quarantine")
            or (key.endswith(".jsonl") and is_deletable(key))
        )
    return is_deletable(key) or key == "archive.json"


def is_staged(name: str) -> bool:
    """True for names of files that a writer puts into its scratch folder."""
    return _STAGED.fullmatch(name) is not None


def is_file(name: str | Path, folder: int | None = None) -> bool:
    """True for a regular file, not a link to one; ``folder``: an open folder that ``name`` is in."""
    return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def remove(name: str | Path, folder: int | None = None, dry_run: bool = False) -> bool:
    """Removes a regular file; False where it is a link or a folder, which stays.  True where nothing is there."""
    try:
        if not is_file(name, folder):
            return False
        if not dry_run:
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    return True


def remove_folder(name: str | Path, folder: int | None, ours: Callable[[str], bool], dry_run: bool = False) -> bool:
    """Removes a real folder and the files in it whose names are ``ours``; False where it has to stay.

    Whatever else lies in it stays, and the folder with it.
    """
    try:
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    try:
        kept = [n for n in os.listdir(inner) if not (ours(n) and remove(n, inner, dry_run))]
        if not kept and not dry_run:
            os.rmdir(name, dir_fd=folder)
        return not kept
    except FileNotFoundError:
        return True
    except OSError as e:
        if e.errno != errno.ENOTEMPTY:
            raise
        return False  # something has come since
    finally:
        os.close(inner)


def remove_upload(name: str, folder: int) -> None:
    """Removes the part file ``name`` of an upload in the open ``folder``; a link is removed, not followed."""
    os.unlink(name, dir_fd=folder)
