"""Any system call of a writer may fail, be cut short, or be its last: then a fresh process judges.

It finds the video absent, at its old or at its new version, never in between; versions committed earlier are untouched;
the same command completes; nothing is damaged; and after a collection of garbage nothing is left over.
"""

from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path

import pytest
from fault_tools import Hands, Scene, Trial

SCENES = {
    "a new video": Scene("other", "new"),
    "a new version": Scene("old", "new"),
    "a new archive": Scene("nothing", "new"),
    "every kind of file": Scene("old", "whole"),
    "a removal": Scene("old", "removed", removes=True),
    "a collection of garbage": Scene("old_and_new", "collected", removes=True),
    "a quarantine": Scene("damaged", "mended", removes=True),
    "a migration": Scene("old_frames", "migrated"),
    "a ledger": Scene("old", "ledger"),
    "a catalogue": Scene("old_catalogued", "catalogued", looks="listed"),
    "an index": Scene("old_indexed", "indexed", looks="searched"),
}
HOW = {
    "killed": ("k", 0),
    "killed in the middle": ("t", 0),
    "EIO": ("f", errno.EIO),
    "full from then on": ("F", errno.ENOSPC),
    "done but said to have failed": ("a", errno.EIO),
    "too many open files": ("f", errno.EMFILE),
}
QUICK = {("a new version", how): 9 for how in HOW} | {
    ("a new video", "killed"): 21,
    ("a new archive", "EIO"): 31,
    ("every kind of file", "killed"): 130,
    ("every kind of file", "full from then on"): 130,
    ("a removal", "killed"): 3,
    ("a removal", "EIO"): 3,
    ("a collection of garbage", "killed"): 9,
    ("a collection of garbage", "EIO"): 4,
    ("a quarantine", "killed"): 9,
    ("a quarantine", "EIO"): 3,
    ("a quarantine", "too many open files"): 3,
    ("a migration", "killed"): 9,
    ("a migration", "full from then on"): 9,
    ("a ledger", "EIO"): 30,
    ("a catalogue", "killed"): 9,
    ("a catalogue", "EIO"): 9,
    ("a catalogue", "full from then on"): 9,
    ("an index", "killed"): 17,
    ("an index", "EIO"): 17,
    ("an index", "full from then on"): 17,
}
"""Scene and fault -> every how many calls the short run strikes; the long run strikes every one."""


def strike_all(hands: Hands, scene: str, how: str, folder: Path, step: int) -> Counter[str]:
    trial = Trial(hands, SCENES[scene], folder)
    letter, error = HOW[how]
    came = Counter[str]()
    for fault, reply in trial.sweep(letter, error, step):
        what = f"{scene}, {how}, call {fault.nth} of {trial.calls}"
        if letter in "kt":
            assert reply["exit"] == -9, f"{what}: {reply}"
        assert "untyped" not in reply, f"{what}: {reply.get('untyped')}"
        came[f"{reply.get('error') or ('killed' if reply['exit'] else 'told nothing')}, {trial.judge(what)}"] += 1
    print(f"{scene}, {how}: {trial.calls} calls, struck {sum(came.values())}: {dict(came)}")
    return came


@pytest.mark.long
@pytest.mark.parametrize(("scene", "how"), QUICK)
def test_some_calls(scene: str, how: str, hands: Hands, tmp_path: Path) -> None:
    came = strike_all(hands, scene, how, tmp_path, QUICK[scene, how])
    assert sum(came.values()) >= 3
    if how == "killed" and scene == "a new version":
        assert {"killed, old", "killed, new"} <= set(came)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("scene", SCENES)
def test_every_call(scene: str, how: str, hands: Hands, tmp_path: Path) -> None:
    assert sum(strike_all(hands, scene, how, tmp_path, 1).values()) > 10
