"""Weights in a repository of the Hugging Face hub: ``hf:OWNER/REPO``, ``hf:OWNER/REPO@REVISION``, and after a ``#`` a
pattern of the weight files that are meant, where a repository holds several kinds.

Repositories hold the same weights in many formats, beside pictures and texts.  Only what is opened is fetched, and only
that counts: who edits a README changes nothing.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ModelMissing
from . import resume

_WEIGHTS = (
    r"model\.bin|vocabulary\.(json|txt)",  # CTranslate2
    r"open_clip_model\.safetensors",
    r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json",
    r"[^/]+\.safetensors",
    r"pytorch_model(-\d{5}-of-\d{5})?\.bin|pytorch_model\.bin\.index\.json",
)
"""Ways in which weights lie at the top of a repository, the first one that is there is taken."""
_CONFIG = re.compile(
    r"([^/]*(config|tokenizer|processor|template|vocab|merges|special_tokens|added_tokens|modules)[^/]*"
    r"\.(json|txt|jinja|model|ya?ml)|1_Pooling/config\.json|[^/]+\.(model|py|codes|bpe|tiktoken)|[^/]*spiece[^/]*)"
)
_OTHER = re.compile(
    r"(.*/)?(\..*|(README|LICEN[CS]E|NOTICE)[^/]*)|.*\.(md|png|jpe?g|gif|svg|pdf|h5|msgpack|ot|tflite)", re.I
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is used of a repository: its commit, the local folder, and the names of files relative to it."""

    repo: str
    revision: str
    folder: Path
    names: tuple[str, ...]


def parsed(ref: str) -> tuple[str, str, str]:
    """Repository, revision and pattern of a reference; the latter two may be empty."""
    rest, _, pattern = ref.removeprefix("hf:").partition("#")
    repo, _, revision = rest.partition("@")
    return repo, revision, pattern


def chosen(names: Collection[str], pattern: str = "") -> tuple[str, ...]:
    """The files of a repository that are used, sorted: weights of one format and what describes them.

    Where the weights lie in no known way that is everything but texts and pictures for people.
    """
    if pattern:
        weights = [n for n in names if fnmatchcase(n, pattern)]
    else:
        found = ([n for n in names if re.fullmatch(way, n)] for way in _WEIGHTS)
        weights = next((f for f in found if f and not all(n.startswith("vocabulary.") for n in f)), [])
    if not weights:
        return tuple(sorted(n for n in names if not _OTHER.fullmatch(n))) if not pattern else ()
    return tuple(sorted({*weights, *(n for n in names if _CONFIG.fullmatch(n) and not _OTHER.fullmatch(n))}))


def listed(ref: str, offline: bool) -> tuple[str, ...]:
    """Names of all files of a repository; of those that are here, where nobody can be asked."""
    return _here(ref) if offline else tuple(_remote(ref))


@dataclass(frozen=True, slots=True)
class Described:
    """What would be fetched: bytes of each file by name; ``licence`` as the repository names it, or empty."""

    files: dict[str, int]
    licence: str


def described(ref: str) -> Described:
    """The files that a reference means, before they are fetched; what the hub's client raises."""
    _, _, pattern = parsed(ref)
    info = _info(ref)
    sizes = {s.rfilename: int(s.size or 0) for s in info.siblings or ()}
    wanted = chosen(tuple(sizes), pattern)
    if not wanted:
        raise ModelMissing(f"{ref}: the repository holds no file like '{pattern}'")
    card = info.card_data.to_dict() if info.card_data else {}
    return Described({n: sizes[n] for n in wanted}, str(card.get("license") or ""))


def _info(ref: str) -> Any:
    repo, revision, _ = parsed(ref)
    return _client().HfApi().model_info(repo, revision=revision or None, files_metadata=True)


@cache
def snapshot(ref: str, offline: bool) -> Snapshot:
    """The files that a reference means, fetched where they are not here yet.

    Raises :class:`ModelMissing` where they are not in the repository, and what the hub's client raises.
    """
    repo, revision, pattern = parsed(ref)
    if not offline:
        sizes = _remote(ref)
        wanted = chosen(tuple(sizes), pattern)
        if not wanted:
            raise ModelMissing(f"{ref}: the repository holds no file like '{pattern}'")
        resume.fetch(_client(), repo, revision or None, {n: sizes[n] for n in wanted})
        _client().snapshot_download(repo, revision=revision or None, allow_patterns=[glob.escape(n) for n in wanted])
    folder, names = _folder(ref), chosen(_here(ref), pattern)
    if not names:
        raise ModelMissing(f"{ref}: its files are not in the hub's cache")
    return Snapshot(repo, folder.name, folder, names)


@cache
def _remote(ref: str) -> dict[str, int]:
    """Bytes of each file of a repository; 0 where only what is here can be told."""
    try:
        return {s.rfilename: int(s.size or 0) for s in _info(ref).siblings or ()}
    except Exception:  # the hub client raises many types; what is here may do
        try:
            return dict.fromkeys(_here(ref), 0)
        except Exception:
            pass
        raise


def _here(ref: str) -> tuple[str, ...]:
    folder = _folder(ref)
    return tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))


def _folder(ref: str) -> Path:
    repo, revision, _ = parsed(ref)
    nothing: list[str] = []  # to fetch: only the place is asked for
    kept = _client().snapshot_download(repo, revision=revision or None, allow_patterns=nothing, local_files_only=True)
    return Path(kept)


def _client() -> Any:
    import huggingface_hub

    return huggingface_hub
