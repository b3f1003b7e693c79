"""Turns sound files into unsound ones: bytes flipped, cut, doubled; JSON values replaced by what nobody expects."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 10**400, 0.5, 1e308, "", "x", "../../etc/passwd",
    "\0", "a\nb", "\udcff", "\ud800", "é", "e\u0301", "🎬" * 90, "9" * 400, "NaN", "1e999", "٣", "ok", "failed", [], {},
    [[]], [None], ["x"], [1, 2], {"": None}, {"x": {}}, "[" * 50, "\u2028", "-rf", "%s%n", "{0}", "\x1b[31m",
]  # fmt: skip
RAW = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"9" * 5000,
    b'"\xff\xfe"',
    b'"\\ud800"',
    b"",
]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value within a JSON value."""
    found = [at] if at else []
    if isinstance(value, dict):
        found += [p for k, v in value.items() for p in places(v, (*at, k))]
    if isinstance(value, list):
        found += [p for i, v in enumerate(value) for p in places(v, (*at, i))]
    return found


def changed(value: Any, dice: random.Random, ways: list[tuple[Any, ...]]) -> Any:
    """``value`` with one to three places replaced, removed, added to or swapped."""
    out = copy.deepcopy(value)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        *path, last = dice.choice(ways)
        holder = out
        try:
            for step in path:
                holder = holder[step]
            match dice.randrange(6):
                case 0:
                    del holder[last]
                case 1 if isinstance(holder, dict):
                    holder[dice.choice(["x", "", "version", "files", "data", "deleted"])] = dice.choice(ODD)
                case 2:
                    holder[last] = [holder[last]]
                case 3:
                    holder[last] = {"x": holder[last]}
                case _:
                    holder[last] = copy.deepcopy(dice.choice(ODD))
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return out


def damaged(data: bytes, dice: random.Random) -> bytes:
    """``data`` with one to four bits flipped, or stretches of it cut off, taken out, doubled or replaced."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(out) + 1)
        to = min(len(out), at + dice.choice((1, 2, 10, 100)))
        match dice.randrange(7):
            case 0 | 1 if at < len(out):
                out[at] ^= 1 << dice.randrange(8)
            case 2:
                del out[at:]
            case 3:
                del out[at:to]
            case 4:
                out[at:at] = out[at:to]
            case 5:
                out[at:to] = dice.choice(RAW)
            case _:
                out[at:to] = dice.randbytes(to - at)
    return bytes(out)


def doubled_key(text: bytes, dice: random.Random) -> bytes:
    """A JSON object that names one of its keys twice."""
    key = dice.choice(list(json.loads(text)))
    return text.rstrip().removesuffix(b"}") + b", " + json.dumps({key: dice.choice(ODD)}).encode()[1:]
