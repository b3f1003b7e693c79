"""What engines on CTranslate2's Whisper share: loading a folder of weights, guessing a language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.errors import ModelMissing, one_line
from ...store.weights import models

RATE = 16_000
"""Samples a second of the sound that Whisper hears."""


def whisper(ref: str, compute_type: str, threads: int) -> Any:
    """The ``faster_whisper.WhisperModel`` of a folder.  Raises :class:`ModelMissing` where it is none, or damaged."""
    from faster_whisper import WhisperModel

    folder = whisper_folder(ref)
    try:
        return WhisperModel(
            str(folder),
            device="auto",
            compute_type=compute_type,
            cpu_threads=threads,
            num_workers=1,
            local_files_only=True,
        )
    except (RuntimeError, ValueError, OSError) as e:
        raise unloadable(ref, e) from e


def guessed(model: Any, sound: NDArray[np.float32], fallback: str | None, trust: float) -> tuple[str, float]:
    """The language of up to 30 s of sound and its probability; ``fallback`` where that is below ``trust``.

    ``model`` is a ``faster_whisper.WhisperModel`` or a kin of it.
    """
    found, sure, _ = model.detect_language(sound[: 30 * RATE])
    return (fallback if fallback and sure < trust else str(found)), float(sure)


def whisper_folder(ref: str) -> Path:
    """The folder of a CTranslate2 Whisper model.  Raises :class:`ModelMissing` where files are not in it."""
    folder = models.folder_of(ref)
    if missing := [n for n in ("model.bin", "config.json", "tokenizer.json") if not (folder / n).is_file()]:
        raise ModelMissing(f"{ref}: no {', '.join(missing)} in it; a CTranslate2 Whisper folder is needed")
    return folder


def unloadable(ref: str, error: Exception) -> ModelMissing:
    """What a user is told of weights that CTranslate2 does not take."""
    return ModelMissing(f"{ref}: cannot be loaded: cut short, damaged, or no Whisper ({one_line(error, 200)})")
