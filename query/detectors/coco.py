"""The 80 classes of COCO, found by SSD-MobileNetV2.  Good on large clear things; other things it cannot know."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field

from ...store.encoders import Picture, coco
from ...store.engines import EngineOptions, identity
from ...store.fingerprints import digest
from ...store.records import Detection

_ALSO = {
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
    "microwave": "",
    "remote": "",
    "stop sign": "",
    "traffic light": "stoplight",
    "knife": "knives",
    "skis": "ski",
}
_WORDS = {w: name for name, also in _ALSO.items() for w in also.split()}


class CocoOptions(EngineOptions):
    """``threshold``: least score of a detection that is stated as a fact."""

    threshold: float = Field(0.5, ge=0, le=1)


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
        return tuple(d for d in coco.detect(picture, self.options.threshold) if d.label in wanted)
