"""What is told in order: chapters, a stretch of time, mentions, videos side by side; and slides put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from chapter_tools import FAKE, TOPICS, publish, slides, talk
from vidrag.ingest.chapters import ChapterOptions
from vidrag.query.find.gather import (
    LEAST_WORDS,
    ROWS_OF_A_CHAPTER,
    ROWS_OF_A_SIDE,
    SIDES,
    TOLD,
    chapters,
    found_rows,
    mentions,
    plain_hits,
    sides,
    stretch,
    telling,
)
from vidrag.query.find.rows import RowSet
from vidrag.query.types import Part
from vidrag.store.archive.archive import Archive
from vidrag.store.records import Chapter, Segment, TextTrack

ALL = list(TOPICS)
BOX = (0.0, 0.0, 1.0, 1.0)


def every(rows: RowSet) -> np.ndarray:
    return np.ones(len(rows.rows), bool)


def opened(*shards: object) -> RowSet:
    return RowSet(shards, FAKE.spec)  # type: ignore[arg-type]


def lines(parts: Sequence[Part]) -> list[str]:
    return [p.row.text for p in parts]


# Chapters


def test_every_chapter_has_rows_of_its_own(archive: Archive) -> None:
    """Which tell most of it, in order; the first with the heading on screen as the title."""
    shard = publish(archive, talk(ALL, each=30), slides(ALL, 150), chapters=ChapterOptions())
    rows = opened(shard)
    told = chapters(rows, every(rows), 40)
    assert [p.title for p in told if p.title] == [f"All about {t}" for t in ALL]
    assert [p.row.start for p in told] == sorted(p.row.start for p in told) and len(told) <= TOLD
    for topic, chapter in zip(ALL, shard.chapters, strict=True):
        first, *more = [p for p in told if chapter.start <= p.row.start < chapter.end]
        assert first.title and not any(p.title for p in more) and len(more) == TOLD // len(ALL) - 1
        for part in (first, *more):
            assert part.row.kind == "speech" and any(word in part.row.text for word in TOPICS[topic].split())


@pytest.mark.parametrize("each, titled", [(6, False), (30, True)])
def test_without_a_heading_the_words_that_tell_a_long_chapter_are_its_title(
    each: int, titled: bool, archive: Archive
) -> None:
    """Not those of all chapters, and no stop words."""
    shard = publish(archive, talk(ALL, each=each))
    length = 5.0 * each
    shard.chapters = [  # type: ignore[misc]
        Chapter(length * i, length * (i + 1), "some sentence", "speech", ("need", "the", *TOPICS[t].split()[:5]))
        for i, t in enumerate(ALL)
    ]
    rows = opened(shard)
    titles = [p.title for p in chapters(rows, every(rows), 40) if p.title]
    assert titles == [", ".join(TOPICS[t].split()[:4]) for t in ALL if titled]


def test_rows_that_may_not_be_used_tell_nothing(archive: Archive) -> None:
    shard = publish(archive, talk(["bread", "bees"], each=6))
    shard.chapters = [Chapter(0, 30, "one", "screen"), Chapter(30, 60, "two", "screen")]  # type: ignore[misc]
    rows = opened(shard)
    usable = every(rows)
    usable[6:] = False
    told = chapters(rows, usable, 40)
    assert [p.title for p in told if p.title] == ["one"] and all(p.row.start < 30 for p in told)
    assert chapters(rows, ~every(rows), 40) == []


def test_a_video_without_chapters_is_one_part(archive: Archive) -> None:
    rows = opened(publish(archive, talk(ALL, each=6)))
    told = chapters(rows, every(rows), 40)
    assert len(told) == ROWS_OF_A_CHAPTER and {p.title for p in told} == {""}
    third = rows.shards[0].manifest.duration / 3
    assert min(p.row.start for p in told) < third and max(p.row.start for p in told) > 2 * third


def test_of_many_videos_one_row_each(archive: Archive) -> None:
    """And never more than may be told."""
    shards = []
    for n in range(6):
        shards.append(publish(archive, talk(ALL, each=6), name=f"{n}.mp4"))
        shards[-1].chapters = [Chapter(30.0 * i, 30.0 * i + 30, t, "screen") for i, t in enumerate(ALL)]  # type: ignore[misc]
    rows = opened(*shards)
    assert len(chapters(rows, every(rows), 40)) == 30
    few = chapters(rows, every(rows), 20)
    assert [p.row.name for p in few] == [f"{n}.mp4" for n in range(6)] and {p.title for p in few} == {""}
    assert len(chapters(rows, every(rows), 4)) == 4 and chapters(rows, every(rows), 0) == []


# The row that tells most


def test_the_telling_rows_are_most_like_all_of_them(archive: Archive) -> None:
    said = ["bread flour oven dough crust", "yes", "bread flour oven dough salt", "ticket museum garden bridge rocket"]
    rows = opened(publish(archive, [Segment(i, i + 1, t) for i, t in enumerate(said)]))
    assert telling(rows, np.arange(4)) in (0, 2)
    assert telling(rows, np.array([1, 3])) == 3
    assert telling(rows, np.array([1])) == 1
    assert len(rows.terms[1]) < LEAST_WORDS <= len(rows.terms[3])


# A stretch of time


def test_a_short_stretch_is_told_whole_and_in_order(archive: Archive) -> None:
    """Speech and screen text together."""
    said = [Segment(10.0 * i, 10.0 * i + 5, f"said {i}") for i in range(4)]
    written = [TextTrack(5.0 + 20 * i, 9.0 + 20 * i, f"written {i}", 1, BOX) for i in range(2)]
    rows = opened(publish(archive, said, written))
    assert lines(stretch(rows, every(rows), 12)) == ["said 0", "written 0", "said 1", "said 2", "written 1", "said 3"]
    inside = np.array([r.start < 15 for r in rows.rows])
    assert lines(stretch(rows, inside, 12)) == ["said 0", "written 0", "said 1"]
    assert stretch(rows, ~every(rows), 12) == []


def test_a_slide_that_comes_again_is_told_once(archive: Archive) -> None:
    written = [TextTrack(5.0 * i, 5.0 * i + 5, text, 1, BOX) for i, text in enumerate(["Rye", "Spelt", "Rye"])]
    rows = opened(publish(archive, [], written))
    assert lines(stretch(rows, every(rows), 12)) == ["Rye", "Spelt"]


def test_of_a_long_stretch_some_rows_are_told_evenly(archive: Archive) -> None:
    rows = opened(publish(archive, talk(ALL, each=24)))
    told = stretch(rows, every(rows), 12)
    starts = [p.row.start for p in told]
    assert len(told) == 12 and starts == sorted(starts)
    assert max(np.diff(starts)) <= 2 * 120 * 5 / 12


# Mentions, and videos side by side


def two(archive: Archive) -> RowSet:
    one = publish(archive, [Segment(5.0 * i, 5.0 * i + 4, f"one {i}") for i in range(5)], name="one.mp4")
    other = publish(archive, [Segment(5.0 * i, 5.0 * i + 4, f"other {i}") for i in range(5)], name="other.mp4")
    return opened(one, other)


def test_mentions_are_told_video_by_video(archive: Archive) -> None:
    assert lines(mentions(two(archive), [7, 2, 5, 0])) == ["one 0", "one 2", "other 0", "other 2"]


def test_each_side_is_told_by_its_best_rows(archive: Archive) -> None:
    """In the order of time, whatever their scores."""
    rows = two(archive)
    scores = np.array([1, 5, 2, 9, 7, 3, 1, 2, 8, 4], float)
    assert lines(sides(rows, scores, every(rows))) == ["one 1", "one 3", "one 4", "other 0", "other 3", "other 4"]
    usable = every(rows)
    usable[[3, 8]] = False
    assert lines(sides(rows, scores, usable)) == ["one 1", "one 2", "one 4", "other 0", "other 2", "other 4"]
    usable[5:] = False
    assert {p.row.name for p in sides(rows, scores, usable)} == {"one.mp4"}


def test_of_many_videos_those_with_the_best_rows_are_compared(archive: Archive) -> None:
    shards = [publish(archive, [Segment(0, 1, f"row of {n}")], name=f"{n}.mp4") for n in range(SIDES + 2)]
    rows = opened(*shards)
    told = sides(rows, np.arange(len(shards), dtype=float), every(rows))
    assert lines(told) == [f"row of {n}" for n in range(2, SIDES + 2)]


def test_videos_about_which_nothing_is_asked_are_compared_by_their_chapters(archive: Archive) -> None:
    rows = two(archive)
    told = sides(rows, None, every(rows))
    assert [*dict.fromkeys(p.row.name for p in told)] == ["one.mp4", "other.mp4"] and len(
        told
    ) <= SIDES * ROWS_OF_A_SIDE


# Rows found


def test_lines_of_one_slide_are_one_row(archive: Archive) -> None:
    """Which share their time; the first found comes first."""
    written = [
        TextTrack(0, 10, "Opening hours", 1, BOX), TextTrack(0.2, 10, "9 to 5", 1, BOX),
        TextTrack(8, 20, "Prices", 1, BOX),
    ]  # fmt: skip
    rows = opened(publish(archive, [Segment(0, 10, "We open at nine.")], written))
    got = found_rows(rows, plain_hits([2, 3, 0, 1]), 0.7, 0, every(rows))
    assert [c.text for c in got.rows] == ["9 to 5 / Opening hours", "Prices", "We open at nine."]
    assert got.sure == 0.7 and got.beside == {}


@pytest.mark.parametrize("neighbours, beside", [(0, []), (1, [2]), (9, [2, 1])])
def test_the_first_spoken_rows_come_with_their_neighbours(archive: Archive, neighbours: int, beside: list[int]) -> None:
    """Each once."""
    rows = opened(publish(archive, [Segment(2.0 * i, 2.0 * i + 1.9, f"row {i}") for i in range(6)]))
    usable = every(rows)
    got = found_rows(rows, plain_hits([3, 0]), 1.0, neighbours, usable)
    assert [len(n) for n in got.beside.values()] == beside
    if neighbours == 9:
        assert {c.text for n in got.beside.values() for c in n} == {"row 1", "row 2", "row 4"}
        usable[4] = False
        again = found_rows(rows, plain_hits([3]), 1.0, neighbours, usable)
        assert [c.text for n in again.beside.values() for c in n] == ["row 2"]
