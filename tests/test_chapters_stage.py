"""The chapters stage between two workers, in archives of any age, under changed options."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
from chapter_tools import TOPICS, publish, slides, talk
from media_files import Local, with_tone
from vidrag.ingest.asr import Transcript
from vidrag.ingest.chapters import ChapterOptions
from vidrag.ingest.conduct import Conduct
from vidrag.ingest.pipeline import Outcome, ingest_video
from vidrag.ingest.stages import STAGES, fingerprints
from vidrag.jobs.cli import archive_commands
from vidrag.jobs.export import FORMATS
from vidrag.jobs.runs.known import Known
from vidrag.jobs.runs.plan import sources
from vidrag.store.archive import attempts as tries
from vidrag.store.archive.archive import Archive
from vidrag.store.records import Segment, Word


def status(outcomes: list[Outcome]) -> dict[str, str]:
    return {o.stage: o.status for o in outcomes}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tone(tmp_path_factory.mktemp("clip") / "clip.mp4", 1)


def without_chapters(archive: Archive, video: str) -> None:
    archive.drop(video, lambda c: c.stage == "chapters")


def test_an_archive_from_before_gets_them_and_nothing_else_is_done(clip: Path, archive: Archive) -> None:
    video = ingest_video(clip, archive, Local())[0].video
    whole = archive.shard(video).chapters
    without_chapters(archive, video)
    assert archive.shard(video).chapters == []
    engines = Local()
    assert status(ingest_video(clip, archive, engines)) == {**dict.fromkeys(STAGES, "kept"), "chapters": "ok"}
    assert not engines.calls
    assert archive.shard(video).chapters == whole != []


@pytest.mark.parametrize("order", [("visual", "sound"), ("sound", "visual")])
def test_whichever_group_comes_first_to_a_complete_video_makes_them(
    order: tuple[str, str], clip: Path, archive: Archive
) -> None:
    video = ingest_video(clip, archive, Local())[0].video
    without_chapters(archive, video)
    first, second = (status(ingest_video(clip, archive, Local(), g)) for g in order)
    assert (first["chapters"], second["chapters"]) == ("ok", "kept")


def test_two_workers_make_the_same_file(clip: Path, tmp_path: Path) -> None:
    """Its name holds its hash; publishing it a second time adds nothing."""
    made = []
    for name, order in (("a", ("visual", "sound")), ("b", ("sound", "visual"))):
        archive = Archive.create(tmp_path / name)
        for group in order:
            found = ingest_video(clip, archive, Local(), group)
        shard = archive.shard(found[0].video)
        cell = shard.status()["chapters"]
        made.append((cell.files, shard.path(cell.files[0]).read_bytes()))
    assert made[0] == made[1]
    again = archive.publish(shard.manifest.source, {"chapters": cell}, {})
    assert len([c for c in again.cells if c.stage == "chapters"]) == 1


def test_another_worker_that_is_at_it_is_no_death(clip: Path, archive: Archive) -> None:
    """Even where one death would be too many."""
    video = ingest_video(clip, archive, Local())[0].video
    without_chapters(archive, video)
    fingerprint = fingerprints(Local().settings)["chapters"]
    with tries.trying(archive.backend, video, "chapters", fingerprint, "run"):
        found = ingest_video(clip, archive, Local(), "sound", Conduct("run", tries=1))
    assert status(found)["chapters"] == "ok"


class Says(Local):
    """Hears what it is told to."""

    def __init__(self, text: str, *overrides: str) -> None:
        super().__init__(*overrides)
        self.text = text

    def transcribe(self, audio: np.ndarray, language: str | None, fallback: str | None = None) -> Transcript:
        word = Word(0.2, 0.6, self.text, 0.9)
        return Transcript((Segment(0.2, 0.6, self.text, (word,), "en", None, -0.1, 0.1, 1.0),), "en", 0.9)


def test_they_are_made_of_the_rows_of_their_settings(clip: Path, archive: Archive) -> None:
    """The pictures' worker goes back to earlier settings before the other has; current speech is of the later ones."""
    video = ingest_video(clip, archive, Says("lighthouse."))[0].video
    ingest_video(clip, archive, Says("submarine.", "asr.beam_size=1"))
    assert "submarine" in archive.shard(video).chapters[0].terms
    first = fingerprints(Local().settings)["chapters"]
    archive.drop(video, lambda c: (c.stage, c.fingerprint) == ("chapters", first))
    assert status(ingest_video(clip, archive, Says("?"), "visual"))["chapters"] == "ok"
    shard = archive.shard(video)
    assert shard.speech[0].text == "submarine."
    assert "lighthouse" in shard.chapters[0].terms


def test_a_stage_that_failed_leaves_a_video_without_them_until_it_is_mended(clip: Path, archive: Archive) -> None:
    engines = Local()
    engines.broken["asr"] = RuntimeError("no")
    found = {o.stage: o for o in ingest_video(clip, archive, engines)}
    assert (found["chapters"].status, found["chapters"].message) == ("skipped", "needs speech, speech_vectors")
    assert archive.shard(found["media"].video).chapters == []
    assert status(ingest_video(clip, archive, Local()))["chapters"] == "ok"


def test_what_was_skipped_without_a_failure_is_looked_at_again(clip: Path, archive: Archive) -> None:
    """A run remembers files with nothing left to do; a worker that only came too early leaves something."""
    found = ingest_video(clip, archive, Local())
    early = [dataclasses.replace(o, status="skipped") if o.stage == "chapters" else o for o in found]
    time.sleep(2.1)
    (item,) = sources([str(clip)])
    with Known(archive, Local().settings, Conduct()) as known:
        known.add(item, early)
        assert known.kept(item) is None
        known.add(item, found)
        assert known.kept(item) is not None


def test_show_and_export_tell_them(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    topics = list(TOPICS)
    shard = publish(archive, talk(topics), slides(topics, 60), chapters=ChapterOptions())
    archive_commands.show(archive.location, "talk.mp4")
    shown = capsys.readouterr().out.split("\nChapters\n")[1].split("\n\n")[0].splitlines()
    assert [x.split("  (")[0] for x in shown] == [
        f"  {i:02d}:00-{f'{i + 1:02d}:00'}  All about {t}" for i, t in enumerate(topics)
    ]
    archive_commands.show(archive.location, "talk.mp4", as_json=True)
    told = json.loads(capsys.readouterr().out)["chapters"]
    assert [c["title"] for c in told] == [c.title for c in shard.chapters]
    FORMATS["jsonl"](archive, [shard.video], str(tmp_path / "rows"))
    rows = [json.loads(x) for x in (tmp_path / "rows" / "talk.jsonl").read_text().splitlines()]
    chapters = [r for r in rows if r["kind"] == "chapter"]
    assert [(c["start"], c["title"]) for c in chapters] == [(c.start, c.title) for c in shard.chapters]
    assert chapters[0]["moments"][0]["kind"] == "text"
