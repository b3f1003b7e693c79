"""The power goes at any moment of a publish, and the disk keeps only what it was told to keep.

The shim notes what each ``fsync`` made durable: the content of a file, the names in a folder.  The tree is rebuilt as a
disk may leave it: without anything unsynced; with all names but zeros for unsynced content; or each by chance, with
torn and random content.  What a real disk does lies between these; a disk that lies about ``fsync`` is not covered.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_tools import Fault, Hands, Scene, Trial

Content = Callable[[int, bytes | None, bytes], bytes]


class Disk:
    """What was durable from the start, what ``fsync`` added, and what the machine saw before the power went."""

    def __init__(self, root: Path, shadow: Path) -> None:
        self.root, self.shadow = root, shadow
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, int]] = {}
        for path in (root, *root.rglob("*")):
            if path.is_dir():
                self.folders[path.stat().st_ino] = self._seen(path)
            else:
                self.files[path.stat().st_ino] = path.read_bytes()

    @staticmethod
    def _seen(folder: Path) -> dict[str, int]:
        return {e.name: e.inode() for e in os.scandir(folder)}

    def rebuild(self, to: Path, mode: str, dice: random.Random) -> None:
        """Writes the tree that the next start finds."""
        self._now = {p.stat().st_ino: p for p in (self.root, *self.root.rglob("*"))}
        self._folder(self.root.stat().st_ino, to, mode, dice)

    def _names(self, inode: int) -> dict[str, int]:
        noted = self.shadow / f"d-{inode}"
        if not noted.exists():
            return self.folders.get(inode, {})
        entries = (e.split(b" ", 1) for e in noted.read_bytes().split(b"\0") if e)
        return {os.fsdecode(name): int(number) for number, name in entries}

    def _folder(self, inode: int, to: Path, mode: str, dice: random.Random) -> None:
        durable, now = self._names(inode), self._seen(self._now[inode]) if inode in self._now else {}
        if mode == "nothing unsynced":
            left = durable
        elif mode == "names without content":
            left = now
        else:
            both = {**durable, **now}
            left = {n: i for n, i in both.items() if durable.get(n) == now.get(n) or dice.random() < 0.5}
        to.mkdir()
        for name, child in left.items():
            path = self._now.get(child)
            if child in self.folders or (self.shadow / f"d-{child}").exists() or (path and path.is_dir()):
                self._folder(child, to / name, mode, dice)
            else:
                (to / name).write_bytes(self._content(child, path, mode, dice))

    def _content(self, inode: int, path: Path | None, mode: str, dice: random.Random) -> bytes:
        noted = self.shadow / f"f-{inode}"
        if noted.exists():
            return noted.read_bytes()
        if inode in self.files:
            return self.files[inode]
        now = path.read_bytes() if path else b""
        if mode == "nothing unsynced":
            return b""
        if mode == "names without content":
            return bytes(len(now))
        return dice.choice([b"", now, now[: len(now) // 2], bytes(len(now)), dice.randbytes(len(now))])


MODES = ("nothing unsynced", "names without content", "by chance")
SCENES = {
    "a new version": Scene("old", "new"),
    "a new archive": Scene("nothing", "new"),
    "every kind of file": Scene("old", "whole"),
    "a removal": Scene("old", "removed", removes=True),
}


def cut(hands: Hands, scene: str, mode: str, folder: Path, step: int) -> Counter[str]:
    trial, came, shadow = Trial(hands, SCENES[scene], folder), Counter[str](), folder / "shadow"
    for nth in (*range(1, trial.calls + 1, step), 0):  # at last it goes just after the job has said that it is done
        shutil.rmtree(trial.at, ignore_errors=True)
        shutil.rmtree(shadow, ignore_errors=True)
        shutil.copytree(trial.base, trial.at)
        shadow.mkdir()
        disk = Disk(trial.at, shadow)
        reply = hands.do(trial.scene.job, trial.at, Fault("k", nth, shadow=str(shadow)))
        assert reply["exit"] == (-9 if nth else 0), reply
        disk.rebuild(folder / "rebuilt", mode, random.Random(nth))
        shutil.rmtree(trial.at)
        (folder / "rebuilt").rename(trial.at)
        if (trial.at / "archive.json").exists() or nth == 0:
            state = trial.judge(f"{scene}, {mode}, call {nth} of {trial.calls}")
        else:
            assert trial.old == {}, "the archive itself is gone"
            state = "old"
        came[state] += 1
        if nth == 0:
            assert state == "new", f"{scene}, {mode}: it said that it was done"
    print(f"power cut, {scene}, {mode}: {trial.calls} calls: {dict(came)}")
    return came


@pytest.mark.parametrize("mode", MODES)
def test_some_cuts(mode: str, hands: Hands, tmp_path: Path) -> None:
    assert set(cut(hands, "a new version", mode, tmp_path, 14)) == {"old", "new"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scene", SCENES)
def test_every_cut(scene: str, mode: str, hands: Hands, tmp_path: Path) -> None:
    assert cut(hands, scene, mode, tmp_path, 1)["new"] >= 1
