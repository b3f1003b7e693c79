"""CLIP, SigLIP and their kin as ONNX files, on the CPU and without torch.

The layout is that of the hub's ONNX repositories (Optimum, transformers.js): ``onnx/vision_model*.onnx`` and
``onnx/text_model*.onnx``, ``tokenizer.json``, ``preprocessor_config.json``.  ``vidrag models onnx`` makes such a folder
of any model of open_clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..engines import EngineOptions, identity
from ..engines.pretrained import head
from ..errors import ModelMissing, one_line
from ..fingerprints import canonical, digest
from ..vectors import Vectors, normalised
from . import EncoderSpec, ImageBatch, Picture
from .onnx_files import located, reference
from .onnx_session import session, tokenizer
from .pixels import Pixels

VISION, TEXT, PREPROCESSOR, TOKENIZER = "vision_model", "text_model", "preprocessor_config.json", "tokenizer.json"
PICTURES, TOKENS, PICTURE_VECTORS, TEXT_VECTORS = "pixel_values", "input_ids", "image_embeds", "text_embeds"
_SETTING = "image_text_encoder.variant"
_TOKENS = 77  # CLIP's, where the files say nothing


class OnnxClipOptions(EngineOptions):
    """``model``: a folder, or ``hf:OWNER/REPO`` of one.  ``variant``: which of several it holds, by what stands in the
    file names after ``vision_model_`` (``int8``, ``quantized``, ``fp16``); ``plain`` is the file with nothing there.
    ``prefix``: what is put in front of what is looked for in pictures.
    """

    runtime = frozenset({"threads", "batch_size"})
    model: str = "hf:Xenova/clip-vit-base-patch32"
    variant: str = Field("auto", pattern=r"^[A-Za-z0-9]+$")
    prefix: str = ""
    batch_size: int = Field(8, ge=1, le=256)


class OnnxClip:
    """Contrastive image-text encoders (Radford et al., 2021, arXiv 2103.00020) through onnxruntime."""

    Options = OnnxClipOptions
    requires = ("onnxruntime", "tokenizers")
    extra = "query"

    @staticmethod
    def weights(options: OnnxClipOptions) -> Sequence[str]:
        return (reference(options.model, options.variant, (VISION, TEXT), _SETTING),)

    def __init__(self, options: OnnxClipOptions) -> None:
        self.options = options
        folder, found = located(options.model, options.variant, (VISION, TEXT), _SETTING)
        self._pixels = Pixels.of(head(folder / PREPROCESSOR), options.model)
        self._see = _Tower(folder / "onnx" / f"{VISION}{found}", options.threads, PICTURES, PICTURE_VECTORS)
        self._read = _Tower(folder / "onnx" / f"{TEXT}{found}", options.threads, TOKENS, TEXT_VECTORS)
        self._tokenizer = _fitted(tokenizer(folder / TOKENIZER), self._read.length, folder, options.model)
        blank = np.zeros((1, 3, self._pixels.height, self._pixels.width), np.float32)
        dims = {self._see(blank).shape[1], self._text_vectors([""]).shape[1]}
        if len(dims) > 1:
            raise ModelMissing(
                f"{options.model}: vectors of pictures and of texts have different lengths {sorted(dims)}"
            )
        ident = identity("image_text_encoder", "onnx-clip", options.model_dump())
        name = Path(options.model.removeprefix("hf:")).name
        told = {"preprocessing": self._pixels.config(), "variant": found.removesuffix(".onnx").strip("_")}
        self.spec = EncoderSpec(
            name, digest(ident), dims.pop(), query_prefix=options.prefix, preprocessing=canonical(told).decode()
        )

    def images(self, pictures: Sequence[Picture]) -> ImageBatch:
        """Pictures as vectors; nothing is named."""
        out, n, size = np.zeros((len(pictures), self.spec.dim), np.float32), len(pictures), self.options.batch_size
        for at in range(0, n, size):
            out[at : at + size] = self._see(self._pixels(pictures[at : at + size]))
        return ImageBatch(normalised(out), ("",) * n, ((),) * n, ((),) * n)

    def queries(self, texts: Sequence[str]) -> Vectors:
        out, size = np.zeros((len(texts), self.spec.dim), np.float32), self.options.batch_size
        for at in range(0, len(texts), size):
            out[at : at + size] = self._text_vectors([self.spec.query_prefix + t for t in texts[at : at + size]])
        return normalised(out)

    def _text_vectors(self, texts: Sequence[str]) -> Vectors:
        read = self._tokenizer.encode_batch(list(texts))
        return self._read(
            np.array([e.ids for e in read], np.int64), np.array([e.attention_mask for e in read], np.int64)
        )


class _Tower:
    """One of the two models; what it is given and gives has the names that exporters use."""

    def __init__(self, path: Path, threads: int, given: str, told: str) -> None:
        self._session, self._path, self._given, self._told = session(path, threads), path, given, told
        inputs = {i.name: i for i in self._session.get_inputs()}
        outputs = [o.name for o in self._session.get_outputs()]
        if given not in inputs or told not in outputs or not set(inputs) <= {given, "attention_mask"}:
            raise ModelMissing(
                f"{path}: takes {', '.join(inputs)} and gives {', '.join(outputs)}; needed are {given} and {told}"
            )
        self._masked = "attention_mask" in inputs
        shape = inputs[given].shape
        self.length: int | None = shape[1] if shape and len(shape) > 1 and isinstance(shape[1], int) else None

    def __call__(self, given: Any, mask: Any = None) -> Vectors:
        feed = {self._given: given, **({"attention_mask": mask} if self._masked else {})}
        try:
            out: Vectors = np.asarray(self._session.run([self._told], feed)[0], np.float32)
        except Exception as e:  # the runtime has a type for each way to fail
            raise ModelMissing(f"{self._path}: does not run on what its folder's files say ({one_line(e, 160)})") from e
        if out.ndim != 2 or len(out) != len(given):
            raise ModelMissing(f"{self._path}: {self._told} has the shape {out.shape} for {len(given)} inputs")
        if not np.isfinite(out).all():
            raise ModelMissing(f"{self._path}: gives vectors that are no numbers; write or fetch it again")
        return out


def _fitted(made: Any, length: int | None, folder: Path, ref: str) -> Any:
    """The tokenizer, padding and cutting texts as the model wants them."""
    if made.truncation is None or (length and made.truncation["max_length"] != length):
        told = head(folder / "tokenizer_config.json").get("model_max_length")
        made.enable_truncation(length or (told if isinstance(told, int) and 2 <= told <= _TOKENS else _TOKENS))
    asked = made.padding or {}
    if (
        not length
        and not asked.get("length")
        and str(head(folder / "config.json").get("model_type")).startswith("siglip")
    ):
        raise ModelMissing(
            f"{ref}: its tokenizer does not pad, as SigLIP needs; make its files with 'vidrag models onnx'"
        )
    made.enable_padding(
        length=length or asked.get("length"), pad_id=asked.get("pad_id", 0), pad_token=asked.get("pad_token", "!")
    )
    return made
