"""Words of any language as they are compared: stems, numbers, pairs of characters, and what must stand as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vidrag.query.text.words import compact, exact_phrases, language_of, stop_words, terms, words


@pytest.mark.parametrize(
    "text, found",
    [
        ("Hello, World!", ["hello", "world"]),
        ("你好世界", ["你好", "好世", "世界"]),
        ("飞", ["飞"]),
        ("ラーメン", ["ラー", "ーメ", "メン"]),
        ("ไทย", ["ไท", "ทย"]),
        ("北京 2008 Olympia", ["北京", "2008", "olympia"]),
        ("한국어 공부", ["한국", "국어", "공부"]),
        ("भारत में १२ नदियाँ", ["भारत", "में", "12", "नदियाँ"]),
        ("ที่นี่", ["ที่นี่"]),
        ("مُدَرِّسٌ ١٩٧٣", ["مدرس", "1973"]),
        ("ΤΟΠΟΣ τόπος", ["τοποσ", "τοποσ"]),
        ("İzmir IZMIR", ["izmir", "izmir"]),
        ("EIP8058", ["eip", "8058"]),
        ("an e-mail", ["an", "e", "mail", "email"]),
        ("EIP-8058", ["eip", "8058"]),
        ("ＡＢＣ ﬁles", ["abc", "files"]),
        ("", []),
        ("?! …", []),
    ],
)
def test_words_in_order(text: str, found: list[str]) -> None:
    """Scripts without spaces give pairs of characters; letters and digits that stand together are taken apart."""
    assert words(text) == found


@pytest.mark.parametrize(
    "one, other",
    [
        ("EIP8058", "EIP-8058"),
        ("EIP8058", "eip 8058"),
        ("seventy two", "72"),
        ("seventy-two minutes", "72 minutes"),
        ("one locker", "1 locker"),
        ("zero", "0"),
        ("The lockers", "a locker"),
        ("running dogs", "they run with a dog"),
        ("cafés", "CAFE"),
        ("email", "an e-mail"),
        ("lightweight", "a light-weight boat"),
        ("STRASSE", "straße"),
    ],
)
def test_written_in_another_way(one: str, other: str) -> None:
    assert set(terms(one)) <= set(terms(other))


@pytest.mark.parametrize(
    "text, language, found",
    [
        ("die Häuser", "de", ["haus"]),
        ("los coches", "es", ["coch"]),
        ("двадцать книги", "ru", ["двадца", "книг"]),
        ("les maisons", "fr", ["maison"]),
        ("veinte coches", "es", ["20", "coch"]),
        ("zweiundsiebzig Häuser", "de", ["72", "haus"]),
        ("einundzwanzig", "de", ["21"]),
        ("vingt-deux maisons", "fr", ["22", "maison"]),
    ],
)
def test_stems_and_numbers_are_those_of_the_language(text: str, language: str, found: list[str]) -> None:
    assert terms(text, language) == found


def test_a_text_that_tells_its_language_is_read_in_it() -> None:
    """Whatever the language of the others."""
    assert terms("Where is the house of the dogs?", "de") == terms("Where is the house of the dogs?")
    assert terms("Häuser", "de") == ["haus"] != terms("Häuser")


def test_where_no_word_carries_meaning_all_do() -> None:
    assert terms("the of") == ["the", "of"] and terms("the house of") == ["hous"]
    assert "the" in stop_words(None) and "der" in stop_words("de") and "house" not in stop_words("en")
    assert not stop_words("zh") and not stop_words("xx")
    assert {"как", "сколько"} <= stop_words("ru") and "combien" in stop_words("fr") and "في" in stop_words("ar")


@pytest.mark.parametrize(
    "text, language",
    [
        ("Where are the lockers?", "en"),
        ("Wo ist der Eingang?", "de"),
        ("¿Dónde está la entrada?", "es"),
        ("Je ne sais pas où se trouve la sortie.", "fr"),
        ("Dove si trova il museo?", "it"),
        ("Waar gaat deze video over?", "nl"),
        ("Giriş nerede?", "tr"),
        ("Где находится вход?", "ru"),
        ("入口在哪里？", "zh"),
        ("入口はどこですか？", "ja"),
        ("입구는 어디입니까?", "ko"),
        ("أين المدخل؟", "ar"),
        ("प्रवेश द्वार कहाँ है?", "hi"),
        ("Πού είναι η είσοδος;", "el"),
        ("איפה הכניסה?", "he"),
        ("ทางเข้าอยู่ที่ไหน", "th"),
        ("The 北京 office is closed", "en"),
        ("4719", None),
        ("tl;dr", None),
        ("", None),
    ],
)
def test_the_language_of_a_text(text: str, language: str | None) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(
    "question, phrases",
    [
        ('Who says "dark green otter"?', ["darkgreenotter"]),
        ("Who says “hello there” and „Guten Tag“?", ["hellothere", "gutentag"]),
        ("Who wrote «Анна Каренина»?", ["аннакаренина"]),
        ("「東京タワー」はどこですか？", ["東京タワー"]),
        ("Where is https://a.example/b?x=1 shown?", ["httpsaexamplebx1"]),
        ("Who has bob.lee@mail.example.org?", ["bobleemailexampleorg"]),
        ("What is example.com/page?", ["examplecompage"]),
        ("Who has the number 030 1234 5678?", ["03012345678"]),
        ("Whose is +49 (30) 1234-567?", ["49301234567"]),
        ("Where is AB-1234-X kept?", ["ab1234x"]),
        ("What is EIP-8058?", ["eip8058"]),
        ("What is EIP8058?", ["eip8058"]),
        ("What does the X100 cost?", ["x100"]),
        ("What opens with 4719?", ["4719"]),
        ('"twice" and "twice"', ["twice"]),
        ("What is on 12 May?", []),
        ("What happens at 1:30?", []),
        ("Where are the lockers?", []),
        ("", []),
    ],
)
def test_what_a_row_must_hold_as_it_is_written(question: str, phrases: list[str]) -> None:
    """Quotations, addresses, phone numbers, serial numbers; letters and digits alone."""
    assert exact_phrases(question) == phrases


def test_names_and_numbers_are_compared_without_signs() -> None:
    assert compact("EIP-8058") == compact("eip 8058") == "eip8058"
    assert compact("+49 (30) 1234") == "49301234" and compact("Straße") == "strasse"


LANGUAGES = st.sampled_from([None, "en", "de", "fr", "es", "zh", "ja", "th", "ru", "xx", ""])


@given(st.text(), LANGUAGES)
def test_any_text_gives_words(text: str, language: str | None) -> None:
    """Never an error; terms are texts without spaces, and a text has some where it has words."""
    found, stems = words(text, language), terms(text, language)
    assert all(type(w) is str and w and w.split() == [w] for w in (*found, *stems))
    assert bool(found) == bool(words(text, language)) and (bool(stems) or not words(text))
    assert all(p and p == compact(p) for p in exact_phrases(text))
    assert terms(text, language) == stems


@given(st.text(alphabet=st.characters(categories=["Lo", "Mn", "Nd", "No", "So"]), max_size=30))
def test_odd_characters_give_words(text: str) -> None:
    assert all(type(w) is str for w in (*words(text), *terms(text), *exact_phrases(text), compact(text)))
    language_of(text)
