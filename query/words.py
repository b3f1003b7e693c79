"""Words as retrieval compares them: lower case, stems, no stop words, numbers as digits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

STOP = frozenset(
    "a an the this that these those and or but if of in on at to from by with for as into onto about over under "
    "than then is are was were be been being am do does did done has have had having will would shall should can "
    "could may might must i you he she it we they me him her us them my your his its our their mine yours who whom "
    "whose which what when where why how there here not no nor so too very just also both each any some such own "
    "same all most more many much one's s t during while after before between up down out off again once only "
    "other".split()
)
ABOUT = frozenset(
    "video clip film movie footage recording speaker narrator presenter say says said mention mentions mentioned "
    "talk talks talked tell tells told show shows shown showing see seen appear appears appeared visible screen "
    "picture pictures photo photos image images frame frames scene shot slide slides titled title called question "
    "according exactly really happen happens happened kind type".split()
)
"""Words about the video itself: they say where to look, not what for."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?", re.UNICODE)
_APOSTROPHE = re.compile(r"['’]s?$|['’]")
_KEPT = 20_000
"""Texts whose words are kept: rows come back for question after question, one question is looked at from all sides."""
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import Stemmer

    return Stemmer.Stemmer("english")


def digits(text: str) -> str:
    """English number words as digits: ``seventy two`` becomes ``72``."""
    from text_to_num import alpha2digit

    found: str = alpha2digit(text, "en")
    return found


def words(text: str) -> list[str]:
    """Words in order, lower case; scripts without spaces are split into characters."""
    return list(_words(text))


@lru_cache(maxsize=_KEPT)
def _words(text: str) -> tuple[str, ...]:
    out = []
    for match in _WORD.finditer(digits(unicodedata.normalize("NFKC", text).lower())):
        word = match[0]
        if _CJK.search(word):
            out += list(word)
        else:
            out.append(_APOSTROPHE.sub("", word))
    return tuple(w for w in out if w)


def terms(text: str) -> list[str]:
    """Stems of the words that carry meaning; of all words where none does."""
    return list(_terms(text))


@lru_cache(maxsize=_KEPT)
def _terms(text: str) -> tuple[str, ...]:
    found = _words(text)
    return tuple(stems([w for w in found if w not in STOP] or found))


def stems(found: Sequence[str]) -> list[str]:
    """The stem of each word (Snowball English)."""
    out: list[str] = _stemmer().stemWords(list(found))
    return out


def sought(question: str) -> list[str]:
    """The terms of a question that a row which answers it would hold: no words about the video itself."""
    found = _terms(question)
    return [t for t in found if t not in _about()] or list(found)


@lru_cache(maxsize=1)
def _about() -> frozenset[str]:
    return frozenset(str(t) for t in _stemmer().stemWords(sorted(ABOUT)))
