"""Which sound track of a video is the one that people listen to."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..store.errors import MediaError
from ..store.records import MediaInfo, Segment, SoundTrack
from ..store.shell import counted
from . import media
from .asr import SpeechRecogniser
from .languages import language_of
from .speech import SpeechOptions, recognise
from .stages import IngestSettings


def in_order(info: MediaInfo, options: SpeechOptions) -> list[SoundTrack]:
    """The tracks to try, best first: the one that is asked for alone; else those in the language that is spoken, those
    that are no commentary, the default one.

    The next one is tried where nobody speaks on the one before.  :class:`MediaError` where the file lacks the track
    that is asked for.
    """
    tracks = list(info.audio)
    if options.audio_track:
        if options.audio_track > len(tracks):
            told = counted(len(tracks), "sound track")
            raise MediaError(f"has {told}, not a track {options.audio_track} (speech.audio_track)")
        return [tracks[options.audio_track - 1]]

    def rank(track: SoundTrack) -> tuple[int, bool, bool]:
        spoken = language_of(track.language)
        strange = 0 if not options.language or spoken == options.language else 1 if spoken is None else 2
        return strange, track.commentary, not track.default

    return sorted(tracks, key=rank)


def language(info: MediaInfo, options: SpeechOptions) -> str | None:
    """The language that the file gives for the track that is tried first; None where it gives none."""
    try:
        return next((language_of(t.language) for t in in_order(info, options)), None)
    except MediaError:
        return None


@dataclass(frozen=True, slots=True)
class Heard:
    """What is said on one track: ``rows`` are recognised as they are taken, afterwards ``sound`` says how it went."""

    rows: Iterable[Segment]
    sound: media.Audio
    notes: tuple[str, ...]


def heard(path: Path, info: MediaInfo, settings: IngestSettings, engine: SpeechRecogniser) -> Heard:
    """The first track with a row that nothing speaks against, else the first one that decodes.

    Raises :class:`MediaError` where none does.
    """
    first: Heard | None = None
    broken: MediaError | None = None
    without = list[SoundTrack]()
    for track in in_order(info, settings.speech):
        sound = media.audio(path, info, settings.media, track)
        rows, doubtful = recognise(sound, engine, settings.speech), list[Segment]()
        try:
            for row in rows:
                doubtful.append(row)
                if not row.flags:
                    return Heard(itertools.chain(doubtful, rows), sound, _notes(track, without, info))
        except MediaError as e:
            broken = broken or e
        else:
            first = first or Heard(doubtful, sound, _notes(track, (), info))
        without.append(track)
    if first:
        return first
    raise broken or MediaError(f"{path.name}: no sound track that can be decoded")


def _notes(taken: SoundTrack, without: Sequence[SoundTrack], info: MediaInfo) -> tuple[str, ...]:
    """What a user should know of the choice: nothing where there was none."""
    if len(info.audio) < 2:
        return ()
    number = {t.index: i for i, t in enumerate(info.audio, 1)}
    about = ", ".join(x for x in (taken.title, taken.language) if x)
    silent = ", ".join(str(number[t.index]) for t in without)
    why = f"; no speech on track {silent}" if silent else ""
    return (f"sound track {number[taken.index]} of {len(info.audio)} taken{f' ({about})' if about else ''}{why}",)
