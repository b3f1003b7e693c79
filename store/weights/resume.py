"""Large files of the hub, fetched so that what was cut short goes on where it stopped.

huggingface_hub begins a file anew in each process.  Here it is brought to where that library's cache has it,
``blobs/ETAG`` of a repository; the library finds it there and does all the rest.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from ..errors import ModelMissing
from ..fingerprints import sha256_of
from ..storage import owned

_LARGE = 8 << 20
"""Bytes from which on a file is worth it."""
_TRIES = 5
_TIMEOUT_S = 30
_BLOCK = 1 << 20


def fetch(client: Any, repo: str, revision: str | None, sizes: Mapping[str, int]) -> None:
    """Brings the large ones of these files; ``sizes``: bytes by name; ``client``: the module ``huggingface_hub``.

    What does not come is left to the library, which says what is wrong.  Raises :class:`ModelMissing` for bytes other
    than those that the hub names.
    """
    for name, size in sizes.items():
        here = client.try_to_load_from_cache(repo, name, revision=revision)
        if size >= _LARGE and not isinstance(here, str):
            try:
                _fetch(client, repo, revision, name)
            except ModelMissing:
                raise
            except Exception:  # the hub's client raises many types
                continue


def _fetch(client: Any, repo: str, revision: str | None, name: str) -> None:
    from filelock import FileLock

    told = client.get_hf_file_metadata(client.hf_hub_url(repo, name, revision=revision))
    if not told.etag or not told.size:
        return
    cache = Path(client.constants.HF_HUB_CACHE)
    blob = cache / client.file_download.repo_folder_name(repo_id=repo, repo_type="model") / "blobs" / told.etag
    blob.parent.mkdir(parents=True, exist_ok=True)
    part = blob.with_name(f"{told.etag}.part")
    own = urlsplit(told.location).netloc == urlsplit(client.constants.ENDPOINT).netloc
    headers = client.utils.build_hf_headers() if own else {}  # a token is for nobody else
    with FileLock(blob.with_name(f"{told.etag}.lock")):
        for _ in range(_TRIES):
            if blob.exists() or _size(part) >= told.size:
                break
            with contextlib.suppress(HTTPException, TimeoutError, ConnectionError):
                _more(
                    told.location,
                    headers,
                    part,
                    client.utils.tqdm(total=told.size, unit="B", unit_scale=True, desc=name),
                )
        if _size(part) == told.size:
            if re.fullmatch("[0-9a-f]{64}", told.etag) and sha256_of(part) != told.etag:
                owned.remove(part)
                raise ModelMissing(f"{repo}: {name} came with other bytes than the hub names; fetch it again")
            os.replace(part, blob)


def _more(url: str, headers: Mapping[str, str], part: Path, bar: Any) -> None:
    """Fetches what is missing of a file; what has come stays."""
    have = _size(part)
    with bar, urlopen(Request(url, headers={**headers, "Range": f"bytes={have}-"}), timeout=_TIMEOUT_S) as answer:
        goes_on = answer.status == 206
        bar.update(have if goes_on else 0)
        with part.open("ab" if goes_on else "wb") as out:
            while block := answer.read(_BLOCK):
                bar.update(out.write(block))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
