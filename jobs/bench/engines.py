"""Speech and text recognisers against what is known of a video: how much they get right, and what it costs.  Of
image-text encoders the cost alone.

The truth is a JSON object with ``shots``, each with ``start`` and ``end`` (seconds), ``text`` (the lines on screen) and
``speech`` (objects of ``start``, ``end`` and ``text``), as in the truth of the bundled sample.  ``segments``,
``on_screen_text`` and ``narration`` are taken for the same.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ingest import media
from ...ingest.reading import ReadingOptions
from ...ingest.speech import RATE, SpeechOptions, recognise
from ...store import engines
from ...store.encoders import Picture
from ...store.errors import OptionError, UsageError
from . import cpu_each, machine

ALIKE = 0.9  # similarity from which a line counts as found
_BATCH, _TEXTS = 8, 20  # pictures that an encoder is given at a time, and texts one by one
_EDGE = 0.5  # seconds about a cut in which pictures are not judged


@dataclass(frozen=True, slots=True)
class Shot:
    start: float
    end: float
    lines: tuple[str, ...]
    speech: tuple[str, ...]


def run(
    video: Path,
    truth: Path,
    asr: Sequence[str],
    ocr: Sequence[str],
    encoders: Sequence[str] = (),
    rate: float = 0.5,
    side: int = 1280,
) -> dict[str, Any]:
    """Figures of every engine named, as ``NAME`` or ``NAME:OPTION=VALUE,...``.

    ``rate``: pictures a second; ``side``: their longer side in pixels.  Every engine is used once before it is timed.
    Lines are judged in all pictures without leaving out those that have not changed, which ingest does not read again.
    """
    shots = read_truth(truth)
    wanted = {"asr": [named(e) for e in asr], "ocr": [named(e) for e in ocr], "see": [named(e) for e in encoders]}
    options = media.MediaOptions()
    info = media.probe(video, options)
    found: dict[str, Any] = {"video": video.name, "machine": machine()}
    if wanted["asr"]:
        sound = np.concatenate(list(media.audio(video, info, options)))
        found["sound_s"] = round(len(sound) / RATE, 1)
        found["asr"] = [_speech(name, given, sound, shots) for name, given in wanted["asr"]]
    if wanted["ocr"] or wanted["see"]:
        pictures = [(f.time, f.picture) for f in media.frames(video, info, options, rate, side)]
        judged = [(p, s.lines) for t, p in pictures for s in shots if s.start + _EDGE <= t < s.end - _EDGE]
        if not judged:
            raise UsageError(f"{truth}: no picture lies in a shot of it; is it of {video.name}? or raise --rate")
        found |= {"pictures": len(judged), "lines": sum(len(lines) for _, lines in judged)}
        found["ocr"] = [_text(name, given, judged) for name, given in wanted["ocr"]]
        seen = [p for p, _ in judged]
        found["image_text_encoder"] = [_seeing(name, given, seen, shots) for name, given in wanted["see"]]
    return found


def named(text: str) -> tuple[str, dict[str, str]]:
    """Name and options from ``NAME:OPTION=VALUE,...``."""
    name, _, rest = text.partition(":")
    given: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise OptionError(f"{text}: expected NAME:option=value,..., for example whisperx:model=whisper-base-ct2")
        given[key.strip()] = value.strip()
    return name.strip(), given


def read_truth(path: Path) -> list[Shot]:
    """Shots in order.  Raises :class:`UsageError` where the file is none of a truth."""
    try:
        told = json.loads(path.read_text("utf-8"))
        return [_shot(s) for s in (told["shots"] if "shots" in told else told["segments"])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise UsageError(f"{path}: no truth of a video ({type(e).__name__}: {e}); see vidrag.jobs.bench.engines") from e


def _shot(raw: Mapping[str, Any]) -> Shot:
    lines = raw.get("text", raw.get("on_screen_text", ()))
    speech = raw.get("speech", raw.get("narration", ()))
    return Shot(float(raw["start"]), float(raw["end"]), tuple(map(str, lines)), tuple(str(s["text"]) for s in speech))


def _speech(name: str, given: dict[str, str], sound: NDArray[np.float32], shots: Sequence[Shot]) -> dict[str, Any]:
    engine = engines.load("asr", name, given)
    engine.transcribe(sound[: 10 * RATE], None)
    cpu, wall = time.process_time(), time.perf_counter()
    rows = list(recognise(_blocks(sound), engine, SpeechOptions()))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    language = next((r.language for r in rows if r.language), None)
    said = words(" ".join(t for s in shots for t in s.speech), language)
    heard = words(" ".join(r.text for r in rows), language)
    seconds = len(sound) / RATE
    return {
        "engine": name,
        "options": given,
        "words": len(said),
        "wer": round(word_errors(said, heard) / max(1, len(said)), 4),
        "rows": len(rows),
        "flagged": sum(bool(r.flags) for r in rows),
        "word_times": any(r.words for r in rows),
        "cpu_per_s": round(cpu / seconds, 4),
        "wall_per_s": round(wall / seconds, 4),
        "notes": list(getattr(engine, "notes", ())),
    }


def _blocks(sound: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for at in range(0, len(sound), 10 * RATE):
        yield sound[at : at + 10 * RATE]


def words(text: str, language: str | None) -> list[str]:
    """Words in lower case without punctuation; numbers in digits where the language is known to be spelled."""
    from text_to_num import alpha2digit

    if language in ("en", "fr", "es", "de", "it", "pt", "nl"):
        text = alpha2digit(text, language)
    return re.findall(r"\w+", text.casefold().replace("'", "").replace("’", ""))


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Words wrong, missing or too many, at least (Levenshtein)."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(said, heard))


def _text(name: str, given: dict[str, str], judged: Sequence[tuple[Picture, tuple[str, ...]]]) -> dict[str, Any]:
    engine = engines.load("ocr", name, given)
    least = ReadingOptions().min_confidence
    engine.recognise(judged[0][0], engine.detect(judged[0][0]))
    tally = dict.fromkeys(("wanted", "found", "exact", "read", "right"), 0)
    cpu = wall = 0.0
    for picture, lines in judged:
        cpu0, wall0 = time.process_time(), time.perf_counter()
        read = engine.recognise(picture, engine.detect(picture))
        cpu, wall = cpu + time.process_time() - cpu0, wall + time.perf_counter() - wall0
        told = [t for t, sure in read if sure >= least and any(c.isalnum() for c in t)]
        for key, value in judge(lines, told).items():
            tally[key] += value
    return {
        "engine": name,
        "options": given,
        "recall": _share(tally["found"], tally["wanted"]),
        "recall_exact": _share(tally["exact"], tally["wanted"]),
        "precision": _share(tally["right"], tally["read"]),
        "lines_read": tally["read"],
        "cpu_per_picture": round(cpu / len(judged), 4),
        "wall_per_picture": round(wall / len(judged), 4),
        "notes": list(getattr(engine, "notes", ())),
    }


def _seeing(name: str, given: dict[str, str], pictures: Sequence[Picture], shots: Sequence[Shot]) -> dict[str, Any]:
    engine = engines.load("image_text_encoder", name, given)
    texts = [t for s in shots for t in s.speech][:_TEXTS] or ["a photo"]
    engine.images(pictures[:1])
    batches = [pictures[at : at + _BATCH] for at in range(0, len(pictures), _BATCH)]
    looking = cpu_each(engine.images, batches)[0] * len(batches)
    reading, _ = cpu_each(engine.queries, [[t] for t in texts])
    return {
        "engine": name,
        "options": given,
        "dim": engine.spec.dim,
        "cpu_per_picture": round(looking / len(pictures), 4),
        "cpu_per_text": round(reading, 4),
        "notes": list(getattr(engine, "notes", ())),
    }


def judge(wanted: Sequence[str], read: Sequence[str]) -> dict[str, int]:
    """Counts over one picture; spaces and case do not matter.  ``exact`` lines are ``found`` ones too."""
    from rapidfuzz.fuzz import ratio

    lines, told = [_bare(w) for w in wanted], [_bare(r) for r in read]
    near = [[ratio(a, b) >= 100 * ALIKE for b in told] for a in lines]
    return {
        "wanted": len(lines),
        "found": sum(any(row) for row in near),
        "exact": sum(line in told for line in lines),
        "read": len(told),
        "right": sum(any(row[i] for row in near) for i in range(len(told))),
    }


def _bare(line: str) -> str:
    return "".join(line.split()).casefold()


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
