"""``vidrag`` with an archive in a bucket: ingest, ask, list, remove nothing locally but the cache."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

VIDRAG = Path(sys.executable).with_name("vidrag")


def vidrag(env: dict[str, str], cwd: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [VIDRAG, "--offline", *arguments], env=env, cwd=cwd, capture_output=True, text=True, timeout=280
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.long
@pytest.mark.parametrize("how", ["--no-ray", pytest.param("--workers=2", marks=pytest.mark.slow)])
def test_ingest_and_ask(
    bucket: str, sample: Path, fake_profile: Path, child_env: dict[str, str], tmp_path: Path, how: str
) -> None:
    """What works on a folder works on a bucket, and nothing of the archive lies on the disk but copies in the cache."""
    archive = f"{bucket}/films/archive"
    work = tmp_path / "work"
    work.mkdir()
    profile = ("--profile", fake_profile)
    done = vidrag(child_env, work, "ingest", archive, sample, how, *profile)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert f"ask with: vidrag ask {archive}" in done.stdout
    again = vidrag(child_env, work, "ingest", archive, sample, "--no-ray", "--json", *profile)
    assert json.loads(again.stdout)["kept"] == 1
    told = json.loads(vidrag(child_env, work, "ls", archive, "--json").stdout)
    assert [r["names"] for r in told] == [["sample.mp4"]] and told[0]["speech"] and told[0]["frames"]
    asked = vidrag(child_env, work, "ask", archive, "What is said?", "--video", "sample.mp4", "--json", *profile)
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["evidence"] and {e["name"] for e in answer["evidence"]} == {"sample.mp4"}
    assert list(work.iterdir()) == []


def test_mistakes_are_one_line(bucket: str, sample: Path, child_env: dict[str, str], tmp_path: Path) -> None:
    """With the documented exit codes."""
    for arguments, code, said in (
        (("ask", f"{bucket}/nothing", "What?"), 2, "no such archive; make one with 'vidrag ingest"),
        (("ask", "s3://nowhere/a", "What?"), 2, "there is no bucket 'nowhere'"),
        (("ask", "ftp://x/a", "What?"), 2, "unknown kind of address"),
        (("ls", f"{bucket}/a//b"), 2, "empty"),
    ):
        done = vidrag(child_env, tmp_path, *arguments)
        assert done.returncode == code and done.stdout == ""
        assert said in done.stderr and done.stderr.count("\n") == 1
