"""A word is found as it is written, whatever language its row and the question are in."""

from __future__ import annotations

from pathlib import Path

import pytest
from index_tools import build, put
from store_tools import SPEC
from vidrag.jobs import build as made
from vidrag.jobs import profile
from vidrag.query.find.rows import RowSet
from vidrag.query.text.words import forms, terms
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders.e5 import E5, E5Options

INTERVIEW = [
    "Hoy estamos en el taller de Carmen, que es guitarrera.", "Hace cuatro guitarras al año, y no son para la playa.",
    "Una guitarra así tarda en hacerse un año.", "El taller está en una calle muy estrecha.",
]  # fmt: skip
MEETING = ["This is the committee of the swimming club.", "The ribbons are cheaper than the medals.",
           "We will ask the council about the pool.", "The lane ropes are in the garage with the clock.",
           "She said that the taller of the two boys is allergic to latex."]  # fmt: skip


@pytest.fixture
def two(archive: Archive) -> RowSet:
    """Most rows are English."""
    return RowSet([archive.shard(put(archive, n, s)) for n, s in (("a.mp4", MEETING), ("b.mp4", INTERVIEW))], SPEC)


@pytest.mark.parametrize(
    ("word", "holding"),
    [
        ("guitarra", INTERVIEW[1:3]),
        ("guitarras", INTERVIEW[1:3]),
        ("Carmen", INTERVIEW[:1]),
        ("taller", [MEETING[4], INTERVIEW[0], INTERVIEW[3]]),
        ("ribbon", MEETING[1:2]),
        ("committee", MEETING[:1]),
        ("violín", []),
    ],
)
def test_rows_of_another_language_than_most_hold_the_word(word: str, holding: list[str], two: RowSet) -> None:
    (term,) = terms(word, two.language)
    found = two.postings(term)
    assert [two.rows[at].text for at in (found[0] if found else ())] == holding
    assert [two.rows[at].text for at in range(len(two.rows)) if two.covered([term], at)] == holding
    assert [two.rows[at].text for at in two.coverage([term]).nonzero()[0]] == holding
    assert [two.rows[at].text for at in two.lexical([term])[0].nonzero()[0]] == holding
    assert two.spelling.of([term]) == [term]


def test_a_term_is_itself_where_all_rows_are_of_one_language(archive: Archive) -> None:
    """A stem is no word: what it becomes when it is cut again is another word's."""
    video = put(archive, "a.mp4", ["The universal joint of the universe is worn.", *MEETING])
    rows = RowSet([archive.shard(video)], SPEC)
    for term in {t for row in rows.terms for t in row}:
        found = rows.postings(term)
        assert found and [at for at, row in enumerate(rows.terms) if term in row] == found[0].tolist()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("varroa", "varroamilb"), ("milb", "varroamilb"), ("mittel", "lebensmittel"), ("leben", "leben"),
        ("imk", "imk"), ("ittel", "lebensmittel"), ("milbr", "milbr"), ("mil", "mil"),
    ],
)  # fmt: skip
def test_a_part_of_a_compound_is_found(asked: str, found: str, archive: Archive) -> None:
    said = ["Die größte Sorge ist die Varroamilbe, seit Jahren.", "Sie leben nicht von einem Lebensmittel allein."]
    rows = RowSet([archive.shard(put(archive, "a.mp4", said))], SPEC)
    assert rows.spelling.of([asked]) == [found]


def test_an_ending_is_no_word_where_none_are_joined(archive: Archive) -> None:
    rows = RowSet([archive.shard(put(archive, "a.mp4", ["The photograph of the transport is on the wall."]))], SPEC)
    assert rows.spelling.of(["photo"]) == ["photograph"] and rows.spelling.of(["port"]) == ["port"]


def test_the_forms_of_a_term() -> None:
    assert {"guitarra", "guitarr"} <= forms("guitarra")
    assert forms("guitarra", ["en", "xx"]) == {"guitarra"}
    assert forms("東京") == {"東京"}


@pytest.mark.parametrize("indexed", [False, True])
def test_a_search_lists_the_rows_that_hold_a_word(indexed: bool, tmp_path: Path) -> None:
    """Of a small archive, and of one whose index names the videos that are opened."""
    where, e5 = Archive.create(tmp_path / "archive"), E5(E5Options())
    put(where, "b.mp4", INTERVIEW, encoder=e5)
    for i in range(8):
        put(where, f"v{i}.mp4", [*MEETING, f"The bus of line {i} was late."], encoder=e5)
    build(where)
    settings = ("search.index_rows=0", "search.videos=1") if indexed else ()
    opened = made.lister(Archive.open(where.location), profile.load("embedded", settings), ("speech",))
    listed = [r.text for r in opened.search("Carmen", ["speech"]).found]
    assert INTERVIEW[0] in listed
