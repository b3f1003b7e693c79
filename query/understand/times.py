"""The stretch of time that a question names, in the languages whose words for it are listed here."""

from __future__ import annotations

import re
from typing import Literal

from ..text.words import language_of
from ..types import Stretch

AROUND = 15.0
"""Seconds before and after a moment that a question names."""
EDGE = 30.0
"""Seconds that are the beginning or the end of a video where a question does not say how many."""
_CLOCK = r"(?:(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d))"
_CLOCKS = re.compile(rf"(?<![\d:.]){_CLOCK}(?![\d:]|\.\d)")
_TO = r"\s*(?:-|–|—|to|and|until|till|through|bis|und|à|et|a|y|hasta|e|до|и|到|至|和|から)\s*"
_FROM = r"(?:\b(?:between|from|zwischen|von|entre|de|desde|tra|fra|между|с|от)\s+|从|在)"
_AFTER = re.compile(
    r"\b(?:after|since|from|nach|ab|seit|después de(?:l| las)?|desde(?: el)?|a partir de(?:l| las)?|après|à partir de"
    r"|depuis|dopo|depois d[eao]s?|после|с|vanaf)\s*$",
    re.I,
)
_BEFORE = re.compile(
    r"\b(?:before|until|till|up to|vor|bis|antes de(?:l| las)?|hasta(?: el)?|avant|jusqu'à|prima d[ie]|até|до|tot)\s*$",
    re.I,
)
_FIRST = r"first|initial|erste[nrs]?|primer[oa]?s?|premi[eè]re?s?|prim[aieo]|primeir[oa]s?|перв\w+|eerste|前|最初の?"
_LAST = r"last|final|letzte[nrs]?|últim[oa]s?|derni[eè]re?s?|ultim[aieo]|последн\w+|laatste|最后的?|最後の?"
_NO_LETTER = r"(?![a-zß-ɏа-я])"
_UNITS = {
    1.0: r"secs?|seconds?|sekunden?|segundos?|secondes?|second[io]|секунд\w*|秒钟?|秒間?",
    60.0: r"mins?|minutes?|minuten?|minutos?|minut[io]|минут\w*|分钟?|分間?",
    3600.0: r"hours?|stunden?|horas?|heures?|or[ae]|час\w*|个?小时|時間",
}
_ENDS = re.compile(
    rf"(?:\b(?:in|during|within|während|en|durante|pendant|dans|nei?|negli|nos|в|за)\s+)?"
    rf"(?:\b(?:the|die|der|den|los|las|les?|la|i|gli|os|as)\s+)?(?<![a-zß-ɏа-я])"
    rf"(?:(?P<before>\d+)\s*)?(?:(?P<first>{_FIRST})|(?P<last>{_LAST}))\s*"
    rf"(?P<n>\d+(?:[.,]\d+)?)?\s*(?:(?P<s>{_UNITS[1.0]})|(?P<m>{_UNITS[60.0]})|(?P<h>{_UNITS[3600.0]})){_NO_LETTER}",
    re.I,
)
_S, _M, _H = (rf"(?:{unit}|{letter}){_NO_LETTER}" for unit, letter in zip(_UNITS.values(), "smh", strict=True))
_THE = rf"(?:(?:the|el|las?|die|der|le|os?|as?)\s+)?(?:{_M}\s+)?"
_BETWEEN = re.compile(rf"{_FROM}?{_THE}{_CLOCK}{_TO}{_THE}{_CLOCK}(?:\s*(?:之间|まで|间))?", re.I)
_WRITTEN = re.compile(
    rf"(?<![\d:.,])(?:(?P<h>\d{{1,2}})\s*{_H}\s*(?P<hm>\d{{1,2}})(?:\s*{_M})?"
    rf"|(?P<m>\d{{1,3}})\s*{_M}\s*(?P<s>[0-5]?\d)(?:\s*{_S})?|(?P<in>\d{{1,3}})[\s-]*{_M}\s*(?:mark\b|in(?=\W*$)))(?![\w:.,])",
    re.I,
)
_RANGE = re.compile(
    rf"(?P<word>{_FROM})?"
    rf"(?P<unit>\b{_M}\s+|第\s*)?(?<!\d)(?P<a>\d{{1,3}})(?:\s*{_M})?(?P<to>{_TO})"
    rf"(?:{_M}\s+|第\s*)?(?P<b>\d{{1,3}})(?![\d:.])(?P<end>\s*{_M})?",
    re.I,
)
_TO_END = re.compile(
    rf"(?P<n>\d{{1,3}})\s*{_M}\s*(?:before the end|vor (?:dem )?(?:Ende|Schluss)|avant la fin|antes del final"
    r"|prima della fine|до конца)", re.I,
)  # fmt: skip
_MINUTE = re.compile(
    r"\b(?:at|in|around|bei|in der|en el|à la|al|na)?\s*\b(?:minute|min|minuto|минут[аеу])\s+(?P<a>\d{1,4})\b"
    r"|\b(?:at|around|after|bei|nach)\s+(?P<b>\d{1,4})\s*(?P<unit>s(?:ec(?:onds?)?)?|min(?:utes?)?|seconds?)\b"
    r"|第\s*(?P<c>\d{1,4})\s*分钟?", re.I,
)  # fmt: skip
_UNIT = re.compile(r"minut|min\b|mins\b|sec|sek|seg|stund|hour|hora|heure|\bor[ae]\b|секунд|минут|час|[秒分时時]", re.I)
_OF_LANGUAGES = {
    "en": r"\b(?:min|sec|hour)",
    "fr": r"\b(?:minutes?|secondes?|heures?)\b",
    "de": r"\b(?:minute|sekunde|stunde)",
    "it": r"\b(?:minut[io]|second[io]|or[ae])\b",
    "es": r"\b(?:minutos?|segundos?|horas?)\b",
    "pt": r"\b(?:minutos?|segundos?|horas?)\b",
    "nl": r"\b(?:minuten|seconden|uur)\b",
}
"""Languages whose number words are read, and the units by which a few words are told to be theirs."""
_HAN = "〇一二三四五六七八九"
_HAN_NUMBER = re.compile(f"[{_HAN}]?十[{_HAN}]?|[{_HAN}两]+(?=个?[分秒小时時])|[{_HAN}]+")


def named_stretch(question: str) -> Stretch | None:
    """The time that a question names: between two clock times, after or before one, around one, "the first ten
    minutes", "the last hour", "minute 12"; None where it names none.
    """
    text = _with_clocks(_with_digits(question))
    clocks = list(_CLOCKS.finditer(text))
    if span := _BETWEEN.search(text):
        ends = sorted(_seconds(m) for m in _CLOCKS.finditer(span[0]))
        return _stretch(text, span.span(), ends[0], ends[-1])
    if clocks:
        return _around(text, clocks[0])
    if edge := _ENDS.search(text):
        unit = next(u for u, group in ((1.0, "s"), (60.0, "m"), (3600.0, "h")) if edge[group])
        count = edge["n"] or edge["before"] or ("1" if unit > 1 else "30")  # "in the last seconds"
        length = float(count.replace(",", ".")) * unit
        return _stretch(text, edge.span(), 0.0, length) if edge["first"] else _stretch(text, edge.span(), -length, None)
    if left := _TO_END.search(text):
        return _stretch(text, left.span(), -60.0 * int(left["n"]), None)
    if minute := _MINUTE.search(text):
        if number := minute["a"] or minute["c"]:
            at = 60.0 * int(number)
            first, start, end = _side(text[: minute.start()], at) or (minute.start(), at, at + 60)
            return _stretch(text, (first, minute.end()), start, end)
        at = int(minute["b"]) * (1.0 if minute["unit"].lower().startswith("s") else 60.0)
        return _stretch(text, minute.span(), at - AROUND, at + AROUND, instant=True)
    return None


def edge(question: str, kind: Literal["beginning", "ending"]) -> Stretch:
    """The stretch of a question about how videos begin or end."""
    start, end = (0.0, EDGE) if kind == "beginning" else (-EDGE, None)
    return Stretch(start=start, end=end, words="", rest=question)


def _stretch(text: str, span: tuple[int, int], start: float, end: float | None, instant: bool = False) -> Stretch:
    first, last = span
    rest = f"{text[:first]} {text[last:]}"
    begin = max(0.0, start) if instant else start
    return Stretch(start=begin, end=end, words=text[first:last].strip(), rest=" ".join(rest.split()), instant=instant)


def _with_digits(question: str) -> str:
    """The question with number words as digits ("first ten minutes")."""
    from text_to_num import alpha2digit

    if not _UNIT.search(question):
        return question
    language = language_of(question)
    if language in ("zh", "ja"):
        return _HAN_NUMBER.sub(_han, question)
    languages = [language] if language else [c for c, unit in _OF_LANGUAGES.items() if re.search(unit, question, re.I)]
    for one in languages:
        if one in _OF_LANGUAGES:
            question = alpha2digit(question, one, 2)  # "first" and "second" stay words
    return question


def _han(number: re.Match[str]) -> str:
    """A number up to 99 in Chinese characters as digits."""
    tens, ten, ones = number[0].replace("两", "二").partition("十")
    if not ten:
        return "".join(str(_HAN.index(c)) for c in tens)
    return str((_HAN.index(tens) if tens else 1) * 10 + (_HAN.index(ones) if ones else 0))


def _around(text: str, clock: re.Match[str]) -> Stretch:
    at, before = _seconds(clock), text[: clock.start()]
    if side := _side(before, at):
        return _stretch(text, (side[0], clock.end()), *side[1:])
    lead = re.search(r"\b(?:at(?: the)?|around(?: the)?|about|bei|um|gegen|a las?|à|alle|às|в|около)\s*$", before, re.I)
    span = lead.start() if lead else clock.start(), clock.end()
    return _stretch(text, span, at - AROUND, at + AROUND, instant=True)


def _side(before: str, at: float) -> tuple[int, float, float | None] | None:
    """Where the word begins that says "after" or "before" a time, and the seconds that are meant."""
    for pattern, start, end in ((_AFTER, at, None), (_BEFORE, 0.0, at)):
        if word := pattern.search(before):
            return word.start(), start, end
    return None


def _with_clocks(text: str) -> str:
    """The text with clock times for "1h20", "2m30s", "12 min 30", "the 30 minute mark", "between minutes 3 and 5"."""

    def written(m: re.Match[str]) -> str:
        return f"{m['h']}:{m['hm']:0>2}:00" if m["h"] else f"{m['m'] or m['in']}:{m['s'] or '':0>2}"

    def span(m: re.Match[str]) -> str:
        named = m["unit"] or (m["end"] and (m["word"] or text[m.end() :].lstrip().startswith(("之间", "間"))))
        return f"{m['word'] or ''}{m['a']}:00{m['to']}{m['b']}:00" if named else m[0]

    return _RANGE.sub(span, _WRITTEN.sub(written, text))


def _seconds(clock: re.Match[str]) -> float:
    return int(clock[1] or 0) * 3600.0 + int(clock[2]) * 60 + int(clock[3])


def in_stretch(stretch: Stretch | None, duration: float, start: float, end: float) -> bool:
    """Whether ``[start, end)`` of a video of ``duration`` seconds meets the stretch; False where there is none."""
    if stretch is None:
        return False
    first, last = stretch.within(duration)
    return start < last and end > first
