"""Subtitle files become speech rows, whatever state they are in.

Real files lack blank lines and indexes, mix up commas and points, run backwards and roll.  One scanner reads SubRip
and WebVTT line by line: a line with two times starts a cue, everything else belongs to the cue before it; other formats
come as cues from :mod:`.subtitle_formats`.  What cannot be read is counted, never guessed away in silence.
"""

from __future__ import annotations

import dataclasses
import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ..store.errors import MediaError, MediaLimit
from ..store.options import Options
from ..store.records import Segment
from ..store.sentences import ends_sentence, joined, sentences
from .languages import language_of
from .plain_text import decoded
from .speakers import with_speakers
from .subtitle_formats import Cue, cues_of

LONGEST_LINE = 64 << 10  # characters
_ADJACENT = 0.3  # seconds between cues that roll or repeat
_TIME = r"(-?) ?(?:(\d{1,4}) ?: ?)?(\d{1,2}) ?: ?(\d{1,2})(?: ?[.,:] ?(\d{1,9}))?"
_TIMES = re.compile(rf"{_TIME}[ \t]{{0,9}}(?:-{{1,9}}>|→)[ \t]{{0,9}}{_TIME}(?:\s|$)")
_ARROW = re.compile(r"->|→")
_CLOCK = re.compile(r"\d ?: ?\w")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]*)>")
_TAG = re.compile(
    r"</?(?:[iubscv]|lang|ruby|rt|font|span|em|strong|p|div|a|q|big|small)(?:[.\s][^<>]*)?>"
    r"|<\d[\d:.,]*>|\{\\[^{}]*\}|\{[a-zA-Z]:[^{}]*\}",
    re.I,
)
_BREAK = re.compile(r"<br\s*/?>|\\N|\\n", re.I)
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_WHO = re.compile("\ufdd0([^\ufdd1]*)\ufdd1")  # a voice tag after cleaning: no file holds these two
_NOT_SPEECH = re.compile(r"(?:\[[^\]]*\]|\([^)]*\)|（[^）]*）|【[^】]*】|[♪♫♬#*\s\-–.…:])+")
_DRAWING = re.compile(r"m (?:-?[\d.]+ ){2}[mnlbspc\d .-]+")
_LEAST_CUT = 6
"""Characters of each side of a cut; a word with a capital ("She") may be shorter."""
_OPENS = ("-", "–", "—", "[", "(", "♪", ">>")


class SubtitleOptions(Options):
    """``use``: ``prefer`` takes subtitles where there are some and recognises speech elsewhere; ``only`` recognises
    nothing; ``never`` reads no subtitles.  ``language``: ISO 639-1 code of the subtitles that are taken where there are
    several (None: that of ``speech.language``).  ``sentence_s``: cues of one sentence are joined to rows of at most so
    many seconds; 0 leaves each cue a row.  ``max_mb``: largest file, MiB.

    Prefer is the default because people make subtitles to be right: names, numbers and spelling beat any recogniser,
    and they cost nothing.  What it risks is a file that belongs to another cut of the video; so the index says where
    speech came from.
    """

    use: Literal["prefer", "only", "never"] = "prefer"
    language: str | None = Field(None, pattern=r"^[a-z]{2,3}$")
    sentence_s: float = Field(15, ge=0)
    max_mb: int = Field(20, ge=1, le=1024)

    def of_rows(self) -> dict[str, Any]:
        """The options that decide what rows a subtitle file gives."""
        return {"sentence_s": self.sentence_s, "max_mb": self.max_mb}


@dataclass(frozen=True, slots=True)
class Subtitles:
    """Speech rows in order.  ``bad_cues``: cues that were dropped, or repaired and flagged ``bad_time``;
    ``beyond_end``: cues after the video's end, dropped; ``language`` is what the file itself says.
    """

    rows: tuple[Segment, ...]
    cues: int
    bad_cues: int
    beyond_end: int
    language: str | None
    encoding: str


def parse(
    data: bytes,
    name: str,
    options: SubtitleOptions,
    *,
    language: str | None = None,
    end: float | None = None,
    shift: float = 0.0,
) -> Subtitles:
    """Reads a subtitle file.

    ``language`` is what is known of it besides; ``end`` is where the video ends, None where nobody knows; ``shift``
    seconds are added to every time.  Raises :class:`MediaLimit` for a file or a line that is too long
    and :class:`MediaError` for what is not text or holds no cue; nothing else, whatever the bytes are.
    """
    if len(data) > options.max_mb << 20:
        raise MediaLimit(f"{name}: larger than {options.max_mb} MiB (subtitles.max_mb); refused")
    text, encoding = decoded(data, name, language)
    lines = re.split(r"\r\n|\r|\n", text)
    if others := cues_of(text, name):
        lines = []
    elif max(map(len, lines)) > LONGEST_LINE:
        raise MediaLimit(f"{name}: a line of more than {LONGEST_LINE} characters; refused")
    vtt = next((x for x in lines if x.strip()), "").lstrip().startswith("WEBVTT")
    said = _header_language(lines) if vtt else None
    cues, bad = others or _scanned(lines, vtt)
    if not cues:
        raise MediaError(f"{name}: holds no subtitle cue")
    found, beyond = list[Cue](), 0
    for cue in cues:
        cue.lines = _cleaned(cue.lines)
        if cue.start is None or max(cue.start, cue.end) + shift <= 0:
            bad += 1
        elif end is not None and cue.start + shift >= end:
            beyond += 1
        elif cue.lines:
            found.append(Cue(cue.start + shift, cue.end + shift, cue.lines))
    with_speakers(found, ".transcript." in name.lower())
    found.sort(key=lambda c: (c.start, c.end))
    rows, repaired = list[Segment](), 0
    for cue in _unrolled(found):
        flags = ("bad_time",) if cue.end < (cue.start or 0) else ()
        repaired += bool(flags)
        rows += _rows(cue, language or said, end, flags)
    joined = _joined(rows, options.sentence_s) if options.sentence_s else rows
    return Subtitles(tuple(joined), len(cues), bad + repaired, beyond, language or said, encoding)


def _header_language(lines: Sequence[str]) -> str | None:
    for line in lines[:20]:
        if line.lower().startswith("language:"):
            return language_of(line[9:].strip())
        if not line.strip() or _ARROW.search(line):
            break
    return None


def _scanned(lines: Sequence[str], vtt: bool) -> tuple[list[Cue], int]:
    """Cues in the order of the file, with the text lines below them; and how many blocks have text but no times.

    WebVTT: a blank line ends a cue, and blocks of notes and styles are no cues.  SubRip: text may hold blank lines, and
    the number above the next line of times is no text.
    """
    cues: list[Cue] = []
    index, stray = 0, 0
    block = "header" if vtt else "cue"  # what a line without times belongs to
    for line in lines:
        arrow = _ARROW.search(line)
        times = _TIMES.match(line.strip()) if arrow else None
        if block == "between" and re.match(r"(?:NOTE|STYLE|REGION)\b", line):
            block = "note"
        elif times or (arrow and block != "note" and _mangled(line, arrow.start())):
            if cues and block == "cue":
                index = _without_index(cues[-1].lines, index)
            start, stop = (_seconds(times, 1), _seconds(times, 6)) if times else (None, None)
            cues.append(Cue(None if stop is None else start, stop or 0.0))
            block = "cue"
        elif not vtt or (block == "cue" and line):
            if cues:
                cues[-1].lines.append(line)
        elif not line:
            stray += block == "stray"
            block = "between"
        elif block in ("between", "name"):  # a second line is more than the name of a cue
            block = "name" if block == "between" else "stray"
    if cues and not vtt:
        cues[-1].lines.append("")
        _without_index(cues[-1].lines, index)
    return cues, stray


def _mangled(line: str, arrow: int) -> bool:
    """True where a line looks like times that nobody can read, unlike a text with an arrow."""
    return bool(_CLOCK.search(line[max(0, arrow - 40) : arrow]) or _CLOCK.search(line[arrow : arrow + 40]))


def _without_index(lines: list[str], index: int) -> int:
    """Takes the number of the next cue off the end of ``lines``; returns the number that was found, or ``index``."""
    at = len(lines) - 1
    while at >= 0 and not lines[at].strip():
        at -= 1
    if at < 0 or not (number := lines[at].strip()).isdecimal() or len(number) > 9:
        return index
    alone = at > 0 and not lines[at - 1].strip()
    if at == len(lines) - 1 or (alone and int(number) in (index + 1, index + 2)):
        del lines[at:]
        return int(number)
    return index


def _seconds(match: re.Match[str], first: int) -> float | None:
    """The time in the five groups from ``first``; None for 61 minutes or seconds and the like."""
    sign, hours, minutes, seconds, fraction = (match[first + i] for i in range(5))
    if int(minutes) > 59 or int(seconds) > 60:
        return None
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return float(f"{sign}{whole}.{fraction or 0}")


def _cleaned(lines: Sequence[str]) -> list[str]:
    """Lines without mark-up and without what nobody sees; empty ones go.  Voices stay, as :data:`_WHO` finds them."""
    out = []
    for line in _BREAK.sub("\n", "\n".join(lines)).split("\n"):
        bare = html.unescape(_TAG.sub(_voice, line.replace("\\h", " ")))
        text = " ".join(_INVISIBLE.sub("", bare).split())
        if text and not _DRAWING.fullmatch(text):
            out.append(text)
    return out


def _voice(tag: re.Match[str]) -> str:
    named = _VOICE.fullmatch(tag[0])
    return f"\ufdd0{named[1][:100]}\ufdd1" if named else ""


def _unrolled(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Cues that each say something new.

    Rolling captions repeat the last lines of the cue before, growing ones all of it with more behind, and copies say
    it again: what was said stays with the cue that said it first.
    """
    held: Cue | None = None  # the last cue given out, still growing
    shown, until = list[str](), -math.inf  # what the cue before had on screen, and how long
    now, seen = -math.inf, set[tuple[float, str]]()  # cues that start with this one
    for cue in cues:
        start, text = cue.start or 0.0, "\n".join(cue.lines)
        if start != now:
            now = start
            seen.clear()
        if (cue.end, text) in seen:
            continue
        seen.add((cue.end, text))
        new = cue.lines
        if held and start - until <= _ADJACENT:
            most = min(len(shown), len(new), 8)
            overlap = next((k for k in range(most, 0, -1) if shown[-k:] == new[:k]), 0)
            new = new[overlap:]
            if not new and shown[-1:] == held.lines[-1:]:
                held.end = max(held.end, cue.end)
            elif not overlap and len(new) == len(held.lines) and _grows(held.lines, new):
                held.lines, held.end, new = new, max(held.end, cue.end), []
        shown, until = cue.lines, max(cue.end, start)
        if new:
            if held:
                yield held
            held = Cue(start, cue.end, new)
    if held:
        yield held


def _grows(old: Sequence[str], new: Sequence[str]) -> bool:
    return list(old[:-1]) == list(new[:-1]) and new[-1].startswith(old[-1]) and len(old[-1]) > 3


def _rows(cue: Cue, language: str | None, end: float | None, flags: tuple[str, ...]) -> Iterator[Segment]:
    """One row for each voice of a cue.  A cue of no length is shown as long as it takes to read."""
    start, stop = max(0.0, cue.start or 0.0), cue.end
    before, *voiced = _WHO.split(" ".join(cue.lines))
    for speaker, spoken in [(None, before), *zip(voiced[::2], voiced[1::2], strict=True)]:
        text = spoken.strip()
        if not text:
            continue
        until = stop if stop > start else start + min(7.0, max(1.0, len(text) / 15))
        if end is not None:
            until = min(until, end)
        silent = ("non_speech",) if _NOT_SPEECH.fullmatch(text) else ()
        who = " ".join((speaker or "").split()) or None
        yield Segment(start, max(until, start + 0.001), text, (), language, who, flags=(*flags, *silent))


def _joined(rows: Sequence[Segment], longest: float) -> list[Segment]:
    """Rows of about a sentence: what does not end one is joined with what follows, as long as that fits."""
    out: list[Segment] = []
    for row in (part for r in rows for part in _cut(r)):
        last = out[-1] if out else None
        if (
            last
            and not (last.flags or row.flags or ends_sentence(last.text) or row.text.startswith(_OPENS))
            and row.speaker in (last.speaker, None)
            and last.language == row.language
            and -_ADJACENT <= row.start - last.end <= 1.0
            and max(last.end, row.end) - last.start <= longest
            and len(last.text) + len(row.text) <= 1000
        ):
            out[-1] = dataclasses.replace(last, end=max(last.end, row.end), text=joined(last.text, row.text))
        else:
            out.append(row)
    return out


def _cut(row: Segment) -> list[Segment]:
    """A row in two where a sentence ends within it and another begins: the time between by the share of characters."""
    if row.flags or ends_sentence(row.text):
        return [row]
    at = len(row.text) - len(sentences(row.text)[-1])
    if at < _LEAST_CUT or (len(row.text) - at < _LEAST_CUT and not row.text[at:].istitle()):
        return [row]
    until = row.start + (row.end - row.start) * at / len(row.text)
    first = dataclasses.replace(row, end=until, text=row.text[:at].strip())
    return [first, dataclasses.replace(row, start=until, text=row.text[at:].strip())]
