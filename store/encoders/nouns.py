"""English nouns: one and several."""

from __future__ import annotations

import re

_PLURALS = {
    "bus": "buses",
    "child": "children",
    "cookie": "cookies",
    "foot": "feet",
    "knife": "knives",
    "leaf": "leaves",
    "loaf": "loaves",
    "man": "men",
    "movie": "movies",
    "person": "people",
    "pie": "pies",
    "potato": "potatoes",
    "shelf": "shelves",
    "tie": "ties",
    "tomato": "tomatoes",
    "tooth": "teeth",
    "wolf": "wolves",
    "woman": "women",
}
_SINGULARS = {many: one for one, many in _PLURALS.items()}
_BOTH = frozenset(
    "aircraft binoculars deer fish glasses goggles headphones jeans pants scissors series sheep shorts skis sunglasses "
    "trousers".split()
)
"""Nouns that are their own plural."""


def plural(noun: str) -> str:
    """The plural of an English noun phrase: its last word changes."""
    head, _, last = noun.rpartition(" ")
    if last in _BOTH:
        return noun
    many = _PLURALS.get(last) or last + ("es" if last.endswith(("s", "x", "ch", "sh")) else "s")
    return f"{head} {many}" if head else many


def singular(noun: str) -> str:
    """The singular of an English noun phrase; one that is singular stays as it is."""
    head, _, last = noun.rpartition(" ")
    if last in _SINGULARS:
        one = _SINGULARS[last]
    elif last in _BOTH or len(last) < 4 or last.endswith(("ss", "us", "is", "news", "lens")):
        one = last
    elif last.endswith("ies"):
        one = last[:-3] + "y"
    else:
        one = re.sub(r"(?<=ss)es$|(?<=x)es$|(?<=[cs]h)es$|s$", "", last)
    return f"{head} {one}" if head else one
