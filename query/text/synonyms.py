"""Other words for the things that a detector or an encoder of pictures names."""

from __future__ import annotations

OTHER_WORDS = {
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
