"""Things that are told by how they are written: addresses, telephone numbers, prices, dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .words import in_digits, language_of


class Written(NamedTuple):
    """``asked``: the words of a question that wants such things; ``looks``: how they look."""

    asked: re.Pattern[str]
    looks: re.Pattern[str]

    def held(self, text: str, language: str | None = None) -> bool:
        """Whether a text, in ``language`` if it does not tell, has such a thing, with numbers in digits or in words."""
        languages = dict.fromkeys((language, language_of(text)))
        return any(self.looks.search(t) for t in (text, *(in_digits(text, code) for code in languages)))


def _kind(asked: str, looks: str) -> Written:
    return Written(re.compile(asked, re.I), re.compile(looks, re.I))


_MONTHS = (
    "january february march april may june july august september october november december jan feb mar apr jun "
    "jul aug sep sept oct nov dec januar februar märz mai juni juli oktober dezember enero febrero marzo abril "
    "mayo junio julio agosto septiembre octubre noviembre diciembre janvier février mars avril juin juillet août "
    "septembre octobre novembre décembre gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre "
    "janeiro fevereiro março maio junho julho setembro outubro novembro dezembro января февраля марта апреля мая "
    "июня июля августа сентября октября ноября декабря"
).split()
_MONTH = rf"(?:{'|'.join(_MONTHS)})\b"
_DOMAIN = r"(?:com|org|net|io|eu|edu|gov|info|example|de|uk|fr|es|it|nl|ch|at|ru|cn|jp)"
_MONEY = r"(?:[€$£¥₽元块円]|(?:euros?|cents?|dollars?|pounds?|francs?|pesos?)\b|евро|доллар|рубл)"
_SPOKEN = r"\b(?:(?:\d{1,3}|oh|double|triple)[ ,-]{1,2}){5,}\d|\b(?:\d\d[ ,-]{1,2}){4}\d\d\b"
_NUMBER = rf"(?<![\d.])\+?\d(?:[ ()/.–-]{{0,2}}\d){{6,}}|{_SPOKEN}"
_MAIL = r"[\w.+-]+@[\w-]+\.\w|\b\w+ at [\w -]{2,30} dot \w"
_LINK = rf"(?:https?://|www\.)\S|(?<![@\w.-])[a-z][\w-]*(?:\.[\w-]+)*\.{_DOMAIN}\b"
CONTACTS = (
    _kind(r"e-?mail[- ]?ad(?:dr|r)ess\w*|direcci[oó]n de correo|adresses? (?:e-)?mail|邮箱地址|メールアドレス", _MAIL),
    _kind(
        r"phone ?numbers?|telefonnummern?|n[uú]mero de tel[eé]fono|num[eé]ro de t[eé]l[eé]phone|номер телефона"
        r"|电话号码|電話番号",
        _NUMBER,
    ),
)
"""Addresses that a question is not answered without."""
ADDRESSES = (
    *CONTACTS,
    _kind(r"\burls?\b|web ?(?:sites?|pages?|addresse?s?|adressen?)|sites? web|sitios? web|сайт|网址|网站", _LINK),
    _kind(r"e-?mails?|\bmails?\b|correos?\b|courriel|почт|邮箱|邮件|メール", _MAIL),
    _kind(r"phone|telefon|tel[eé]fono|t[eé]l[eé]phone|телефон|电话|電話", _NUMBER),
)
"""What looks like nothing else; a question with one of these words may be about something else, too."""
KINDS = (
    *ADDRESSES,
    _kind(r"\blinks?\b|enlaces?|ссыл|链接", _LINK),
    _kind(
        r"\b(?:prices?|costs?|preise?|kost\w*|precios?|cuestan?|prix|coûts?|prezz[io]|preços?|цен[аы]|сто[ия]т)\b"
        r"|价格|价钱|多少钱|値段",
        rf"[€$£¥₽]\s?\d|\d\s?{_MONEY}",
    ),
    _kind(
        r"\b(?:dates?|deadlines?|dat(?:um|en)|termine?|fechas?|дат[аы])\b|日期|日付",
        rf"\b\d{{1,2}}(?:st|nd|rd|th|\.|er)?\s+(?:of |de |di )?{_MONTH}|\b{_MONTH}\s+\d{{1,2}}\b|\d月\s?\d{{1,2}}"
        r"|\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b",
    ),
)


def asked_for(question: str, kinds: Sequence[Written] = KINDS) -> Written | None:
    """The first of the ``kinds`` that a question wants; None where it wants something else."""
    return next((kind for kind in kinds if kind.asked.search(question)), None)
