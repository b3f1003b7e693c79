"""Models of Hugging Face transformers from a folder: no network, no pickled code, no foreign code unless asked for.

Whatever cannot be loaded is told in one line.  Importing this module imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..errors import EngineMissing, ModelMissing, one_line
from ..weights import models
from .devices import quiet

_HEAD = 1 << 20
_CODE = ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def folder(ref: str, section: str, remote_code: bool = False) -> Path:
    """The folder that ``ref`` means.  ``section``: of the profile, for messages.

    Raises :class:`ModelMissing` where it is none of a model, or brings Python code that is not to be run.
    """
    path = models.folder_of(ref)
    if not path.is_dir():
        raise ModelMissing(f"{ref}: is a file; name the model's folder with --set {section}.model=FOLDER")
    if not (path / "config.json").is_file():
        raise ModelMissing(f"{ref}: holds no config.json; name a folder in the layout of transformers")
    if not remote_code and any("auto_map" in head(path / name) for name in _CODE):
        raise ModelMissing(
            f"{ref}: the model brings its own Python code, which is not run; "
            f"if you trust it: --set {section}.remote_code=true"
        )
    return path


def kind_of(path: Path, ref: str) -> str:
    """The ``model_type`` of a folder's config; :class:`ModelMissing` where it names none."""
    found = head(path / "config.json").get("model_type")
    if not isinstance(found, str):
        raise ModelMissing(f"{ref}: its config.json names no model_type; is it cut short?")
    return found


def of_kind(path: Path, ref: str, kinds: Collection[str], engine: str) -> None:
    """Raises :class:`ModelMissing` where the folder holds a model of another kind than one of ``kinds``."""
    if (found := kind_of(path, ref)) not in kinds:
        raise ModelMissing(f"{ref}: is a model of the kind '{found}'; the engine '{engine}' takes {', '.join(kinds)}")


def head(path: Path) -> dict[str, Any]:
    """A small JSON object in a file; empty where there is none."""
    try:
        if path.stat().st_size > _HEAD:
            return {}
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def model(auto: str, path: Path, ref: str, remote_code: bool = False, unused: Sequence[str] = (), **more: Any) -> Any:
    """The model that the class ``auto`` of transformers makes of a folder, ready to be asked.

    ``unused``: parts of the names of weights that may be missing, as nothing reads them; ``more`` goes to
    ``from_pretrained``.  Raises :class:`ModelMissing` where a weight is missing: none is random.
    """
    import transformers

    _silent()
    if "device_map" in more:
        _needs_accelerate()
    try:
        made, told = getattr(transformers, auto).from_pretrained(
            path,
            local_files_only=True,
            trust_remote_code=remote_code,
            use_safetensors=not _pickled(path),
            weights_only=True,
            output_loading_info=True,
            **more,
        )
    except MemoryError:
        raise
    except Exception as e:  # a foreign loader fails in any way
        raise ModelMissing(_told(ref, path, e)) from e
    if missing := sorted(k for k in told["missing_keys"] if not any(u in k for u in unused)):
        raise ModelMissing(
            f"{ref}: {len(missing)} weights of {type(made).__name__} are not in the file ({missing[0]}); "
            "random ones are not used: is it another architecture?"
        )
    if wrong := sorted(str(k) for k in told.get("mismatched_keys") or ()):
        raise ModelMissing(f"{ref}: {len(wrong)} weights have another shape than its config says ({wrong[0]})")
    return made.eval()


def processor(auto: str, path: Path, ref: str, remote_code: bool = False, **more: Any) -> Any:
    """The processor or tokenizer that the class ``auto`` makes of a folder, with the same errors."""
    import transformers

    _silent()
    try:
        return getattr(transformers, auto).from_pretrained(
            path, local_files_only=True, trust_remote_code=remote_code, **more
        )
    except Exception as e:  # a foreign loader fails in any way
        raise ModelMissing(
            f"{ref}: transformers cannot make its {auto.removeprefix('Auto')}: {one_line(e, 200)}"
        ) from e


def _pickled(path: Path) -> bool:
    """True where a folder holds torch's own files and no better ones.

    They are opened with ``weights_only``, which makes tensors of them and runs nothing; older models, as Contriever,
    come in no other form.
    """
    return not list(path.glob("*.safetensors")) and bool(list(path.glob("pytorch_model*.bin")))


def _told(ref: str, path: Path, error: Exception) -> str:
    if not list(path.glob("*.safetensors")) and not _pickled(path):
        return f"{ref}: holds neither .safetensors weights nor a pytorch_model.bin: convert it, or name another"
    return f"{ref}: transformers cannot load it: cut short, damaged, or of another kind ({one_line(error, 200)})"


def _needs_accelerate() -> None:
    from importlib.util import find_spec

    if find_spec("accelerate") is None:
        raise EngineMissing("device_map needs accelerate: pip install accelerate; or leave it out and name a device")


def _silent() -> None:
    """No progress bars and no advice of transformers on the user's terminal."""
    from transformers.utils import logging as told

    quiet()
    told.set_verbosity_error()
