"""The ONNX open-vocabulary detector, with a tiny model that knows three colours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
from vidrag.query.look.detectors.onnx_owl import OnnxOwl, OnnxOwlOptions
from vidrag.store.errors import ModelMissing, OptionError


def engine(folder: Path, **options: Any) -> OnnxOwl:
    return OnnxOwl(OnnxOwlOptions(model=str(folder), **{"threshold": 0.95, **options}))


def picture(height: int, width: int) -> np.ndarray:
    """Black, red in the left upper eighth of its sides and blue in the lower right quarter."""
    made = np.zeros((height, width, 3), np.uint8)
    made[: height // 4, : width // 4] = (255, 0, 0)
    made[height // 2 :, width // 2 :] = (0, 0, 255)
    return made


@pytest.mark.parametrize("height, width", [(64, 64), (90, 160), (200, 100)])
@pytest.mark.parametrize("mask", [False, True])
def test_what_a_phrase_names_is_found_where_it_is(height: int, width: int, mask: bool, tmp_path: Path) -> None:
    """Whatever the shape of the picture: OWL-ViT sees it squashed."""
    made = engine(onnx_models.owl(tmp_path / "owl", mask=mask), overlap=0.0)
    (red,) = made.detect(picture(height, width), ["the red mugs"])
    assert red.label == "red mug" and red.box == pytest.approx((0, 0, 0.25, 0.25), abs=0.01) and red.score > 0.9
    found = made.detect(picture(height, width), ["blue box", "red mug"])
    assert {d.label for d in found} == {"blue box", "red mug"}
    for d in found:
        if d.label == "blue box":
            assert min(d.box[:2]) >= 0.45


def test_owlv2_sees_a_square_with_the_picture_at_its_top_left(tmp_path: Path) -> None:
    """Boxes are told of the picture, and the black beside it is no part of it."""
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:20, 60:] = (255, 0, 0)
    made = engine(onnx_models.owl(tmp_path / "owl", "owlv2"))
    (red,) = made.detect(wide, ["red mug"])
    assert red.box == pytest.approx((0.75, 0, 1, 0.5), abs=0.01)
    high = np.ascontiguousarray(wide.transpose(1, 0, 2))
    (red,) = made.detect(high, ["red mug"])
    assert red.box == pytest.approx((0, 0.75, 0.5, 1), abs=0.01)


def test_phrases_are_read_within_a_prompt(tmp_path: Path) -> None:
    folder = onnx_models.owl(tmp_path / "owl")
    shown = picture(64, 64)
    assert engine(folder, prompt="red {}").detect(shown, ["mug"])
    assert not engine(folder).detect(shown, ["mug"])
    with pytest.raises(OptionError, match=r"holds no \{\} for the phrase"):
        engine(folder, prompt="a photo")


def other_type(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "detr"}))


def other_size(folder: Path) -> None:
    told = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(told | {"size": 32, "crop_size": 32}))


def two_sides(folder: Path) -> None:
    told = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(told | {"size": [64, 32]}))


def cut(folder: Path) -> None:
    file = folder / "onnx" / "model.onnx"
    file.write_bytes(file.read_bytes()[:200])


HARM: dict[str, Callable[[Path], object]] = {
    "is of the type 'detr'": other_type,
    "does not run on what its folder's files say": other_size,
    "is not understood": two_sides,
    "no ONNX model, cut short or damaged": cut,
    "no tokenizer, missing or damaged": lambda f: (f / "tokenizer.json").unlink(),
    "no folder 'onnx' in it": lambda f: (f / "onnx").rename(f / "other"),
    "needed are input_ids, pixel_values": lambda f: onnx_models.owl(f, boxes="places_of_boxes"),
}


@pytest.mark.parametrize("message", HARM)
def test_files_that_do_not_fit_are_one_line(message: str, tmp_path: Path) -> None:
    folder = onnx_models.owl(tmp_path / "owl")
    HARM[message](folder)
    with pytest.raises(ModelMissing, match=message) as told:
        engine(folder)
    assert "\n" not in str(told.value)
