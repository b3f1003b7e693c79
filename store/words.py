"""Words of a text, without a model and without a stemmer."""

from __future__ import annotations

import unicodedata

import regex

STOP = frozenset(
    "a an the this that these those and or but if of in on at to from by with for as into onto about over under "
    "than then is are was were be been being am do does did done has have had having will would shall should can "
    "could may might must i you he she it we they me him her us them my your his its our their mine yours who whom "
    "whose which what when where why how there here not no nor so too very just also both each any some such own "
    "same all most more many much one's s t during while after before between up down out off again once only "
    "other".split()
)
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}\p{N}]+)?")
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts that put no space between words, as parts of a set of characters."""
_UNSPACED = regex.compile(f"[{UNSPACED}]")


def plain(text: str) -> str:
    """Lower case, in one way of writing where Unicode has several."""
    return unicodedata.normalize("NFKC", text).lower()


def split(text: str) -> list[str]:
    """Words of a :func:`plain` text in order; scripts without spaces are split into characters."""
    out = []
    for match in _WORD.finditer(text):
        word = match[0]
        if _UNSPACED.search(word):
            out += regex.findall(r"\X", word)
        else:
            out.append(regex.sub(r"['’]s?$|['’]", "", word))
    return [w for w in out if w]
