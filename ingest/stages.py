"""The stage graph and the fingerprints.

::

    media ─┬─ frames ─┬─ frame_vectors ────────┐
           │          └─ text ── text_vectors ─┼─ chapters
           └─ speech ── speech_vectors ────────┘

A cell is (video, stage, fingerprint).  The fingerprint hashes the stage's code version, its options, its engine with
weights, and the fingerprints of the stages it reads; so a changed option reaches exactly what depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..store import engines
from ..store.archive.schema import VERSIONS
from ..store.fingerprints import digest
from ..store.options import Options
from .chapters import ChapterOptions
from .media import MediaOptions
from .reading import ReadingOptions
from .sampling import SamplingOptions
from .speech import SpeechOptions
from .subtitles import SubtitleOptions
from .tracks import TrackOptions

READS: Mapping[str, tuple[str, ...]] = {
    "media": (),
    "frames": ("media",),
    "text": ("frames",),
    "frame_vectors": ("frames",),
    "text_vectors": ("text",),
    "speech": ("media",),
    "speech_vectors": ("speech",),
    "chapters": ("frames", "frame_vectors", "text", "text_vectors", "speech", "speech_vectors"),
}
"""Every stage, in an order in which each comes after what it reads."""

STAGES = tuple(READS)
FROM_STORE = ("frame_vectors", "text_vectors", "speech_vectors", "chapters")
"""The stages that read what is stored of a video and never the video itself, in order."""


def readers(stage: str) -> set[str]:
    """Every stage that reads ``stage``, directly or not."""
    direct = {s for s, reads in READS.items() if stage in reads}
    return direct.union(*(readers(s) for s in direct))


GROUPS: Mapping[str, tuple[str, ...]] = {
    "visual": ("media", "frames", "text", "frame_vectors", "text_vectors", "chapters"),
    "sound": ("media", "speech", "speech_vectors", "chapters"),
}
"""What a worker does in one go: the two groups of one video can run side by side.  A stage of both reads what both
make: whichever group is done last computes it, and should both do so, they give the same bytes under one name.
"""
ENGINE_OF: Mapping[str, engines.Kind] = {
    "frame_vectors": "image_text_encoder",
    "text": "ocr",
    "text_vectors": "text_encoder",
    "speech": "asr",
    "speech_vectors": "text_encoder",
}
"""The engine that computes a stage; speech that comes from subtitles has none."""
SHARED = frozenset(GROUPS["visual"]) & frozenset(GROUPS["sound"])

_SUBTITLES = 5
"""The code that makes rows of subtitle files; a higher number reads them again and recognises nothing again."""
_CODE: Mapping[str, int] = {**dict.fromkeys(STAGES, 1), "media": 3, "speech": 3, "chapters": 2}
"""Raised when the code of a stage changes its results."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine by name with its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Everything that decides what ingest computes.  ``strict``: a video that decodes in part only has failed."""

    media: MediaOptions
    sampling: SamplingOptions
    reading: ReadingOptions
    tracks: TrackOptions
    speech: SpeechOptions
    subtitles: SubtitleOptions
    chapters: ChapterOptions
    asr: EngineChoice
    ocr: EngineChoice
    text_encoder: EngineChoice
    image_text_encoder: EngineChoice
    strict: bool = False


def fingerprints(settings: IngestSettings) -> dict[str, str]:
    """The fingerprint of every stage under ``settings``, speech being recognised; the same for every video.

    Loads no model.
    """
    return _completed(settings, {}, STAGES)


def from_rows(settings: IngestSettings, rows: Mapping[str, str]) -> dict[str, str]:
    """The fingerprints of one video whose stored rows have the fingerprints ``rows``, by stage, whatever made these:
    those of :data:`FROM_STORE` under ``settings``, where what they read is there.
    """
    given = {s: fp for s, fp in rows.items() if s in STAGES and s not in FROM_STORE}
    return _completed(settings, given, FROM_STORE)


def _completed(settings: IngestSettings, given: Mapping[str, str], stages: Iterable[str]) -> dict[str, str]:
    """``given`` with the fingerprints of ``stages``; a stage is left out where one that it reads has none."""
    out = dict(given)
    for stage in stages:
        if all(r in out for r in READS[stage]):
            out[stage] = digest([stage, _CODE[stage], _own(settings, stage), [out[r] for r in READS[stage]]])
    return out


def settings_key(settings: IngestSettings) -> str:
    """Names all options that decide what ingest makes; not the weights, which need not be where questions are asked."""
    own: dict[str, Any] = {}
    for one in fields(settings):
        value = getattr(settings, one.name)
        if isinstance(value, EngineChoice):
            own[one.name] = [value.name, engines.options(one.name, value.name, value.options).identity()]  # type: ignore[arg-type]
        else:
            own[one.name] = value.identity() if isinstance(value, Options) else value
    return digest(own)


def _own(settings: IngestSettings, stage: str) -> list[Any]:
    """What decides the result of a stage besides the stages that it reads."""

    def engine(kind: engines.Kind) -> Any:
        choice: EngineChoice = getattr(settings, kind)
        return engines.identity(kind, choice.name, choice.options)

    match stage:
        case "media":
            return [settings.media.identity()]
        case "frames":
            return [settings.sampling.identity(), settings.strict, VERSIONS["frames"]]
        case "text":
            return [settings.reading.identity(), settings.tracks.identity(), engine("ocr"), VERSIONS["text"]]
        case "frame_vectors":
            return [engine("image_text_encoder"), VERSIONS["labels"]]
        case "speech":
            return [settings.speech.identity(), settings.strict, engine("asr"), VERSIONS["speech"]]
        case "chapters":
            return [settings.chapters.identity(), VERSIONS["chapters"]]
        case _:  # vectors of texts
            return [engine("text_encoder")]


def subtitle_print(prints: Mapping[str, str], what: Any) -> str:
    """The fingerprint of a speech cell that comes from subtitles, or fell back from them: ``what`` identifies them."""
    return digest(["speech", _CODE["speech"], ["subtitles", _SUBTITLES, what, VERSIONS["speech"]], [prints["media"]]])


def with_speech(settings: IngestSettings, prints: Mapping[str, str], speech: str) -> dict[str, str]:
    """The map of one video whose speech has the fingerprint ``speech``, from that of its settings."""
    if speech == prints["speech"]:
        return dict(prints)
    changed = readers("speech")
    given = {s: fp for s, fp in prints.items() if s not in changed}
    return _completed(settings, {**given, "speech": speech}, (s for s in STAGES if s in changed))
