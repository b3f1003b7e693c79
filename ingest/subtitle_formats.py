"""Subtitle files other than SubRip and WebVTT as plain cues: SubStation Alpha, TTML, YouTube's JSON and SBV."""

from __future__ import annotations

import itertools
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..store.errors import MediaError, one_line

SPEAKER = "\ufdd0{}\ufdd1"
"""Stands before what somebody says in a line of a cue; no file holds these two characters."""
_ASS = re.compile(r"^\s*(?:\[Script Info\]|\[V4\+? Styles\]|\[Events\]|Dialogue:)", re.I)
_TTML = re.compile(r"^\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:\w+:)?tt[\s>]", re.S)
_SBV = re.compile(r"\s*(\d{1,3}):(\d\d):(\d\d)\.(\d{3}),(\d{1,3}):(\d\d):(\d\d)\.(\d{3})\s*")
_TICKS = re.compile(r"""\b(begin|end|dur)=(["'])(?:(\d{1,15})([tf])|(\d\d:\d\d:\d\d):(\d\d))\2""")
_NAMESPACE = re.compile(r"http://www\.w3\.org/\d{4}/\d\d/ttaf1(?=[\"'#])")


@dataclass(slots=True)
class Cue:
    """A cue as it stands in the file; ``start`` is None where its times cannot be read."""

    start: float | None
    end: float
    lines: list[str] = field(default_factory=list)


def cues_of(text: str, name: str) -> tuple[list[Cue], int] | None:
    """The cues of a file and how many of them cannot be read; None for a format that is not one of these.

    Raises :class:`MediaError` for a file that breaks the rules of its format.
    """
    head = text[:4096]
    reader: Callable[[str], tuple[list[Cue], int]]
    if _ASS.match(head):
        reader = _substation
    elif _TTML.match(head):
        reader = _ttml
    elif head.lstrip().startswith("{") and '"events"' in text:
        reader = _json3
    elif any(_SBV.fullmatch(line) for line in head.splitlines()[:3]):
        reader = _sbv
    else:
        return None
    try:
        return reader(text)
    except (ValueError, TypeError, KeyError, AttributeError, LookupError, ArithmeticError, SyntaxError) as e:
        raise MediaError(f"{name}: not readable as subtitles ({one_line(e, 100)})") from e
    except (NotImplementedError, RecursionError, MemoryError) as e:
        raise MediaError(f"{name}: not readable as subtitles ({type(e).__name__})") from e


def _parsed(text: str, kind: str) -> list[Any]:
    """The events of a file as pysubs2 reads it."""
    from pysubs2 import SSAFile

    logging.getLogger("pysubs2").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [e for e in SSAFile.from_string(text, format_=kind).events if e.type == "Dialogue" and not e.is_drawing]


def _cue(event: Any) -> Cue:
    who = SPEAKER.format(event.name.strip()[:100]) if event.name.strip() else ""
    return Cue(event.start / 1000, event.end / 1000, [who + event.plaintext])


def _substation(text: str) -> tuple[list[Cue], int]:
    """Lines of dialogue alone: a style or a font that is written badly costs nothing; a bad line costs itself."""
    lines = [x.strip() for x in text.splitlines() if x.lstrip().startswith("Dialogue:")]
    try:
        return [_cue(e) for e in _parsed("\n".join(lines), "ass")], 0
    except (ValueError, TypeError):
        pass
    cues, bad = list[Cue](), 0
    for line in lines:
        try:
            cues += [_cue(e) for e in _parsed(line, "ass")]
        except (ValueError, TypeError):
            bad += 1
    return cues, bad


def _ttml(text: str) -> tuple[list[Cue], int]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities may grow without end
        raise ValueError("it declares entities")
    rates = {what: _number(text, f"{what}Rate", 0) for what in ("tick", "frame")}
    frames = rates["frame"] or 30.0
    per_second = {"t": rates["tick"] or frames, "f": frames}

    def seconds(match: re.Match[str]) -> str:
        what, quote, count, unit, clock, frame = match.groups()
        if clock:
            hours, minutes, whole = map(int, clock.split(":"))
            return f"{what}={quote}{hours * 3600 + minutes * 60 + whole + int(frame) / frames:.3f}s{quote}"
        return f"{what}={quote}{int(count) / per_second[unit]:.3f}s{quote}"

    plain = _NAMESPACE.sub("http://www.w3.org/ns/ttml", _TICKS.sub(seconds, text))
    return [_cue(e) for e in _parsed(plain, "ttml")], 0


def _number(text: str, attribute: str, default: float) -> float:
    found = re.search(rf"""\b(?:\w+:)?{attribute}=["'](\d{{1,9}})["']""", text)
    return float(found[1]) if found else default


def _json3(text: str) -> tuple[list[Cue], int]:
    """YouTube's format: events of segments; what is recognised scrolls, and each line lasts until the next one."""
    cues, bad = list[Cue](), 0
    rolling = False
    for event in _dicts(json.loads(text)["events"]):
        said = "".join(str(s.get("utf8", "")) for s in _dicts(event.get("segs") or ()))
        if not said.strip():
            continue
        start, length = event.get("tStartMs"), event.get("dDurationMs", 0)
        if not isinstance(start, int | float) or not isinstance(length, int | float) or not abs(start) < 1e12:
            bad += 1
            continue
        rolling = rolling or any("tOffsetMs" in s for s in _dicts(event["segs"]))
        end = start + length if 0 <= length < 1e9 else start
        cues.append(Cue(start / 1000, end / 1000, said.split("\n")))
    if rolling:
        for cue, following in itertools.pairwise(cues):
            if cue.start is not None and following.start is not None and following.start > cue.start:
                cue.end = min(cue.end, following.start)
    return cues, bad


def _dicts(values: Any) -> Iterator[Mapping[str, Any]]:
    yield from (v for v in values if isinstance(v, dict))


def _sbv(text: str) -> tuple[list[Cue], int]:
    cues: list[Cue] = []
    for line in text.splitlines():
        if times := _SBV.fullmatch(line):
            h, m, s, ms, h2, m2, s2, ms2 = map(int, times.groups())
            cues.append(Cue(h * 3600 + m * 60 + s + ms / 1000, h2 * 3600 + m2 * 60 + s2 + ms2 / 1000))
        elif cues:
            cues[-1].lines.append(line.replace("[br]", "\n"))
    return cues, 0
