"""``docs/faults.md`` names every fault once, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
TABLE = (TESTS.parent / "docs" / "faults.md").read_text("utf-8")


def test_every_fault_has_a_row() -> None:
    assert re.findall(r"^\| (\d+) \|", TABLE, re.M) == [str(n) for n in range(1, 56)]


def test_every_row_has_a_promise_and_a_test_or_says_that_it_is_weaker() -> None:
    for row in re.findall(r"^\| \d+ \|.*$", TABLE, re.M):
        _, _, fault, promise, tests, state, _ = (c.strip() for c in row.split("|"))
        assert fault and promise, row
        assert "::test_" in tests or state.startswith("weaker"), row
        assert re.match(r"(pass|weaker)\b", state), row


def test_every_named_test_exists() -> None:
    named = set(re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE))
    assert len(named) > 60
    for file, test in sorted(named):
        assert re.search(rf"^def {test}\(", (TESTS / file).read_text("utf-8"), re.M), f"{file}::{test}"
