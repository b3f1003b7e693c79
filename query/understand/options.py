"""The options of a question and their letters."""

from __future__ import annotations

import re
from collections.abc import Sequence

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def unlettered(options: Sequence[str]) -> list[str]:
    """The options without the letters in front of them, where all have theirs: "E. coli" keeps its initial."""
    own = [re.match(r"\s*\(?([A-Z])[.):](?:\s+|$)", o) for o in options]
    if all(m and m[1] == LETTERS[i] for i, m in enumerate(own)):
        return [o[m.end() :].strip() for o, m in zip(options, own, strict=True) if m]
    return [o.strip() for o in options]
