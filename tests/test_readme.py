"""The README's commands and query are those that work."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import duckdb
from vidrag.store.records import Segment
from vidrag.store.schema import TableWriter

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
VIDRAG = Path(sys.executable).with_name("vidrag")


def _help(*command: str) -> str:
    return subprocess.run([VIDRAG, *command, "--help"], capture_output=True, text=True, check=True).stdout


def test_every_command_is_named() -> None:
    """And no command is named that does not exist."""
    listed = set(re.findall(r"^  (\w+)  ", _help().split("Commands:")[1], re.M))
    named = set(re.findall(r"\bvidrag (?:--offline )?(\w+)", README)) - {"is", "at", "itself"}
    assert listed - named == set()
    assert {n for n in named if f"`vidrag {n}" in README or f"\nvidrag {n}" in README} <= listed


def test_named_switches_exist() -> None:
    """Every switch in the README belongs to some command."""
    several = (
        [],
        ["ingest"],
        ["ask"],
        ["batch"],
        ["rerun"],
        ["search"],
        ["index"],
        ["show"],
        ["eval", "corpus"],
        ["eval", "study"],
        ["gc"],
        ["export"],
        ["bench", "cluster"],
    )
    known = "".join(_help(*c) for c in several)
    commands = "\n".join(line for line in README.splitlines() if "mpv " not in line)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", commands))
    assert named and {n for n in named if n not in known} == set()


def test_the_query_runs(tmp_path: Path) -> None:
    """The DuckDB query finds a sentence in files as they are written."""
    folder = tmp_path / "archive" / "videos" / "0123456789abcdef"
    folder.mkdir(parents=True)
    with TableWriter(folder / "speech-a-b.parquet", "speech", folder.name) as out:
        out.write([Segment(1.25, 2.5, "The Lockers are here."), Segment(3.0, 4.0, "Nothing.")])
    (query,) = re.findall(r"```sql\n(.*?)```", README, re.S)
    found = duckdb.sql(query.replace("archive/", f"{tmp_path}/archive/")).fetchall()
    assert [(row[0], row[3]) for row in found] == [(folder.name, "The Lockers are here.")]
