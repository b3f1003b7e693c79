"""A profile becomes engines and an Asker."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..ingest.stages import EngineChoice
from ..query.answer.models.remembered import remembering
from ..query.asker import Asker
from ..query.find.results import Lister
from ..query.find.search import Searcher
from ..query.look.detections import DetectionCache
from ..store import engines
from ..store.archive.archive import Archive
from ..store.encoders import EncoderSpec, ImageTextEncoder, TextEncoder
from ..store.engines import devices
from ..store.errors import EngineMissing
from ..store.index.index import Kind
from ..store.weights import models
from .profile import Profile


class Load(Protocol):
    """Makes an engine, as :func:`~vidrag.store.engines.load` does; one that keeps them lets several askers share."""

    def __call__(self, kind: engines.Kind, name: str, values: Mapping[str, Any] | None = None) -> Any: ...


def shared_engines() -> Load:
    """Loads each engine once, whoever asks for it."""
    kept: dict[str, Any] = {}

    def load(kind: engines.Kind, name: str, values: Mapping[str, Any] | None = None) -> Any:
        key = json.dumps([kind, name, dict(values or {})], sort_keys=True, default=str)
        if key not in kept:
            kept[key] = engines.load(kind, name, values)
        return kept[key]

    return load


INGEST_KINDS: tuple[engines.Kind, ...] = ("asr", "ocr", "text_encoder", "image_text_encoder")
_ASKING: tuple[engines.Kind, ...] = ("reranker", "detector", "chat")


def choice_of(profile: Profile, kind: engines.Kind) -> EngineChoice:
    found: EngineChoice = getattr(profile, kind) if kind in _ASKING else getattr(profile.ingest, kind)
    return found


def device_of(choice: EngineChoice) -> str:
    """The device that an engine on torch is told to use by name; empty for any, and where there is no torch."""
    wanted = str(choice.options.get("device", "auto"))
    return "" if wanted in ("auto", "cpu") or importlib.util.find_spec("torch") is None else wanted


def check(profile: Profile, kinds: tuple[engines.Kind, ...]) -> None:
    """Fails before any work where an engine's packages or weights are missing or damaged."""
    check_engines({k: choice_of(profile, k) for k in kinds})


def check_engines(choices: Mapping[engines.Kind, EngineChoice], here: bool = False) -> None:
    """As :func:`check`, for a worker, which knows no profile; ``here``: the engines will run on this machine, so the
    devices that are asked for by name must be there.
    """
    for kind, choice in choices.items():
        cls = engines.find(kind, choice.name)
        if missing := engines.missing_modules(cls):
            raise EngineMissing(
                f"{kind} engine '{choice.name}' needs {', '.join(missing)}; "
                f"install it with: pip install 'vidrag[{cls.extra}]'"
            )
        options = engines.options(kind, choice.name, choice.options)
        for ref in cls.weights(options):
            models.open_files(ref)
        if here and (name := device_of(choice)):
            devices.device(name)


def asker(archive: Archive, profile: Profile, load: Load = engines.load) -> Asker:
    """An Asker with the profile's engines over the cells of the profile, ready for its first question."""
    archive = archive.under(profile.key())
    text = load("text_encoder", *_of(profile, "text_encoder"))
    picture = load("image_text_encoder", *_of(profile, "image_text_encoder"))
    reranker = load("reranker", *_of(profile, "reranker"))
    detector = load("detector", *_of(profile, "detector"))
    chat = remembering(load("chat", *_of(profile, "chat")), archive.cache_file("replies.sqlite"))
    fallback = chat if profile.chat.name == "extractive" else load("chat", "extractive")
    cache = DetectionCache(detector, archive.cache_file("detections.sqlite"))
    prints = {
        "profile": profile.fingerprint(),
        "text_encoder": text.spec.space,
        "image_text_encoder": picture.spec.space,
        "reranker": reranker.identity,
        "detector": detector.identity,
        "chat": getattr(chat, "identity", "") or profile.chat.name,
    }
    found = Searcher(archive, _spaces(text, picture), profile.search)
    return Asker(archive, text, picture, cache, chat, fallback, profile.ask, profile.name, prints, found, reranker)


def lister(archive: Archive, profile: Profile, kinds: Sequence[Kind], load: Load = engines.load) -> Lister:
    """What lists moments of ``kinds`` over the cells of the profile."""
    text = load("text_encoder", *_of(profile, "text_encoder"))
    picture = load("image_text_encoder", *_of(profile, "image_text_encoder")) if "frames" in kinds else None
    found = Searcher(archive.under(profile.key()), _spaces(text, picture), profile.search)
    return Lister(found, text, picture, profile.ask.retrieve)


def _spaces(text: TextEncoder, picture: ImageTextEncoder | None) -> dict[Kind, EncoderSpec]:
    """Which encoder asks for rows of each kind."""
    spaces: dict[Kind, EncoderSpec] = dict.fromkeys(("speech", "text"), text.spec)
    return spaces if picture is None else {**spaces, "frames": picture.spec}


def _of(profile: Profile, kind: engines.Kind) -> tuple[str, dict[str, object]]:
    choice = choice_of(profile, kind)
    return choice.name, dict(choice.options)
