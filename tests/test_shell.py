"""Commands that are printed can be pasted: a shell gives each program the very path, and nothing else happens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import pattern
from vidrag.jobs.printing import open_hint
from vidrag.store.archive.archive import Archive
from vidrag.store.shell import path_word, quoted
from world import World

ODD = [
    "a\nb.mp4", "caf\udce9.mp4", "-leading dash.mp4", "quote's \"and\" $(touch x) `touch y`;touch z.mp4",
    "\x1b[31mred.mp4",
    "\u202egpj.mp4", "back\\slash\\n.mp4", "*?[a].mp4", " .mp4", "🎬 视频.mp4", "~.mp4", "!!.mp4", "tab\t.mp4",
    "\x80\u0085.mp4",
]  # fmt: skip


def in_bash(line: str) -> list[str]:
    """The words that bash makes of a line."""
    script = f"printf '%s\\0' {line}"
    ran = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, check=True, cwd="/")
    return os.fsdecode(ran.stdout).split("\0")[:-1]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_come_out_of_the_shell_as_they_are(name: str) -> None:
    word = quoted(name)
    assert word.isprintable() and word.encode() and in_bash(word) == [name]


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda b: 0 not in b), min_size=1, max_size=20))
def test_any_bytes_come_out_of_the_shell_as_they_are(given: list[bytes]) -> None:
    words = [os.fsdecode(b) for b in given]
    line = " ".join(map(quoted, words))
    assert line.isprintable() and in_bash(line) == words


def test_a_path_is_no_option() -> None:
    assert path_word("--script=x") == "./--script=x" and path_word("-") == "./-"
    assert path_word("/a b") == "'/a b'" and path_word("demo") == "demo" and path_word("s3://b/a") == "s3://b/a"


@pytest.fixture
def player(tmp_path: Path) -> Path:
    """A folder with an ``mpv`` that writes down its arguments."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/mpv"
    program.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" > '{tmp_path}/argv'\n")
    program.chmod(0o755)
    return program.parent


def pasted(line: str, player: Path, folder: Path) -> list[str]:
    """What a player is given where a user pastes ``line``."""
    env = {**os.environ, "PATH": f"{player}:{os.environ['PATH']}"}
    subprocess.run(["bash", "--norc", "-c", line], check=True, cwd=folder, env=env)
    return os.fsdecode((player.parent / "argv").read_bytes()).split("\0")[:-1]


@pytest.mark.parametrize("path", ["--script=x", "-", "--", "/etc/passwd", "a b", *ODD])
def test_paths_of_an_archive_from_elsewhere_are_harmless(path: str, player: Path, tmp_path: Path) -> None:
    """Nothing but a file name reaches the player, behind the sign that ends its options."""
    start, end, name = pasted(open_hint(path, 8.04), player, tmp_path)
    assert (start, end) == ("--start=8.0", "--")
    assert name == (f"./{path}" if path.startswith("-") else path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["argv", "bin"]


@pytest.mark.parametrize(
    "path", ["edl://%6%secret,0", "https://evil.example/x", "memory://x", "av://lavfi:x", "s3://b/a.mp4"]
)
def test_addresses_are_not_opened(path: str) -> None:
    assert open_hint(path, 8) == f"{quoted(path)} at 8.0 s"


@pytest.mark.long
def test_printed_lines_are_pasted(player: Path, tmp_path: Path) -> None:
    """Those of ``ask`` and ``search``, after an ingest of odd names; notes name the files as they are."""
    (tmp_path / "in").mkdir()
    for i, name in enumerate(ODD[:4]):
        path = pattern(tmp_path / "in" / name.replace("-", "_", 1), 1, f"{64 + 2 * i}x48")
        (path.rename(tmp_path / "in" / name))
    world = World.make(tmp_path)
    ran = world.run("ingest", "my archive", "in", "--no-ray")
    assert ran.returncode == 0 and "ask with: vidrag ask 'my archive' \"...\"" in ran.stdout, ran.stderr
    paths = {s.manifest.source.paths[0] for s in Archive.open(tmp_path / "my archive").shards()}
    seen = set()
    for name in ODD[:4]:
        told = world.run("ask", "my archive", "What is seen?", "--video", name)
        assert told.returncode == 0, told.stderr
        for line in told.stdout.splitlines():
            if "open: " in line:
                seen.add(pasted(line.partition("open: ")[2], player, tmp_path)[-1])
    told = world.run("search", "my archive", "red", "--kind", "frame")
    hints = [line.partition("open: ")[2] for line in told.stdout.splitlines() if "open: " in line]
    assert hints and {pasted(h, player, tmp_path)[-1] for h in hints} <= paths
    assert seen == paths
    assert not {"x", "y", "z"} & {p.name for p in tmp_path.iterdir()}
    shutil.rmtree(tmp_path / "in")


@pytest.mark.long
def test_a_command_that_a_message_tells(tmp_path: Path) -> None:
    """``vidrag ingest`` with the path of a video that another profile has not seen yet."""
    pattern(tmp_path / "-a b.mp4", 1)
    world = World.make(tmp_path)
    assert world.run("ingest", "an archive", "./-a b.mp4", "--no-ray").returncode == 0
    ran = world.run("show", "an archive", "-p", "embedded", "--", "-a b.mp4")
    assert ran.returncode == 2
    words = in_bash(ran.stderr.partition("add it with: ")[2].strip())
    assert words == ["vidrag", "ingest", "an archive", str(tmp_path / "-a b.mp4"), "--profile", "embedded"]
    assert json.loads(world.run("ls", "an archive", "--json").stdout)[0]["profiles"] == ["fake"]
