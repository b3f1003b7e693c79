"""Language tags of files and tracks as the codes that recognisers use."""

from __future__ import annotations

import re
import unicodedata

_CODES = """
aa:aar ab:abk ae:ave af:afr ak:aka am:amh an:arg ar:ara as:asm av:ava ay:aym az:aze ba:bak be:bel bg:bul bi:bis
bm:bam bn:ben bo:bod:tib br:bre bs:bos ca:cat ce:che ch:cha co:cos cr:cre cs:ces:cze cu:chu cv:chv cy:cym:wel da:dan
de:deu:ger dv:div dz:dzo ee:ewe el:ell:gre en:eng eo:epo es:spa et:est eu:eus:baq fa:fas:per ff:ful fi:fin fj:fij
fo:fao fr:fra:fre fy:fry ga:gle gd:gla gl:glg gn:grn gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat hu:hun
hy:hye:arm hz:her ia:ina id:ind ie:ile ig:ibo ii:iii ik:ipk io:ido is:isl:ice it:ita iu:iku ja:jpn jv:jav ka:kat:geo
kg:kon ki:kik kj:kua kk:kaz kl:kal km:khm kn:kan ko:kor kr:kau ks:kas ku:kur kv:kom kw:cor ky:kir la:lat lb:ltz
lg:lug li:lim ln:lin lo:lao lt:lit lu:lub lv:lav mg:mlg mh:mah mi:mri:mao mk:mkd:mac ml:mal mn:mon mr:mar ms:msa:may
mt:mlt my:mya:bur na:nau nb:nob nd:nde ne:nep ng:ndo nl:nld:dut nn:nno no:nor nr:nbl nv:nav ny:nya oc:oci oj:oji
om:orm or:ori os:oss pa:pan pi:pli pl:pol ps:pus pt:por qu:que rm:roh rn:run ro:ron:rum ru:rus rw:kin sa:san sc:srd
sd:snd se:sme sg:sag si:sin sk:slk:slo sl:slv sm:smo sn:sna so:som sq:sqi:alb sr:srp ss:ssw st:sot su:sun sv:swe
sw:swa ta:tam te:tel tg:tgk th:tha ti:tir tk:tuk tl:tgl tn:tsn to:ton tr:tur ts:tso tt:tat tw:twi ty:tah ug:uig
uk:ukr ur:urd uz:uzb ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:yid yo:yor za:zha zh:zho:chi zu:zul
"""
"""ISO 639: the code of two letters, that of three letters, and a second one of three letters where there is one."""

_KNOWN = {long: codes[0] for codes in (c.split(":") for c in _CODES.split()) for long in codes}
_KNOWN |= {code: code for code in ("yue", "haw", "fil", "ceb", "jw")}  # no code of two letters, or never official


_NAMES = """
ar:arabic:العربية be:belarusian:беларуская bg:bulgarian:български bn:bengali:বাংলা bs:bosnian:bosanski
ca:catalan:català cs:czech:čeština:česky cy:welsh:cymraeg da:danish:dansk de:german:deutsch el:greek:ελληνικά
en:english es:spanish:español et:estonian:eesti eu:basque:euskara fa:persian:farsi:فارسی fi:finnish:suomi
fil:filipino:tagalog fr:french:français ga:irish:gaeilge gl:galician:galego gu:gujarati:ગુજરાતી
he:hebrew:עברית hi:hindi:हिन्दी hr:croatian:hrvatski hu:hungarian:magyar hy:armenian:հայերեն
id:indonesian:indonesia is:icelandic:íslenska it:italian:italiano ja:japanese:日本語:jp:jpn ka:georgian:ქართული
kk:kazakh:қазақша km:khmer:ខ្មែរ kn:kannada:ಕನ್ನಡ ko:korean:한국어:kr lt:lithuanian:lietuvių lv:latvian:latviešu
mk:macedonian:македонски ml:malayalam:മലയാളം mn:mongolian:монгол mr:marathi:मराठी ms:malay:melayu
my:burmese:မြန်မာ nb:bokmål:bokmal ne:nepali:नेपाली nl:dutch:nederlands nn:nynorsk no:norwegian:norsk
pa:punjabi:ਪੰਜਾਬੀ pl:polish:polski pt:portuguese:português:pob:ptbr ro:romanian:română ru:russian:русский
si:sinhala:සිංහල sk:slovak:slovenčina sl:slovenian:slovene:slovenščina sq:albanian:shqip
sr:serbian:српски:srpski sv:swedish:svenska sw:swahili:kiswahili ta:tamil:தமிழ் te:telugu:తెలుగు th:thai:ไทย
tr:turkish:türkçe uk:ukrainian:українська ur:urdu:اردو uz:uzbek:oʻzbek vi:vietnamese:việt yue:cantonese:粵語:粤语
zh:chinese:mandarin:中文:简体:繁體:繁体:简体中文:繁體中文:chs:cht:sc:tc:zhs:zht:gb:big5
"""
"""Names of languages in English and their own, and what subtitle files are called besides."""

_NAMED = {name: names[0] for names in (n.split(":") for n in _NAMES.split()) for name in names[1:]}
_TAG = re.compile(r"([a-z]{2,3})(?:-(?:[a-z]{4}|[a-z]{2}|\d{3}))*")


def named_language(word: str) -> str | None:
    """The code for what a file name says of its language: ``en``, ``pt-BR``, ``English``, ``Deutsch``, ``chs``."""
    low = unicodedata.normalize("NFC", word).lower()
    return _NAMED.get(low) or (language_of(low) if _TAG.fullmatch(low) else None)


def language_of(tag: str | None) -> str | None:
    """``en`` for ``en``, ``eng``, ``EN-us`` and ``en_GB``; None for what is no language (``und``, ``forced``)."""
    return _KNOWN.get((tag or "").replace("_", "-").partition("-")[0].lower())
