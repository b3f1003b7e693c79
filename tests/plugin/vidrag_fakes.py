"""A whole third-party plugin: one deterministic engine named ``fake`` of each kind, without weights.

- ``asr`` hears one word, "beep", for each loud stretch of sound;
- ``ocr`` finds bright boxes and reads them as "<colour> sign <width in percent of the picture>";
- ``text_encoder`` hashes words to 64 dimensions; ``image_text_encoder`` writes the colours of a picture as such a text;
- ``reranker`` likes texts whose words the question has;
- ``detector`` knows a red ball, a blue box, a green tree and a yellow star, by their colour;
- ``chat`` gives scripted replies, or one that fits the schema, and records its calls.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from vidrag.ingest.asr import Transcript
from vidrag.ingest.ocr import Quads
from vidrag.query.answer.models import LanguageModel
from vidrag.query.types import Message, Reply
from vidrag.store.encoders import EncoderSpec, ImageBatch, Picture
from vidrag.store.engines import EngineOptions, identity
from vidrag.store.errors import EngineFailed
from vidrag.store.fingerprints import digest
from vidrag.store.records import Detection, Label, Segment, Span, Word
from vidrag.store.vectors import Vectors, normalised

DIM = 64
RATE = 16_000
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 160, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "black": (0, 0, 0),
}
THINGS = {"red": "red ball", "blue": "blue box", "green": "green tree", "yellow": "yellow star"}


class _Fake:
    """What every engine class brings to the door."""

    requires = ("numpy",)
    extra = "dev"

    def __init__(self, options: Any) -> None:
        self.options = options

    @staticmethod
    def weights(options: Any) -> Sequence[str]:
        return ()


class FakeSpeechOptions(EngineOptions):
    """``level``: loudness (root mean square) from which sound is speech.  ``word``: what is heard."""

    level: float = Field(0.02, gt=0, le=1)
    word: str = "beep"


class FakeSpeech(_Fake):
    Options = FakeSpeechOptions

    def transcribe(self, audio: NDArray[np.float32], language: str | None, fallback: str | None = None) -> Transcript:
        window = RATE // 50
        count = -(-len(audio) // window)
        padded = np.zeros(count * window, np.float64)
        padded[: len(audio)] = audio
        loud = np.sqrt(np.square(padded.reshape(-1, window)).mean(1)) >= self.options.level
        segments = []
        for first, last in _runs(loud, bridge=10):
            start, end = first * window / RATE, min(last * window, len(audio)) / RATE
            word = Word(start, end, self.options.word, 1.0)
            segments.append(Segment(start, end, word.text, (word,), language or fallback or "en", None, -0.1, 0.0, 1.0))
        if not segments:
            return Transcript((), None, 0.0)
        voiced = tuple(Span(s.start, s.end) for s in segments)
        return Transcript(tuple(segments), language or fallback or "en", 1.0, voiced)


class TroubleOptions(FakeSpeechOptions):
    """``how`` it goes wrong on sound longer than ``above_s`` seconds.  ``delay_s``: how long any call takes.

    ``gpu`` does not go wrong: it hears which GPUs its process may use.  ``model``: weights that have to be there.
    """

    how: Literal["kill", "crash", "hang", "raise", "memory", "gpu", "fine"] = "fine"
    above_s: float = 1.5
    delay_s: float = 0.0
    model: str = ""


class Trouble(FakeSpeech):
    """Hears like the fake, but some sound kills the process, crashes it, or is never done."""

    Options = TroubleOptions

    @staticmethod
    def weights(options: TroubleOptions) -> Sequence[str]:
        return (options.model,) if options.model else ()

    def __init__(self, options: TroubleOptions) -> None:
        if options.how == "gpu":
            options = options.model_copy(update={"word": f"gpu {os.environ.get('CUDA_VISIBLE_DEVICES')}"})
        super().__init__(options)

    def transcribe(self, audio: NDArray[np.float32], language: str | None, fallback: str | None = None) -> Transcript:
        time.sleep(self.options.delay_s)
        if len(audio) > self.options.above_s * RATE:
            match self.options.how:
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "crash":
                    os.kill(os.getpid(), signal.SIGSEGV)
                case "hang":
                    time.sleep(3600)
                case "memory":
                    held = []
                    while True:
                        held.append(b"\1" * (32 << 20))
                        time.sleep(0.02)
                case "raise":
                    raise RuntimeError("an engine in trouble")
        return super().transcribe(audio, language, fallback)


def _runs(flags: NDArray[np.bool_], bridge: int) -> list[tuple[int, int]]:
    """Half-open stretches of true flags; gaps shorter than ``bridge`` belong to them."""
    runs: list[tuple[int, int]] = []
    for i in np.flatnonzero(flags).tolist():
        if runs and i - runs[-1][1] < bridge:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    return runs


class FakeTextOptions(EngineOptions):
    """``bright``: least value of a pixel's brightest channel that belongs to a sign."""

    bright: int = Field(200, ge=1, le=255)


class FakeText(_Fake):
    Options = FakeTextOptions

    def _mask(self, picture: Picture) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = picture.max(2) >= self.options.bright
        return mask

    def detect(self, picture: Picture) -> Quads:
        h, w = picture.shape[:2]
        boxes = _blobs(self._mask(picture), across=max(1, w // 16))
        quads = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1, _ in boxes if x1 - x0 < 0.9 * w]
        if not quads:
            return np.zeros((0, 4, 2), np.float32)
        return (np.array(quads, np.float32) / np.array([w, h], np.float32)).astype(np.float32)

    def recognise(self, picture: Picture, quads: Quads) -> Sequence[tuple[str, float]]:
        h, w = picture.shape[:2]
        out = []
        for quad in quads:
            (x0, y0), (x1, y1) = quad.min(0) * (w, h), quad.max(0) * (w, h)
            crop = picture[round(y0) : round(y1), round(x0) : round(x1)]
            bright = crop[self._mask(crop)] if crop.size else np.zeros((0, 3), np.uint8)
            width = round(100 * (x1 - x0) / w)
            out.append((f"{_colour(bright.mean(0))} sign {width}", 0.99) if len(bright) else ("", 0.0))
        return out


def _colour(rgb: NDArray[np.float64]) -> str:
    return min(COLOURS, key=lambda name: float(np.abs(np.asarray(COLOURS[name]) - rgb).sum()))


def _named(picture: Picture) -> NDArray[np.int64]:
    """The index in ``COLOURS`` of the colour next to each pixel, ``(H, W)``."""
    far = [np.abs(picture.astype(np.int16) - np.array(rgb, np.int16)).sum(2) for rgb in COLOURS.values()]
    return np.argmin(np.stack(far), 0)


def _blobs(mask: NDArray[np.bool_], across: int = 1) -> list[tuple[int, int, int, int, float]]:
    """Boxes ``(x0, y0, x1, y1, filled share)`` in pixels of connected areas, joined over gaps of ``across`` columns."""
    import cv2

    joined = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((1, across), np.uint8))
    _, marks, stats, _ = cv2.connectedComponentsWithStats(joined)
    out = []
    for i, (x, y, w, h, _) in enumerate(stats.tolist()):
        if i and w >= 4 and h >= 4:
            own = marks[y : y + h, x : x + w] == i
            out.append((x, y, x + w, y + h, float((mask[y : y + h, x : x + w] & own).mean())))
    return sorted(out, key=lambda b: (b[1], b[0]))


class FakeTextEncoderOptions(EngineOptions):
    """``salt``: another value gives another space."""

    salt: int = Field(0, ge=0, le=9)


def _words(text: str) -> list[str]:
    return [w[:-1] if len(w) > 3 and w.endswith("s") else w for w in re.findall(r"\w+", text.lower())]


def _bag(texts: Sequence[str], salt: int) -> Vectors:
    rows = np.zeros((len(texts), DIM), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in _words(text) or [""]:
            data = f"{salt} {word}".encode("utf-8", "surrogatepass")
            row[hashlib.blake2b(data, digest_size=2).digest()[0] % DIM] += 1
    return normalised(rows)


class FakeTextEncoder(_Fake):
    Options = FakeTextEncoderOptions

    def __init__(self, options: FakeTextEncoderOptions) -> None:
        super().__init__(options)
        self.spec = EncoderSpec("fake", digest(identity("text_encoder", "fake", options.model_dump())), DIM)

    def documents(self, texts: Sequence[str]) -> Vectors:
        return _bag(texts, self.options.salt)

    queries = documents

    def count_tokens(self, text: str) -> int:
        return len(_words(text))


class FakeImageTextEncoderOptions(EngineOptions):
    """``labels``: most colours named.  ``share``: least part of the picture that a named colour covers."""

    labels: int = Field(3, ge=1, le=7)
    share: float = Field(0.02, ge=0, le=1)


class FakeImageTextEncoder(_Fake):
    Options = FakeImageTextEncoderOptions

    def __init__(self, options: FakeImageTextEncoderOptions) -> None:
        super().__init__(options)
        self.spec = EncoderSpec("fake", digest(identity("image_text_encoder", "fake", options.model_dump())), DIM)

    def images(self, pictures: Sequence[Picture]) -> ImageBatch:
        labels = tuple(self._labels(p) for p in pictures)
        captions = tuple(f"a photo of {', '.join(x.name for x in named)}" if named else "" for named in labels)
        boxes = tuple(_things(p, 0.5) for p in pictures)
        return ImageBatch(_bag(captions, 0), captions, labels, boxes)

    def _labels(self, picture: Picture) -> tuple[Label, ...]:
        shares = np.bincount(_named(picture).ravel(), minlength=len(COLOURS)) / (picture.size / 3)
        named = [Label(n, float(s)) for n, s in zip(COLOURS, shares, strict=True) if s > 0 and s >= self.options.share]
        return tuple(sorted(named, key=lambda x: -x.score)[: self.options.labels])

    def queries(self, texts: Sequence[str]) -> Vectors:
        return _bag(texts, 0)


class FakeDetectorOptions(EngineOptions):
    """``threshold``: least share of its box that a thing fills."""

    threshold: float = Field(0.5, ge=0, le=1)


def _things(picture: Picture, threshold: float) -> tuple[Detection, ...]:
    h, w = picture.shape[:2]
    near, names, found = _named(picture), list(COLOURS), []
    for colour, thing in THINGS.items():
        for x0, y0, x1, y1, filled in _blobs(near == names.index(colour)):
            if filled >= threshold:
                found.append(Detection(thing, round(filled, 4), (x0 / w, y0 / h, x1 / w, y1 / h)))
    return tuple(sorted(found, key=lambda d: -d.score))


class FakeDetector(_Fake):
    Options = FakeDetectorOptions

    def __init__(self, options: FakeDetectorOptions) -> None:
        super().__init__(options)
        self.identity = digest(identity("detector", "fake", options.model_dump()))

    def knows(self, entity: str) -> str | None:
        words = set(re.findall(r"[a-z]+", entity.lower()))
        words |= {w.removesuffix("es") for w in words} | {w.removesuffix("s") for w in words}
        for colour, thing in THINGS.items():
            others = words & set(COLOURS) - {colour}
            if thing.split()[1] in words and not others:
                return thing
        return None

    def detect(self, picture: Picture, entities: Sequence[str]) -> tuple[Detection, ...]:
        wanted = {self.knows(e) for e in entities}
        return tuple(d for d in _things(picture, self.options.threshold) if d.label in wanted)


class FakeReranker(_Fake):
    """The share of a text's words that the question has."""

    Options = EngineOptions
    identity = "fake"

    def scores(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        asked = set(re.findall(r"\w+", question.lower()))
        own = [re.findall(r"\w+", t.lower()) for t in texts]
        return np.array([sum(w in asked for w in t) / max(1, len(t)) for t in own], np.float32)


class FakeChatOptions(EngineOptions):
    """``replies``: given in order, the last one again and again; none: a reply that fits the schema.  ``images``: wants
    pictures.  ``fails``: every call fails.
    """

    replies: tuple[str, ...] = ()
    images: bool = False
    fails: bool = False


class FakeChat(_Fake, LanguageModel):
    """``calls`` holds ``(messages, schema, max_tokens)`` of every call."""

    Options = FakeChatOptions

    def __init__(self, options: FakeChatOptions) -> None:
        super().__init__(options)
        self.looks = options.images
        self.calls: list[tuple[tuple[Message, ...], Mapping[str, Any] | None, int]] = []

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 300,
        tell: Callable[[str], object] | None = None,
    ) -> Reply:
        self.calls.append((tuple(messages), schema, max_tokens))
        if self.options.fails:
            raise EngineFailed("the fake model fails, as it was told to")
        text = self._text(messages, schema)
        if tell:
            tell(text)
        return Reply(text=text)

    def _text(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> str:
        replies = self.options.replies
        if replies:
            return replies[min(len(self.calls), len(replies)) - 1]
        ids = re.findall(r"^\[(E\d+)\]", "\n".join(m.text for m in messages), re.M)
        fields: Mapping[str, Any] = (schema or {}).get("properties", {"answer": {"type": "string"}})
        return json.dumps({name: _value(name, form, ids) for name, form in fields.items()})


def _value(name: str, form: Mapping[str, Any], ids: Sequence[str]) -> Any:
    """A value of the JSON schema ``form``: the first id, the first choice, or something empty."""
    types = form.get("type", "string")
    kind = types if isinstance(types, str) else next((t for t in types if t == "null"), types[0])
    if name == "citations":
        return list(ids[:1])
    if "enum" in form:
        return form["enum"][0]
    if "anyOf" in form:
        return None
    empty: Mapping[str, Any] = {"array": [], "boolean": True, "null": None, "object": {}, "integer": 0, "number": 0}
    return empty.get(kind, f"fake {name}")
