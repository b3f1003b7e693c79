"""CLIP, SigLIP and their kin through open_clip: any architecture it knows, weights from files.  Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..engines import identity
from ..engines.devices import Batches, TorchOptions, device, dtype, set_threads
from ..errors import ModelMissing, one_line
from ..fingerprints import canonical, digest
from ..vectors import Vectors, normalised
from ..weights import models
from . import EncoderSpec, ImageBatch, Picture

_CONFIG = "open_clip_config.json"
_PRECISION = {"torch.float32": "fp32", "torch.float16": "fp16", "torch.bfloat16": "bf16"}


class OpenClipOptions(TorchOptions):
    """``model``: a folder in open_clip's layout (``open_clip_config.json`` and weights), ``hf:OWNER/REPO`` of one, or a
    ``.safetensors`` file, which needs ``architecture`` (``ViT-B-32`` ...; see ``open_clip.list_models()``).
    ``prefix``: what is put in front of what is looked for in pictures.
    """

    model: str = "hf:timm/vit_large_patch14_clip_336.openai"
    architecture: str | None = None
    prefix: str = ""
    batch_size: int = Field(32, ge=1, le=4096)


class OpenClip:
    """Contrastive image-text encoders (Radford et al., 2021, arXiv 2103.00020) as open_clip builds them.

    ``model`` and ``tokenize`` are open_clip's own objects.
    """

    Options = OpenClipOptions
    requires = ("open_clip", "torch", "PIL")
    extra = "open-clip"

    @staticmethod
    def weights(options: OpenClipOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: OpenClipOptions) -> None:
        self.options = options
        self._where = device(options.device)
        self._dtype = dtype(options.dtype, self._where)
        set_threads(options.threads)
        self.model, self._preprocess, self.tokenize = load(options, self._where)
        ident = identity("image_text_encoder", "open_clip", options.model_dump())
        told = {"preprocessing": str(self._preprocess), "tokenizer": type(self.tokenize).__name__}
        name = Path(options.model.removeprefix("hf:")).name
        dim = self._project(["a"]).shape[1]
        self.spec = EncoderSpec(
            name, digest(ident), dim, query_prefix=options.prefix, preprocessing=canonical(told).decode()
        )
        self._pictures = Batches(f"image-text encoder {name} (pictures)", options.batch_size)
        self._texts = Batches(f"image-text encoder {name} (texts)", options.batch_size)

    @property
    def notes(self) -> list[str]:
        """What the user should know of the work so far."""
        return [*self._pictures.notes, *self._texts.notes]

    def images(self, pictures: Sequence[Picture]) -> ImageBatch:
        """Pictures as vectors; nothing is named."""
        rows = self._pictures.run(pictures, self._see)
        vectors = np.array(rows, np.float32).reshape(len(pictures), self.spec.dim)
        n = len(pictures)
        return ImageBatch(normalised(vectors), ("",) * n, ((),) * n, ((),) * n)

    def queries(self, texts: Sequence[str]) -> Vectors:
        rows = self._texts.run([self.spec.query_prefix + t for t in texts], lambda batch: list(self._project(batch)))
        return normalised(np.array(rows, np.float32).reshape(len(texts), self.spec.dim))

    def _see(self, pictures: Sequence[Picture]) -> list[Vectors]:
        import torch
        from PIL import Image

        batch = torch.stack([self._preprocess(Image.fromarray(p)) for p in pictures])
        with torch.inference_mode():
            seen = self.model.encode_image(batch.to(self._where, self._dtype))
        return list(seen.float().cpu().numpy())

    def _project(self, texts: Sequence[str]) -> Vectors:
        import torch

        with torch.inference_mode():
            read = self.model.encode_text(self.tokenize(list(texts)).to(self._where))
        out: Vectors = read.float().cpu().numpy()
        return out


def load(options: OpenClipOptions, where: str) -> tuple[Any, Any, Any]:
    """Model, preprocessing and tokenizer.  Never random weights, never a pickle, never the network."""
    import open_clip
    from safetensors import SafetensorError

    path = models.folder_of(options.model)
    precision = _PRECISION[str(dtype(options.dtype, where))]
    if path.is_dir():
        if not (path / _CONFIG).is_file():
            raise ModelMissing(f"{options.model}: no {_CONFIG} in it; name a .safetensors file and an architecture")
        if not list(path.glob("*.safetensors")):
            raise ModelMissing(f"{options.model}: holds no .safetensors weights; pickled ones are not opened")
        arch, weights = f"local-dir:{path}", None
    elif path.suffix != ".safetensors":
        raise ModelMissing(f"{options.model}: only .safetensors weights are opened, no pickled ones; convert it first")
    elif not options.architecture:
        raise ModelMissing(
            f"{options.model}: of which architecture is it? Name it: --set image_text_encoder.architecture=ViT-B-32"
        )
    elif options.architecture not in open_clip.list_models():
        raise ModelMissing(f"open_clip knows no architecture '{options.architecture}'; see open_clip.list_models()")
    else:
        arch, weights = options.architecture, str(path)
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            arch, pretrained=weights, precision=precision, device=where, require_pretrained=True
        )
        tokenize = open_clip.get_tokenizer(arch)
    except (RuntimeError, OSError, ValueError, KeyError, AssertionError, SafetensorError) as e:
        what = options.architecture or "what its config says"
        raise ModelMissing(
            f"{options.model}: open_clip cannot load it as {what}: cut short, damaged, or of another architecture "
            f"({one_line(e, 160)})"
        ) from e
    return model.eval(), preprocess, tokenize
