"""The broken and unusual inputs that ``../shared/data/bad/make_bad.sh`` makes, held against its expected.json.

The script lies beside the repository, not in it; where it is missing, the tests skip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from media_files import ffmpeg_program
from vidrag.ingest import media
from vidrag.ingest.media import MediaOptions
from vidrag.ingest.stages import STAGES
from vidrag.jobs import build, profile
from vidrag.jobs.runs.plan import sources
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.shard import Shard
from vidrag.store.errors import EngineMissing, MediaError, ModelMissing

GIVEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "bad"
OPTIONS = MediaOptions(stall_s=20)
NEVER_ENDING = "loop"
EMPTY = "zero_bytes.mp4"  # passed over and counted: it may be a placeholder of a cloud drive


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (GIVEN / "make_bad.sh").is_file():
        pytest.skip("../shared/data/bad/make_bad.sh is not there (relative to the repository root)")
    programs, folder = tmp_path_factory.mktemp("programs"), tmp_path_factory.mktemp("bad") / "bad"
    (programs / "ffmpeg").symlink_to(ffmpeg_program())
    made = subprocess.run(
        ["bash", GIVEN / "make_bad.sh", folder],
        env={**os.environ, "PATH": f"{os.environ['PATH']}:{programs}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"../shared/data/bad/make_bad.sh fails with this ffmpeg: {made.stderr.strip()[-200:]}")
    return folder


@pytest.fixture(scope="module")
def expected(bad: Path) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = json.loads((GIVEN / "expected.json").read_text())["files"]
    assert {p.name for p in bad.iterdir()} == set(files)
    return files


def test_the_plan_takes_what_may_be_media(bad: Path, expected: dict[str, dict[str, Any]]) -> None:
    """No subtitle file, no folder, no endless loop, nothing empty; broken links and files are taken, to be reported."""
    ignored = {n for n, e in expected.items() if e["outcome"] in ("not a video", "not a file")}
    ignored |= {NEVER_ENDING, EMPTY}
    assert sorted(i.location.name for i in sources([str(bad)])) == sorted(set(expected) - ignored)


def wrong(path: Path, outcome: str, declared: float | None) -> str:
    """Why decoding ``path`` does not fit ``outcome``; empty where it does."""
    try:
        info = media.probe(path, OPTIONS)
        source = media.frames(path, info, OPTIONS, 2, 640) if info.has_video else None
        times = [s.time for s in source] if source else []
        sound = media.audio(path, info, OPTIONS) if info.has_audio else None
        heard = sum(len(b) for b in sound) / media.RATE if sound else 0.0
    except MediaError as e:
        return "" if outcome in ("unreadable", "partial", "symlink") else f"{type(e).__name__}: {e}"
    if outcome in ("unreadable", "symlink"):
        return "was read"
    if outcome == "audio only":
        return "" if not info.has_video and abs(heard - declared) < 0.3 else f"{info.has_video}, {heard} s of sound"
    if not source or not times:
        return "no frames"
    if outcome == "partial":
        return "" if source.errors + source.corrupt or max(source.end, heard) < 3.5 else "no damage noticed"
    if source.errors or source.corrupt:
        return f"errors: {source.first_error}"
    seconds = max(source.end, heard)
    return "" if abs(seconds - (declared or 4)) < 0.35 else f"{seconds} s instead of {declared}"


@pytest.mark.long
def test_each_file_decodes_as_it_should(bad: Path, expected: dict[str, dict[str, Any]]) -> None:
    found = {
        name: why
        for name, e in expected.items()
        if e["outcome"] not in ("not a video", "not a file")
        and name != NEVER_ENDING
        and (why := wrong(bad / name, e["outcome"], e["declared_seconds"]))
    }
    assert found == {}


def complaint(outcome: str, shard: Shard | None, row: dict[str, Any] | None) -> str:
    """Why the archive and the report do not fit ``outcome``; empty where they do."""
    if outcome in ("unreadable", "symlink"):
        return "" if row and row["message"] and shard is None else "not reported"
    if row:
        return "" if outcome == "partial" else f"failed: {row['message']}"
    if shard is None:
        return "neither indexed nor reported"
    cells = shard.status()
    bad_cells = [s for s in STAGES if s not in cells or cells[s].status == "failed"]
    if bad_cells:
        return f"stages {bad_cells}"
    if outcome == "audio only":
        return "" if cells["frames"].status == "none" and cells["speech"].extent else "no sound or a picture"
    frames = cells["frames"]
    whole = (frames.coverage is None or frames.coverage > 0.9) and not frames.data.get("errors")
    if frames.status != "ok" or not shard.frames:
        return "no frames"
    return "" if whole == (outcome == "ok") else f"coverage {frames.coverage}, {frames.data}"


@pytest.mark.slow
def test_the_whole_folder_by_the_command(bad: Path, expected: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """With the real engines: exit 3, a cause for each failure, everything else indexed as it should be."""
    try:
        build.check(profile.load(), build.INGEST_KINDS)
    except (ModelMissing, EngineMissing) as e:
        pytest.skip(f"the engines of the embedded profile are not all installed: {e}")
    vidrag = Path(sys.executable).with_name("vidrag")
    command = [vidrag, "--offline", "ingest", tmp_path / "archive", bad, "--no-ray", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 3
    assert "Traceback" not in ran.stdout + ran.stderr
    told = json.loads(ran.stdout)
    rows = {Path(f["source"]).name: f for f in told["failed"]}
    archive = Archive.open(tmp_path / "archive")
    shards = {n: s for s in archive.shards() for n in s.manifest.source.names}
    apart = {n for n, e in expected.items() if e["outcome"] in ("not a video", "not a file")} | {NEVER_ENDING, EMPTY}
    looked_at = {n: e for n, e in expected.items() if n not in apart}
    assert set(shards) | set(rows) == set(looked_at)
    complaints = {n: why for n, e in looked_at.items() if (why := complaint(e["outcome"], shards.get(n), rows.get(n)))}
    assert complaints == {}
    assert list((tmp_path / "archive").rglob(".tmp-*")) == []
    assert all("\n" not in f["message"] and str(bad) not in f["message"] for f in rows.values())
    check_details(shards)
    again = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert again.returncode == 3
    assert json.loads(again.stdout)["kept"] == told["videos"] - len(rows)
    assert ran.stderr == again.stderr == ""


def check_details(shards: dict[str, Shard]) -> None:
    assert shards["silent_audio_track.mp4"].speech == []
    assert (shards["rotated_90.mp4"].frames[0].width, shards["rotated_90.mp4"].frames[0].height) == (180, 320)
    assert shards["late_video_start.mkv"].frames[0].start == pytest.approx(3, abs=0.1)
    assert shards["huge_declared_duration.mp4"].manifest.duration == pytest.approx(4, abs=0.2)
    copies = [
        "-leading dash.mp4",
        "WRONG_CASE.MP4",
        "no_extension",
        "webm_in_name_only.webm",
        'quote\'s "and" $dollar;semi.mp4',
    ]
    assert {shards[n].video for n in copies} == {shards["plain.mp4"].video}
    for shard in shards.values():
        assert shard.manifest.duration < 30
