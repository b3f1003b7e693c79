"""A run that reads no unchanged file still sees that a subtitle file came, changed or went."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from media_files import Local, with_tone
from vidrag.ingest.conduct import Conduct
from vidrag.ingest.pipeline import ingest_video
from vidrag.jobs import profile
from vidrag.jobs.runs.known import Known
from vidrag.jobs.runs.plan import Item, sources
from vidrag.store.archive.archive import Archive


def aged(path: Path) -> None:
    old = time.time() - 100
    os.utime(path, (old, old))


@pytest.mark.long
def test_subtitle_files_count_as_part_of_a_video(archive: Archive, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    video = with_tone(folder / "talk.mp4", 1)
    aged(video)

    def item() -> Item:
        return sources([str(folder)])[0]

    def kept(*options: str) -> bool:
        with Known(archive, profile.load("embedded", options).ingest, Conduct()) as known:
            return known.kept(item()) is not None

    def indexed() -> None:
        outcomes = ingest_video(video, archive, Local())
        time.sleep(2.1)
        with Known(archive, profile.load().ingest, Conduct()) as known:
            known.add(item(), outcomes)

    time.sleep(2.1)
    indexed()
    assert kept()
    assert not kept("subtitles.use=never")
    beside = folder / "talk.en.srt"
    beside.write_text("1\n00:00:00,100 --> 00:00:00,900\nHello.\n")
    assert not kept()
    indexed()
    assert kept()
    beside.write_text("1\n00:00:00,100 --> 00:00:00,900\nHello again.\n")
    assert not kept()
    indexed()
    assert kept()
    beside.unlink()
    assert not kept()
