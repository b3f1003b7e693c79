"""Finds weights: an explicit path, an installed model package, a hub repository.

A reference is one of

- a name in :data:`KNOWN`, whose files have their SHA-256 on record: in an installed package, else in the hub's cache,
  else, unless offline, at the hub;
- a path to a file or folder;
- ``hf:OWNER/REPO`` or ``hf:OWNER/REPO@REVISION``: the Hugging Face cache, or a download unless offline; checked where
  hashes of that revision are on record.

Weights are never replaced by random ones, and a hash that does not hold is an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..cache_dir import cache_dir
from ..errors import ModelMissing, one_line
from ..fingerprints import sha256_of
from ..storage import owned
from . import files as weight_files
from . import hub
from .hub import Snapshot
from .known import KNOWN, RECORDED, WeightFile, Weights

_offline = os.environ.get("VIDRAG_OFFLINE", "") not in ("", "0")


def set_offline(value: bool) -> None:
    """When true no socket is ever opened to look for weights; worker processes inherit it."""
    global _offline
    _offline = value
    os.environ["VIDRAG_OFFLINE"] = "1" if value else "0"
    if value:
        os.environ["HF_HUB_OFFLINE"] = "1"


def offline() -> bool:
    """True where no socket may be opened to look for weights."""
    return _offline


@cache
def _module_dir(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _part(part: str) -> Path | None:
    module, _, inner = part.partition(":")
    folder = _module_dir(module)
    path = folder / inner if folder else None
    return path if path and path.is_file() else None


def installed(name: str) -> bool:
    """True where every file of a known set lies in an installed package (its hash is not checked here)."""
    return all(_part(p) for f in KNOWN[name].files.values() for p in f.parts)


def state(name: str) -> str:
    """Where a known set is, in words; its hashes are not checked."""
    if installed(name):
        return "installed"
    with contextlib.suppress(ModelMissing):
        if KNOWN[name].hub and _hub(KNOWN[name].hub, offline=True):
            return "in the hub's cache"
    return "not installed"


def verified(path: Path, sha256: str, name: str) -> Path:
    """Checks the hash of ``path``, once for each (path, size, mtime, inode) on this machine; ``name``: of the weights.

    Raises :class:`ModelMissing` where it does not hold.
    """
    st = path.stat()
    stamp = hashlib.sha256(f"{path.resolve()}|{st.st_size}|{st.st_mtime_ns}|{st.st_ino}|{sha256}".encode()).hexdigest()
    mark = cache_dir() / "verified" / stamp[:32]
    if mark.exists():
        return path
    if (found := sha256_of(path)) != sha256:
        raise ModelMissing(
            f"weights '{name}': {path} has SHA-256 {found[:16]}…, expected {sha256[:16]}…; "
            f"remove it and get it again: {how_to_get(name)}"
        )
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:  # a read-only home only means that the hash is checked again next time
        return path
    return path


def _joined(weights: Weights, file: str, spec: WeightFile) -> Path:
    """A file that its packages carry in pieces, joined once in the cache."""
    target = cache_dir() / "weights" / weights.name / spec.sha256[:16] / file
    if target.is_file() and target.stat().st_size == spec.bytes:
        try:
            return verified(target, spec.sha256, weights.name)
        except ModelMissing:
            owned.remove(target)  # joined wrongly or changed since: join it again
    target.parent.mkdir(parents=True, exist_ok=True)
    fd, temp = tempfile.mkstemp(dir=target.parent, prefix=".join-")
    try:
        with os.fdopen(fd, "wb") as out:
            for part in spec.parts:
                piece = _part(part)
                if piece is None:
                    raise ModelMissing(f"weights '{weights.name}': {part} is gone; reinstall {weights.packages}")
                with piece.open("rb") as src:
                    shutil.copyfileobj(src, out, 1 << 20)
        if sha256_of(Path(temp)) != spec.sha256:
            how = how_to_get(weights.name)
            raise ModelMissing(f"weights '{weights.name}': the joined {file} has a wrong hash; get it again: {how}")
        os.chmod(temp, 0o644)  # a cache may be shared
        os.replace(temp, target)
    finally:
        owned.remove(temp)
    return verified(target, spec.sha256, weights.name)


def files(ref: str, offline: bool | None = None) -> dict[str, Path]:
    """The files behind a reference, by name, hashes checked; ``offline``: for this call.

    Raises :class:`ModelMissing` with the way to get them.
    """
    if ref in KNOWN:
        weights, found = KNOWN[ref], dict[str, Path]()
        if weights.hub and not installed(ref):
            return _of_hub(weights, offline)
        for name, spec in weights.files.items():
            paths = [_part(p) for p in spec.parts]
            if not all(paths):
                raise ModelMissing(f"weights '{ref}' are not installed; get them with: {how_to_get(ref)}")
            only = paths[0]
            found[name] = verified(only, spec.sha256, ref) if len(paths) == 1 and only else _joined(weights, name, spec)
        return found
    folder = folder_of(ref)
    if folder.is_file() or ref.startswith("hf:"):
        return _all_files(ref)
    return {p.name: p for p in sorted(folder.iterdir()) if p.is_file()}


def _of_hub(weights: Weights, offline: bool | None) -> dict[str, Path]:
    try:
        folder = _hub(weights.hub, offline).folder
    except ModelMissing as e:
        why = "" if _offline or offline else f" ({one_line(e, 200)})"
        raise ModelMissing(
            f"weights '{weights.name}' are not installed; get them with: {how_to_get(weights.name)}{why}"
        ) from e
    return {n: verified(folder / (f.at_hub or n), f.sha256, weights.name) for n, f in weights.files.items()}


def folder_of(ref: str) -> Path:
    """A folder (or file) that holds the weights; for known sets, one in the cache with all files side by side."""
    if ref in KNOWN:
        found = files(ref)
        folders = {p.parent for p in found.values()}
        if len(folders) == 1 and all(p.name == n for n, p in found.items()):
            return folders.pop()
        folder = cache_dir() / "weights" / ref / KNOWN[ref].sha256[:16]
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in found.items():
            link = folder / name
            if not (link.is_symlink() and link.resolve() == path.resolve()):
                temp = folder / f".{name}.{os.getpid()}"
                temp.symlink_to(path.resolve())
                os.replace(temp, link)
        return folder
    if ref.startswith("hf:"):
        return _hub(ref).folder
    path = Path(ref).expanduser()
    if not ref.strip() or not path.exists():
        raise ModelMissing(f"no weights at '{ref}': neither a path nor a known name ({', '.join(sorted(KNOWN))})")
    return path


def listed(ref: str) -> tuple[str, ...]:
    """Names of all files in a hub's repository; of those that are here, where it is offline."""
    with _hub_errors(ref, _offline):
        return hub.listed(ref, _offline)


def described(ref: str) -> hub.Described:
    """What fetching a hub's repository would bring.  Raises :class:`ModelMissing` where it cannot be asked."""
    with _hub_errors(ref, _offline):
        return hub.described(ref)


def how_to_get(ref: str) -> str:
    """The command that brings the weights behind a reference to this machine; empty for a path."""
    if ref in KNOWN:
        named = [f"vidrag[{w.extra}]"] if (w := KNOWN[ref]).extra else [p.split(" ")[0] for p in w.packages]
        install = "pip install " + " ".join(f"'{p}'" for p in named)
        return f"{how_to_get(w.hub)}; without the hub: {install}" if w.hub else install
    repo, revision, pattern = hub.parsed(ref)
    download = " ".join(filter(None, [f"hf download {repo}", pattern, revision and f"--revision {revision}"]))
    return download if ref.startswith("hf:") else ""


def check(ref: str) -> str:
    """What is there of a reference, its hash checked where it is on record; never opens a socket.

    Raises :class:`ModelMissing` with the command that brings it.
    """
    if not ref.startswith("hf:"):
        files(ref, offline=True)
        return "hash checked" if ref in KNOWN else ref
    return f"in the hub's cache, revision {_hub(ref, offline=True).revision[:12]}"


def _hub(ref: str, offline: bool | None = None) -> Snapshot:
    offline = _offline if offline is None else offline
    with _hub_errors(ref, offline):
        found = hub.snapshot(ref, offline)
    return _as_recorded(found, ref)


@cache
def _as_recorded(found: Snapshot, ref: str) -> Snapshot:
    """The same, its hashes checked where they are on record."""
    for name, sha256 in RECORDED.get(f"{found.repo}@{found.revision}", {}).items():
        if name in found.names:
            verified(found.folder / name, sha256, ref)
    return found


@contextlib.contextmanager
def _hub_errors(ref: str, offline: bool) -> Iterator[None]:
    try:
        yield
    except ImportError as e:
        raise ModelMissing(f"weights '{ref}' need huggingface-hub; get it with: pip install 'vidrag[hub]'") from e
    except Exception as e:  # the hub client raises many types; all mean that the weights are not here
        if offline:
            how = f"get them with: {how_to_get(ref)}" + (" (it is offline now)" if _offline else "")
            raise ModelMissing(f"weights '{ref}' are not in the hub's cache; {how}") from e
        if isinstance(e, ModelMissing):
            raise
        kind = type(e).__name__
        closed = kind in ("GatedRepoError", "RepositoryNotFoundError")
        how = "accept its licence on its page, then: hf auth login" if closed else "check the name and the network"
        raise ModelMissing(f"cannot get '{ref}' ({kind}); {how}") from e


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference stands for on this machine: SHA-256 of each file by name, and the commit of a hub's repository
    (empty for other references).
    """

    files: Mapping[str, str]
    revision: str = ""


def resolved(ref: str) -> Resolved:
    """The hashes of the files that are used, and their revision.  For known sets they are on record."""
    if ref in KNOWN:
        return Resolved({n: f.sha256 for n, f in KNOWN[ref].files.items()})
    from .hashes import sha256

    kept = cache_dir() / "hashes"
    found = {n: sha256(p, kept) for n, p in _all_files(ref).items()}
    return Resolved(found, _hub(ref).revision if ref.startswith("hf:") else "")


def _all_files(ref: str) -> dict[str, Path]:
    """Every file behind a path or a hub's reference, in inner folders too."""
    path = folder_of(ref)
    if ref.startswith("hf:"):
        return {n: path / n for n in _hub(ref).names}
    if path.is_file():
        return {path.name: path}
    return {q.relative_to(path).as_posix(): q for q in sorted(path.rglob("*")) if q.is_file()}


def open_files(ref: str) -> None:
    """Raises :class:`ModelMissing` where a file behind a reference is missing, cut short or not what its name says.

    Cheap: heads and sizes are read, no weights.
    """
    if ref in KNOWN:  # hashes are checked
        files(ref)
        return
    found, how = _all_files(ref), how_to_get(ref)
    for name, path in found.items():
        if why := weight_files.problem(path):
            raise ModelMissing(f"{ref}: {name} {why}; {f'get it again with: {how}' if how else 'name another'}")
    a_model = ref.startswith("hf:") or "config.json" in found  # another folder may hold whatever its engine reads
    if a_model and not any(weight_files.holds_weights(p) for p in found.values()):
        raise ModelMissing(f"{ref}: holds no weights; name another folder or repository")


@cache
def fingerprint(ref: str) -> str:
    """A hash that changes when the weights do.  Known sets have theirs on record, so nothing is read for them."""
    if ref in KNOWN:
        return KNOWN[ref].sha256[:16]
    found = resolved(ref).files
    if folder_of(ref).is_file():
        return next(iter(found.values()))[:16]
    digest = hashlib.sha256()
    for name, sha in found.items():
        digest.update(f"{name if ref.startswith('hf:') else Path(name).name} {sha}\n".encode())
    return digest.hexdigest()[:16]
