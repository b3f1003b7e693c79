"""How pictures are made ready for an image encoder: ``preprocessor_config.json`` as transformers writes it.

What is not understood is refused: a picture that was prepared in another way has a vector that means something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineMissing, ModelMissing
from . import Picture

Resample = Literal["bilinear", "bicubic"]
_RESAMPLE: dict[int, Resample] = {2: "bilinear", 3: "bicubic"}
_STEPS = ("do_resize", "do_rescale", "do_normalize")


@dataclass(frozen=True, slots=True)
class Pixels:
    """``height`` and ``width`` of what the model sees, in pixels.  ``crop``: the shorter side is resized to ``edge``
    and the middle cut out, else the picture is squashed.  ``mean`` and ``std`` by channel, of values in 0..1.
    """

    height: int
    width: int
    crop: bool
    edge: int
    resample: Resample
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @staticmethod
    def of(config: Mapping[str, Any], ref: str) -> Pixels:
        """From the file's object.  Raises :class:`ModelMissing` where a step or a field is none of these."""
        try:
            if off := [s for s in _STEPS if not config.get(s, True)]:
                raise ValueError(f"{off[0]} is off")
            if abs(float(config.get("rescale_factor", 1 / 255)) * 255 - 1) > 1e-3:
                raise ValueError("rescale_factor is not 1/255")
            crop = bool(config.get("do_center_crop", False))
            edge, inner = _size(config["size"]), _size(config["crop_size"] if crop else config["size"])
            mean, std = (tuple(map(float, config[k])) for k in ("image_mean", "image_std"))
            if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
                raise ValueError("image_mean and image_std need three numbers each")
            if crop and edge[0] != edge[1]:
                raise ValueError("a crop of a picture that was squashed")
            resample = _RESAMPLE[int(config.get("resample", 3))]
        except (KeyError, ValueError, TypeError) as e:
            raise ModelMissing(
                f"{ref}: its preprocessor_config.json is not understood ({type(e).__name__}: {e})"
            ) from e
        return Pixels(*inner, crop, edge[0], resample, mean, std)

    def config(self) -> dict[str, Any]:
        """The same as the object for the file."""
        size = {"height": self.height, "width": self.width}
        return {
            "do_resize": True,
            "size": {"shortest_edge": self.edge} if self.crop else size,
            "resample": next(k for k, v in _RESAMPLE.items() if v == self.resample),
            "do_center_crop": self.crop,
            **({"crop_size": size} if self.crop else {}),
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }

    def __call__(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """float32 ``(n, 3, height, width)``."""
        ready = np.stack([self._fitted(p) for p in pictures]).astype(np.float32)
        normal = (ready / 255 - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normal.transpose(0, 3, 1, 2), np.float32)

    def _fitted(self, picture: Picture) -> Picture:
        try:
            from PIL import Image
        except ImportError as e:
            raise EngineMissing("looking at pictures needs Pillow; install it with: pip install pillow") from e
        how = Image.Resampling.BICUBIC if self.resample == "bicubic" else Image.Resampling.BILINEAR
        seen = Image.fromarray(picture)
        if not self.crop:
            return np.asarray(seen.resize((self.width, self.height), how))
        short = min(seen.size)
        seen = seen.resize((self.edge * seen.width // short, self.edge * seen.height // short), how)
        left, top = round((seen.width - self.width) / 2), round((seen.height - self.height) / 2)
        return np.asarray(seen.crop((left, top, left + self.width, top + self.height)))


def _size(told: Any) -> tuple[int, int]:
    """Height and width; one number, or a shortest edge, is both."""
    if isinstance(told, Mapping):
        told = [told["shortest_edge"]] * 2 if "shortest_edge" in told else [told["height"], told["width"]]
    height, width = told if isinstance(told, Sequence) else (told, told)
    if not (1 <= int(height) <= 4096 and 1 <= int(width) <= 4096):
        raise ValueError(f"a size of {height} x {width}")
    return int(height), int(width)
