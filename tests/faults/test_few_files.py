"""A process that may open few files stops with one line; it does not take its own trouble for damage."""

from __future__ import annotations

import errno
import resource
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from fault_tools import Fault, Hands, committed
from media_files import with_tone
from vidrag.store.archive.archive import Archive
from world import World

JOBS = ("new", "mended", "look", "collected", "removed")


@pytest.mark.parametrize("job", JOBS)
def test_file_numbers_run_out_at_any_open(job: str, hands: Hands, tmp_path: Path) -> None:
    """With none to spare, with one, and so on: an error or the right result; nothing sound is set aside or hidden."""
    at, came = tmp_path / "archive", Counter[str]()
    hands.ask("old_and_new", at)
    sound, seen = committed(at), hands.ask("look", at)
    for more in range(12):
        reply = hands.do("few_files", at, None, job, str(more))
        what = f"{job} with {more} to spare"
        assert "untyped" not in reply, f"{what}: {reply.get('untyped')}"
        assert reply.get("error") in (None, "StorageError", "NotAnArchive"), f"{what}: {reply}"
        came[reply.get("error") or "done"] += 1
        if job == "look" and not reply.get("error"):
            assert reply["value"] == seen, what
        if job in ("new", "mended", "look"):
            assert committed(at) == sound, what
            assert hands.ask("look", at) == seen, what
        if not reply.get("error") and job == "removed":
            break
    print(f"{job}: {dict(came)}")
    assert came["done"] >= 1 and sum(came.values()) > came["done"]


@pytest.mark.parametrize("job", ["mended", "look"])
@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOMEM])
def test_one_file_cannot_be_opened(job: str, error: int, hands: Hands, tmp_path: Path) -> None:
    """Any of them, once.  The version before is not taken for the newest, and verify sets nothing sound aside."""
    at = tmp_path / "archive"
    hands.ask("old_and_new", at)
    sound, seen = committed(at), hands.ask("look", at)
    for nth in range(1, 100):
        reply = hands.do(job, at, Fault("f", nth, error, "o"))
        assert "untyped" not in reply, reply["untyped"]
        assert committed(at) == sound and hands.ask("look", at) == seen, f"open {nth}"
        if reply["calls"] < nth:
            break
        hurt = [v for v in (reply.get("value") or {}).values() if isinstance(v, dict)]
        assert reply.get("error") == "StorageError" or hurt == [{"error": "StorageError"}], f"open {nth}: {reply}"
    assert nth > 5


@pytest.mark.slow
@pytest.mark.parametrize("limit", [16, 24, 48])
def test_the_command_with_a_low_limit(limit: int, tmp_path: Path) -> None:
    """``ulimit -n``: ingest, questions and verify end within their time, in one line where they cannot go on."""
    with_tone(tmp_path / "one.mp4", 1)
    world = World.make(tmp_path)
    assert world.run("ingest", "archive", "one.mp4", "--no-ray").returncode == 0
    before = committed(tmp_path / "archive")
    with_tone(tmp_path / "two.mp4", 1, "80x48")
    for command in (
        ("verify", "archive"),
        ("ask", "archive", "What is said?"),
        ("ingest", "archive", "two.mp4", "--no-ray"),
    ):
        ran = subprocess.run(
            world.command(*command), cwd=world.root, env=world.env, capture_output=True, text=True, timeout=100,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)), check=False,
        )  # fmt: skip
        if limit > 16:  # below that Python itself cannot import
            assert "Traceback" not in ran.stdout + ran.stderr, ran.stderr
        assert ran.returncode != 4, ran.stdout + ran.stderr
        now = committed(tmp_path / "archive")
        assert {n: now.get(n) for n in before} == before
    assert world.run("ingest", "archive", "one.mp4", "two.mp4", "--no-ray").returncode == 0
    assert len(Archive.open(tmp_path / "archive").ids()) == 2
    assert world.run("verify", "archive").returncode == 0
