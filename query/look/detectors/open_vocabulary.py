"""What detectors of transformers share that look for whatever words they are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ....store.encoders import Picture
from ....store.engines import identity, pretrained
from ....store.engines.devices import Batches, TorchOptions, device, dtype, set_threads
from ....store.errors import EngineFailed, ModelMissing, VidragError, one_line
from ....store.fingerprints import digest
from ....store.records import Detection
from .phrases import LEAST_SIDE, best_first, detections, phrase, phrases


class OpenVocabularyOptions(TorchOptions):
    """``model``: a folder in the layout of transformers, or ``hf:OWNER/REPO`` or ``hf:OWNER/REPO@REVISION``.
    ``threshold``: least score of a detection.  ``overlap``: of two boxes of one thing that share more than this
    (intersection over union) the weaker is dropped; 1 keeps all.  ``remote_code``: let the model bring its own Python
    code.
    """

    model: str = Field(min_length=1)
    threshold: float = Field(0.3, ge=0, le=1)
    overlap: float = Field(0.7, ge=0, le=1)
    batch_size: int = Field(4, ge=1, le=4096)
    remote_code: bool = False


class OpenVocabulary(ABC):
    """Loads the model; names, batches and boxes.  Subclasses bring :meth:`_see`."""

    requires: tuple[str, ...] = ("torch", "transformers", "PIL")
    extra: str = "transformers"
    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    """The ``model_type`` that the engine takes."""

    @staticmethod
    def weights(options: OpenVocabularyOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: OpenVocabularyOptions) -> None:
        path = pretrained.folder(options.model, "detector", options.remote_code)
        pretrained.of_kind(path, options.model, self.kinds, self.name)
        self._where = device(options.device)
        set_threads(options.threads)
        self._processor = pretrained.processor("AutoProcessor", path, options.model, options.remote_code)
        for part in ("image_processor", "tokenizer"):
            if not hasattr(self._processor, part):
                raise ModelMissing(f"{options.model}: its processor has no {part}; is preprocessor_config.json there?")
        self._model = pretrained.model(
            "AutoModelForZeroShotObjectDetection",
            path,
            options.model,
            options.remote_code,
            dtype=dtype(options.dtype, self._where),
        ).to(self._where)
        self.identity = digest(identity("detector", self.name, options.model_dump()))
        self._batches = Batches(
            f"detector {Path(options.model.removeprefix('hf:')).name} (pictures)", options.batch_size
        )
        self._least, self._overlap = options.threshold, options.overlap

    @property
    def notes(self) -> list[str]:
        """What the user should know of the work so far."""
        return self._batches.notes

    def knows(self, entity: str) -> str | None:
        return phrase(entity)

    def detect(self, picture: Picture, entities: Sequence[str]) -> tuple[Detection, ...]:
        return self.detect_many([picture], entities)[0]

    def detect_many(self, pictures: Sequence[Picture], entities: Sequence[str]) -> list[tuple[Detection, ...]]:
        found: list[list[Detection]] = [[] for _ in pictures]
        seen = [i for i, p in enumerate(pictures) if min(p.shape[:2]) >= LEAST_SIDE]
        for wanted in self._portions(phrases(entities)) if seen else ():
            try:
                rows = self._batches.run([pictures[i] for i in seen], partial(self._see, wanted=wanted))
            except VidragError:
                raise
            except Exception as e:  # models and processors are written by many
                raise EngineFailed(f"the detector {self.name} failed: {type(e).__name__}: {one_line(e, 200)}") from e
            for i, (scores, boxes) in zip(seen, rows, strict=True):
                found[i] += detections(scores, boxes, wanted, self._least)
        return [best_first(f, self._overlap) for f in found]

    def _portions(self, wanted: list[str]) -> list[list[str]]:
        """``wanted`` in parts that the model reads at a time."""
        return [wanted] if wanted else []

    @abstractmethod
    def _see(
        self, pictures: Sequence[Picture], wanted: Sequence[str]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """For each picture scores ``(n_boxes, n_wanted)``, 0..1, and corners ``(n_boxes, 4)`` as xyxy in 0..1.

        A score of 0 is none.
        """
