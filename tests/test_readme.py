"""What README.md and the documentation name exists: commands, switches, the query."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import duckdb
import pytest
from doc_pages import PAGES, README, ROOT, blocks
from store_tools import publish_speech, source, source_with_id
from vidrag.jobs import dataset
from vidrag.store.archive.archive import Archive

sys.path.insert(0, str(ROOT / "docs"))
import make_reference

OTHERS = {"--limit-mm-per-prompt"}
"""Switches of other programs that the text names."""


@pytest.fixture(scope="module")
def commands() -> dict[tuple[str, ...], str]:
    """Each command's help."""
    return dict(make_reference.commands())


def _text() -> str:
    return "\n".join(p.read_text("utf-8") for p in PAGES)


def _lines() -> list[str]:
    """Every line of a block and every inline code that begins with ``vidrag`` or a switch."""
    inline = re.findall(r"`((?:vidrag |--)[^`]+)`", _text())
    lines = [line for p in PAGES for b in blocks(p, "sh") for line in b.text.replace("\\\n", " ").splitlines()]
    return [" ".join(line.split("#")[0].split()) for line in (*inline, *lines)]


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150


def test_every_command_is_named(commands: dict[tuple[str, ...], str]) -> None:
    """And no command is named that does not exist."""
    text = _text()
    assert [" ".join(c) for c in commands if c and f"vidrag {' '.join(c)}" not in text] == []
    named = {m[1] for line in _lines() if (m := re.match(r"vidrag (?:--\S+ (?:\w+\.\S+ )?)*([a-z]+)", line))}
    assert named - {c[0] for c in commands if c} == set()


@pytest.mark.long
def test_named_switches_exist(commands: dict[tuple[str, ...], str]) -> None:
    """Every switch that stands behind a command is one of it, or of the root; one that stands alone is of some."""
    everywhere = "\n".join(commands.values())
    unknown = []
    for line in _lines():
        words = line.split()
        if not words or (words[0] != "vidrag" and not words[0].startswith("--")):
            continue
        named = [w for w in words[1:3] if not w.startswith("-")]
        command = next((c for c in (tuple(named[:2]), tuple(named[:1])) if c and c in commands), None)
        known = everywhere if command is None else commands[command] + commands[()]
        for switch in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line):
            if switch not in known and switch not in OTHERS:
                unknown.append((switch, line))
    assert unknown == []


def test_the_query_runs(archive: Archive, tmp_path: Path) -> None:
    """The DuckDB query of the page finds a sentence in a dataset."""
    publish_speech(archive, source(), text="The Lockers are here.")
    publish_speech(archive, source_with_id("aaaa", "other.mp4"), text="Nothing.")
    dataset.compact(archive, tmp_path / "dataset")
    dataset.make_database(tmp_path / "dataset")
    (query,) = blocks(ROOT / "docs" / "archive.md", "sql")
    with duckdb.connect(str(tmp_path / "dataset" / "archive.duckdb")) as made:
        found = made.execute(query.text).fetchall()
    assert found == [("talk.mp4", 0.0, 1.0, None, "The Lockers are here.")]
