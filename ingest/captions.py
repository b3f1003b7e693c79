"""Where the speech of one video comes from: a subtitle file beside it, a text track inside, or the recogniser.

The choice is made before anything is computed, because the fingerprint of the speech follows from it: a changed
subtitle file reaches speech and its vectors and nothing else, and a video without subtitles has the same speech cell
whatever the options say.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..store.errors import MediaError, one_line
from ..store.fingerprints import digest
from ..store.records import MediaInfo, SubtitleTrack
from . import media, sound_tracks, subtitles
from .languages import language_of
from .media import MediaOptions
from .sidecars import Sidecar, best_first, folder_of
from .stages import IngestSettings, subtitle_print, with_speech
from .subtitles import SubtitleOptions, Subtitles


@dataclass(frozen=True, slots=True)
class SpeechSource:
    """Where the speech of one video comes from.

    ``fingerprint`` is that of the speech cell, ``plain`` the one of recognised speech.  ``recognise``: the recogniser
    steps in where the text track ``track`` turns out to hold nothing.  ``notes`` say what was passed over and why;
    ``broken`` is the cause where subtitles alone were asked for and those there are cannot be read.
    """

    kind: Literal["sidecar", "embedded", "asr", "none"]
    fingerprint: str
    plain: str
    recognise: bool
    notes: tuple[str, ...] = ()
    subtitles: Subtitles | None = None
    name: str = ""
    track: SubtitleTrack | None = None
    broken: MediaError | None = None


class Beside:
    """The subtitle files of a video that is known under ``paths``, the best ones first.

    ``wanted``: the language to prefer; ``unused``: notes on what is there and cannot be used.
    """

    def __init__(self, paths: Iterable[Path], wanted: str | None) -> None:
        self.wanted = wanted
        self.sidecars: list[Sidecar] = []
        self.unused: list[str] = []
        for i, path in enumerate(paths):
            folder = folder_of(path.parent)
            if folder.problem and i == 0 and os.path.lexists(path):
                self.unused.append(f"subtitles not looked for: its folder cannot be listed ({folder.problem})")
            found = folder.of(path.name)
            self.sidecars += best_first([s for s in found if s.read], wanted)
            self.unused += [f"subtitles not used: {s.path.name}: this format is not read" for s in found if not s.read]

    def notes(self, taken: Sidecar) -> list[str]:
        """What a user is to know of the choice of ``taken``: nothing where its language is that of the sound."""
        others = sorted({s.language for s in self.sidecars if s.language})
        if taken.language and not self.wanted and len(others) > 1:
            told = f"{taken.path.name} was taken of subtitles in {', '.join(others)}"
            return [f"{told}; subtitles.language names another"]
        return _strange(taken.path.name, taken.language, self.wanted)


def _strange(name: str, language: str | None, wanted: str | None) -> list[str]:
    """A note where subtitles are in another language than the one that was asked for or is spoken."""
    if not language or not wanted or language == wanted:
        return []
    return [f"{name} is in '{language}', not in '{wanted}' as was asked for or is spoken"]


def best_track(tracks: Sequence[SubtitleTrack], language: str | None) -> SubtitleTrack | None:
    """The text track to take: of that language, else the default one, else the first; never a forced one."""
    usable = [t for t in tracks if t.text and not t.forced]
    wanted = [t for t in usable if language and language_of(t.language) == language] or usable
    return next((t for t in wanted if t.default), wanted[0] if wanted else None)


def choose(paths: Iterable[Path], info: MediaInfo, settings: IngestSettings, prints: Mapping[str, str]) -> SpeechSource:
    """Where the speech of a video comes from that is known under ``paths``, the one that is read now first.

    ``prints`` are the fingerprints of the stages under ``settings`` alone.
    """
    options, plain = settings.subtitles, prints["speech"]
    notes = (_pictures(info),) if any(not t.text for t in info.subtitles) else ()
    if options.use == "never":
        return SpeechSource("asr", plain, plain, True, notes)
    wanted = options.language or settings.speech.language or sound_tracks.language(info, settings.speech)
    recognise = options.use == "prefer"
    tried: list[str] = []  # hashes of files that cannot be used
    broken: MediaError | None = None

    def name_of(kind: str, *more: Any) -> str:
        return subtitle_print(prints, [kind, options.of_rows(), tried, *more])

    beside = Beside(paths, wanted)
    for sidecar in beside.sidecars:
        data, sha = _content(sidecar.path, options.max_mb)
        try:
            found = _parsed(data, sidecar, info, options)
        except MediaError as e:
            broken = broken or e
            notes = (*notes, f"subtitles not used: {one_line(e, 200)}")
            tried.append(sha)
            continue
        fingerprint = name_of("sidecar", sha, sidecar.language)
        notes = (*notes, *beside.notes(sidecar))
        return SpeechSource("sidecar", fingerprint, plain, recognise, notes, found, sidecar.path.name)
    notes = (*notes, *beside.unused)
    if track := best_track(info.subtitles, wanted):
        notes = (*notes, *_strange(f"subtitle track {track.index}", language_of(track.language), wanted))
        fingerprint = name_of("embedded", track.index, settings.strict, plain if recognise else None)
        return SpeechSource("embedded", fingerprint, plain, recognise, notes, track=track)
    if recognise:
        return SpeechSource("asr", name_of("asr", plain) if tried else plain, plain, recognise, notes)
    return SpeechSource("none", name_of("none"), plain, recognise, notes, broken=broken)


def per_video(
    path: Path, known: Sequence[str], info: MediaInfo, settings: IngestSettings, prints: Mapping[str, str]
) -> tuple[SpeechSource, dict[str, str]]:
    """Where the speech of the video ``path`` comes from, and the fingerprints of its stages that follow from it.

    ``known``: the other paths that the index names for it; ``prints``: the fingerprints under ``settings`` alone.
    """
    source = choose(known_paths(path, known), info, settings, prints)
    return source, with_speech(settings, prints, source.fingerprint)


def _pictures(info: MediaInfo) -> str:
    count = sum(not t.text for t in info.subtitles)
    return f"{count} subtitle {'track is' if count == 1 else 'tracks are'} not text and not read"


def _content(path: Path, max_mb: int) -> tuple[bytes | MediaError, str]:
    """The bytes of a subtitle file, at most one more than allowed, and their hash; or why there are none."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError("not a regular file")
        with path.open("rb") as f:
            data = f.read((max_mb << 20) + 1)
            size = os.fstat(f.fileno()).st_size
    except OSError as e:
        why = f"{path.name}: {e.strerror or e}"
        return MediaError(why), digest(why.encode("utf-8", "backslashreplace").decode())
    return data, digest([hashlib.sha256(data).hexdigest(), size])


def _parsed(data: bytes | MediaError, sidecar: Sidecar, info: MediaInfo, options: SubtitleOptions) -> Subtitles:
    if isinstance(data, MediaError):
        raise data
    name = sidecar.path.name
    return _usable(subtitles.parse(data, name, options, language=sidecar.language, end=info.end), name)


def _usable(found: Subtitles, name: str) -> Subtitles:
    if not found.rows:
        raise MediaError(
            f"{name}: none of its {found.cues} cues is usable ({found.bad_cues} bad, {found.beyond_end} after the end)"
        )
    return found


def embedded(
    path: Path, info: MediaInfo, track: SubtitleTrack, options: SubtitleOptions, limits: MediaOptions
) -> tuple[Subtitles, str]:
    """The rows of a text track on the video's time axis, and a warning where it broke off.

    Raises :class:`MediaError` where it holds nothing that can be used.
    """
    data, warning = media.subtitle_text(path, info, track.index, limits, options.max_mb << 20)
    name, language = f"subtitle track {track.index}", language_of(track.language)
    found = subtitles.parse(data, name, options, language=language, end=info.end)
    return _usable(found, name), warning


def told(found: Subtitles) -> dict[str, Any]:
    """What a cell says of the subtitles behind it."""
    counts = {"bad_cues": found.bad_cues, "beyond_end": found.beyond_end}
    return {"language": found.language, "cues": found.cues, **{k: v for k, v in counts.items() if v}}


def known_paths(path: Path, others: Sequence[str]) -> Iterator[Path]:
    """``path``, then the other places where the same video was seen: each may have a subtitle file beside it."""
    yield path
    yield from (p for o in others if (p := Path(o)) != path.absolute())
