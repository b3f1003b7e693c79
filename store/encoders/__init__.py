"""Text and image-text encoders: the protocols and what the store remembers of an encoder.

``queries`` and ``documents`` are named by use: an encoder with prefixes or two towers treats them differently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import SpaceMismatch
from ..records import Detection, Label
from ..vectors import Vectors

Picture = NDArray[np.uint8]
"""uint8 ``(H, W, 3)``, RGB."""


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Names a vector space.  Vectors may be compared only where ``space`` is equal.

    ``space`` hashes engine, options and weights; ``dim`` is the number of dimensions; rows are always of norm 1.
    ``preprocessing``: how pictures and texts were prepared, as JSON, to be read by people.
    """

    name: str
    space: str
    dim: int
    query_prefix: str = ""
    document_prefix: str = ""
    preprocessing: str = ""

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """``vectors`` float32 ``(n, dim)``, rows of norm 1, and for each picture what the encoder can name in it.

    Encoders that name nothing (CLIP and its kin) leave ``captions`` empty strings and the tuples empty.
    """

    vectors: Vectors
    captions: tuple[str, ...]
    labels: tuple[tuple[Label, ...], ...]
    detections: tuple[tuple[Detection, ...], ...]


@runtime_checkable
class TextEncoder(Protocol):
    """Texts to vectors.  Empty input gives ``(0, dim)``; the same text always gives the same vector."""

    spec: EncoderSpec

    def documents(self, texts: Sequence[str]) -> Vectors:
        """float32 ``(len(texts), dim)``, rows of norm 1."""
        ...

    def queries(self, texts: Sequence[str]) -> Vectors:
        """float32 ``(len(texts), dim)``, rows of norm 1."""
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens ``text`` has, without special ones and without truncation; at most one more than it has
        bytes in UTF-8.
        """
        ...


@runtime_checkable
class ImageTextEncoder(Protocol):
    """Pictures and texts to vectors of one space.

    One with ``names = True`` finds words for what it sees: a picture without a caption shows nothing that it knows.
    """

    spec: EncoderSpec

    def images(self, pictures: Sequence[Picture]) -> ImageBatch: ...

    def queries(self, texts: Sequence[str]) -> Vectors:
        """float32 ``(len(texts), dim)``, rows of norm 1."""
        ...


HOW_TO_EMBED = "vidrag embed ARCHIVE"
"""The command that computes the vectors of an archive anew, where it is not known which archive."""


def check_space(
    stored: Mapping[str, Any] | None, spec: EncoderSpec, what: str, how_to_embed: str = HOW_TO_EMBED
) -> None:
    """Raises :class:`SpaceMismatch` where stored vectors belong to another space than ``spec``.

    ``how_to_embed``: the command that makes them anew.
    """
    if stored is None or stored.get("space") != spec.space or stored.get("dim") != spec.dim:
        have = f"{stored.get('name')} ({stored.get('space')})" if stored else "no named encoder"
        raise SpaceMismatch(
            f"{what} was embedded with {have}, the profile asks with {spec.name} ({spec.space}); embed the archive "
            f"anew, without its videos, by: {how_to_embed}"
        )


def well_formed(text: str) -> str:
    """``text`` as UTF-8 can hold it, to be read by tokenizers, sent and written: half a surrogate pair, which JSON can
    bring, becomes a question mark.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
