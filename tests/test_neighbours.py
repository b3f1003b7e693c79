"""Spoken rows that are found come with the sentences right before and after them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from chapter_tools import publish
from vidrag.jobs import build, profile
from vidrag.query.answer.context import ContextOptions, merge
from vidrag.query.types import Candidate
from vidrag.store.archive.archive import Archive
from vidrag.store.records import Segment

SAID = [
    "This is about the harbour.", "It was a cold winter.", "Then the lighthouse keeper found a bottle.",
    "She opened it at once.", "Nobody knew the ship.", "Let us go on with the weather.", "Rain is likely.",
    "Wind comes from the west.", "Tides are high this week.",
]  # fmt: skip
QUESTION = "What did the lighthouse keeper find?"


def told(archive: Archive, fake_profile: Path, *settings: str) -> list[str]:
    few = ("retrieve.top_k=1", *settings)
    answer = build.asker(archive, profile.load(str(fake_profile), few)).ask(QUESTION)
    assert [e.start for e in answer.evidence] == sorted(e.start for e in answer.evidence)
    assert next(e for e in answer.evidence if e.rank == 1).text == SAID[2]
    return [e.text for e in answer.evidence]


def rows(step: float = 3.0, pause: float = 0.0, doubt: bool = False) -> list[Segment]:
    """Sentences of three seconds; ``pause`` more before the one that is asked for; the one after it doubtful."""
    out = []
    for i, text in enumerate(SAID):
        start = i * step + (pause if i >= 2 else 0)
        out.append(Segment(start, start + 2.8, text, flags=("no_speech",) if doubt and i == 3 else ()))
    return out


def test_with_what_is_said_around_it(archive: Archive, fake_profile: Path) -> None:
    """As rows of their own, in time order and after all that was found."""
    publish(archive, rows())
    assert told(archive, fake_profile) == SAID[1:4]
    assert told(archive, fake_profile, "retrieve.neighbours=0") == SAID[2:3]


def test_not_across_a_pause(archive: Archive, fake_profile: Path) -> None:
    publish(archive, rows(pause=10))
    assert told(archive, fake_profile) == SAID[2:4]


def test_not_what_is_doubtful(archive: Archive, fake_profile: Path) -> None:
    publish(archive, rows(doubt=True))
    assert told(archive, fake_profile) == SAID[1:3]
    assert told(archive, fake_profile, "retrieve.doubtful=true") == SAID[1:4]


def test_not_of_another_video(archive: Archive, fake_profile: Path) -> None:
    publish(archive, [Segment(0, 3, SAID[2])], name="a.mp4")
    publish(archive, [Segment(0, 3, SAID[5])], name="b.mp4")
    assert told(archive, fake_profile) == SAID[2:3]


@pytest.mark.parametrize("tokens, wanted", [(50, [2]), (70, [1, 2]), (1900, [1, 2, 3])])
def test_as_far_as_the_tokens_last(tokens: int, wanted: list[int]) -> None:
    """What was found goes first, whatever the number of rows."""
    made = [
        Candidate(kind="speech", video="a", name="a.mp4", start=i * 3.0, end=i * 3 + 2.8, text=t, score=0.0)
        for i, t in enumerate(SAID)
    ]
    options = ContextOptions(tokens=tokens, rows=1)
    found = merge([made[2]], ["a"], options, {made[2]: [made[1], made[3]]})
    assert [c for _, c in found] == [made[i] for i in wanted]
    assert min(e.rank for e, c in found if c is not made[2]) == 2 if len(wanted) > 1 else True


@pytest.mark.parametrize("tokens", [60, 100, 200, 5000])
@pytest.mark.parametrize("rows", [2, 16])
@pytest.mark.parametrize("word", ["word ", "слово ", "词"])
def test_what_does_not_fit_is_passed_over(tokens: int, rows: int, word: str) -> None:
    """Four bytes count as a token, and each row as twenty-four more."""
    told = [
        Candidate(
            kind="speech", video="a", name="a.mp4", start=float(i), end=i + 1.0, text=word * (i % 3 * 9 + 1), score=1.0
        )
        for i in range(9)
    ]
    found = merge(told, ["a"], ContextOptions(tokens=tokens, rows=rows))
    left, wanted = tokens, []
    for c in told:
        if (cost := math.ceil(len(c.text.encode()) / 4) + 24) <= left and len(wanted) < rows:
            wanted.append(c)
            left -= cost
    assert [c for _, c in found] == wanted
