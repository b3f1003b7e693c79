"""Words of a question that say where, when and how widely to look: rules for English, harmless in other languages."""

from __future__ import annotations

import re

from ...store.words import STOP
from ..text.words import ABOUT
from ..types import Order, Scope, TimeHint, When

NUMBER = re.compile(
    r"\b(?:how many|how much|count|(?:the|what|which|exact|total|smallest|largest|right|correct|whole|same) "
    r"(?:number|amount) of|fewest|(?:the|with|has|have|of) (?:most|least)|total)\b",
    re.I,
)
"""Asks how many."""
_CLOCK = re.compile(r"\b(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d)\b")
_AMOUNT = re.compile(
    r"\b(?:at|around|about|after|near|reaches?|in)\s+(?:the\s+)?(?:(\d+)(?:st|nd|rd|th)?\s+minutes?(?:\s+and)?\s*)?"
    r"(?:(\d+)(?:st|nd|rd|th)?\s+seconds?)?\b(?=[^\w]|$)",
    re.I,
)
_OPENING = re.compile(
    r"\b(?:(?:at|in|from|near|since) the (?:very )?(?:beginning|start|opening|outset)|(?:opening|first|initial) "
    r"(?:scene|shot|part|section|segment|minutes?|seconds?|few (?:minutes|seconds)|half)|"
    r"(?:videos?|films?|movies?|clips?|teams?) (?:starts?|begins?|opens?)|(?:starts?|begins?) (?:the|this) "
    r"(?:video|film|clip)|how do(?:es)? .{3,60}? (?:start|begin)$)",
    re.I,
)
_CLOSING = re.compile(
    r"\b(?:(?:at|in|near|towards?|by) the (?:very )?(?:end|ending|close|finish)(?! of the (?:table|room|street|road))|"
    r"(?:final|last|closing|ending) (?:\w+'s |\w+ )?(?:scene|shot|part|section|segment|minutes?|seconds?|half|story)|"
    r"(?:video|film|movie|clip) (?:ends?|finish(?:es)?|closes?)|in the end\b|final (?:story|part|scene))",
    re.I,
)
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
_WHOLE = re.compile(
    r"\b(?:(?:main|overall|central|primary|general|core) (?:\w+ ){0,2}(?:topic|theme|idea|point|content|purpose|"
    r"message|subject|focus|"
    r"character|goal|argument)|"
    r"what (?:is|does|are) th(?:is|e) (?:video|film|movie|clip|talk|lecture|"
    r"documentary)s?(?: \w+)? (?:about|convey)|what (?:kind|type|sort|genre|style) of (?:video|film|movie|clip|show|"
    r"programme|program)|genre|summar\w+|talk(?:s|ing)? about in general|throughout|in total|altogether|overall|whole "
    r"(?:video|film|movie)|entire (?:video|film|movie)|how many (?:times|instances|different)|following "
    r"(?:statements?|options?|descriptions?)|statements? (?:is|are) (?:not )?(?:true|correct|false|wrong)|"
    r"(?:setting|style|mood|tone|atmosphere|theme) (?:does|of) "
    r"the (?:video|film|movie|clip)|relationship between|infer(?:red)?|purpose of (?:this|the) video|evaluation of|"
    r"irregularit\w+|anomal\w+|correct order|order of (?:events|the)|chronolog\w+|what order|which order|"
    r"(?:activity|activities|topics?|themes?) (?:can|is|are|does|do)\b)",
    re.I,
)
_SEVERAL = re.compile(
    r"\b(?:(?:which|what|all|any|both|these|those|other|another|two|several|across|each|every|between) (?:of the )?"
    r"(?:\w+ )?(?:videos|clips|films|recordings|lectures)|the videos|in common|another video)\b",
    re.I,
)
_NEGATION = re.compile(
    r"\b(?:(?:is|are|was|were|does|do|did|has|have|had|can|could|would|will)(?:n['’]t| not)|not|never|no longer|except"
    r"(?: for)?|other than|besides|apart from|without|excluding|rather than|instead of)\s+((?:\w[\w'’-]*\s*){1,6})",
    re.I,
)
_ORDER_OF = re.compile(
    r"\b(?:in )?(?:what|which|the|correct|right|chronological|following) (?:\w+ )?(?:order|sequence)\b", re.I
)
_ENDMOST = {"first": r"(?:at )?first|earliest|(?:to )?begin with", "last": r"(?:at )?last|latest|finally"}
_SHOWN = (
    r"(?:appear|be (?:shown|seen|heard|named|mentioned)|come|enter|speak|talk|start|happen|occur|sing|play|perform|"
    r"arrive|leave)\b"
)


def _endmost(which: str) -> re.Pattern[str]:
    """Asks for the first or last of some things: "is shown last", "comes first?", "what is the first thing that".

    Who *first did* a thing, or was *the first to do* it, is a fact that a row tells, whenever it does so.
    """
    end = _ENDMOST[which]
    return re.compile(
        rf"\b(?:{end})(?: in (?:the|this) (?:video|film|movie|clip|lecture|recording|talk))?$"
        rf"|\b(?:is|are|was|were|gets?) (?:(?!the\b)\w+ )?(?:{end})\b(?= (?:in|on|by|to|of|during|before|after)\b)"
        rf"|^(?:what|which|who)(?: \w+)? (?:is|was|are|were) the (?:very )?{which}(?! to (?!{_SHOWN}))"
        rf"(?! (?:\w+ ){{0,2}}to (?!{_SHOWN})| (?:\w+ ){{0,2}}\w+['’]s\b| (?:\w+ )?of\b)\s",
        re.I,
    )


_FIRST, _LAST = _endmost("first"), _endmost("last")


def times(question: str) -> tuple[TimeHint, ...]:
    """Where in a video the question says to look."""
    text = " ".join(question.split()).rstrip(" ?.!")
    bare = re.sub(r'"[^"]*"|“[^”]*”', " ", text)
    found: list[TimeHint] = []
    for hours, minutes, seconds in _CLOCK.findall(bare):
        found.append(
            TimeHint(kind="at", text=None, seconds=int(hours or 0) * 3600.0 + int(minutes) * 60 + int(seconds))
        )
    for minutes, seconds in _AMOUNT.findall(bare):
        if minutes or seconds:
            found.append(TimeHint(kind="at", text=None, seconds=int(minutes or 0) * 60.0 + int(seconds or 0)))
    if _OPENING.search(bare):
        found.append(TimeHint(kind="beginning"))
    if _CLOSING.search(bare):
        found.append(TimeHint(kind="end"))
    for kind, pattern in _RELATIVE:
        match = pattern.search(text)
        if match and not _NO_EVENT.match(match[1]) and all(t.text is None for t in found):
            found.append(TimeHint(kind=kind, text=_event(match[1])))
    return tuple(found)


def _event(text: str) -> str:
    """An event without what the question goes on to ask of it."""
    cut = re.split(
        r"\s(?:what|which|who|where|how|does|do|did|show|shows|in the video|in this video)\b", text, maxsplit=1
    )
    return cut[0].strip() or text.strip()


def scope(question: str) -> Scope:
    if _SEVERAL.search(question):
        return "several"
    return "whole" if _WHOLE.search(question) else "moment"


def negations(question: str) -> tuple[str, ...]:
    """What the question excludes, in its own words."""
    bare = re.sub(r'"[^"]*"|“[^”]*”', " ", question)
    return tuple(dict.fromkeys(m[1].strip() for m in _NEGATION.finditer(bare)))[:3]


def order(question: str) -> Order | None:
    """Whether the options are to be put in order, or the first or last of them is asked for."""
    if _ORDER_OF.search(question) and re.search(r"\border|sequence|chronolog", question, re.I):
        return "sequence"
    bare = " ".join(question.split()).rstrip(" ?.!")
    if _LAST.search(bare) and not _CLOSING.search(bare):
        return "last"
    return "first" if _FIRST.search(bare) and not _OPENING.search(bare) else None


_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w'’-]+(?:\s+(?:of |the |de |van |von )?[A-Z0-9][\w'’-]*)*")
_OPENING_NAME = re.compile(r"^[A-Z][a-z'’-]+(?: [A-Z][\w'’-]+)+")
_QUOTED = re.compile(r'"([^"]{2,200})"|“([^”]{2,200})”')
_DETERMINER = r"(?:the|an?|this|that|these|those|some|any|my|your|his|her|its|our|their)"
_PHRASE = re.compile(rf"\b(?:{_DETERMINER}|of(?!\s+{_DETERMINER}\b))\s+(?=((?:[a-z][\w'’-]+\s+){{0,2}}[a-z][\w'’-]+))")
_PLAIN = re.compile(r"\b(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|must)\s+(.+)$")
_WORDS = re.compile(r"\w[\w'’-]*")
ENDS = STOP | frozenset(
    "across against along alongside among around away back because behind below beneath beside besides beyond despite "
    "ever every except inside instead like near next now off onto outside per since still than though through "
    "throughout till together toward towards unlike until upon versus via whether whilst within without yet "
    "become becomes became come comes came doing get gets getting give gives gave go goes going got keep keeps kept "
    "look looks make makes made need needs put puts take takes took taken use uses used want wants went".split()
)
"""Words that end a noun phrase."""
_NO_SUBJECT = ENDS | ABOUT | {"right", "left"}
_MEDIA = frozenset("video videos clip clips film movie footage".split())
_SENTENCES = re.compile(r"(?<=[.?!;])\s+")
_RELATIVE_CLAUSE = re.compile(r"\b(?:that|which|who|whom|whose|where)\b", re.I)
_POINTS_BACK = re.compile(
    r"\b(?:it|its|they|them|theirs?|one|that|this|those|these)\b|(?<!\bis )(?<!\bare )(?<!\bwas )(?<!\bwere )\bthere\b",
    re.I,
)
_UNNAMED = re.compile(
    r"\bsome(?:thing|where|one|body)\b|\b(?:the|that|this) (?:thing|place|spot|item|object|location)\b"
    r"|(?<!\bis )(?<!\bare )(?<!\bwas )(?<!\bwere )\b(?:the|an?) (?:(?!be(?:en)? )\w+ ){1,3}?"
    r"\w+(?:ed|en|ept|ught|own) (?:only )?by\b",
    re.I,
)
_ASKS = re.compile(r"\b(?:what|which|who|whom|whose|where|when|why|how)\b", re.I)
"""The first of these in a question asks; those after it describe."""


def quoted(text: str) -> list[str]:
    """What stands in quotation marks."""
    return [a or b for a, b in _QUOTED.findall(text)]


def names(question: str) -> tuple[str, ...]:
    """Quoted words and capitalised names within a question."""
    text = " ".join(question.split())
    bare = _QUOTED.sub(" , ", text)
    found = [m[0] for m in _NAME.finditer(bare)]
    if opening := _OPENING_NAME.match(bare):
        found = [opening[0], *(n for n in found if n not in opening[0])]
    return tuple(dict.fromkeys([*quoted(text), *found]))[:6]


def described(question: str) -> bool:
    """Whether the question does not name what it asks about but describes it, so that this takes another row to know:
    by a relative clause ("the place where she hid the map", "the map hidden by her"), by a noun that could be anything,
    or by a sentence of its own ("She hid a map.  Which number does the locker there have?").
    """
    bare = _QUOTED.sub(" , ", " ".join(question.split()))
    *told, asked = _SENTENCES.split(bare.strip())
    asks = _ASKS.search(asked)
    if _UNNAMED.search(bare) or (asks and _RELATIVE_CLAUSE.search(asked, asks.end())):
        return True
    return any(_RELATIVE_CLAUSE.search(s) for s in told) or bool(told and _POINTS_BACK.search(asked))


def subjects(question: str) -> tuple[str, ...]:
    """Names, quoted words and noun phrases that the question is about, at most six, names first; where it has none of
    them, the words after its verb.
    """
    bare = _QUOTED.sub(" , ", " ".join(question.split()))
    things = []
    for match in _PHRASE.finditer(bare):
        words: list[str] = []
        for word in match[1].split():
            if word.lower() in _MEDIA or (words and word.lower() in ENDS):
                break
            words.append(word)
        while words and words[-1].lower() in _NO_SUBJECT:
            words.pop()
        if words:
            things.append(" ".join(words))
    found = [*names(question), *things]
    if not found and (plain := _PLAIN.search(bare)):  # "In which month is slate delivered?"
        found = [w for w in _WORDS.findall(plain[1]) if w.lower() not in _NO_SUBJECT][:3]
    return tuple(dict.fromkeys(found))[:6]
