"""The COCO-80 network: SSD-MobileNetV2 through OpenCV.  Shared by the label space and the ``coco`` detector."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..records import Detection
from ..weights import models
from . import Picture

WEIGHTS = "ssd-mobilenet-v2-coco"
_NAMES = (
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant - stop_sign parking_meter "
    "bench bird cat dog horse sheep cow elephant bear zebra giraffe - backpack umbrella - - handbag tie suitcase "
    "frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard tennis_racket bottle - "
    "wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair "
    "couch potted_plant bed - dining_table - - toilet - tv laptop mouse remote keyboard cell_phone microwave oven "
    "toaster sink refrigerator - book clock vase scissors teddy_bear hair_drier toothbrush"
)
BY_ID = {i: n.replace("_", " ") for i, n in enumerate(_NAMES.split(), 1) if n != "-"}
NAMES = frozenset(BY_ID.values())


@lru_cache(maxsize=1)
def _network() -> Any:
    import cv2

    cv2.setNumThreads(1)
    files = models.files(WEIGHTS)
    return cv2.dnn.readNetFromTensorflow(str(files["graph.pb"]), str(files["graph.pbtxt"]))


def detect(picture: Picture, threshold: float) -> tuple[Detection, ...]:
    """Objects of at least ``threshold`` in one picture, best first; at most 100."""
    import cv2

    net = _network()
    net.setInput(cv2.dnn.blobFromImage(picture, size=(300, 300), swapRB=False))
    found = []
    for _, kind, score, *box in net.forward()[0, 0].tolist():
        if score >= threshold and int(kind) in BY_ID:
            x0, y0, x1, y1 = (min(1.0, max(0.0, v)) for v in box)
            if x1 > x0 and y1 > y0:
                found.append(Detection(BY_ID[int(kind)], round(score, 4), (x0, y0, x1, y1)))
    return tuple(sorted(found, key=lambda d: -d.score))
