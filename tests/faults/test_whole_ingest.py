"""A whole video is ingested, stage by stage, and any system call of it is the last, is torn or fails.

A stage that a fresh process sees is whole and as it would be without the fault; the same command does what is missing.
The quick engines of ``media_files.Local`` stand in for models; decoding is real, in its own processes.
"""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fault_tools import Fault, Hands, names
from media_files import with_tone

STEPS = {"k": 150, "f": 220}
"""Every how many calls the short run strikes, by kind of fault."""
PARTS = 4
"""The long run is cut into so many tests, so that workers share it."""


class Ingest:
    def __init__(self, hands: Hands, folder: Path) -> None:
        self.hands, self.at = hands, folder / "archive"
        with_tone(folder / "clip.mp4", 1)
        reply = hands.do("ingest", self.at, Fault("x"))
        assert reply.get("error") is None, reply
        self.calls: int = reply["calls"]
        self.done: dict[str, Any] = hands.ask("seen_stages", self.at)
        hands.ask("collected", self.at)
        self.names = [n for n in names(self.at) if "-" not in n.split("/")[-1]]

    def judge(self, what: str) -> int:
        """How many stages are there after the fault; each of them must be what it is without one."""
        hands, stages = self.hands, 0
        for video, (states, sizes) in hands.ask("seen_stages", self.at).items():
            final, all_sizes = self.done[video]
            told = {
                k: v for k, v in states.items() if v != "failed"
            }  # a read that failed once is a row; the rerun mends
            assert told.items() <= final.items(), f"{what}: {states}"
            assert all(a in (0, b) for a, b in zip(sizes, all_sizes, strict=True)), f"{what}: {sizes}"
            stages += len(told)
        reply = hands.do("ingest", self.at)
        assert reply.get("error") is None, f"{what}: the rerun: {reply}"
        assert hands.ask("seen_stages", self.at) == self.done, f"{what}: after the rerun"
        assert hands.ask("verified", self.at) == [], f"{what}: after the rerun"
        hands.ask("collected", self.at)
        assert hands.ask("seen_stages", self.at) == self.done, f"{what}: after gc"
        assert [p for p in self.at.rglob("*") if p.name.startswith((".tmp-", "try-"))] == [], what
        assert [n for n in names(self.at) if "-" not in n.split("/")[-1]] == self.names, what
        return stages

    def strike(self, fault: Fault) -> str:
        shutil.rmtree(self.at)
        reply = self.hands.do("ingest", self.at, fault)
        what = f"{fault.how} at call {fault.nth} of {self.calls}"
        assert "untyped" not in reply or "[]" not in reply["message"], f"{what}: {reply}"
        ended = "killed" if reply["exit"] == -9 else reply.get("error") or "done"
        stages = self.judge(what)
        complete = all(stages == len(final) for final, _ in self.done.values())
        assert ended != "done" or fault.how == "f" or (fault.how == "F" and complete), f"{what}: nobody noticed"
        return f"{ended} with {stages} stages"


def strike(hands: Hands, folder: Path, how: str, first: int, step: int) -> Counter[str]:
    ingest, came = Ingest(hands, folder), Counter[str]()
    for nth in range(first, ingest.calls + 1, step):
        came[ingest.strike(Fault(how, nth, errno.ENOSPC if how == "F" else errno.EIO))] += 1
    print(f"whole ingest, {how}: {ingest.calls} calls, struck {sum(came.values())}: {dict(came)}")
    return came


@pytest.mark.long
@pytest.mark.parametrize("how", "kf")
def test_some_calls(how: str, hands: Hands, tmp_path: Path) -> None:
    assert strike(hands, tmp_path, how, STEPS[how] // 2, STEPS[how])


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("how", "ktfF")
def test_every_call(how: str, part: int, hands: Hands, tmp_path: Path) -> None:
    every = 2 if how in "tF" else 1
    assert sum(strike(hands, tmp_path, how, 1 + part * every, PARTS * every).values()) > 100 // PARTS
