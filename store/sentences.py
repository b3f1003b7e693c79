"""Where a sentence ends."""

from __future__ import annotations

import re

_END = re.compile(r"[.!?。！？…♪\])]['\"”’»)]*$")
_ABBREVIATED = re.compile(r"(?:^|[\s(])(?:[A-Z]|[IVXLC]{2,}|Mr|Mrs|Ms|Dr|St|Prof|vs|bzw|ca|Nr|Sr|Sra)\.$")


def ends_sentence(text: str) -> bool:
    """Whether ``text`` ends with the end of a sentence: not with an abbreviation or a Roman numeral ("Mrs.", "IV.")."""
    return bool(_END.search(text)) and not _ABBREVIATED.search(text)
