"""Every image-text encoder keeps the promises of ``ImageTextEncoder``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engine_tools import loaded, names, random_clip, tiny_onnx
from vidrag.store.encoders import EncoderSpec, ImageBatch, ImageTextEncoder, Picture

EXACT = 1e-5  # between the same picture in different company


@pytest.fixture(scope="module", params=names("image_text_encoder"))
def engine(request: pytest.FixtureRequest) -> Any:
    return loaded("image_text_encoder", request.param)


@pytest.fixture(scope="module")
def pictures(sample_picture: Callable[[float], Picture]) -> list[Picture]:
    """A cup of coffee, a cat, an astronaut."""
    return [sample_picture(62), sample_picture(80), sample_picture(40)]


@pytest.fixture(scope="module")
def batch(engine: ImageTextEncoder, pictures: list[Picture]) -> ImageBatch:
    return engine.images(pictures)


def plain(colour: tuple[int, int, int], shape: tuple[int, int] = (90, 160)) -> Picture:
    return np.full((*shape, 3), colour, np.uint8)


def test_the_built_in_and_the_fake_are_there() -> None:
    """The suite runs over the engine of the default profile and the plugin."""
    assert {"label-space", "fake"} <= set(names("image_text_encoder"))


def test_keeps_the_protocol(engine: Any) -> None:
    assert isinstance(engine, ImageTextEncoder)
    assert EncoderSpec(**engine.spec.as_json()) == engine.spec


def test_pictures_give_rows_of_norm_1(engine: ImageTextEncoder, batch: ImageBatch, pictures: list[Picture]) -> None:
    """float32 ``(n, dim)``, and as many captions, label lists and detection lists as pictures."""
    assert batch.vectors.dtype == np.float32
    assert batch.vectors.shape == (len(pictures), engine.spec.dim)
    assert np.linalg.norm(batch.vectors, axis=1) == pytest.approx(1, abs=1e-4)
    assert len(batch.captions) == len(batch.labels) == len(batch.detections) == len(pictures)


def test_what_is_named_is_in_range(batch: ImageBatch) -> None:
    """Captions are text; scores and boxes lie in 0..1, boxes have an area; best first."""
    assert all(type(c) is str for c in batch.captions)
    for labels in batch.labels:
        assert all(x.name and type(x.score) is float and 0 <= x.score <= 1 for x in labels)
    for found in batch.detections:
        assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
        for d in found:
            x0, y0, x1, y1 = d.box
            assert d.label and 0 <= d.score <= 1
            assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1


def test_nothing_in_nothing_out(engine: ImageTextEncoder) -> None:
    """No pictures and no texts give arrays of no rows."""
    none = engine.images([])
    assert none.vectors.shape == (0, engine.spec.dim) == engine.queries([]).shape
    assert none.vectors.dtype == np.float32
    assert none.captions == none.labels == none.detections == ()


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2)])
@pytest.mark.parametrize("value", [0, 255])
def test_any_picture_has_a_vector(engine: ImageTextEncoder, shape: tuple[int, int], value: int) -> None:
    """Tiny, thin and blank pictures have a vector of norm 1 too."""
    rows = engine.images([plain((value,) * 3, shape)]).vectors
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1], abs=1e-4)


def test_the_same_picture_has_the_same_vector(
    engine: ImageTextEncoder, batch: ImageBatch, pictures: list[Picture]
) -> None:
    """Whatever stands beside it, and in whatever order; pictures are left as they were."""
    before = [p.copy() for p in pictures]
    back = engine.images(pictures[::-1])
    assert np.allclose(back.vectors[::-1], batch.vectors, atol=EXACT)
    assert back.captions[::-1] == batch.captions
    alone = engine.images(pictures[:1])
    assert np.allclose(alone.vectors, batch.vectors[:1], atol=EXACT)
    assert alone.labels == batch.labels[:1] and alone.detections == batch.detections[:1]
    assert all(np.array_equal(a, b) for a, b in zip(before, pictures, strict=True))


def test_texts_give_rows_of_norm_1(engine: ImageTextEncoder) -> None:
    texts = ["a photo of a cat", "", "飞机 🎬", "word " * 1000]
    rows = engine.queries(texts)
    assert rows.dtype == np.float32
    assert rows.shape == (len(texts), engine.spec.dim)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-4)
    assert np.allclose(engine.queries(texts[:1])[0], rows[0], atol=EXACT)


def test_pictures_and_texts_share_a_space(engine: ImageTextEncoder, batch: ImageBatch) -> None:
    """A text is nearest to the picture that it describes."""
    model = getattr(getattr(engine, "options", None), "model", "")
    if model == str(random_clip()):
        pytest.skip("random weights: what is near what means nothing")
    if type(engine).__module__ == "vidrag_fakes" or model == str(tiny_onnx("image_text_encoder")):
        texts = ["a photo of red", "a photo of blue", "a photo of yellow"]
        rows = engine.images([plain((250, 5, 5)), plain((5, 5, 250)), plain((250, 250, 5))]).vectors
    else:
        texts = ["a photo of a cup of coffee", "a photo of a cat", "a photo of a person"]
        rows = batch.vectors
    assert (engine.queries(texts) @ rows.T).argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name, option", [("fake", {"labels": 1}), ("label-space", {"box_score": 0.6})])
def test_options_that_change_vectors_change_the_space(name: str, option: dict[str, Any]) -> None:
    """Threads do not; what changes a vector does."""
    spaces = [loaded("image_text_encoder", name, o).spec.space for o in ({}, {"threads": 2}, option)]
    assert spaces[0] == spaces[1] != spaces[2]
