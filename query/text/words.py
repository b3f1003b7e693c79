"""Words of any language as retrieval compares them: case folded, number words as digits, stems by the text's language.

Scripts without spaces are split into pairs of characters (Nie & Ren, "Chinese information retrieval: using characters
or words?", 1999); letters and digits that are written together are taken apart, so that "EIP8058" is "EIP-8058".
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import regex

from ...store.words import UNSPACED

_KEPT = 20_000
"""Texts whose words are kept: rows come back for question after question."""
_PAIRED = rf"{UNSPACED}\u30fc\p{{Hangul}}"
"""Scripts without spaces, and that of Korean, which writes particles as part of the word before."""
_RUN = regex.compile(rf"[{_PAIRED}]+|[\p{{L}}\p{{M}}--[{_PAIRED}]]+|\d+", regex.V1)
_WITHOUT_SPACES = regex.compile(rf"[{_PAIRED}]")
_CHARACTER = regex.compile(r"\X")
"""A character as a reader counts it: a letter with its marks."""
_MARKS = regex.compile(r"(?<=[\p{Arabic}\p{Greek}\p{Hebrew}])\p{Mn}+|ـ|(?<=i)\u0307")
"""Marks that are written or left out at will: accents of Greek, vowel points, the dot of a folded "İ"."""
_DIGIT = regex.compile(r"[\p{Nd}--[0-9]]", regex.V1)
_HYPHENS = regex.compile(r"[a-z\u00df-\u024f]+(?:-[a-z\u00df-\u024f]+)+")
"""Words with hyphens, which are written as one word as well."""
_SCRIPTS = tuple(
    (code, regex.compile(rf"[{script}]"))
    for code, script in {
        "ja": r"\p{Hiragana}\p{Katakana}", "zh": r"\p{Han}", "ko": r"\p{Hangul}", "th": r"\p{Thai}",
        "ru": r"\p{Cyrillic}", "ar": r"\p{Arabic}", "el": r"\p{Greek}", "he": r"\p{Hebrew}",
        "hi": r"\p{Devanagari}", "bn": r"\p{Bengali}", "ta": r"\p{Tamil}", "te": r"\p{Telugu}",
    }.items()
)  # fmt: skip
_STEMMERS = {
    "ar": "arabic", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "fi": "finnish", "fr": "french", "hi": "hindi", "hu": "hungarian", "id": "indonesian", "it": "italian",
    "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
_LISTED = frozenset({"cs", "fi", "hu", "id", "pl", "ro", "vi"})
"""Languages with long lists of stop words, of which one alone does not tell them."""
_TOLD = _LISTED.union(_STEMMERS)
"""Languages that stop words tell apart; more of them would be mistaken for each other."""
_QUESTION_WORDS = {
    "ar": "لماذا",
    "cs": "jaký jaká jaké komu koho čí",
    "de": "wer wann warum wessen wem wen wieso weshalb wohin woher wieviel wieviele womit wozu",
    "el": "πότε πού πώς γιατί πόσο πόση πόσοι πόσες πόσα",
    "en": "whose much many pls plz anywhere somewhere",
    "es": "quién quiénes cuándo dónde cómo cuál cuáles cuánto cuánta cuántos cuántas",
    "fr": "quoi quand où pourquoi comment combien quel quelle quels quelles lequel laquelle",
    "he": "כמה איזו",
    "hi": "क्या कब कहाँ कहां कैसे कितने कितनी क्यों किसने किसका किसकी किसके किन किनके",
    "it": "cosa quando quali",
    "nl": "wanneer waar waarom welke welk hoeveel wiens",
    "pl": "czyj jaka komu kogo",
    "pt": "quê onde porque porquê quais quanto quanta quantos quantas",
    "ro": "câți câtă",
    "ru": "почему какие какое сколько откуда чей кого кому",
    "tr": "kaç kaçıncı hangisi kimin kimdir",
    "vi": "đâu bao nhiêu mấy",
}
"""What the Snowball project's lists of stop words leave out, though every question has one."""
_COUNTING = frozenset(("en", "fr", "es", "pt", "de", "nl", "it"))
"""Languages whose number words become digits."""
_IDENTIFIER = regex.compile(
    r"https?://\S+|\b[\w.+-]+@[\w-]+\.[\w.]+\b|\b(?:\w+\.)+(?:com|org|net|edu|gov|io|de|uk|eu|dev)\b(?:/\S*)?"
    r"|\b(?=\w*[A-Za-z])\w*\d[\w]*(?:[-./:]\w+)*\b|\b[A-Z]{2,}[- ]?\d[\w-]*\b|\b\d[\d ().-]{4,}\d\b|\b\d{4,}\b"
)
_QUOTED = regex.compile(r"[\"“«„「『]([^\"“”«»„「」『』]{2,200})[\"”»“」』]")


@lru_cache(maxsize=1)
def _stop_words() -> dict[str, frozenset[str]]:
    """The Snowball project's lists by language, and those of stopwords-iso where it has none."""
    import stopwordsiso
    from bm25s import stopwords as s

    lists = {
        "en": s.STOPWORDS_EN_PLUS, "de": s.STOPWORDS_GERMAN, "nl": s.STOPWORDS_DUTCH, "fr": s.STOPWORDS_FRENCH,
        "es": s.STOPWORDS_SPANISH, "pt": s.STOPWORDS_PORTUGUESE, "it": s.STOPWORDS_ITALIAN, "ru": s.STOPWORDS_RUSSIAN,
        "sv": s.STOPWORDS_SWEDISH, "no": s.STOPWORDS_NORWEGIAN, "da": s.STOPWORDS_DANISH, "tr": s.STOPWORDS_TURKISH,
    }  # fmt: skip
    paired = {"ja", "ko", "th", "zh"}  # their terms are pairs of characters, not words
    others = {code: stopwordsiso.stopwords(code) for code in stopwordsiso.langs() - lists.keys() - paired}
    asking = {code: words.split() for code, words in _QUESTION_WORDS.items()}
    return {
        code: frozenset(_folded(w) for w in (*words, *asking.get(code, ())))
        for code, words in {**others, **lists}.items()
    }


@lru_cache(maxsize=1)
def _languages_of_stop_words() -> dict[str, list[str]]:
    """The languages in which a word is a stop word."""
    found: dict[str, list[str]] = {}
    for language in _TOLD:
        for word in stop_words(language):
            found.setdefault(word, []).append(language)
    return found


@cache
def _stemmer(language: str) -> Any:
    """None where the library has none for it."""
    import Stemmer

    name = _STEMMERS.get(language)
    return Stemmer.Stemmer(name) if name in Stemmer.algorithms() else None


@lru_cache(maxsize=_KEPT)
def language_of(text: str, among: frozenset[str] = frozenset()) -> str | None:
    """The code of the language that ``text`` is written in: by its script, else by its stop words; None where these do
    not tell.  ``among``: the languages that it may be in; any where none is named.
    """
    letters = 0 if text.isascii() else sum(c.isalpha() for c in text)
    for language, script in _SCRIPTS if letters else ():
        if len(script.findall(text)) * 3 > letters:
            return language
    languages = _languages_of_stop_words()
    votes = Counter(code for word in _RUN.findall(_folded(text)) for code in languages.get(word, ()))
    votes = Counter({c: n for c, n in votes.items() if (c in among or not among) and (n > 1 or c not in _LISTED)})
    ranked = votes.most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", _MARKS.sub("", unicodedata.normalize("NFKD", text).casefold()))
    return _DIGIT.sub(lambda m: str(unicodedata.digit(m[0])), text)


def in_digits(text: str, language: str | None) -> str:
    """The text case folded, numbers that are written as words in digits; ``language``: English where it is None."""
    text, language = _folded(text), language or "en"
    if language not in _COUNTING:
        return text
    from text_to_num import alpha2digit

    told: str = alpha2digit(text, language, 0 if language == "en" else 2)  # "un" and "ein" are articles
    return told


def words(text: str, language: str | None = None) -> list[str]:
    """Words in order, case folded, numbers as digits; pairs of characters for scripts without spaces."""
    return list(_words(text, language or language_of(text)))


@lru_cache(maxsize=_KEPT)
def _words(text: str, language: str | None) -> tuple[str, ...]:
    text = in_digits(text, language)
    found = list[str]()
    for run in _RUN.findall(text):
        characters = _CHARACTER.findall(run) if _WITHOUT_SPACES.match(run) else ()
        found += ["".join(p) for p in pairwise(characters)] if len(characters) > 1 else [run]
    return (*found, *(c.replace("-", "") for c in _compounds(text, language)))


def _compounds(text: str, language: str | None) -> list[str]:
    """Words with hyphens; not a French verb with its pronoun, as in "vend-elle"."""
    own = stop_words(language) if language == "fr" else frozenset()
    return [c for c in _HYPHENS.findall(text) if c.rpartition("-")[2] not in own]


def terms(text: str, language: str | None = None, among: frozenset[str] = frozenset()) -> list[str]:
    """Stems of the words that carry meaning; of all words where none does.

    ``language``: taken where the text itself does not tell; ``among``: see :func:`language_of`; else English.
    """
    return list(_terms(text, language_of(text, among) or language))


def each_term(text: str) -> list[str]:
    """The stems of all words of a name, whatever they mean: "Ben" is a stop word in Turkish."""
    return [t for w in words(text) for t in terms(w)]


@lru_cache(maxsize=_KEPT)
def _terms(text: str, language: str | None) -> tuple[str, ...]:
    found = _words(text, language)
    stop = stop_words(language)
    kept = [w for w in found if w not in stop] or list(found)
    if stemmer := _stemmer(language or "en"):
        kept = stemmer.stemWords(kept)
    return tuple(_unmarked(w) for w in kept)


def forms(term: str, languages: Iterable[str] = tuple(_STEMMERS)) -> frozenset[str]:
    """A term, and what it becomes where it is a word of some languages: "guitarra" in Spanish is "guitarr"."""
    stemmers = (s for code in languages if (s := _stemmer(code)))
    return frozenset((term, *(_unmarked(s.stemWord(term)) for s in stemmers)))


def stop_words(language: str | None) -> frozenset[str]:
    """Words that carry no meaning in a language (None: English); none where the lists do not have it."""
    return _stop_words().get(language or "en", frozenset())


def _unmarked(word: str) -> str:
    """A Latin word without accents."""
    if word.isascii() or not "a" <= word[0] <= "\u024f":
        return word
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def words_of_name(name: str, language: str | None) -> list[str]:
    """The words of a file's name in ``language`` or English that carry meaning: without ending, numbers, stop words."""
    stem = regex.sub(r"\.\w{2,5}$", "", unicodedata.normalize("NFC", name))
    stop = stop_words("en") | stop_words(language)
    return [w for w in regex.split(r"[_\W]+", stem) if w and not w.isdecimal() and w.lower() not in stop]


def in_file_names(word: str) -> str:
    """A word as it is spelled in names of files: "Kläranlage" as "klaeranlage", "Café" as "cafe"."""
    return _unmarked(_folded(word).translate(_UMLAUTS))


def compact(text: str) -> str:
    """``text`` as names and numbers are compared: letters and digits alone, case folded."""
    return "".join(c for c in _folded(text) if c.isalnum())


def exact_phrases(question: str) -> list[str]:
    """What a row must hold as it is written: quoted phrases, addresses, serial numbers, codes; compact, each once."""
    found = [*_QUOTED.findall(question), *_IDENTIFIER.findall(question)]
    return [p for p in dict.fromkeys(compact(f) for f in found) if len(p) > 1]
