"""Disks without hard links: FAT, exFAT, some network mounts.  Names are given another safe way, or nothing is begun."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fault_child
import pytest
from fault_tools import Fault, Hands, files
from store_tools import at_a_barrier
from vidrag.store.archive.archive import Archive

ERRORS = {n: getattr(errno, n) for n in ("EPERM", "ENOTSUP", "ENOSYS", "EMLINK", "EXDEV")}
WRITER = """
import json, sys
from vidrag.store.storage.open import open_backend

backend = open_backend(sys.argv[1])
backend.check_writable()
print("ready", flush=True)
sys.stdin.readline()
order = range(200) if sys.argv[2] == "a" else range(199, -1, -1)  # they meet, whoever is faster
won = {i: backend.put_if_absent(f"race/{i}", f"{sys.argv[2]} {i}".encode()) for i in order}
print(json.dumps([won[i] for i in range(200)]))
"""


def two_writers(root: Path, env: dict[str, str]) -> None:
    """At a barrier: for each name exactly one is told that it was first, and its bytes are there."""
    command = [sys.executable, "-c", WRITER, str(root)]
    told = at_a_barrier(command, env)
    for i in range(200):
        assert told[0][i] != told[1][i]
        assert (root / "race" / str(i)).read_text() == f"{'a' if told[0][i] else 'b'} {i}"
    print(f"{sum(told[0])} of 200 won by the first writer, {sum(told[1])} by the second")
    assert not list(root.rglob(".tmp-*"))


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("job", ["new", "whole", "ledger", "indexed", "mended"])
def test_without_links_everything_works(job: str, code: str, hands: Hands, tmp_path: Path) -> None:
    """What a disk with links shows is shown, nothing is left over, and doing it again changes nothing."""
    seen = []
    for at, fault in (("with", Fault("f")), ("without", Fault("F", 1, ERRORS[code], kinds="l"))):
        archive = tmp_path / at
        hands.ask("damaged" if job == "mended" else "old", archive)
        reply = hands.do(job, archive, fault)
        assert (reply["exit"], reply.get("error")) == (0, None), reply
        assert not list(archive.rglob(".tmp-*"))
        seen.append(hands.ask("look", archive))
        before = files(archive)
        again = hands.do("nothing" if job in ("ledger", "mended") else job, archive, fault)
        assert (again["exit"], again.get("error"), files(archive)) == (0, None, before)
    assert seen[0] == seen[1]


def test_two_writers_without_links(library: Path, child_env: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "archive"
    root.mkdir()
    fault = {"ROOT": str(root), "KINDS": "l", "NTH": "1", "HOW": "F", "ERRNO": str(errno.EPERM)}
    two_writers(root, {**child_env, "LD_PRELOAD": str(library), **{f"VIDRAG_FAULT_{k}": v for k, v in fault.items()}})


@pytest.mark.parametrize("code", ["EPERM", "EINVAL", "ENOSYS"])
def test_a_disk_that_can_do_neither_is_refused(code: str, hands: Hands, tmp_path: Path) -> None:
    """In one line that says what to do, before anything is in the archive, or anything more."""
    new, there = tmp_path / "new", tmp_path / "there"
    hands.ask("old", there)
    before = files(there)
    fault = Fault("F", 1, getattr(errno, code), kinds="lN")
    for archive in (new, there):
        reply = hands.do("new", archive, fault)
        assert reply["error"] == "StorageError" and "\n" not in reply["message"]
        assert "neither hard links nor a rename" in reply["message"] and "another disk" in reply["message"]
        assert str(archive) in reply["message"]
    assert files(new) == {} and files(there) == before


@pytest.fixture(params=["vfat", "exfat"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A real disk without links."""
    kind, image, folder = request.param, tmp_path / "image", tmp_path / "disk"
    make = shutil.which(f"mkfs.{kind}")
    if not make:
        pytest.skip(f"mkfs.{kind} is not installed (package {'dosfstools' if kind == 'vfat' else 'exfatprogs'})")
    with image.open("wb") as f:
        f.truncate(64 << 20)
    subprocess.run([make, image], check=True, capture_output=True)
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-o", "loop", "-t", kind, image, folder], check=False).returncode:
        pytest.skip(f"mounting {kind} needs root and a kernel that knows it")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_real_disk_without_links(disk: Path, child_env: dict[str, str]) -> None:
    with pytest.raises(PermissionError):
        (disk / "a").touch()
        (disk / "b").hardlink_to(disk / "a")
    (disk / "writers").mkdir()
    two_writers(disk / "writers", child_env)
    for job in (
        fault_child.old_indexed,
        fault_child.ledger,
        fault_child.removed,
        fault_child.new,
        fault_child.collected,
    ):
        job(disk / "archive")
    assert fault_child.verified(disk / "archive") == []
    assert len(Archive.open(disk / "archive").ids()) == 2
