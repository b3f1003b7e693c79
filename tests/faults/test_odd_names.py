"""Names that file systems allow and programs stumble over, through the real command from end to end."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from media_files import with_tone
from vidrag.store.archive.archive import Archive
from world import World

NAMES = [
    "caf\u00e9.mp4", "cafe\u0301.mp4", "🎬 \u202egpj.mp4", "a\nb.mp4", "-leading dash.mp4", "CASE.mp4", "case.mp4",
    "quote's \"and\" $(touch x);semi.mp4", "caf\udce9.mp4", "x" * 251 + ".mp4", "%s {0}.mp4", " .mp4",
    "\x1b[31mred.mp4",
]  # fmt: skip


@pytest.mark.long
def test_a_folder_of_odd_names(tmp_path: Path) -> None:
    """Each is indexed once, listed without control characters, found by its name, asked about and taken out."""
    folder = tmp_path / "in"
    folder.mkdir()
    made = {}
    with_tone(tmp_path / "clip.mp4", 1)
    for i, name in enumerate(NAMES):  # the same video, but each with bytes of its own
        path = folder / name
        shutil.copy(tmp_path / "clip.mp4", path)
        with path.open("ab") as f:
            f.write(b"\0\0\0\x0cfree" + i.to_bytes(4, "big"))
        made[name] = path
    (folder / "loop").symlink_to(".")
    world = World.make(tmp_path)
    ran = world.run("ingest", "archive", "in", "--no-ray")
    assert ran.returncode == 0, ran.stderr
    archive = Archive.open(tmp_path / "archive")
    shards = list(archive.shards())
    assert sorted(s.name for s in shards) == sorted(NAMES)
    assert all({c.status for c in s.status().values()} <= {"ok", "none"} for s in shards)
    listed = world.run("ls", "archive")
    assert listed.returncode == 0 and "\x1b" not in listed.stdout and "\u202e" not in listed.stdout
    assert len(listed.stdout.splitlines()) == len(NAMES) + 1
    told = json.loads(world.run("ls", "archive", "--json").stdout)
    assert sorted(r["names"][0] for r in told) == sorted(NAMES)
    for name in ("a\nb.mp4", "CASE.mp4"):
        found = world.run("ask", "archive", "What is said?", "--video", name, "--json")
        assert found.returncode == 0, (name, found.stderr)
        assert {e["name"] for e in json.loads(found.stdout)["evidence"]} == {name}
    both = world.run("show", "archive", "caf\u00e9.mp4")  # NFC and NFD are one name, two videos
    assert both.returncode == 2 and "fits 2 videos" in both.stderr
    assert world.run("rm", "archive", "--yes", "--", "-leading dash.mp4").returncode == 0
    assert world.run("rm", "archive", "--yes", os.fsdecode(b"caf\xe9.mp4")).returncode == 0
    assert len(Archive.open(tmp_path / "archive").ids()) == len(NAMES) - 2
    assert world.run("verify", "archive").returncode == 0
    assert not (tmp_path / "x").exists()
