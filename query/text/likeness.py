"""How well a text holds a phrase although it was misheard or misread: by letters and by sound.

Sounds are Metaphone codes (Lawrence Philips, 1990) from jellyfish; windows are compared by rapidfuzz.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...store.words import plain, split
from .words import words

_NOTHING, _SURE = 0.55, 0.95
_SHORT = 4
_DIGIT = re.compile(r"\d")
_DULL, _CLEAR = 0.3, 0.8
"""Likeness of a number and what was heard for it, below and above which it says nothing more."""
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen".split()
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_COMPOUND = 6
"""Letters from which on a phrase may be one word or two."""
HOLDS = 0.6
"""Likeness from which on a text is taken to hold a phrase."""


@dataclass(frozen=True, slots=True)
class Spelt:
    """A text as it is compared: its words, and their sounds run together."""

    letters: str
    sounds: str


@lru_cache(maxsize=100_000)
def _sound(word: str) -> str:
    import jellyfish

    return word if word.isdigit() else jellyfish.metaphone(word)


@lru_cache(maxsize=20_000)
def spelt(text: str) -> Spelt:
    """``text`` ready to be compared; numbers are digits, English number words too."""
    return spelt_words(words(text))


def spelt_words(found: Sequence[str]) -> Spelt:
    """What :func:`~.words.words` gave, ready to be compared."""
    return Spelt(" ".join(found), "".join(_sound(w) for w in found))


def likeness(phrases: Sequence[Spelt], texts: Sequence[Spelt], at_least: float = 0.0) -> NDArray[np.float32]:
    """How surely each of ``texts`` holds each phrase, 0..1, float32 ``(n_phrases, n_texts)``.

    1: letter for letter or nearly so, as one word or as two; 0: nothing like it.  Of several words the worst counts
    half, so that "the glass workshop" is not "the bell workshop".  A number is there or not: one digit off is another
    number.
    ``at_least``: what is less sure may come out as 0, which is quicker.
    """
    if not phrases or not texts:
        return np.zeros((len(phrases), len(texts)), np.float32)
    if at_least:
        out = np.zeros((len(phrases), len(texts)), np.float32)
        sure = np.flatnonzero(_windows(phrases, texts, at_least).max(1) >= at_least).tolist()
        out[sure] = likeness([phrases[i] for i in sure], texts)
        return out
    singles = [[spelt_words([w]) for w in p.letters.split()] for p in phrases]
    flat = [*phrases, *(w for group in singles if len(group) > 1 for w in group)]
    raw = _windows(flat, texts)
    out, at = raw[: len(phrases)].copy(), len(phrases)
    for i, group in enumerate(singles):
        if len(group) > 1:
            out[i] = 0.5 * out[i] + 0.5 * np.minimum(out[i], raw[at : at + len(group)].min(0))
            at += len(group)
    whole = ["" if _DIGIT.search(p.letters) else p.letters.replace(" ", "") for p in phrases]
    for j, text in enumerate(texts):
        runs = _runs(text.letters)
        out[[len(w) >= _COMPOUND and w in runs for w in whole], j] = 1
    return out


def numbers_heard(options: Sequence[str], text: str) -> list[float]:
    """How much a stretch of ``text`` sounds like each option that is a number written in letters, 0..1; 0 for others.

    For rows in which a number was misheard ("heavy fortunes" for "eighty four tons"), so that :func:`likeness` does not
    find it.
    """
    from rapidfuzz import fuzz

    held = spelt_words([w for word in split(plain(text)) for w in _spoken(word)])
    out = []
    for option in options:
        told = split(plain(option))
        phrase = spelt_words(told)
        number = "".join(words(option)).isdigit() and not _DIGIT.search(option)
        sides = ((phrase.letters, held.letters), (phrase.sounds, held.sounds))
        alike = sum(fuzz.partial_ratio(a, b) for a, b in sides) / 200 if number and all(map(all, sides)) else 0.0
        out.append(min(1.0, max(0.0, (alike - _DULL) / (_CLEAR - _DULL))))
    return out


def _spoken(word: str) -> list[str]:
    """A number below 100 as it is spoken in English; other words as they are."""
    if not word.isascii() or not word.isdigit() or len(word) > 2:
        return [word]
    tens, ones = divmod(int(word), 10)
    return [_ONES[int(word)]] if tens < 2 else [_TENS[tens - 2], *(_ONES[ones : ones + 1] if ones else [])]


@lru_cache(maxsize=4_000)
def _runs(letters: str) -> frozenset[str]:
    """The words of a text, and each two of them as one: "sea shells" may be heard as "seashells" and the reverse.

    Numbers stay as they are.
    """
    found = letters.split()
    return frozenset(found) | {a + b for a, b in pairwise(found) if not _DIGIT.search(a + b)}


def _windows(phrases: Sequence[Spelt], texts: Sequence[Spelt], at_least: float = 0.0) -> NDArray[np.float32]:
    """Likeness of each phrase as a whole; its words may make it less."""
    from rapidfuzz import fuzz, process

    needed = _NOTHING + (_SURE - _NOTHING) * at_least
    cutoff = 100 * (2 * needed - 1) - 1e-3  # by letters or by sound; below it the mean of both is too small
    sides = []
    for side in ("letters", "sounds"):
        asked, held = [getattr(p, side) for p in phrases], [getattr(t, side) for t in texts]
        found = process.cdist(asked, held, scorer=fuzz.partial_ratio, dtype=np.float32, score_cutoff=cutoff) / 100
        size = np.array([max(1, len(a)) for a in asked], np.float32)[:, None]
        room = np.minimum(1, np.array([len(h) for h in held], np.float32)[None] / (0.7 * size))
        sides.append(found * room)  # partial_ratio lays the shorter one into the longer
    letters, sounds = sides
    audible = np.array([len(p.sounds) >= _SHORT for p in phrases])[:, None]
    raw = np.maximum(letters, np.where(audible, 0.5 * (letters + sounds), 0.0))
    raw = np.clip((raw - _NOTHING) / (_SURE - _NOTHING), 0, 1)
    for i, phrase in enumerate(phrases):
        if phrase.letters.isdigit() or len(phrase.letters) < _SHORT:
            raw[i] = [float(f" {phrase.letters} " in f" {t.letters} ") for t in texts]
    return raw.astype(np.float32)


def holders(options: Sequence[str], texts: Sequence[Spelt]) -> list[tuple[int, int, float]]:
    """For each option that one of ``texts`` holds: the option, the text that holds it best, and how surely."""
    like = likeness([spelt(o) for o in options], texts)
    if not like.size:
        return []
    best = like.argmax(1)
    sure = like[np.arange(len(options)), best]
    return [(i, int(best[i]), float(sure[i])) for i in range(len(options)) if sure[i] >= HOLDS]
