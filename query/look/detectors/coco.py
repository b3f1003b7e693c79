"""The 80 classes of COCO, found by SSD-MobileNetV2.  Good on clear things; other things it cannot know.

The network sees a square of 300 pixels.  A wide picture is shown to it as a whole and in square slices, in which things
keep their shape and are larger (slicing aided hyper inference, Akyon et al., 2022, arXiv 2202.06934).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from ....store.encoders import Picture, coco
from ....store.engines import EngineOptions, identity
from ....store.fingerprints import digest
from ....store.records import Box, Detection
from .phrases import best_first

_OTHER_WORDS = {
    "person": "people man men woman women boy boys girl girls child children kid kids human humans player players lady "
    "ladies guy guys baby babies pedestrian pedestrians worker workers someone somebody passenger passengers",
    "bicycle": "bike bikes cycle",
    "motorcycle": "motorbike motorbikes scooter",
    "airplane": "aeroplane plane jet aircraft",
    "car": "taxi cab vehicle automobile",
    "truck": "lorry van pickup",
    "boat": "ship sailboat canoe ferry",
    "cat": "kitten kitty",
    "dog": "puppy hound",
    "cow": "cattle bull calf",
    "horse": "pony foal",
    "sheep": "lamb",
    "couch": "sofa settee",
    "tv": "television monitor screen display",
    "cell phone": "phone mobile smartphone cellphone",
    "potted plant": "plant houseplant",
    "dining table": "table desk",
    "refrigerator": "fridge",
    "cup": "mug",
    "wine glass": "glass goblet",
    "backpack": "rucksack",
    "handbag": "bag purse",
    "suitcase": "luggage",
    "sports ball": "ball football basketball",
    "laptop": "computer notebook",
    "hair drier": "hairdryer dryer",
    "teddy bear": "teddy",
    "donut": "doughnut",
    "bird": "parrot pigeon seagull duck cockatoo",
    "traffic light": "stoplight",
    "knife": "knives",
    "skis": "ski",
}
_WORDS = {w: name for name, also in _OTHER_WORDS.items() for w in also.split()}
"""Other words for some of the classes."""
_HINT = 0.2
"""Score from which on a whole picture hints at a thing."""
_LEAST = 64
"""Pixels of the shorter side below which slices show no more."""
_EDGE = 0.02
"""How near to the edge of a slice, as a share of it, a box touches it."""
_OVERLAP, _WITHIN = 0.45, 0.75
"""Intersection over union, and over the smaller box, above which two boxes are one thing."""


class CocoOptions(EngineOptions):
    """``threshold``: least score of a detection that is stated as a fact; ``slices``: the most square slices of a
    picture that are looked at by themselves, each at the cost of a whole picture, where the whole hints at what is
    looked for; 0 for none.  What only a slice shows lacks its surroundings and must be surer: half way from
    ``threshold`` to 1.
    """

    threshold: float = Field(0.5, ge=0, le=1)
    slices: int = Field(3, ge=0, le=16)


class Coco:
    """Every class is looked for at once, so that the detections of a frame serve any question."""

    Options = CocoOptions
    requires = ("cv2",)
    extra = "query"

    @staticmethod
    def weights(options: CocoOptions) -> Sequence[str]:
        return (coco.WEIGHTS,)

    def __init__(self, options: CocoOptions) -> None:
        self.options = options
        self.identity = digest(identity("detector", "coco", options.model_dump()))

    def knows(self, entity: str) -> str | None:
        found = re.findall(r"[a-z]+", entity.lower())
        for size in (2, 1):  # the head of a noun phrase is its last word: "a red wine glass"
            for at in range(len(found) - size, -1, -1):
                phrase = " ".join(found[at : at + size])
                for form in (phrase, re.sub(r"s$", "", phrase), re.sub(r"es$", "", phrase)):
                    if form in coco.NAMES:
                        return form
                    if form in _WORDS:
                        return _WORDS[form]
                if size == 1:
                    break
        return None

    def detect(self, picture: Picture, entities: Sequence[str]) -> tuple[Detection, ...]:
        wanted = {n for e in entities if (n := self.knows(e))}
        sure = self.options.threshold
        whole = [d for d in coco.detect(picture, min(sure, _HINT)) if d.label in wanted]
        found = [d for d in whole if d.score >= sure]
        for part, (x0, y0, x1, y1) in _slices(picture, self.options.slices if whole else 0):
            for d in coco.detect(part, (1 + sure) / 2):
                if d.label in wanted and not _cut(d.box, (x0, y0, x1, y1)):
                    w, h = x1 - x0, y1 - y0
                    box = (x0 + d.box[0] * w, y0 + d.box[1] * h, x0 + d.box[2] * w, y0 + d.box[3] * h)
                    found.append(Detection(d.label, d.score, box))
        return best_first(found, _OVERLAP, _WITHIN)


def _slices(picture: Picture, most: int) -> Iterator[tuple[Picture, Box]]:
    """Square parts of a picture that is not square, evenly along its longer side, and where they lie in it, 0..1."""
    height, width = picture.shape[:2]
    side, long = min(height, width), max(height, width)
    count = min(most, math.ceil(long / side))
    if count < 2 or side < _LEAST:
        return
    for start in np.linspace(0, long - side, count).round().astype(int).tolist():
        a, b = start / long, (start + side) / long
        if width > height:
            yield np.ascontiguousarray(picture[:, start : start + side]), (a, 0.0, b, 1.0)
        else:
            yield np.ascontiguousarray(picture[start : start + side]), (0.0, a, 1.0, b)


def _cut(box: Box, part: Box) -> bool:
    """Whether a box (0..1 of a slice) touches an edge of the slice that is none of the picture: the thing goes on."""
    near = (box[0] < _EDGE, box[1] < _EDGE, box[2] > 1 - _EDGE, box[3] > 1 - _EDGE)
    inside = (part[0] > 0, part[1] > 0, part[2] < 1, part[3] < 1)
    return any(n and i for n, i in zip(near, inside, strict=True))
