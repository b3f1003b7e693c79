"""Image-text models as ONNX files: what is read of a folder, how pictures are prepared, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
from vidrag.store import engines
from vidrag.store.encoders.pixels import Pixels
from vidrag.store.errors import ModelMissing

CLIP = {
    "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True, "size": 224, "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}  # fmt: skip
SIGLIP = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"height": 384, "width": 200},
}  # fmt: skip


def engine(folder: Path, **options: Any) -> Any:
    return engines.load("image_text_encoder", "onnx-clip", {"model": str(folder), **options})


def test_files_of_any_exporter(tmp_path: Path) -> None:
    """With an attention mask, for texts of one length, and both: a text has one vector in whatever company."""
    rows = []
    kinds: list[dict[str, Any]] = [{"mask": True}, {"length": 6}, {"length": 6, "mask": True}]
    for i, more in enumerate(kinds):
        made = engine(onnx_models.colours(tmp_path / str(i), **more))
        assert made.spec.dim == 4
        rows.append(made.queries(["a red balloon", "blue", "", "yellow " * 50]))
        assert np.allclose(made.queries(["a red balloon"]), rows[-1][:1], atol=1e-6)
    assert np.allclose(rows[0][:3], rows[2][:3])  # where nothing masks it, padding weighs in


def test_the_variant_is_named_where_there_are_several(tmp_path: Path) -> None:
    onnx_models.colours(tmp_path, "int8")
    alone = engine(tmp_path).spec
    assert '"variant":"int8"' in alone.preprocessing
    onnx_models.colours(tmp_path)
    with pytest.raises(ModelMissing, match=r"holds plain, int8; say which: .*variant=plain|holds int8, plain; say"):
        engine(tmp_path)
    with pytest.raises(ModelMissing, match="no variant 'q4'"):
        engine(tmp_path, variant="q4")
    spaces = {engine(tmp_path, variant=v).spec.space for v in ("plain", "int8")}
    assert len(spaces) == 2


def test_no_torch_is_imported(tmp_path: Path) -> None:
    onnx_models.colours(tmp_path)
    code = (
        "import sys, numpy as np\n"
        "from vidrag.store import engines\n"
        f"e = engines.load('image_text_encoder', 'onnx-clip', {{'model': {str(tmp_path)!r}}})\n"
        "e.queries(['red']); e.images([np.zeros((9, 9, 3), np.uint8)])\n"
        "assert not {'torch', 'open_clip', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def harm(folder: Path, how: str) -> None:
    vision, text = folder / "onnx" / "vision_model.onnx", folder / "onnx" / "text_model.onnx"
    settings = folder / "preprocessor_config.json"
    if how == "no folder":
        shutil.rmtree(folder / "onnx")
    elif how == "half":
        text.unlink()
    elif how == "short":
        vision.write_bytes(vision.read_bytes()[:-40])
    elif how == "garbage":
        text.write_bytes(b"<html>not found</html>")
    elif how == "swapped":
        shutil.copy(text, vision)
    elif how == "tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    elif how == "no settings":
        settings.unlink()
    elif how == "odd settings":
        settings.write_text(json.dumps({**onnx_models.PIXELS, "resample": 77}))
    elif how == "size":
        settings.write_text(json.dumps({**onnx_models.PIXELS, "crop_size": 8}))
    elif how == "siglip":
        (folder / "config.json").write_text(json.dumps({"model_type": "siglip"}))


HARMS = (
    "no folder",
    "half",
    "short",
    "garbage",
    "swapped",
    "tokenizer",
    "no settings",
    "odd settings",
    "size",
    "siglip",
)


@pytest.mark.parametrize("how", HARMS)
def test_a_folder_that_is_none_is_told_in_one_line(how: str, tmp_path: Path) -> None:
    folder = onnx_models.colours(tmp_path / "model")
    harm(folder, how)
    with pytest.raises(ModelMissing) as e:
        engine(folder)
    assert str(folder) in str(e.value) and "\n" not in str(e.value) and len(str(e.value)) < 500


@pytest.mark.parametrize("config, size", [(CLIP, (224, 224)), (SIGLIP, (384, 200))])
@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (1, 7), (300, 2), (500, 500)])
def test_pictures_of_any_shape_fit(config: dict[str, Any], size: tuple[int, int], shape: tuple[int, int]) -> None:
    """One colour stays that colour, normalised by channel, whatever is resized and cut."""
    pixels = Pixels.of(config, "model")
    assert (pixels.height, pixels.width) == size
    got = pixels([np.full((*shape, 3), (10, 120, 250), np.uint8)])
    assert got.shape == (1, 3, *size) and got.dtype == np.float32
    for channel, value in enumerate((10, 120, 250)):
        wanted = (value / 255 - config["image_mean"][channel]) / config["image_std"][channel]
        assert np.allclose(got[0, channel], wanted, atol=1e-5)


def test_the_middle_is_seen() -> None:
    """Of a wide picture the sides are cut off; where it is squashed they are not."""
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[:, :150] = wide[:, 250:] = 255
    assert Pixels.of(CLIP, "m")([wide]).max() < Pixels.of(CLIP, "m")([wide + 255]).max() + 1e-6
    assert Pixels.of(CLIP, "m")([wide])[0, 0, :, 112].max() < 0
    assert Pixels.of(SIGLIP, "m")([wide])[0, 0, :, [0, -1]].min() > 0


@pytest.mark.parametrize("config", [CLIP, SIGLIP])
def test_settings_are_written_as_they_are_read(config: dict[str, Any]) -> None:
    pixels = Pixels.of(config, "model")
    assert Pixels.of(json.loads(json.dumps(pixels.config())), "model") == pixels


@pytest.mark.parametrize(
    "change",
    [
        {"do_resize": False},
        {"rescale_factor": 1},
        {"rescale_factor": float("nan")},
        {"image_std": [0, 1, 1]},
        {"image_mean": [0, 1, float("nan")]},
        {"image_mean": 1},
        {"size": -1},
        {"size": "22"},
        {"size": float("inf")},
        {"size": {"height": 224, "width": 224}},
        {"size": {"shortest_edge": 224, "longest_edge": 400}},
        {"do_center_crop": False, "size": {"shortest_edge": 224}},
        {"resample": float("inf")},
    ],
)
def test_steps_that_are_not_known_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelMissing, match="not understood"):
        Pixels.of({**CLIP, **change}, "model")


@pytest.mark.parametrize("most", [None, "x", -1, float("inf"), 1e30, True])
def test_an_odd_length_is_that_of_clip(most: Any, tmp_path: Path) -> None:
    folder = onnx_models.colours(tmp_path)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": most}))
    assert engine(folder).queries(["red " * 500]).shape == (1, 4)


def test_vectors_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    folder = onnx_models.colours(tmp_path)
    path = folder / "onnx" / "text_model.onnx"
    model = onnx.load(path)
    table = next(t for t in model.graph.initializer if t.name == "table")
    table.CopyFrom(numpy_helper.from_array(np.full(numpy_helper.to_array(table).shape, np.nan, np.float32), "table"))
    onnx.save(model, path)
    with pytest.raises(ModelMissing, match="no numbers"):
        engine(folder)


@pytest.mark.parametrize("how", ["short", "tokenizer", "no tokenizer"])
def test_a_damaged_text_encoder_is_told_in_one_line(how: str, tmp_path: Path) -> None:
    folder = onnx_models.colours(tmp_path)
    model = tmp_path / "model.onnx"
    shutil.copy(folder / "onnx" / "text_model.onnx", model)
    if how == "short":
        model.write_bytes(model.read_bytes()[:-40])
    elif how == "tokenizer":
        (folder / "tokenizer.json").write_text("[]")
    else:
        (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelMissing) as e:
        engines.load("text_encoder", "minilm", {"model": str(tmp_path)})
    assert str(tmp_path) in str(e.value) and "\n" not in str(e.value)
