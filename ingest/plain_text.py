"""Bytes of a text file of unknown encoding become text."""

from __future__ import annotations

import codecs
import re

from ..store.errors import MediaError


def decoded(data: bytes, name: str) -> tuple[str, str]:
    """The text of a file, and how it was encoded; :class:`MediaError` where it is not text."""
    encoding = _encoding(data)
    text = data.decode(encoding, "replace")
    wrong = text.count("\ufffd") if encoding == "utf-8" else 0
    if wrong and 5 * wrong > sum(not c.isascii() for c in text) - wrong:  # a few odd bytes change nothing
        encoding = _legacy(data)
        text = data.decode(encoding, "replace")
    odd = len(re.findall("[\x00-\x08\x0e-\x19\x1b-\x1f\ufffd]", text[: 1 << 16]))
    if "\0" in text or odd > 5 + len(text[: 1 << 16]) / 100:
        raise MediaError(f"{name}: not text, so no subtitles")
    text = re.sub("[\ufdd0\ufdd1]", "", text.encode("utf-8", "replace").decode())
    return text.lstrip("\ufeff"), encoding.removesuffix("-sig")


def _encoding(data: bytes) -> str:
    if data.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = data[:4096]
    for odd, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # times are ASCII: every second byte is zero
        zeros, others = head[odd::2].count(0), head[1 - odd :: 2].count(0)
        if zeros > 0.1 * len(head) / 2 and not others:
            return encoding
    return "utf-8"


def _legacy(data: bytes) -> str:
    """The likeliest encoding of text that is not Unicode; Western European where nothing speaks for another."""
    from charset_normalizer import from_bytes

    lines = [x for x in data[: 1 << 18].splitlines() if not x.isascii()]
    sample = b"\n".join(lines)[: 1 << 14].rpartition(b"\n")[0] or b"\n".join(lines)[: 1 << 14]
    best = from_bytes(sample, steps=1, chunk_size=1 << 14, threshold=0.3).best()
    return best.encoding if best and best.encoding not in ("ascii", "utf_7", "utf_8") else "cp1252"
