"""Sentences of a text, without a model."""

from __future__ import annotations

import regex

_MARK = r"(?:[\p{Sentence_Terminal}…]|(?<=\p{Greek});)"
"""What ends a sentence in any script; a semicolon is the question mark of Greek."""
_END = regex.compile(rf"(?:{_MARK}|[♪\])])['\"”’»)]*$")
_ABBREVIATED = regex.compile(
    r"(?:^|[\s(])(?:[A-Z]|\p{L}\.\p{L}|[IVXLC]{2,}|Mr|Mrs|Ms|Dr|St|Prof|vs|bzw|ca|Nr|Sr|Sra)\.$"
)
_ASKS = regex.compile(r"(?:[?？؟]|(?<=\p{Greek});)['\"’”)\]]*\s*$")
_GAP = regex.compile(rf"(?<={_MARK}) +|(?<=[。！？])(?!$)")
_WIDE = regex.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")


def ends_sentence(text: str) -> bool:
    """Whether ``text`` ends with the end of a sentence: not with an abbreviation or a Roman numeral ("Mrs.", "IV.")."""
    return bool(_END.search(text)) and not _ABBREVIATED.search(text)


def asks(text: str) -> bool:
    """Whether ``text`` ends with a question mark of any script."""
    return bool(_ASKS.search(text))


def sentences(text: str) -> list[str]:
    """The sentences of a text in order; the first may have begun earlier, the last may go on."""
    out = list[str]()
    for part in _GAP.split(text):
        if out and not ends_sentence(out[-1]):
            out[-1] = joined(out[-1], part)
        else:
            out.append(part)
    return out


def joined(text: str, more: str) -> str:
    """Two parts of a text that is written without spaces, in Chinese or Japanese, or with one between them."""
    return text + ("" if _WIDE.match(text[-1:]) and _WIDE.match(more[:1]) else " ") + more
