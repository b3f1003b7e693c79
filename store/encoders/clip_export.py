"""Writes a model of open_clip as ONNX files that :mod:`.onnx_clip` reads, and compares what both make of the same.

Needs torch, open_clip, onnx and onnxscript; the folder that it writes needs none of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineFailed, EngineMissing, ModelMissing, UsageError, one_line
from ..storage import owned
from ..storage.faults import storage_errors
from . import Picture
from .onnx_clip import (
    PICTURE_VECTORS,
    PICTURES,
    PREPROCESSOR,
    TEXT,
    TEXT_VECTORS,
    TOKENIZER,
    TOKENS,
    VISION,
    OnnxClip,
    OnnxClipOptions,
)
from .pixels import Pixels, Resample

NEEDS = ("open_clip", "torch", "onnx", "onnxscript")
_LARGE = 1_500_000_000  # bytes; a file of protocol buffers ends at 2 GB
_ALIKE = {"float32": 0.999, "int8": 0.9}  # least cosine with open_clip's own vectors
_TEXTS = (
    "a photo of a cat", "Two dogs, one ball; it's 3 o'clock!", "snow_covered  roofs -- at NIGHT", "café Größe 飞机 🎬",
    "", "a word " * 60, "(a) [b] {c} don't, can't & won't", "\tred\n and blue ",
    "the king’s “open” door", "fish &amp; chips &lt;b&gt;", "ﬁles of the ﬂoor", "ＡＢＣ　１２",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """``pictures`` and ``texts``: least cosine of its vectors with those of open_clip; ``bytes`` of the folder."""

    folder: Path
    precision: str
    dim: int
    bytes: int
    pictures: float
    texts: float


def export(model: str, architecture: str | None, folder: Path, precision: str = "int8") -> Exported:
    """Writes ``folder``, whole or not at all.  ``model`` and ``architecture`` as the engine ``open_clip`` takes them.

    ``int8``: weights of matrix products in eight bits, activations quantised as they come (onnxruntime's dynamic
    quantisation).  Raises :class:`UsageError` where ``folder`` is there or the precision none, :class:`ModelMissing`
    where the model is not or cannot be written, :class:`EngineFailed` where the files do not give its vectors.
    """
    if precision not in _ALIKE:
        raise UsageError(f"precision {precision}: expected {' or '.join(_ALIKE)}")
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder}: is there already; name a new folder")
    if not folder.parent.is_dir():
        raise UsageError(f"{folder}: there is no folder {folder.parent}; make it first")
    if missing := [m for m in NEEDS if find_spec(m) is None]:
        raise EngineMissing(f"this needs {', '.join(missing)}; install it with: pip install 'vidrag[onnx-export]'")
    from .open_clip import OpenClip, OpenClipOptions

    engine = OpenClip(OpenClipOptions(model=model, architecture=architecture, device="cpu", dtype="float32"))
    with storage_errors(folder):
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        with storage_errors(folder):
            _write(engine, made, model, precision)
        alike = _compared(engine, made)
        if not min(alike) >= _ALIKE[precision]:
            raise EngineFailed(
                f"{model}: the files in {precision} give other vectors than open_clip (cosine {min(alike):.3f}); "
                + ("try --precision float32" if precision == "int8" else "please report the architecture")
            )
        size = sum(p.stat().st_size for p in made.rglob("*") if p.is_file())
        with storage_errors(folder):
            made.chmod(0o755)
            made.rename(folder)
    finally:
        owned.remove_folder(made / "onnx", None, lambda name: ".onnx" in name)
        owned.remove_folder(made, None, lambda name: name in (PREPROCESSOR, TOKENIZER))
    return Exported(folder, precision, engine.spec.dim, size, *alike)


def _write(engine: Any, made: Path, ref: str, precision: str) -> None:
    model, tokens = engine.model, engine.tokenize(["a", "b"])
    pixels = _pixels(model, ref)
    (made / PREPROCESSOR).write_text(json.dumps(pixels.config(), indent=1), "utf-8")
    _tokenizer(engine.tokenize, ref).save(str(made / TOKENIZER))
    import torch

    picture = torch.zeros(2, 3, pixels.height, pixels.width)
    ending = ".onnx" if precision == "float32" else f"_{precision}.onnx"
    (made / "onnx").mkdir()
    for name, method, example, given, told in (
        (VISION, model.encode_image, picture, PICTURES, PICTURE_VECTORS),
        (TEXT, model.encode_text, tokens, TOKENS, TEXT_VECTORS),
    ):
        with tempfile.TemporaryDirectory(dir=made) as scratch:
            full = Path(scratch if precision == "int8" else made / "onnx") / f"{name}.onnx"
            try:
                _traced(method, example, full, given, told)
                if precision == "int8":
                    _quantised(full, made / "onnx" / f"{name}{ending}")
            except OSError:
                raise
            except Exception as e:  # an exporter fails in any way
                raise ModelMissing(f"{ref}: its {name} cannot be written as ONNX ({one_line(e, 200)})") from e


def _traced(method: Any, example: Any, path: Path, given: str, told: str) -> None:
    import torch

    class Tower(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = method.__self__

        def forward(self, x: Any) -> Any:
            return method(x)

    with _silent():
        torch.onnx.export(
            Tower().eval(), (example,), str(path), dynamo=True, external_data=_bytes(method.__self__) > _LARGE,
            input_names=[given], output_names=[told], dynamic_shapes=({0: torch.export.Dim("n")},),
        )  # fmt: skip


def _quantised(full: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    size = sum(p.stat().st_size for p in full.parent.iterdir())
    with _silent():
        quantize_dynamic(
            full, path, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8,
            use_external_data_format=size > 2 * _LARGE,
        )  # fmt: skip


def _bytes(model: Any) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())


@contextlib.contextmanager
def _silent() -> Any:
    """Exporters print their progress and warn of themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _pixels(model: Any, ref: str) -> Pixels:
    """The preprocessing of an open_clip model."""
    import open_clip

    told = open_clip.get_model_preprocess_cfg(model)
    height, width = (told["size"],) * 2 if isinstance(told["size"], int) else told["size"]
    mode = told.get("resize_mode", "shortest")
    if mode not in ("shortest", "squash") or (mode == "shortest" and height != width):
        raise ModelMissing(
            f"{ref}: prepares pictures as '{mode}' to {height} x {width}, which no ONNX layout describes"
        )
    resample: Resample = "bilinear" if told.get("interpolation") == "bilinear" else "bicubic"
    crop = mode == "shortest"
    return Pixels(height, width, crop, height if crop else 0, resample, tuple(told["mean"]), tuple(told["std"]))


def _tokenizer(tokenize: Any, ref: str) -> Any:
    """open_clip's tokenizer as one of the library tokenizers, with the same ids for the texts that are tried."""
    length = int(tokenize.context_length)
    made = (
        _of_hub(tokenize.tokenizer, tokenize.clean_fn.__name__) if hasattr(tokenize, "tokenizer") else _clip(tokenize)
    )
    made.enable_truncation(length)
    pad = getattr(getattr(tokenize, "tokenizer", None), "pad_token_id", None) or 0
    made.enable_padding(length=length, pad_id=pad, pad_token=made.id_to_token(pad) or "!")
    for text in _TEXTS:
        if made.encode(text).ids != tokenize([text])[0].tolist():
            raise ModelMissing(
                f"{ref}: its tokenizer ({type(tokenize).__name__}) has no twin without torch ('{text[:20]}')"
            )
    return made


def _cleaning() -> list[Any]:
    """Normalizers for what ftfy and html.unescape do to texts that people type: quotes, entities, ligatures, width."""
    from tokenizers import Regex, normalizers

    to = {
        "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&nbsp;": " ", "&amp;": "&",
        "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\u3000": " ",
        **{chr(c): chr(c - 0xFEE0) for c in range(0xFF01, 0xFF5F)},
    }  # fmt: skip
    quotes = [normalizers.Replace(Regex("[ʼ‘-‛]"), "'"), normalizers.Replace(Regex("[“-‟]"), '"')]
    return [*quotes, *(normalizers.Replace(a, b) for a, b in to.items()), normalizers.NFC()]


def _squeezed() -> list[Any]:
    """Normalizers for spaces: one at a time, none at the ends."""
    from tokenizers import Regex, normalizers

    return [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]


def _clip(tokenize: Any) -> Any:
    """Byte-pair encoding as CLIP has it (Sennrich et al., 2016, arXiv 1508.07909)."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    start, end = "<start_of_text>", "<end_of_text>"
    merges = sorted(tokenize.bpe_ranks, key=tokenize.bpe_ranks.__getitem__)
    made = Tokenizer(models.BPE(tokenize.encoder, merges, end_of_word_suffix="</w>", unk_token=end))
    made.normalizer = normalizers.Sequence([*_cleaning(), *_squeezed(), normalizers.Lowercase()])
    words = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    ids = [(t, tokenize.encoder[t]) for t in (start, end)]
    made.post_processor = processors.TemplateProcessing(f"{start} $A {end}", f"{start} $A {end} $B {end}", ids)
    return made


def _of_hub(tokenizer: Any, clean: str) -> Any:
    """A tokenizer of transformers behind open_clip's cleaning of the text."""
    from tokenizers import Regex, Tokenizer, normalizers

    made = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    before = [*_cleaning(), *_squeezed()]
    if clean == "_clean_lower":
        before.append(normalizers.Lowercase())
    elif clean == "_clean_canonicalize":  # no ASCII punctuation, lower case
        signs = Regex(r"[!-/:-@\[-^`{-~]")
        bare = [normalizers.Replace("_", " "), normalizers.Replace(signs, ""), normalizers.Lowercase()]
        before += [*bare, *_squeezed()]
    made.normalizer = normalizers.Sequence([*before, *([made.normalizer] if made.normalizer else [])])
    return made


def _compared(engine: Any, made: Path) -> tuple[float, float]:
    """Least cosine of the vectors of pictures, and of texts, with open_clip's."""
    twin = OnnxClip(OnnxClipOptions(model=str(made)))
    rng = np.random.default_rng(0)
    pictures: list[Picture] = []
    for height, width in ((240, 320), (360, 202), (64, 64), (224, 224)):
        coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        rows, columns = np.arange(height) * 6 // height, np.arange(width) * 8 // width
        pictures += [coarse[rows][:, columns], rng.integers(0, 256, (height, width, 3)).astype(np.uint8)]
    seen = (engine.images(pictures).vectors * twin.images(pictures).vectors).sum(1).min()
    read = (engine.queries(_TEXTS) * twin.queries(_TEXTS)).sum(1).min()
    return float(seen), float(read)
