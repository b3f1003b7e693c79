"""The names that vidrag writes into archives, caches and results folders."""

from __future__ import annotations

import re
import secrets

_VIDEO = "[0-9a-f]{16}"
_RUN = r"[0-9]{8}-[0-9]{6}-[0-9a-f]+"
SCRATCH = ".tmp-"
"""How names of files and folders on their way into the archive begin."""
_SCRATCH = re.compile(r"\.tmp-[0-9a-f]{16}")
_MANIFEST = re.compile(r"manifest-([0-9]{6,})\.json")
_FILES = re.compile(
    rf"""
    videos/{_VIDEO}/(
        manifest-[0-9]{{6,}}\.json
        | [a-z_]+-[0-9a-f]{{16}}-[0-9a-f]{{12}}\.(parquet|faiss|mjpeg)
        | try-[a-z_]+-[0-9a-f]{{16}}-[A-Za-z0-9_.-]+
    )
    | names/[0-9a-f]{{2}}/[0-9a-f]{{16}}-{_VIDEO}
    | index/(manifest-[0-9]{{6,}}\.json | [a-z_]+-[0-9a-f]{{16}}-[0-9a-f]{{12}}\.(sqlite|faiss))
    | catalogue/(manifest-[0-9]{{6,}}\.json | videos-[0-9a-f]{{16}}-[0-9a-f]{{12}}\.parquet | {_VIDEO}-[0-9]{{6,}})
    | runs/{_RUN}\.(jsonl(/[0-9]{{6}})? | parquet | txt)
    | answers/{_RUN}\.(jsonl(/[0-9]{{6}})? | parquet)
    | cache/[a-z]+\.sqlite(-wal|-shm)?
    """,
    re.VERBOSE,
)
_FOLDERS = re.compile(rf"(videos(/{_VIDEO})?|names(/[0-9a-f]{{2}})?|index|catalogue|runs|answers)?")
_KIND = "speech|text|frames|pictures|labels|chapters|vectors|videos"
_STAGED = re.compile(
    rf"({_KIND})(\.parquet|\.faiss|\.mjpeg)?|(ledger|answers)\.parquet|catalogue(-journal|-wal|-shm)?"
    r"|[a-z_]+-[0-9a-f]{16}-[0-9a-f]{12}\.(parquet|faiss|mjpeg|sqlite)"
)


def scratch_name() -> str:
    """A new name for a file or folder on its way into the archive."""
    return f"{SCRATCH}{secrets.token_hex(8)}"


def is_scratch(name: str) -> bool:
    """True for the name of a file or folder on its way into the archive, which a killed writer leaves behind."""
    return _SCRATCH.fullmatch(name) is not None


def is_deletable(key: str) -> bool:
    """True for keys of files that vidrag writes into an archive and may take out again."""
    folder, _, name = key.rpartition("/")
    return _FILES.fullmatch(key) is not None or (is_scratch(name) and _FOLDERS.fullmatch(folder) is not None)


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


def manifest_name(version: int) -> str:
    """The name of the manifest of a version."""
    return f"manifest-{version:06d}.json"


def manifest_version(name: str) -> int | None:
    """The version in a manifest's name; None for other names."""
    match = _MANIFEST.fullmatch(name)
    return int(match[1]) if match else None
