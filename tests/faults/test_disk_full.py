"""Disks that take no more: real ones, of any size from empty to enough."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_tools import Hands, Scene, Trial
from store_tools import rows_of_norm_1
from vidrag.store import vectors
from vidrag.store.archive.schema import TableWriter
from vidrag.store.errors import StorageError
from vidrag.store.records import Segment

PAGE = 4096


def test_vectors_that_do_not_fit_are_not_taken_for_written() -> None:
    """FAISS itself only complains on stderr when its stream cannot be closed."""
    with pytest.raises(StorageError, match=r"/dev/full: no space left"):
        vectors.write(Path("/dev/full"), rows_of_norm_1(5))


def test_rows_that_do_not_fit_are_a_storage_error() -> None:
    with (
        pytest.raises(StorageError, match=r"/dev/full: no space left"),
        TableWriter(Path("/dev/full"), "speech", "v" * 16) as writer,
    ):
        writer.write([Segment(0, 1, os.urandom(50_000).hex())])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes and 400 files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=400", "vidrag-test", folder]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("a small disk needs root and a working 'mount -t tmpfs'")
    yield folder
    subprocess.run(["umount", folder], check=True)


class OnDisk(Trial):
    """A trial whose archive lies on a disk with so much room left."""

    def __init__(self, hands: Hands, disk: Path, folder: Path) -> None:
        super().__init__(hands, Scene("old", "whole"), folder)
        self.disk, self.at = disk, disk / "archive"

    def fill(self, pages: int | None, inodes: int | None) -> None:
        """Leaves so many pages or names free."""
        ballast = self.disk / "ballast"
        ballast.mkdir()
        if inodes is not None:
            for i in range(os.statvfs(self.disk).f_ffree - inodes):
                (ballast / str(i)).touch()
        else:
            assert pages is not None
            (ballast / "one").write_bytes(bytes((os.statvfs(self.disk).f_bfree - pages) * PAGE))

    def once(self, pages: int | None, inodes: int | None) -> str:
        """How the job ended; empty where it got through."""
        shutil.rmtree(self.at, ignore_errors=True)
        shutil.copytree(self.base, self.at)
        self.fill(pages, inodes)
        reply = self.hands.do("whole", self.at)
        what = f"{pages} pages, {inodes} names free"
        assert "untyped" not in reply, f"{what}: {reply.get('untyped')}"
        assert self.hands.ask("look", self.at) in (self.old, self.new), what
        shutil.rmtree(self.disk / "ballast")
        if not reply.get("error"):
            return ""
        assert "no space left" in reply["message"] and str(self.disk) in reply["message"], reply
        return f"{reply['error']}, {self.judge(what)}"


@pytest.mark.long
@pytest.mark.parametrize("scarce", ["pages", "names"])
def test_a_disk_of_any_size(scarce: str, hands: Hands, disk: Path, tmp_path: Path) -> None:
    """With no page (or name) left, with one, with two and so on: an error that names the disk, until it is enough."""
    trial, came = OnDisk(hands, disk, tmp_path), Counter[str]()
    for left in range(200):
        how = trial.once(left, None) if scarce == "pages" else trial.once(None, left)
        if not how:
            break
        came[how] += 1
    else:
        raise AssertionError("never enough")
    print(f"{scarce}: enough with {left}: {dict(came)}")
    assert came["StorageError, old"] == left >= 10
