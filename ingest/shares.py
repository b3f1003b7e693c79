"""A long video shared out among workers: the calls of engines are made for one stretch each, the rows written once.

What an engine answers depends on its settings and on what it is given.  So whoever has a stretch decodes that stretch,
makes the calls that it needs and hands in the answers.  Who then works on the whole video finds each answer by the
digest of what is asked, and asks the engine where there is none: the rows are those of a video that is not shared out.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..store import engines
from ..store.archive.pictures import decode_jpeg
from ..store.records import MediaInfo
from . import media, sound_tracks, speech
from .reading import Reader
from .sampling import Sampler, jpeg
from .video_job import Engines

_CALLS = frozenset({"transcribe", "detect", "recognise", "images"})
_SEEN = frozenset({"frames", "text"})
_LEAD_S = 10.0
"""Seconds decoded before a stretch, in which the choice of frames becomes that of the whole video: at the first cut."""


@dataclass(frozen=True, slots=True)
class Share:
    """A stretch of a video, in seconds, and the stages for which calls are made."""

    info: MediaInfo
    stages: frozenset[str]
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return min(self.end, self.info.end or self.end) - self.start


@dataclass(slots=True)
class Answers:
    """What engines answered, by the digest of what they were asked, and what they have to note, by kind."""

    calls: dict[bytes, Any] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    asked: int = 0
    """Calls that were answered by an engine, not from here."""

    def add(self, other: Answers) -> None:
        self.calls |= other.calls
        for kind, notes in other.notes.items():
            self.notes[kind] = list(dict.fromkeys([*self.notes.get(kind, ()), *notes]))


def shared_out(info: MediaInfo, stages: frozenset[str], length: float) -> tuple[Share, ...]:
    """The shares of a video, each at most ``length`` seconds; none where it is shorter, where nothing is to be asked,
    or where ``length`` is 0.
    """
    heard, seen = "speech" in stages and info.has_audio, not stages.isdisjoint(_SEEN) and info.has_video
    end = info.end or 0.0
    if not length or end <= length or not (heard or seen):
        return ()
    edges = np.linspace(0.0, end, int(np.ceil(end / length)) + 1).tolist()
    edges[-1] = float("inf")
    return tuple(Share(info, stages, a, b) for a, b in itertools.pairwise(edges))


def answers(path: Path, share: Share, loaded: Engines) -> Answers:
    """Makes the calls of one share; raises what decoders and engines raise."""
    found = Answers()
    own = AnsweredEngines(loaded, found)
    if "speech" in share.stages:
        _hear(path, share, own)
    if not share.stages.isdisjoint(_SEEN):
        _look(path, share, own)
    found.notes = own.notes()
    return found


def _hear(path: Path, share: Share, loaded: Engines) -> None:
    settings, info = loaded.settings, share.info
    track = sound_tracks.in_order(info, settings.speech)[0]
    sound = media.audio(path, info, settings.media, track)
    for _ in speech.transcripts(sound, loaded.get("asr"), settings.speech, share.start, share.end):
        pass


def _look(path: Path, share: Share, loaded: Engines) -> None:
    settings, sampling = loaded.settings, loaded.settings.sampling
    reader = Reader(loaded.get("ocr"), settings.reading) if "text" in share.stages else None
    encoder = loaded.get("image_text_encoder") if "frame_vectors" in share.stages else None
    rate, since = sampling.rate_in(share.info), share.start - _LEAD_S
    source = media.frames(path, share.info, settings.media, rate, sampling.read_side, since)
    for kept in Sampler(sampling).keep(itertools.takewhile(lambda f: f.time < share.end, source)):
        if kept.start < share.start:
            continue
        if reader:
            reader.lines(kept.picture)
        if encoder:
            stored, _, _ = jpeg(kept.picture, sampling.stored_side, sampling.jpeg_quality)
            encoder.images([decode_jpeg(stored)])


class AnsweredEngines(Engines):
    """Engines that are asked only what ``given`` does not answer; what they answer is added to it."""

    def __init__(self, loaded: Engines, given: Answers) -> None:
        super().__init__(loaded.settings)
        self._inner, self._given = loaded, given

    def get(self, kind: engines.Kind) -> Any:
        if kind not in self._loaded:
            self._loaded[kind] = _Answered(self._inner, kind, self._given)
        return self._loaded[kind]

    def notes(self) -> dict[str, list[str]]:
        """What the engines that were needed have to note, by kind."""
        return {kind: engine.notes for kind, engine in self._loaded.items()}


class _Answered:
    """One engine, loaded when it is asked what is not answered."""

    def __init__(self, engines: Engines, kind: engines.Kind, given: Answers) -> None:
        self._engines, self._kind, self._given = engines, kind, given

    @property
    def notes(self) -> list[str]:
        own = getattr(self._engines.loaded(self._kind), "notes", ())
        return list(dict.fromkeys([*self._given.notes.get(self._kind, ()), *own]))

    def __getattr__(self, name: str) -> Any:
        if name not in _CALLS:
            return getattr(self._engines.get(self._kind), name)

        def call(*args: Any, **more: Any) -> Any:
            key = digest_of(self._kind, name, args, sorted(more.items()))
            if key not in self._given.calls:
                self._given.calls[key] = getattr(self._engines.get(self._kind), name)(*args, **more)
                self._given.asked += 1
            return self._given.calls[key]

        return call


def digest_of(*asked: Any) -> bytes:
    """A digest of arrays, texts, numbers and sequences of them."""
    digest = hashlib.blake2b(digest_size=16)

    def feed(value: Any) -> None:
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        elif isinstance(value, list | tuple):
            digest.update(f"{len(value)}".encode())
            for one in value:
                feed(one)
        else:
            digest.update(f"{type(value).__name__}{value!r}".encode())

    feed(asked)
    return digest.digest()
