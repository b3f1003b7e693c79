"""A question as vectors: of its texts only those are encoded that something stored can be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...store.encoders import ImageTextEncoder, TextEncoder
from ...store.vectors import Vectors
from ..types import Request
from .retrieve import query_vectors
from .rows import RowKind


@dataclass(frozen=True, slots=True)
class Encoded:
    """``queries``: the query vector of each kind of row, ``(dim,)``; ``captions`` of the request and ``pictures`` of
    the options, ``(n, dim)`` in the space of pictures, empty where none are looked at.
    """

    queries: dict[RowKind, Vectors]
    captions: Vectors
    pictures: Vectors


def encode(
    question: str,
    request: Request,
    choices: Sequence[str],
    texts: TextEncoder,
    pictures: ImageTextEncoder,
    written: bool,
    looks: bool,
) -> Encoded:
    """One batch of each encoder that is needed.

    ``written``: there are rows of screen text, which things are looked for in; ``looks``: there are frames to look at.
    """
    spoken, things = own_request(question, request), request.det if written else ()
    found = texts.queries([question, *spoken, *things])
    cut = len(request.captions)
    looked = [*request.captions, *(f"a photo of {c}" for c in choices)] if looks else []
    seen = pictures.queries(looked) if looked else np.zeros((0, pictures.spec.dim), np.float32)
    first = 1 + len(spoken)
    return Encoded(query_vectors(found[0], found[1] if spoken else None, list(found[first:])), seen[:cut], seen[cut:])


def own_request(question: str, request: Request) -> list[str]:
    """The speech request where it says more than the question: one that is the question's own words, as rules make
    it, has nearly the question's vector and finds the same rows.
    """
    own = request.asr is None or request.asr.lower() in " ".join(question.split()).lower()
    return [] if own else [str(request.asr)]
