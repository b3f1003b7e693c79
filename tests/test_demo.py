"""What the README shows of the demo is what the demo prints: evidence and answers, not speeds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from world import until

pytestmark = pytest.mark.recognises
README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
NEAR_S = 0.3
"""A word's time differs by so much from one kind of CPU to another."""
_OPEN = re.compile(r" *open: mpv --start=([\d.]+) -- (.+)")
_ID = re.compile(r"\[E\d+\]")
_COUNTS = re.compile(r"\[1/1\] sample\.mp4: (\d+) spoken, (\d+) on screen, (\d+) frames  [\d.]+ x real time, .*left")


def block() -> list[str]:
    """The README's lines of what ``make demo`` prints."""
    found = re.search(r"`make demo` runs `vidrag demo`, which prints:\n\n```\n(.*?)```", README, re.S)
    assert found
    return found[1].strip().splitlines()


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("vidrag"), "--offline", "demo", "--no-ray"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=True)
    printed, shown = ran.stdout.strip().splitlines(), block()
    assert len(printed) == len(shown), ran.stdout
    for line, expected in zip(printed, shown, strict=True):
        assert alike(line, expected), (line, expected)


def alike(line: str, expected: str) -> bool:
    """True for the same line but for numbers of rows, paths before ``jobs/``, speeds, names of runs, and times nearer
    than NEAR_S.
    """
    opened, wanted = _OPEN.fullmatch(line), _OPEN.fullmatch(expected)
    if opened and wanted:
        return abs(float(opened[1]) - float(wanted[1])) <= NEAR_S and same_place(opened[2], wanted[2])
    counted, known = _COUNTS.fullmatch(line), _COUNTS.fullmatch(expected)
    if counted and known:  # one sentence more or less is heard as two rows
        return abs(int(counted[1]) - int(known[1])) <= 2 and counted.groups()[1:] == known.groups()[1:]
    if line.startswith("$ vidrag ingest demo-archive "):
        return expected.startswith("$ vidrag ingest demo-archive ") and same_place(line, expected)
    if line.startswith("1 of 1 videos indexed; 1.6 min of video in "):
        return expected.startswith("1 of 1 videos indexed; 1.6 min of video in ")
    if line.startswith("run "):
        return line.partition(";")[2] == expected.partition(";")[2]
    return _ID.sub("[E]", line) == _ID.sub("[E]", expected)


def same_place(path: str, other: str) -> bool:
    return path.endswith("jobs/demo/sample.mp4") and other.endswith("jobs/demo/sample.mp4")


def test_a_changed_answer_is_noticed() -> None:
    shown = "       open: mpv --start=12.0 -- ~/vidrag/jobs/demo/sample.mp4"
    assert alike("       open: mpv --start=12.2 -- /a/jobs/demo/sample.mp4", shown)
    assert not alike("       open: mpv --start=13.0 -- /a/jobs/demo/sample.mp4", shown)
    assert not alike("       open: mpv --start=12.0 -- /a/jobs/demo/other.mp4", shown)
    assert not alike("“Locker code: 4719” [E5]", "“The lockers are next to the blue staircase.” [E5]")


@pytest.mark.long
def test_the_demo_can_open_the_page(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("vidrag"), "--offline", "demo", "--no-ray", "--serve"]
    env = {**os.environ, "BROWSER": f"sh -c 'echo %s > {tmp_path}/opened'"}
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=env) as demo:
        assert demo.stdout is not None
        link = next(m[0] for line in demo.stdout if (m := re.search(r"(?<=serving demo-archive: )http://\S+", line)))
        until((tmp_path / "opened").exists)
        assert (tmp_path / "opened").read_text().strip() == link
        with urllib.request.urlopen(f"{link}/api/v1/videos", timeout=20) as reply:
            assert b"sample.mp4" in reply.read()
        demo.send_signal(signal.SIGINT)
