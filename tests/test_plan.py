"""Which files an ingest run is about: folders with odd things in them, copies, broken links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from vidrag.jobs.runs.plan import Item, sources
from vidrag.store.errors import UsageError

MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp41"


def file(path: Path | str, data: bytes = MP4) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(items: list[Item]) -> list[str]:
    return sorted(i.location.name for i in items)


def test_folders_give_media_by_name_and_by_first_bytes(tmp_path: Path) -> None:
    """Broken files with a media name are taken as well: they become failed rows, not silence."""
    file(tmp_path / "a.mp4")
    file(tmp_path / "B.MKV", b"not really")
    file(tmp_path / "no_extension", MP4 + b"1")
    file(tmp_path / "odd.bin", MP4 + b"2")
    file(tmp_path / "empty.mp4", b"")
    file(tmp_path / "deep/er/c.webm", b"x")
    file(tmp_path / "notes.txt", b"text")
    file(tmp_path / "a.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHi\n")
    assert names(sources([str(tmp_path)])) == ["B.MKV", "a.mp4", "c.webm", "no_extension", "odd.bin"]


def test_a_named_file_is_always_taken(tmp_path: Path) -> None:
    path = file(tmp_path / "notes.txt", b"text")
    assert [Path(i.location.text) for i in sources([str(path)])] == [path]


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    file(tmp_path / "a.mp4")
    with pytest.raises(UsageError, match=r"missing\.mp4: no such file or folder"):
        sources([str(tmp_path / "a.mp4"), str(tmp_path / "missing.mp4")])


def test_link_loops_end(tmp_path: Path) -> None:
    """Each folder is walked once, whichever way leads to it."""
    file(tmp_path / "in/a.mp4")
    (tmp_path / "in/loop").symlink_to(".")
    (tmp_path / "in/up").symlink_to("..")
    (tmp_path / "other").symlink_to("in")
    found = sources([str(tmp_path), str(tmp_path / "in"), str(tmp_path / "other")])
    assert names(found) == ["a.mp4"]


def test_links_to_nothing_and_to_themselves_are_reported_later(tmp_path: Path) -> None:
    (tmp_path / "dangling.mp4").symlink_to("missing.mp4")
    (tmp_path / "self.mp4").symlink_to("self.mp4")
    (tmp_path / "dangling.txt").symlink_to("missing.txt")
    assert names(sources([str(tmp_path)])) == ["dangling.mp4", "self.mp4"]
    assert names(sources([str(tmp_path / "dangling.mp4")])) == ["dangling.mp4"]


def test_a_folder_named_like_a_video_is_a_folder(tmp_path: Path) -> None:
    file(tmp_path / "x.mp4/inside.mp4")
    (tmp_path / "empty.mp4").mkdir()
    assert names(sources([str(tmp_path)])) == ["inside.mp4"]
    assert sources([str(tmp_path / "empty.mp4")]) == []


def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    """A FIFO or a link to an endless device named like a video would hang the run."""
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "pipe link.mp4").symlink_to("pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    file(tmp_path / "a.mp4")
    assert names(sources([str(tmp_path)])) == ["a.mp4"]


ODD = [
    "-leading dash.mp4",
    "ünïcode 视频 with  spaces.mp4",
    "emoji 🚀.mp4",
    "new\nline.mp4",
    'quote\'s "and" $dollar;semi.mp4',
    "*?[a].mp4",
    "x" * 251 + ".mp4",
    "e\u0301.mp4",
    "\u00e9.mp4",
]


def test_odd_names_are_found_as_they_are(tmp_path: Path) -> None:
    for i, name in enumerate(ODD):
        file(tmp_path / name, MP4 + bytes([i]))
    raw = os.path.join(os.fsencode(tmp_path), b"not utf-8 \xff\xfe.mp4")
    with open(raw, "wb") as f:
        f.write(MP4 + b"raw")
    found = sources([str(tmp_path)])
    assert names(found) == sorted([*ODD, os.fsdecode(b"not utf-8 \xff\xfe.mp4")])
    assert all(Path(i.location.text).read_bytes().startswith(MP4) for i in found)


def test_a_relative_name_with_a_leading_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file(tmp_path / "-x.mp4")
    monkeypatch.chdir(tmp_path)
    assert [Path(i.location.text) for i in sources(["-x.mp4"])] == [tmp_path / "-x.mp4"]


def test_large_files_come_first(tmp_path: Path) -> None:
    for name, more in (("a.mp4", 4), ("z large.mp4", 5000), ("b.mp4", 4)):
        file(tmp_path / name, MP4 + bytes(more))
    assert [i.location.name for i in sources([str(tmp_path)])] == ["z large.mp4", "a.mp4", "b.mp4"]


def test_a_file_named_twice_is_taken_once(tmp_path: Path) -> None:
    path = file(tmp_path / "a.mp4")
    assert len(sources([str(path), str(path), str(tmp_path)])) == 1
