"""Bytes of a text file of unknown encoding become text."""

from __future__ import annotations

import codecs
import re

from ..store.errors import MediaError


def decoded(data: bytes, name: str, language: str | None = None) -> tuple[str, str]:
    """The text of a file, and how it was encoded; :class:`MediaError` where it is not text.

    ``language`` (ISO 639-1), where it is known, says which encoding to expect where the text is not Unicode.
    """
    encoding = _encoding(data)
    text = data.decode(encoding, "replace")
    wrong = text.count("\ufffd") if encoding == "utf-8" else 0
    if wrong and 5 * wrong > sum(not c.isascii() for c in text) - wrong:  # a few odd bytes change nothing
        encoding = _legacy(data, language)
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


_PAGES = {
    "pl cs sk hu sl hr bs ro sq": "cp1250",
    "ru uk bg be mk sr kk mn": "cp1251 koi8_r",
    "el": "cp1253",
    "tr az": "cp1254",
    "he yi": "cp1255",
    "ar fa ur ps": "cp1256",
    "lt lv et": "cp1257",
    "vi": "cp1258",
    "th": "cp874",
    "ja": "cp932 euc_jp",
    "ko": "cp949",
    "zh yue": "gb18030 big5",
}
"""What text of a language is written in where it is not Unicode; all others in cp1252."""

_PAGES_OF = {language: pages.split() for languages, pages in _PAGES.items() for language in languages.split()}
_OTHER_SCRIPTS = "cp1251 koi8_r cp1253 cp1255 cp1256 cp874 cp932 euc_jp cp949 gb18030 big5".split()
_CENTRAL = re.compile(rb"[a-z\xc0-\xff][\xa3\xa5\xaa\xaf\xb3\xb9\xbf\xbc\xbe]+[a-z]|[\x8d\x8f\x9d]", re.I)
"""Letters of cp1250 inside of words that are signs in cp1252, or nothing there."""


def _legacy(data: bytes, language: str | None) -> str:
    """The likeliest encoding of text that is not Unicode.

    A known language decides.  Else the script does: where most letters are not Latin, a statistical guess is good;
    where most are, it is not, and Western European is assumed unless signs stand inside of words.
    """
    lines = [x for x in data[: 1 << 18].splitlines() if not x.isascii()]
    sample = b"\n".join(lines)[: 1 << 14]
    if language:
        pages = _PAGES_OF.get(language, ["cp1252"])
        return _likeliest(sample, pages) if len(pages) > 1 else pages[0]
    if sum(c >= 0x80 for c in sample) > sum(bytes([c]).isalpha() for c in sample):
        return _likeliest(sample, _OTHER_SCRIPTS)
    return "cp1250" if _CENTRAL.search(sample) else "cp1252"


def _likeliest(sample: bytes, encodings: list[str]) -> str:
    from charset_normalizer import from_bytes

    whole = sample.rpartition(b"\n")[0] or sample  # no character cut in two
    best = from_bytes(whole, steps=1, chunk_size=1 << 14, threshold=0.5, cp_isolation=encodings).best()
    return best.encoding if best and best.encoding in encodings else encodings[0]
