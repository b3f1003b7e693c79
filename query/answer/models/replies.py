"""What a language model wrote is read with care: whatever it is, only rows and options that exist come out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ....store.encoders import well_formed
from ...types import Draft
from ...understand.options import LETTERS

LONGEST = 20_000
"""Characters of a reply; a longer one is no answer."""
_LETTER = re.compile(r"\s*[(\[]?([A-Za-z])(?![A-Za-z])")
_ANSWER = re.compile(r'"answer"\s*:\s*"((?:[^"\\]|\\.)*)', re.S)
_JSON = json.JSONDecoder()


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that ``text`` is, or that stands in it (in a code fence, say); None where there is none.

    What a model thinks before it answers is passed over.
    """
    start = text.find("{", text.rfind("</think>") + 1)
    for _ in range(5):
        if start < 0:
            return None
        try:
            found, _end = _JSON.raw_decode(text, start)
            return found if isinstance(found, dict) else None
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
    return None


def read_reply(text: str, options: Sequence[str], ids: Sequence[str], cut: bool = False) -> tuple[Draft | None, str]:
    """A reply as a draft, and what is wrong with it as the end of a sentence ("the reply ..."), empty where nothing is.

    None where nothing can be made of it.
    """
    if problem := _unreadable(text, cut):
        return None, problem
    told = json_object(text)
    if told is None:
        return None, "is HTML" if re.match(r"\s*<(?:!doctype|html|\?xml)", text, re.I) else "is no JSON object"
    answer = well_formed(told["answer"]).strip() if isinstance(told.get("answer"), str) else ""
    abstained = told.get("answerable") is False
    choice = _choice(told.get("choice"), options) if options else None
    if options and choice is None:
        return None, "chooses none of the options"
    if not options and not answer and not abstained:
        return None, "holds no answer"
    raw = told.get("citations")
    named = [well_formed(str(c)).strip("[]() ") for c in raw[:100]] if isinstance(raw, list) else []
    cited = tuple(dict.fromkeys(c for c in named if c in ids))
    problem = ""
    if unknown := [c[:20] for c in dict.fromkeys(named) if c not in ids]:
        problem = f"cites {', '.join(unknown[:5])}, which {'do' if len(unknown) > 1 else 'does'} not exist"
    elif not cited and ids and not abstained:
        problem = "cites no row"
    return Draft(text=answer, choice=choice, citations=cited, abstained=abstained), problem


def _unreadable(text: str, cut: bool) -> str:
    if not text.strip():
        return "is empty"
    if cut:
        return f"was cut off after {len(text)} characters"
    return f"has {len(text)} characters" if len(text) > LONGEST else ""


def _choice(told: object, options: Sequence[str]) -> int | None:
    """The index of the option that is meant: by its letter, or by its text."""
    if not isinstance(told, str):
        return None
    same = [i for i, o in enumerate(options) if o.strip().lower() == told.strip().lower()]
    if same:
        return same[0]
    match = _LETTER.match(told)
    at = LETTERS.find(match[1].upper()) if match else -1
    return at if 0 <= at < len(options) else None


def said_so_far(text: str) -> str:
    """The answer in a JSON reply that is still being written, as far as it goes."""
    match = _ANSWER.search(text[:LONGEST])
    if not match:
        return ""
    part = re.match(r"(?:[^\\]|\\u[0-9A-Fa-f]{4}|\\[^u])*", match[1], re.DOTALL)  # without half an escape at the end
    try:
        said = json.loads(f'"{part[0] if part else ""}"', strict=False)
    except ValueError:
        return ""
    return str(said).encode("utf-16", "surrogatepass").decode("utf-16", "ignore")  # half a pair: the other comes next


def letter_mass(top: Mapping[str, float], count: int) -> list[float]:
    """How probable each of the first ``count`` letters is, among candidates such as ``B``, `` B`` or ``(B``."""
    mass = [0.0] * count
    for token, probability in top.items():
        at = LETTERS[:count].find(bare) if len(bare := token.strip(" \t\n()[].:*\"'")) == 1 else -1
        if at >= 0:
            mass[at] += probability
    return mass
