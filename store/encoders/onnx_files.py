"""Which files of a folder of ONNX models are meant: the layout of the hub (Optimum, transformers.js).

``onnx/<model>.onnx`` and the same in other precisions, ``onnx/<model>_int8.onnx``, ``_quantized``, ``_fp16`` and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import ModelMissing
from ..weights import models


def reference(model: str, variant: str, names: Sequence[str], setting: str) -> str:
    """The weights reference of a model; of a repository only the files of the chosen variant, where it can be told
    which there are.  See :func:`ending`.
    """
    if not model.startswith("hf:"):
        return model
    found = f"_{variant}.onnx"
    if variant in ("auto", "plain"):
        try:
            files = models.listed(model)
        except ModelMissing:  # whoever asks for the weights is told
            return model
        found = ending(model, files, variant, names, setting)
    stem = names[0] if len(names) == 1 else "*_model"
    return f"{model}#onnx/{stem}{found}*"


def located(model: str, variant: str, names: Sequence[str], setting: str) -> tuple[Path, str]:
    """The folder of a model, from wherever it comes, and the :func:`ending` of the files that are meant."""
    folder = models.folder_of(reference(model, variant, names, setting))
    files = [p.relative_to(folder).as_posix() for p in folder.glob("onnx/*")]
    return folder, ending(model, files, variant, names, setting)


def ending(model: str, files: Sequence[str], variant: str, names: Sequence[str], setting: str) -> str:
    """What follows each of ``names`` in the names of the files that are meant, such as ``_int8.onnx``.

    ``files``: all of the folder; ``variant``: what stands after the name, ``plain`` for nothing, ``auto`` where there
    is only one; ``setting``: the option that chooses it.  Raises :class:`ModelMissing` where there is none, or several.
    """
    if not any(f.startswith("onnx/") for f in files):
        raise ModelMissing(
            f"{model}: no folder 'onnx' in it; 'vidrag models onnx' makes one of an open_clip model"
            if len(names) > 1
            else f"{model}: no folder 'onnx' in it; name a repository that holds one"
        )
    found = [{f.removeprefix(f"onnx/{n}") for f in files if fnmatchcase(f, f"onnx/{n}*.onnx")} for n in names]
    there = sorted(e for e in set.intersection(*found) if e.startswith((".", "_")))
    variants = [e.removesuffix(".onnx").strip("_") or "plain" for e in there]
    if not there:
        raise ModelMissing(f"{model}: no {' and '.join(f'{n}*.onnx' for n in names)} of one kind in its folder 'onnx'")
    if variant == "auto" and len(there) > 1:
        raise ModelMissing(f"{model}: holds {', '.join(variants)}; say which: --set {setting}={variants[0]}")
    if variant not in ("auto", *variants):
        raise ModelMissing(f"{model}: has no variant '{variant}', but {', '.join(variants)}")
    return there[0 if variant == "auto" else variants.index(variant)]
