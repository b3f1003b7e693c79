"""Questions that take two rows: the second is found by what the first adds, spelt the same or only heard alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from store_tools import SPEC, publish_speech, source
from vidrag.query.find.hops import HopOptions, chains
from vidrag.query.find.rows import RowSet
from vidrag.query.text.words import sought
from vidrag.store.archive import Archive

OTHER = (
    "The path was dry for most of the way.",
    "The locker of the bakery has number 5120.",
    "Emma Fletcher sings in the choir.",
    "Thank you all for coming today.",
    "The harbour is closed in winter.",
)


def found(
    tmp_path: Path, question: str, names: tuple[str, ...], said: list[str], options: HopOptions
) -> list[list[str]]:
    archive = Archive.create(tmp_path / "archive")
    ids = [
        publish_speech(archive, source(f"{i}.mp4", text.encode()), text=text).source.sha256[:16]
        for i, text in enumerate([*said, *OTHER])
    ]
    rows = RowSet([archive.shard(i) for i in ids], SPEC)
    pairs = chains(rows, range(len(ids)), sought(question), names, options, np.ones(len(ids), np.bool_))
    return [[rows.rows[c.first].text, rows.rows[c.second].text] for c in pairs]


QUESTION = "What is the number of the locker at the place where George Turner hid the map?"


@pytest.mark.parametrize(
    ("hidden", "heard", "linked"),
    [
        ("George Turner hid the map at the glass workshop.", 1.0, True),
        ("George Turner hid the map at the glass work shop.", 0.5, True),
        ("George Turner hid the map at the glasworkshop.", 0.5, True),
        ("George Turner hid the map at the glasworkshop.", 1.0, False),
        ("George Turner hid the map at the clock tower.", 0.5, False),
    ],
)
def test_two_rows_answer_together(tmp_path: Path, hidden: str, heard: float, linked: bool) -> None:
    """Where what one row adds is spelt, or sounds, as in the other; not where the other is of another place."""
    answer = "The locker at the glass workshop has number 4719."
    pairs = found(tmp_path, QUESTION, ("George Turner",), [hidden, answer], HopOptions(heard=heard))
    assert ([hidden, answer] in pairs) == linked


def test_one_row_is_enough(tmp_path: Path) -> None:
    """No chain where a second row bears out nothing new."""
    said = ["The locker at the glass workshop has number 4719.", "The glass workshop is open today."]
    assert not found(tmp_path, "What is the number of the locker at the glass workshop?", (), said, HopOptions())


def test_no_second_hop_where_none_is_wanted(tmp_path: Path) -> None:
    said = ["George Turner hid the map at the glass workshop.", "The locker at the glass workshop has number 4719."]
    assert not found(tmp_path, QUESTION, ("George Turner",), said, HopOptions(most=0))
