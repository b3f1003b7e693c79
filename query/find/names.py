"""Videos and speakers whom a question names."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..text.words import each_term, in_file_names, terms, words, words_of_name
from ..types import QuestionKind
from ..understand.kinds import own_terms
from .rows import RowSet
from .windows import Scores

NAMED = 3
"""Videos that are named as they are called what is asked."""
_MARK = re.compile(r"\b(?:[a-z]+\d|\d+[a-z])\w*", re.I | re.A)
"""Letters and digits together, as in "IS1003d"."""
MENTIONED = 0.65
"""Share of the words asked for, by rarity, that a row must hold to mention it."""
ABOUT = 0.8
"""Share of the words that one video holds, by rarity, that another must hold to be asked about as well."""

_CORE = re.compile(r"\w(?:.*\w)?", re.S)
"""A word without the signs around it."""
_SAYS = re.compile(
    r"\b(?:say|says|said|mention\w*|think\w*|thought|suggest\w*|propos\w*|explain\w*|promis\w*|sagt|sagte|gesagt|"
    r"mein\w*|dice|dijo|opina|pens[eé]\w*|dit|сказал\w*|говорит|считает)\b|说",
    re.I,
)
"""Asks what somebody says."""
_OF_OTHERS = re.compile(r"\b(?:to|about|with|zu|über|an|sobre|a|à|о|об|про)\s+\w+", re.I)
"""To or of whom something is said."""
_WHO = re.compile(r"\b(?:who|whom|wer|wem|wen|qui[eé]n\w*|qui|кто|кому)\b|谁", re.I)
_CLOSE = 0.3
"""Spreads of nearness by which the best row of a video may lie farther than that of the nearest video."""


def titled(question: str, rows: RowSet) -> tuple[list[int], str]:
    """The places of the videos all of whose file name a question holds, by its terms, where there is none those whose
    name holds most of its words as they are written; and the question with "video" in place of these words.
    """
    asked = {t: w for w in (*words(question), *_MARK.findall(question)) for t in terms(w)}
    found = [i for i, title in enumerate(rows.titles) if title and title <= asked.keys()]
    used = {t for i in found for t in rows.titles[i]}
    if not found:
        written = {in_file_names(w): w for w in asked.values() if not w.isdecimal()}
        named = [{written[w] for w in own & written.keys()} for own in rows.name_words]
        most = max(map(len, named), default=0)
        found = [i for i, own in enumerate(named) if most and len(own) == most]
        used = {t for i in found for w in named[i] for t in terms(w)}.union(*(rows.titles[i] for i in found))
    return found, _without(question, used)


def _without(question: str, name: Collection[str]) -> str:
    """The question with "video" where there are terms of a ``name``, with the numbers beside them."""
    out = list[str]()
    for token in question.split():
        core = _CORE.search(token)
        word = core[0] if core else ""
        before, _, after = token.partition(word) if word else (token, "", "")
        own = [t for part in words_of_name(word, None) for t in each_term(part) if not t.isdecimal()]
        follows, number = out[-1:] == ["video"], not any(c.isalpha() for c in word)
        if not word or not (all(t in name for t in own) if own else number and follows):
            out.append(token)
        elif follows:
            out[-1] += after
        else:
            out.append(f"{before}video{after}")
    return " ".join(out)


def called(rows: RowSet, text: str) -> str:
    """What to tell of videos whose file names hold all that ``text`` is about; empty where there are none."""
    asked = set(own_terms(text, rows.language, *get_args(QuestionKind)))
    names = [s.name for s, title in zip(rows.shards, rows.titles, strict=True) if asked and asked <= title]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"with this in the name: {', '.join(names[:NAMED])}{more}" if names else ""


def spoken_of(rows: RowSet, asked: Collection[str], within: NDArray[np.bool_] | None = None) -> bool:
    """Whether a row ``within``, bool ``(n_rows,)``, holds most of the terms ``asked`` that name no video."""
    topic = list(set(asked).difference(*rows.titles))
    held = rows.coverage(topic) >= MENTIONED
    return bool(topic) and bool((held if within is None else held & within).any())


def said_by(rows: RowSet, question: str) -> NDArray[np.bool_]:
    """The rows of the speakers of whom a question asks what they say; all where it asks of none, bool ``(n_rows,)``."""
    inside = np.zeros(len(rows.rows), bool)
    if _SAYS.search(question) and not _WHO.search(question):
        named = each_term(_OF_OTHERS.sub(" ", question))
        inside[[at for t in named for at in rows.speakers.get(t, ())]] = True
    return inside if inside.any() else ~inside


def about(rows: RowSet, asked: Collection[str], near: Scores) -> NDArray[np.bool_]:
    """The rows of the speakers whom the terms ``asked`` name, else of the videos that hold most of these terms; where
    none does, of those whose best rows lie nearest, ``near`` ``(n_rows,)``; all of them where nothing is asked of, bool
    ``(n_rows,)``.
    """
    inside = np.zeros(len(rows.rows), bool)
    inside[[at for t in asked for at in rows.speakers.get(t, ())]] = True
    if inside.any() or not asked:
        return inside if inside.any() else ~inside
    held = np.zeros(len(rows.shards))
    for term in asked:
        held[rows.naming(term)] += rows.rarity(term)
    best = np.array([near[rows.shard == i].max(initial=-np.inf) for i in range(len(rows.shards))])
    videos: NDArray[np.bool_] = held >= ABOUT * held.max() if held.any() else best >= best.max() - _CLOSE
    return videos[rows.shard]
