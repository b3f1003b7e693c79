"""Who speaks, as subtitles write it before what is said: ``Anna Smith: ...``, ``JOHN: ...``, ``>> JOHN: ...``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from .subtitle_formats import SPEAKER, Cue

_PREFIX = re.compile(r"(?P<turn>(?:>>+|[-–—]) ?)?(?P<name>[^\W\d_][^:：<>\[\]\n]{0,59}?) ?(?::(?:\s+(?=\S)|$)|：\s*)")
_NO_NAMES = frozenset(
    "note notes warning example question answer tip hint step chapter part section figure table slide page time date "
    "title subtitle subject source sources summary conclusion result results problem solution remember important "
    "reminder caution danger update ps nb re fyi q a e.g i.e total price address phone email website link http https "
    "ingredients music sound lyrics translation translator subtitles caption captions text sign rule theorem proof "
    "definition lemma first second third one two three four five left right before after input output here so and but "
    "or now then because monday tuesday wednesday thursday friday saturday sunday".split()
)
_LOWER = frozenset("de da di del van von der den bin ibn al el la le of and y e the du dos das san zu".split())


def with_speakers(cues: Sequence[Cue], transcript: bool) -> None:
    """Marks who speaks in the lines of ``cues`` where they are written as names before a colon.

    A colon alone does not make a speaker ("Note: this is ..."): in a ``transcript`` every line begins so; elsewhere
    the same few names have to come again, or nearly every cue has one.
    """
    if any("\ufdd0" in line for cue in cues for line in cue.lines):  # the file has marks of its own
        return
    found: Counter[str] = Counter()
    shouted: Counter[str] = Counter()
    firsts = 0
    for cue in cues:
        for i, line in enumerate(cue.lines):
            if match := _named(line):
                found[match["name"]] += 1
                shouted[match["name"]] += bool(match["turn"] and ">" in match["turn"]) or match["name"].isupper()
                firsts += i == 0
    share = firsts / max(1, len(cues))
    again = {name for name, count in found.items() if count > 1}
    if (transcript and share >= 0.3) or (share >= 0.8 and len(cues) > 1 and len(found) > 1):
        names = set(found)
    elif again and sum(found[n] for n in again) >= max(4, 0.25 * len(cues)):
        names = again
    else:
        names = {n for n in again if shouted[n] == found[n]}
    if not names:
        return
    for cue in cues:
        cue.lines = [_marked(line, names) for line in cue.lines]


def _named(line: str) -> re.Match[str] | None:
    match = _PREFIX.match(line)
    return match if match and _is_name(match["name"]) else None


def _is_name(text: str) -> bool:
    """True for up to five words that are written as names are; scripts without capitals have one word or two."""
    bare = re.sub(r"\([^)]*\)", " ", text)
    words = bare.split()
    if not words or len(words) > 5 or bare.casefold().strip() in _NO_NAMES or words[0].casefold() in _NO_NAMES:
        return False
    if any(w.endswith((",", ";", "?", "!")) for w in words):
        return False
    cased = [w for w in words if w.lower() != w.upper()]
    if not cased:
        return len(words) <= 2 and len(bare) <= 12
    return all(w[0].isupper() or w in _LOWER or not w[0].isalpha() for w in cased) and cased[0][0].isupper()


def _marked(line: str, names: set[str]) -> str:
    match = _named(line)
    if not match or match["name"] not in names:
        return line
    return SPEAKER.format(match["name"]) + line[match.end() :]
