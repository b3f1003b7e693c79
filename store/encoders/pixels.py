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
    and the middle cut out, else the picture is squashed (and ``edge`` is 0).  ``mean`` and ``std`` by channel, of
    values in 0..1.
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
            if not abs(float(config.get("rescale_factor", 1 / 255)) * 255 - 1) < 1e-3:
                raise ValueError("rescale_factor is not 1/255")
            crop = bool(config.get("do_center_crop", False))
            edge = _edge(config["size"]) if crop else 0
            inner = _size(config["crop_size"] if crop else config["size"])
            mean, std = _three(config["image_mean"]), _three(config["image_std"])
            if min(std) <= 0:
                raise ValueError("image_std has a number that is not above 0")
            resample = _RESAMPLE[int(config.get("resample", 3))]
        except (KeyError, ValueError, TypeError, OverflowError) as e:
            raise ModelMissing(
                f"{ref}: its preprocessor_config.json is not understood ({type(e).__name__}: {e})"
            ) from e
        return Pixels(*inner, crop, edge, resample, mean, std)

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


def _edge(told: Any) -> int:
    """The shortest edge that a picture is resized to before it is cropped."""
    if isinstance(told, Mapping):
        if set(told) != {"shortest_edge"}:
            raise ValueError(f"a crop of what was resized to {dict(told)}")
        told = told["shortest_edge"]
    return _side(told)


def _size(told: Any) -> tuple[int, int]:
    """Height and width; one number, or the same one twice, is both."""
    if isinstance(told, list) and len(told) == 2 and told[0] == told[1]:
        told = told[0]
    if isinstance(told, Mapping):
        if set(told) != {"height", "width"}:
            raise ValueError(f"a size of {dict(told)}")
        return _side(told["height"]), _side(told["width"])
    return _side(told), _side(told)


def _side(told: Any) -> int:
    if isinstance(told, bool) or not isinstance(told, int | float) or not 1 <= told <= 4096:
        raise ValueError(f"a side of {told!r} pixels")
    return int(told)


def _three(told: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, told)
    if not np.isfinite((red, green, blue)).all():
        raise ValueError("a mean or deviation that is no number")
    return red, green, blue
