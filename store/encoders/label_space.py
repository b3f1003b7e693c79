"""The label space: what two classifiers name in a frame, written as text vectors.

No CLIP: nouns of ImageNet-1k and COCO-80 are found, actions, relations, drawings and aerial views are not.  A frame's
vector is the mean of its caption's vector and its labels' vectors, so that a question and a frame meet in the space of
the text encoder.  Scores rank frames; a fixed threshold means nothing here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from pydantic import Field

from ..engines import EngineOptions, identity
from ..errors import EngineMissing
from ..fingerprints import digest
from ..records import Detection, Label
from ..vectors import Vectors, normalised
from ..weights import models
from . import EncoderSpec, ImageBatch, Picture, coco
from .minilm import DIM, MiniLM, MiniLMOptions
from .nouns import plural

_SIDE = 280


class LabelSpaceOptions(EngineOptions):
    """``label_score``: ImageNet labels below it are dropped (at most ``labels`` stay); ``box_score``: COCO boxes."""

    labels: int = Field(4, ge=1, le=20)
    label_score: float = Field(0.08, ge=0, le=1)
    box_score: float = Field(0.3, ge=0, le=1)


@lru_cache(maxsize=1)
def _classifier(threads: int) -> tuple[Any, list[str]]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as e:  # asking questions needs the text side only
        raise EngineMissing("label-space needs ai-edge-litert to read frames: pip install 'vidrag[ingest]'") from e
    files = models.files("efficientnet-lite3")
    with _quiet():
        net = Interpreter(str(files["model.tflite"]), num_threads=threads)
        net.allocate_tensors()
    names = [line.split(",")[0].strip() for line in files["labels.txt"].read_text().splitlines() if line.strip()]
    return net, names


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the words that the runtime writes to stderr when it starts from the user's terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def classify(picture: Picture, threads: int = 1) -> np.ndarray:
    """ImageNet probabilities, float32 ``(1000,)``: the mean over a centre crop and the whole picture, squeezed."""
    import cv2

    net, _ = _classifier(threads)
    h, w = picture.shape[:2]
    side = min(h, w)
    y, x = (h - side) // 2, (w - side) // 2
    total = np.zeros(1000, np.float32)
    views = [picture[y : y + side, x : x + side]] + ([picture] if max(h, w) > 1.05 * side else [])
    for view in views:
        small = cv2.resize(view, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        net.set_tensor(net.get_input_details()[0]["index"], small[None])
        net.invoke()
        total += net.get_tensor(net.get_output_details()[0]["index"])[0].astype(np.float32) / 255
    return total / len(views)


def caption_of(labels: Sequence[Label], detections: Sequence[Detection]) -> str:
    """``a photo of espresso, 2 cups, a spoon``; empty where nothing was recognised."""
    counts = Counter(d.label for d in detections)
    things = [x.name for x in labels]
    things += [n if c == 1 else f"{c} {plural(n)}" for n, c in counts.items() if n not in things or c > 1]
    return f"a photo of {', '.join(things)}" if things else ""


class LabelSpace:
    """Frames as label vectors in MiniLM's space."""

    Options = LabelSpaceOptions
    requires = ("onnxruntime", "tokenizers", "cv2")
    extra = "ingest"
    names = True

    @staticmethod
    def weights(options: LabelSpaceOptions) -> Sequence[str]:
        return ("efficientnet-lite3", coco.WEIGHTS, "minilm-l6-int8")

    def __init__(self, options: LabelSpaceOptions) -> None:
        self.options = options
        ident = identity("image_text_encoder", "label-space", options.model_dump())
        self.spec = EncoderSpec("label-space", digest(ident), DIM)
        self._known: dict[str, Vectors] = {}

    @cached_property
    def _text(self) -> MiniLM:
        """Loaded when it is first needed: a question that is not about pictures never does."""
        return MiniLM(MiniLMOptions(threads=self.options.threads))

    def images(self, pictures: Sequence[Picture]) -> ImageBatch:
        captions, labels, boxes = [], [], []
        for picture in pictures:
            named = self._labels(picture)
            found = coco.detect(picture, self.options.box_score)
            labels.append(named)
            boxes.append(found)
            captions.append(caption_of(named, found))
        vectors = np.zeros((len(pictures), DIM), np.float32)
        for i, caption in enumerate(captions):
            if caption:
                names = list(dict.fromkeys([x.name for x in labels[i]] + [d.label for d in boxes[i]]))
                own = np.stack([self._vector(f"a photo of {n}") for n in names])
                vectors[i] = self._vector(caption) + own.mean(0)
            else:
                vectors[i] = self._vector("a picture of nothing that can be named")
        return ImageBatch(normalised(vectors), tuple(captions), tuple(labels), tuple(boxes))

    def _labels(self, picture: Picture) -> tuple[Label, ...]:
        scores = classify(picture, self.options.threads)
        _, names = _classifier(self.options.threads)
        best = np.argsort(-scores)[: self.options.labels]
        return tuple(Label(names[i], round(float(scores[i]), 4)) for i in best if scores[i] >= self.options.label_score)

    def _vector(self, text: str) -> Vectors:
        if text not in self._known:
            if len(self._known) > 20_000:
                self._known.clear()
            self._known[text] = self._text.documents([text])[0]
        return self._known[text]

    def queries(self, texts: Sequence[str]) -> Vectors:
        return self._text.queries(texts)
