"""Detectors of transformers: the real classes with random weights.  What is found means nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import random_detectors  # noqa: E402
from engine_tools import harmed, random_detector  # noqa: E402
from vidrag.query.look.detections import DetectionCache  # noqa: E402
from vidrag.query.look.detectors import BatchDetector  # noqa: E402
from vidrag.query.look.detectors.phrases import phrase  # noqa: E402
from vidrag.store import engines  # noqa: E402
from vidrag.store.errors import EngineFailed, EngineMissing, ModelMissing, OptionError  # noqa: E402
from vidrag.store.weights import models  # noqa: E402

NAMES = ("grounding-dino", "owlv2")
ALL = {"threshold": 0.0, "overlap": 1.0}
PICTURES = [np.random.default_rng(i).integers(0, 255, (90, 160, 3), np.uint8) for i in range(5)]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(models, "_offline", True)


def engine(name: str, **options: Any) -> Any:
    more = {"text_threshold": 0.0} if name == "grounding-dino" else {}
    return engines.load("detector", name, {"model": str(random_detector(name)), **ALL, **more, **options})


@pytest.mark.parametrize("name", NAMES)
def test_boxes_lie_in_the_picture_and_fit_best_what_they_are_called(name: str) -> None:
    found = engine(name).detect(PICTURES[0], ["cat", "red mugs", "the staircase"])
    assert len(found) >= 3 and {d.label for d in found} <= {"cat", "red mug", "staircase"}
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    for d in found:
        x0, y0, x1, y1 = d.box
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 and 0 < d.score <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_library_reads_the_same_boxes(name: str) -> None:
    """With one phrase nothing is left of the difference between the published reading and ours."""
    made = engine(name)
    for picture in (PICTURES[0], np.ascontiguousarray(PICTURES[1].transpose(1, 0, 2))):  # wide and high
        height, width = picture.shape[:2]
        if name == "owlv2":
            read = made._processor(images=picture, text=[["a photo of a cat"]], return_tensors="pt")
        else:
            read = made._processor(images=picture, text="cat.", return_tensors="pt")
        with torch.inference_mode():
            out = made._model(**read)
        told = made._processor.post_process_grounded_object_detection(
            out, threshold=0.0, target_sizes=[(height, width)]
        )[0]
        expected = {}
        for score, box in zip(told["scores"].tolist(), told["boxes"].tolist(), strict=True):
            inside = np.clip(np.array(box) / [width, height, width, height], 0, 1)
            expected[tuple(inside.round(3))] = score
        found = made.detect(picture, ["cat"])
        assert found
        for d in found:
            score = expected[tuple(np.array(d.box).round(3))]
            if name == "owlv2":  # Grounding DINO's score is that of the best token, also of the full stop
                assert d.score == pytest.approx(score, abs=1e-4)
            assert d.score <= score + 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_thresholds_leave_out_the_rest(name: str) -> None:
    everything = engine(name).detect(PICTURES[0], ["cat", "dog"])
    middle = everything[len(everything) // 2].score
    assert engine(name, threshold=middle).detect(PICTURES[0], ["cat", "dog"]) == tuple(
        d for d in everything if d.score >= middle
    )
    assert engine(name, threshold=1.0).detect(PICTURES[0], ["cat", "dog"]) == ()
    kept = engine(name, overlap=0.0).detect(PICTURES[0], ["cat", "dog"])
    assert 0 < len(kept) < len(everything) and set(kept) <= set(everything)


def test_words_below_their_threshold_name_nothing() -> None:
    assert engine("grounding-dino", text_threshold=1.0).detect(PICTURES[0], ["cat"]) == ()


@pytest.mark.parametrize("name", NAMES)
def test_many_pictures_are_as_one_by_one(name: str) -> None:
    made = engine(name, batch_size=2)
    assert isinstance(made, BatchDetector)
    together = made.detect_many(PICTURES, ["cat", "dog"])
    for picture, found in zip(PICTURES, together, strict=True):
        alone = made.detect(picture, ["cat", "dog"])
        assert [d.label for d in found] == [d.label for d in alone]
        assert [d.score for d in found] == pytest.approx([d.score for d in alone], abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_many_phrases_are_read_in_portions(name: str) -> None:
    """Grounding DINO's text is limited (here to 64 tokens); every phrase is looked for all the same."""
    made = engine(name)
    things = ("cat", "dog", "bus", "cup", "bowl", "spoon")
    wanted = [f"{w} {n}" for w in things for n in ("red", "blue", "big", "small")]
    portions = made._portions(wanted)
    assert [w for p in portions for w in p] == wanted
    assert len(portions) > 1 or name == "owlv2"
    found = made.detect(PICTURES[0], wanted)
    assert {d.label for d in found} <= set(wanted) and len({d.label for d in found}) > 1


@pytest.mark.parametrize("name", NAMES)
def test_short_memory_halves_the_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same boxes as with room enough; the smaller batch stays and is noted."""
    made = engine(name, batch_size=4)
    roomy = made.detect_many(PICTURES, ["cat"])
    real, seen = made._see, list[int]()

    def tight(pictures: Any, wanted: Any) -> Any:
        seen.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(pictures, wanted)

    monkeypatch.setattr(made, "_see", tight)
    found = made.detect_many(PICTURES, ["cat"])
    assert [[d.label for d in f] for f in found] == [[d.label for d in f] for f in roomy]
    assert seen == [4, 2, 2, 1] and any("batches of 2" in n for n in made.notes)

    def never(pictures: Any, wanted: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(made, "_see", never)
    with pytest.raises(EngineFailed, match="single input"):
        made.detect(PICTURES[0], ["cat"])


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_fails_is_an_engine_that_failed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(name)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("shapes\ndo not fit")

    monkeypatch.setattr(made, "_see", broken)
    with pytest.raises(EngineFailed, match="RuntimeError: shapes do not fit"):
        made.detect(PICTURES[0], ["cat"])


class _Shard:
    """Stored frames, as the cache of detections asks for them."""

    video = "0" * 16

    class manifest:
        current: ClassVar = {"frames": "f1"}

    def jpeg(self, row: int) -> bytes:
        import cv2

        return bytes(cv2.imencode(".jpg", PICTURES[row][..., ::-1])[1])


@pytest.mark.parametrize("name", NAMES)
def test_what_was_found_is_kept(name: str, tmp_path: Path) -> None:
    """By frame, entities and what the engine is; other frames go to the detector together."""
    made, shard, calls = engine(name, batch_size=8), _Shard(), list[int]()
    real = made._see
    made._see = lambda pictures, wanted: (calls.append(len(pictures)), real(pictures, wanted))[1]
    cache = DetectionCache(made, tmp_path / "detections.sqlite")
    first = cache.detect(shard, 2, ["cat"])  # type: ignore[arg-type]
    rows = cache.detect_rows(shard, [0, 1, 2, 3, 2], ["cat"])  # type: ignore[arg-type]
    assert calls == [1, 3] and rows[2] == rows[4] == first and (cache.hits, cache.misses) == (2, 4)
    again = DetectionCache(engine(name), tmp_path / "detections.sqlite")
    assert again.detect_rows(shard, [3, 0], ["cat"]) == [rows[3], rows[0]] and again.misses == 0  # type: ignore[arg-type]
    other = DetectionCache(engine(name, threshold=0.1), tmp_path / "detections.sqlite")
    other.detect(shard, 2, ["cat"])  # type: ignore[arg-type]
    assert other.misses == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "harm", ["short", "no weights", "pickle", "no config", "no processor", "other", "code", "file"]
)
def test_damaged_folders_are_told_in_one_line(name: str, harm: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(random_detector(name), folder)
    model = str(folder)
    if harmed(folder, harm):
        pass
    elif harm == "no processor":
        (folder / "processor_config.json").unlink()
    elif harm == "other":
        shutil.copy(random_detector(NAMES[name == NAMES[0]]) / "config.json", folder)
    else:
        model = str(folder / "model.safetensors")
    with pytest.raises(ModelMissing) as caught:
        engine(name, model=model)
    told = str(caught.value)
    assert str(folder) in told and "\n" not in told and len(told) < 600
    expected = {"pickle": "cannot load it", "other": "of the kind", "code": "remote_code", "no config": "config.json"}
    assert expected.get(harm, "") in told


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    """A file without one of the heads."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(random_detector("owlv2"), folder)
    held = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in held.items() if "box_head" not in k}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelMissing, match="random ones are not used"):
        engine("owlv2", model=str(folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(EngineMissing, match="device 'cuda:7' is not there"):
        engine(name, device="cuda:7")


def test_a_prompt_needs_a_place_for_the_phrase() -> None:
    with pytest.raises(OptionError, match="prompt"):
        engine("owlv2", prompt="a photo")


def test_half_precision_on_the_cpu() -> None:
    for name in NAMES:
        assert isinstance(engine(name, dtype="bfloat16").detect(PICTURES[0], ["cat"]), tuple)


def test_another_seed_is_another_identity(tmp_path: Path) -> None:
    """Detections of other weights are not taken for these."""
    other = random_detectors.owlv2(tmp_path / "other", seed=1)
    assert engine("owlv2", model=str(other)).identity != engine("owlv2").identity


@pytest.mark.parametrize(
    "entity, told",
    [
        ("The Red Mugs!", "red mug"), ("  candles and berries ", "candles and berry"), ("people", "person"),
        ("boxes", "box"), ("glasses", "glasses"), ("wine glass", "wine glass"), ("飞机", "飞机"), ("the", None),
        ("42", None), ("", None), ("Élise's cat", "élise's cat"), ("a " * 50 + "dog", "dog"),
    ],
)  # fmt: skip
def test_phrases_are_clean(entity: str, told: str | None) -> None:
    assert phrase(entity) == told == (phrase(told) if told else None)
