"""Rows are ranked once more where the profile has a re-ranker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from index_tools import put
from vidrag.jobs import build, profile
from vidrag.query.find.retrieve import _reranked
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders.e5 import E5, E5Options

PLACES = [10, 11, 12, 13, 14]
"""Rows as retrieval ranks them, the best first."""


def test_both_orders_count() -> None:
    assert _reranked(PLACES, np.array([0, 0, 0, 9, 1], np.float32))[:3] == [13, 10, 14]


def test_without_scores_the_order_stays() -> None:
    assert _reranked(PLACES, None) == PLACES
    assert _reranked([], np.zeros(0, np.float32)) == []


def test_a_score_that_is_no_number_comes_last() -> None:
    assert _reranked(PLACES, np.array([np.nan, 2, 1, 0, -1], np.float32))[0] == 11


class Shout:
    """Likes what is said last; reads as many rows as it is given."""

    identity = "shout"

    def __init__(self) -> None:
        self.read: list[int] = []

    def scores(self, question: str, texts: Sequence[str]) -> Any:
        self.read.append(len(texts))
        return np.array([len(texts) - i if "cat" not in t else 1e6 for i, t in enumerate(texts)], np.float32)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    where = Archive.create(tmp_path_factory.mktemp("ranked") / "archive")
    said = [f"the museum about trains opens in room {i}" for i in range(30)]
    put(where, "a.mp4", [*said, "a cat sleeps in the museum"], encoder=E5(E5Options()))
    return where


def asker(archive: Archive, *settings: str) -> Any:
    return build.asker(Archive.open(archive.location), profile.load("embedded", settings))


def test_the_best_row_of_the_reranker_comes_forward(archive: Archive) -> None:
    plain, ranked = asker(archive), asker(archive)
    ranked.reranker = shout = Shout()
    question = "In which room does the museum about trains open?"
    ranks = [
        {e.text: e.rank for e in a.ask(question).evidence if "cat" in e.text and e.kind in ("speech", "text")}
        for a in (plain, ranked)
    ]
    assert shout.read and shout.read[0] > 12
    assert not ranks[0] and min(ranks[1].values(), default=99) <= 8
    assert asker(archive).fingerprints["reranker"] == ""


def test_a_reranker_that_fails_costs_a_note(archive: Archive) -> None:
    made = asker(archive)

    class Broken(Shout):
        def scores(self, question: str, texts: Sequence[str]) -> Any:
            raise RuntimeError("boom")

    made.reranker = Broken()
    answer = made.ask("What is the museum about?")
    assert answer.evidence and any("boom" in n and "not ranked again" in n for n in answer.notes)
    assert answer.degraded
    same = asker(archive).ask("What is the museum about?")
    assert [e.text for e in same.evidence] == [e.text for e in answer.evidence]


def test_the_profile_names_it() -> None:
    assert profile.load("embedded").reranker.name == "none"
    with pytest.raises(Exception, match="no reranker engine named 'nonsense'"):
        profile.load("embedded", ["reranker=nonsense"])
