"""The speech stage of one video, from whichever source was chosen for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..store.errors import MediaError
from ..store.records import Cell, MediaInfo
from . import captions, steps
from .asr import SpeechRecogniser
from .captions import SpeechSource
from .stages import IngestSettings
from .steps import Clock, Made, Table
from .subtitles import Subtitles


def speech_step(
    path: Path,
    video: str,
    info: MediaInfo,
    settings: IngestSettings,
    source: SpeechSource,
    recognised: Cell | None,
    asr: Callable[[], SpeechRecogniser],
    folder: Path,
) -> Made:
    """Speech rows from subtitles or the recogniser; the cell says from which, and what was passed over.

    ``recognised`` is the cell of recognised speech where there is one already: what falls back to it costs nothing.
    """
    notes = source.notes
    if source.kind == "sidecar" and source.subtitles:
        return _cues(video, source, source.subtitles, {"file": source.name}, folder, Clock(), notes)
    if source.kind == "none":
        return _nothing(source, source.broken, "no subtitle file and no text track", notes)
    if source.kind == "embedded" and source.track:
        clock = Clock()
        try:
            found, warning = captions.embedded(path, info, source.track, settings.subtitles, settings.media)
            if warning and settings.strict:
                return _nothing(source, MediaError(f"{path.name}: {warning}"), "", notes)
            where = {"track": source.track.index, **({"warning": warning} if warning else {})}
            return _cues(video, source, found, where, folder, clock, notes)
        except MediaError as e:
            if not source.recognise or not e.permanent:
                return _nothing(source, e, "", notes)
            notes = (*notes, f"subtitles not used: {e}")
    if recognised and recognised.status != "failed" and recognised.fingerprint != source.fingerprint:
        free = dataclasses.replace(recognised, fingerprint=source.fingerprint, seconds=0.0, cpu_seconds=0.0)
        made = Made({"speech": free})
    else:
        made = steps.speech_rows(path, video, info, settings, source.fingerprint, asr, folder)
    return _with(made, {"source": "asr"}, notes)


def _with(made: Made, data: dict[str, Any], notes: tuple[str, ...]) -> Made:
    cell = made.cells["speech"]
    own = [str(cell.data["note"])] if "note" in cell.data else []  # the engine's
    made.cells["speech"] = dataclasses.replace(cell, data={**data, **cell.data, **steps.noted(*notes, *own)})
    return made


def _cues(
    video: str,
    source: SpeechSource,
    found: Subtitles,
    where: dict[str, Any],
    folder: Path,
    clock: Clock,
    notes: tuple[str, ...],
) -> Made:
    made = Made()
    table = Table(folder, "speech", video, source.fingerprint)
    voices = steps.Voices()
    table.write(voices.through(found.rows))
    status, files = table.close(made)
    data = {"source": source.kind, **where, **captions.told(found), **voices.data()}
    made.cells["speech"] = Cell("speech", source.fingerprint, status, files, data, **clock.read())
    return _with(made, {}, notes)


def _nothing(source: SpeechSource, error: MediaError | None, reason: str, notes: tuple[str, ...]) -> Made:
    """Subtitles alone were asked for: there are none, or the ones there are cannot be read."""
    if error:
        cell = steps.failed("speech", source.fingerprint, error)
    else:
        cell = Cell("speech", source.fingerprint, "none", data={"reason": reason})
    return _with(Made({"speech": cell}), {"source": "subtitles"}, notes)
