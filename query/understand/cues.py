"""Words of a question that say how to look for things and pictures: rules for English, harmless in other languages."""

from __future__ import annotations

import re

from ...store.words import STOP
from ..types import TimeHint, When

NUMBER = re.compile(
    r"\b(?:how many|how much|count|(?:the|what|which|exact|total|smallest|largest|right|correct|whole|same) "
    r"(?:number|amount) of|fewest|(?:the|with|has|have|of) (?:most|least)|total)\b",
    re.I,
)
"""Asks how many."""
_EVENT = r"([^,?.;]{3,160})"
_RELATIVE: tuple[tuple[When, re.Pattern[str]], ...] = (
    ("next", re.compile(rf"\b(?:right|immediately|directly|just|shortly|straight) after {_EVENT}", re.I)),
    ("next", re.compile(rf"\b(?:that )?(?:comes? next|follows?|is next) (?:after )?{_EVENT}", re.I)),
    ("previous", re.compile(rf"\b(?:right|immediately|directly|just|shortly) before {_EVENT}", re.I)),
    ("after", re.compile(rf"\b(?:after|once|as soon as) {_EVENT}", re.I)),
    ("before", re.compile(rf"\b(?:before|prior to|until) {_EVENT}", re.I)),
    ("during", re.compile(rf"\b(?:while|whilst|when|during|the moment|the time) {_EVENT}", re.I)),
)
_NO_EVENT = re.compile(
    r"^(?:\d|and where|this video|the video|all|it|that|was|were|did|do|does|is|are|shown|seen|can|to)\b", re.I
)
_NEGATION = re.compile(
    r"\b(?:(?:is|are|was|were|does|do|did|has|have|had|can|could|would|will)(?:n['’]t| not)|not|never|no longer|except"
    r"(?: for)?|other than|besides|apart from|without|excluding|rather than|instead of)\s+((?:\w[\w'’-]*\s*){1,6})",
    re.I,
)
SHOWN = re.compile(r"\b(?:shown|shows?|seen|visible|pictured|appears?|on (?:the )?screen)\b", re.I)
"""Asks what is in the picture."""
_QUOTED = re.compile(r'"([^"]{2,200})"|“([^”]{2,200})”')
ENDS = STOP | frozenset(
    "across against along alongside among around away back because behind below beneath beside besides beyond despite "
    "ever every except inside instead like near next now off onto outside per since still than though through "
    "throughout till together toward towards unlike until upon versus via whether whilst within without yet "
    "become becomes became come comes came doing anywhere everywhere somewhere "
    "get gets getting give gives gave go goes going got keep keeps kept "
    "look looks make makes made need needs put puts take takes took taken use uses used want wants went".split()
)
"""Words that end a noun phrase."""


def times(question: str) -> tuple[TimeHint, ...]:
    """The event that the question takes as its landmark: after, before or during it."""
    text = " ".join(question.split()).rstrip(" ?.!")
    for kind, pattern in _RELATIVE:
        match = pattern.search(text)
        if match and not _NO_EVENT.match(match[1]):
            return (TimeHint(kind=kind, text=_event(match[1])),)
    return ()


def _event(text: str) -> str:
    """An event without what the question goes on to ask of it."""
    cut = re.split(
        r"\s(?:what|which|who|where|how|does|do|did|show|shows|in the video|in this video)\b", text, maxsplit=1
    )
    return cut[0].strip() or text.strip()


def negations(question: str) -> tuple[str, ...]:
    """What the question excludes, in its own words."""
    bare = _QUOTED.sub(" ", question)
    return tuple(dict.fromkeys(m[1].strip() for m in _NEGATION.finditer(bare)))[:3]


def quoted(text: str) -> list[str]:
    """What stands in quotation marks."""
    return [a or b for a, b in _QUOTED.findall(text)]
