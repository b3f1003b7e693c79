"""Words as retrieval compares them: lower case, stems, no stop words, numbers as digits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ...store.words import STOP, plain, split

ABOUT = frozenset(
    "video clip film movie footage recording speaker narrator presenter say says said mention mentions mentioned "
    "talk talks talked tell tells told show shows shown showing see seen appear appears appeared visible screen "
    "picture pictures photo photos image images frame frames scene shot slide slides titled title called question "
    "printed written according exactly really happen happens happened kind type".split()
)
"""Words about the video itself: they say where to look, not what for."""
PASSED = STOP - {"may"}
"""Words that carry no meaning; May is a month."""
_KEPT = 20_000
"""Texts whose words are kept: rows come back for question after question, one question is looked at from all sides."""


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
    return tuple(split(digits(plain(text))))


def terms(text: str) -> list[str]:
    """Stems of the words that carry meaning; of all words where none does."""
    return list(_terms(text))


@lru_cache(maxsize=_KEPT)
def _terms(text: str) -> tuple[str, ...]:
    found = _words(text)
    return tuple(stems([w for w in found if w not in PASSED] or found))


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
