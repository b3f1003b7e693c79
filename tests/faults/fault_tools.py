"""Compiles the shim of faults, orders jobs from fresh processes under it, and judges what they left."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ALL = "owsluRNmd"
"""Every kind of call that the shim counts, see ``shim.c``."""


def compiled(folder: Path) -> Path:
    """The shim as a library; the test skips where there is no C compiler."""
    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if not compiler or sys.platform != "linux":
        pytest.skip("faults in system calls need Linux and a C compiler (cc, gcc or clang); there is none")
    library = folder / "shim.so"
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "shim.c", "-ldl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return library


@dataclass(frozen=True)
class Fault:
    """The ``nth`` call of one of ``kinds``: see ``shim.c`` for ``how``."""

    how: str
    nth: int = 0
    error: int = errno.EIO
    kinds: str = ALL
    shadow: str = ""

    def order(self) -> dict[str, Any]:
        return {"how": self.how, "nth": self.nth, "errno": self.error, "kinds": self.kinds, "shadow": self.shadow}


class Hands:
    """Starts a fresh process for each job."""

    def __init__(self, library: Path) -> None:
        self.library = library
        paths = [str(HERE), str(HERE.parent), str(HERE.parent / "plugin"), os.environ.get("PYTHONPATH", "")]
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.env = {**os.environ, **one, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"
        self._parent = subprocess.Popen(
            [sys.executable, HERE / "fault_child.py"],
            env={**self.env, "LD_PRELOAD": str(library)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def do(self, job: str, archive: Path, fault: Fault | None = None, *more: str) -> dict[str, Any]:
        """The reply of a fresh process: its ``value`` or ``error``, its ``exit`` code (a signal is negative)."""
        assert self._parent.stdin and self._parent.stdout
        order = {"job": job, "archive": str(archive), "with": more, **({"fault": fault.order()} if fault else {})}
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        line = self._parent.stdout.readline()
        assert line, "the parent of the jobs has died"
        reply: dict[str, Any] = json.loads(line)
        return reply

    def ask(self, job: str, archive: Path) -> Any:
        """The value of a job that must succeed."""
        reply = self.do(job, archive)
        assert (reply["exit"], reply.get("error")) == (0, None), reply
        return reply["value"]

    def close(self) -> None:
        assert self._parent.stdin
        self._parent.stdin.close()
        self._parent.wait(20)


def files(archive: Path) -> dict[str, bytes]:
    found = (p for p in archive.rglob("*") if p.is_file() and not p.is_symlink())
    return {str(p.relative_to(archive)): p.read_bytes() for p in found}


def committed(archive: Path) -> dict[str, bytes]:
    """Manifests and the files that they may name: what has to stay byte-identical."""
    kept = files(archive)
    return {n: d for n, d in kept.items() if n.startswith("videos/") and "/.tmp-" not in n and "/try-" not in n}


def names(archive: Path) -> list[str]:
    """Files and folders of an archive; versions are not told apart, nor files of an index by the way it grew; runs and
    what was set aside are not counted.
    """
    found = [re.sub(r"^(index/[a-z]+-).*\.", r"\1.", str(p.relative_to(archive))) for p in archive.rglob("*")]
    return sorted(
        {re.sub(r"manifest-\d+", "manifest", n) for n in found if not n.startswith(("runs/", "cache", "quarantine"))}
    )


@dataclass(frozen=True)
class Scene:
    """``before`` makes an archive; ``job`` is what goes wrong in it; earlier versions stay unless it ``removes``."""

    before: str
    job: str
    removes: bool = False
    looks: str = "look"


class Trial:
    """One scene and what it looks like before and after, when nothing goes wrong."""

    def __init__(self, hands: Hands, scene: Scene, folder: Path) -> None:
        self.hands, self.scene, self.folder = hands, scene, folder
        self.base, self.done = folder / "base", folder / "done"
        self.at = folder / "at" / "archive"
        hands.ask(scene.before, self.base)
        if not self.base.exists():
            self.base.mkdir()
        self.old = hands.ask(scene.looks, self.base)
        self.kept = committed(self.base)
        shutil.copytree(self.base, self.done)
        reply = hands.do(scene.job, self.done, Fault("f"))
        assert reply.get("error") is None, reply
        self.calls: int = reply["calls"]
        self.new = hands.ask(scene.looks, self.done)
        hands.ask("collected", self.done)
        self.names = names(self.done)

    def strike(self, fault: Fault) -> dict[str, Any]:
        """Does the job under a fault in a copy of the archive as it was before."""
        shutil.rmtree(self.at, ignore_errors=True)
        shutil.copytree(self.base, self.at)
        return self.hands.do(self.scene.job, self.at, fault)

    def judge(self, what: str) -> str:
        """A fresh process looks: the old state or the new one, nothing lost, and a rerun completes.  Which it was."""
        hands, at = self.hands, self.at
        seen = hands.ask(self.scene.looks, at) if (at / "archive.json").exists() else {}
        assert seen in (self.old, self.new), f"{what}: neither old nor new: {seen}"
        if not self.scene.removes:
            now = committed(at)
            assert {n: now.get(n) for n in self.kept} == self.kept, f"{what}: earlier versions were touched"
        reply = hands.do(self.scene.job, at)
        assert reply.get("error") is None, f"{what}: the rerun: {reply}"
        assert hands.ask(self.scene.looks, at) == self.new, f"{what}: after the rerun"
        assert hands.ask("verified", at) == [], f"{what}: after the rerun"
        hands.ask("collected", at)
        assert hands.ask(self.scene.looks, at) == self.new, f"{what}: after gc"
        assert names(at) == self.names, f"{what}: left over: {set(names(at)) ^ set(self.names)}"
        return "old" if seen == self.old else "new"

    def sweep(self, how: str, error: int, step: int = 1, kinds: str = ALL) -> Iterator[tuple[Fault, dict[str, Any]]]:
        """Every ``step``-th call goes wrong, one after the other, until the job gets through."""
        nth = 1
        while True:
            fault = Fault(how, nth, error, kinds)
            reply = self.strike(fault)
            if reply["exit"] == 0 and reply["calls"] < nth:
                return
            yield fault, reply
            nth += step
