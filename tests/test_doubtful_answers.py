"""Doubtful speech in answers: left out unless asked for, and then marked wherever it is shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from media_files import with_tone
from vidrag.ingest.pipeline import Engines, ingest_video
from vidrag.jobs import build, profile
from vidrag.jobs.cli import archive_commands
from vidrag.query.answer import prompts
from vidrag.query.types import Answer
from vidrag.store.archive.archive import Archive

CUES = """1
00:00:00,100 --> 00:00:00,400
The gate is painted blue.

2
00:00:00,900 --> 00:00:00,500
The fence is painted blue.

3
00:00:00,600 --> 00:00:00,800
[blue gate creaks]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tone(tmp_path_factory.mktemp("clip") / "talk.mp4", 1)


@pytest.fixture
def indexed(made: Path, archive: Archive, fake_profile: Path, tmp_path: Path) -> Archive:
    """One row of clear speech, one with bad times, one of no speech."""
    video = Path(shutil.copy(made, tmp_path / "talk.mp4"))
    video.with_suffix(".en.srt").write_text(CUES)
    ingest_video(video, archive, Engines(profile.load(str(fake_profile)).ingest))
    return archive


def asked(archive: Archive, fake_profile: Path, *settings: str) -> Answer:
    return build.asker(archive, profile.load(str(fake_profile), settings)).ask("Which gate or fence is blue?")


def spoken(answer: Answer) -> set[str]:
    return {e.text for e in answer.evidence if e.kind == "speech"}


def test_doubtful_speech_is_left_out(indexed: Archive, fake_profile: Path) -> None:
    """By every method, and also where rows below the threshold follow."""
    for method in ("hybrid", "dense", "bm25"):
        answer = asked(indexed, fake_profile, f"retrieve.method={method}", "retrieve.at_least=10")
        assert spoken(answer) == {"The gate is painted blue."}
        assert not any("doubtful" in note for note in answer.notes)
        assert all("doubts" not in e for e in answer.as_json()["evidence"])


def test_doubtful_speech_can_be_taken_in_without_a_new_ingest(indexed: Archive, fake_profile: Path) -> None:
    """All rows have vectors; what is doubtful says so in notes, in JSON and to the model."""
    before = [s.manifest.version for s in indexed.shards()]
    answer = asked(indexed, fake_profile, "retrieve.doubtful=true", "retrieve.at_least=10")
    doubts = {e.text: e.doubts for e in answer.evidence if e.kind == "speech"}
    assert doubts == {
        "The gate is painted blue.": (),
        "The fence is painted blue.": ("bad_time",),
        "[blue gate creaks]": ("non_speech",),
    }
    for e in answer.evidence:
        note = f"[{e.id}] is doubtful speech: {', '.join(e.doubts)}"
        assert (note in answer.notes) is bool(e.doubts)
        assert ("said (doubtful):" in prompts.row(e)) is bool(e.doubts)
    told = {e["text"]: e.get("doubts") for e in answer.as_json()["evidence"] if e["kind"] == "speech"}
    assert told == {text: list(d) or None for text, d in doubts.items()}
    assert [s.manifest.version for s in indexed.shards()] == before


def test_show_says_where_speech_comes_from_and_what_is_doubtful(
    indexed: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive_commands.show(indexed.location, "talk.mp4")
    shown = capsys.readouterr().out
    line = next(x for x in shown.splitlines() if x.strip().startswith("speech "))
    assert "from talk.en.srt (en, bad cues: 1)" in line
    assert "The fence is painted blue.  (bad_time)" in shown
    archive_commands.show(indexed.location, "talk.mp4", as_json=True)
    assert json.loads(capsys.readouterr().out)["stages"]["speech"]["data"]["source"] == "sidecar"
