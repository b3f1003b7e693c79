"""``vidrag eval study`` with public benchmarks as they are unpacked: found, laid out, indexed, asked, handed in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vidrag.jobs.evaluate import published
from vidrag.store.errors import UsageError
from world import World, clip

CANDIDATES = ["a red one", "a blue one"]


def longvideobench(folder: Path, **more: Any) -> Path:
    """One clip that was cut from 60 to 64 seconds of a recording, with the subtitles of all of it."""
    (folder / "videos").mkdir(parents=True)
    (folder / "subtitles").mkdir()
    row = {
        "id": "red_0", "video_id": "red", "video_path": "red.mp4", "question": "What beeps?", "candidates": CANDIDATES,
        "correct_choice": 0, "duration_group": 15, "question_category": "S2E", "topic_category": "x",
        "level": "L1", "subtitle_path": "red_en.json", "starting_timestamp_for_subtitles": 60, "duration": 4.0,
    }  # fmt: skip
    (folder / "lvb_val.json").write_text(json.dumps([row | more, row | {"id": "red_1"}]))
    said = [
        {"start": "00:00:59.000", "end": "00:01:01.500", "line": "The red one\nbeeps."},
        {"start": "00:01:02.000", "end": "00:01:03.000", "line": "It is loud."},
        {"start": "00:01:09.000", "end": "00:01:10.000", "line": "This is later."},
    ]
    (folder / "subtitles" / "red_en.json").write_text(json.dumps(said))
    return folder


def videomme(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "subtitle").mkdir()
    row = {
        "video_id": "001", "duration": "short", "domain": "Knowledge", "sub_category": "x", "url": "http://x/?v=red",
        "videoID": "red", "question_id": "001-1", "task_type": "Counting", "question": "What beeps?",
        "options": ["A. a red one", "B. a blue one", "C. a green one", "D. none"], "answer": "A",
    }  # fmt: skip
    (folder / "videomme").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), folder / "videomme" / "test-00000-of-00001.parquet")
    (folder / "subtitle" / "red.srt").write_text("1\n00:00:00,000 --> 00:00:01,500\nThe red one beeps.\n")
    (folder / "subtitle" / "other.srt").write_text("1\n00:00:00,000 --> 00:00:01,500\nNot this.\n")
    return folder


def mlvu(folder: Path) -> Path:
    (folder / "MLVU" / "json").mkdir(parents=True)
    (folder / "MLVU" / "video" / "4_count").mkdir(parents=True)
    (folder / "MLVU" / "video" / "9_summary").mkdir()
    choice = {"video": "red.mp4", "duration": 4, "question": "What beeps?", "candidates": CANDIDATES,
              "answer": "a red one", "question_type": "count"}  # fmt: skip
    written = {"video": "blue.mp4", "duration": 4, "question": "Summarise it.", "answer": "It beeps.",
               "question_type": "summary"}  # fmt: skip
    (folder / "MLVU" / "json" / "4_count.json").write_text(json.dumps([choice]))
    (folder / "MLVU" / "json" / "9_summary.json").write_text(json.dumps([written]))
    return folder


def test_subtitles_of_a_recording_become_those_of_the_clip(tmp_path: Path) -> None:
    """Counted from where it begins, and only what is said in it; read once more, nothing is written again."""
    folder = longvideobench(tmp_path / "lvb")
    clip(folder / "videos" / "red.mp4", 440, "red")
    for _ in range(2):
        part = published.part("longvideobench", folder, tmp_path / "out")
    assert (part.name, part.reader, part.questions) == ("longvideobench", "longvideobench", folder / "lvb_val.json")
    assert sorted(p.name for p in part.videos.iterdir()) == ["red.mp4", "red.srt"]
    assert (part.videos / "red.mp4").resolve() == (folder / "videos" / "red.mp4").resolve()
    assert (part.videos / "red.srt").read_text() == (
        "1\n00:00:00,000 --> 00:00:01,500\nThe red one beeps.\n\n2\n00:00:02,000 --> 00:00:03,000\nIt is loud.\n\n"
    )


def test_the_other_form_of_subtitles_has_seconds_and_may_lack_ends() -> None:
    rows = [
        {"timestamp": [0.5, 2.0], "text": "one"},
        {"timestamp": [2.0, None], "text": " two "},
        {"timestamp": [4.0, 4.0], "text": "three"},
        {"timestamp": [5.0, None], "text": "four"},
        {"timestamp": [6.0, 7.0], "text": ""},
    ]
    assert [(c.start, c.end, c.text) for c in published._cues(rows, 0.0, 5.5)] == [
        (0.5, 2.0, "one"),
        (2.0, 4.0, "two"),
        (5.0, 5.5, "four"),
    ]


def test_only_the_videos_and_subtitles_of_the_questions_are_taken(tmp_path: Path) -> None:
    folder = videomme(tmp_path / "mme")
    for name in ("red", "other"):
        clip(folder / "data" / f"{name}.mp4", 440, name if name == "red" else "blue")
    part = published.part("videomme", folder, tmp_path / "out")
    assert sorted(p.name for p in part.videos.iterdir()) == ["red.mp4", "red.srt"]
    assert part.questions.suffix == ".parquet"


def test_copies_of_a_video_are_one_and_two_of_a_name_are_a_mistake(tmp_path: Path) -> None:
    folder = mlvu(tmp_path / "mlvu")
    for task, name in (("4_count", "red"), ("9_summary", "blue")):
        clip(folder / "MLVU" / "video" / task / f"{name}.mp4", 440, name)
    copy = folder / "MLVU" / "video" / "9_summary" / "red.mp4"
    copy.write_bytes((folder / "MLVU" / "video" / "4_count" / "red.mp4").read_bytes())
    part = published.part("mlvu", folder, tmp_path / "out")
    assert sorted(p.name for p in part.videos.iterdir()) == ["blue.mp4", "red.mp4"]
    assert part.questions == folder / "MLVU" / "json"
    copy.write_bytes(copy.read_bytes() + b"more")
    with pytest.raises(UsageError, match="two videos of one name"):
        published.part("mlvu", folder, tmp_path / "out")


@pytest.mark.parametrize(
    "made, message",
    [
        (lambda p: p / "nowhere", "no such folder"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "no questions of longvideobench in it or below"),
        (lambda p: longvideobench(p / "lvb"), "holds none of the .* such as 'red"),
        (lambda p: broken(p / "lvb"), "has no subtitles of it"),
        (lambda p: broken(p / "lvb", "[5]"), "has no subtitles of it"),
        (lambda p: broken(p / "lvb", "[]", duration="long"), "'duration' must be a number"),
    ],
)
def test_what_is_missing_is_one_line(made: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as told:
        published.part("longvideobench", made(tmp_path), tmp_path / "out")
    assert "\n" not in str(told.value)


def broken(folder: Path, told: str = '[{"start": "soon", "end": "later", "line": "x"}]', **more: Any) -> Path:
    longvideobench(folder, **more)
    clip(folder / "videos" / "red.mp4", 440, "red")
    (folder / "subtitles" / "red_en.json").write_text(told)
    return folder


@pytest.mark.long
def test_all_three_in_one_command(tmp_path: Path) -> None:
    """Two archives each, every arm, what their scorers read, seconds a question; done once, nothing is done again."""
    world = World.make(tmp_path)
    for make, at in ((longvideobench, "lvb/videos"), (videomme, "mme/data"), (mlvu, "mlvu/MLVU/video/4_count")):
        make(world.root / at.partition("/")[0])
        clip(world.root / at / "red.mp4", 440, "red")
    clip(world.root / "mlvu" / "MLVU" / "video" / "9_summary" / "blue.mp4", 500, "blue")
    command = (
        "eval", "study", "out", "--longvideobench", "lvb", "--videomme", "mme", "--mlvu", "mlvu", "--profile",
        "fake.toml",
    )  # fmt: skip
    ran = world.run(*command)
    assert ran.returncode == 0, (ran.stdout, ran.stderr)
    report = (world.root / "out" / "report.md").read_text()
    assert "seconds a question" in report and "## longvideobench: 2 questions" in report
    for name, count in (("longvideobench", 2), ("videomme", 1), ("mlvu", 2)):
        home = world.root / "out" / name / "results"
        told = json.loads((home / "results.json").read_text())
        assert told["questions"] == told["asked"] == count and told["missing"]["videos"] == 0
        assert (home / "submission" / "ours.json").exists()
        ran_arms = {a["name"] for a in told["arms"] if not a["reason"]}
        subtitled = {"subtitles", "ours-subtitles"}
        assert {"ours", "frames"} <= ran_arms and (subtitled <= ran_arms) == (name != "mlvu")
    assert (world.root / "out" / "mlvu" / "results" / "submission" / "ours.summary.json").exists()
    again = world.run(*command)
    assert again.returncode == 0 and "indexed red.mp4" in ran.stderr and "indexed" not in again.stderr
