"""What goes wrong while a video is ingested costs its own stages only, and is told."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from pathlib import Path

import pytest
from media_files import Local, cut_between_packets, overwritten, with_tone
from vidrag.ingest.conduct import Conduct
from vidrag.ingest.pipeline import Outcome, ingest_video
from vidrag.ingest.stages import READS, STAGES, fingerprints
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import ModelMissing, StorageError


def status(outcomes: list[Outcome]) -> dict[str, str]:
    assert [o.stage for o in outcomes] == list(STAGES)
    return {o.stage: o.status for o in outcomes}


def only(value: str, *stages: str, rest: str) -> dict[str, str]:
    return {s: value if s in stages else rest for s in STAGES}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tone(tmp_path_factory.mktemp("clip") / "clip.mp4", 1)


VISUAL = ("frames", "text", "frame_vectors", "text_vectors")
SOUND = ("speech", "speech_vectors")
ENGINES = {"asr": ("speech",), "ocr": ("text",), "image_text_encoder": ("frame_vectors",)}


@pytest.mark.parametrize("when", ["", "load "])
@pytest.mark.parametrize("kind", [*ENGINES, "text_encoder"])
def test_an_engine_that_raises_fails_its_stages_only(kind: str, when: str, clip: Path, archive: Archive) -> None:
    """In a call or while it loads.  The cause is told, nothing is taken for empty, and the next run tries again."""
    engines = Local()
    engines.broken[when + kind] = RuntimeError("bad tensor\nin line 2")
    found = ingest_video(clip, archive, engines)
    failed = ENGINES.get(kind, ("text_vectors", "speech_vectors"))
    skipped = {s for s in STAGES if set(READS[s]) & set(failed)}
    assert {o.stage for o in found if o.status == "failed"} == set(failed)
    assert {o.stage for o in found if o.status == "skipped"} == skipped
    assert all(o.status == "ok" for o in found if o.stage not in {*failed, *skipped})
    cause = next(o for o in found if o.status == "failed")
    assert "bad tensor in line 2" in (cause.message or "")
    assert status(ingest_video(clip, archive, Local())) == only("ok", *failed, *skipped, rest="kept")


def test_what_concerns_the_machine_ends_the_run(clip: Path, archive: Archive) -> None:
    for error in (ModelMissing("no weights"), StorageError("no space")):
        engines = Local()
        engines.broken["asr"] = error
        with pytest.raises(type(error)):
            ingest_video(clip, archive, engines)


def test_only_the_driver_says_that_a_step_is_given_up_and_marks_of_other_runs_say_nothing(
    tmp_path: Path, archive: Archive
) -> None:
    path = with_tone(tmp_path / "clip.mp4", 1)
    prints = fingerprints(Local().settings)
    video = ingest_video(path, archive, Local(), "sound")[0].video

    def heard(of: str, give_up: bool) -> Outcome:
        archive.drop(video, lambda c: c.stage == "speech")
        for run in ["mine"] * 2 if of == "mine" else [f"other{i}" for i in range(20)]:
            archive.backend.mark(f"videos/{video}/try-speech-{prints['speech']}-{run}.{secrets.token_hex(4)}")
        conduct = Conduct("mine", tries=2, again=True, give_up=give_up)
        found = {o.stage: o for o in ingest_video(path, archive, Local(), "sound", conduct)}["speech"]
        assert not any(n.startswith("try-speech") for n in archive.backend.list(f"videos/{video}"))
        return found

    assert heard("others", give_up=True).status == "ok"
    assert heard("mine", give_up=False).status == "ok"
    bad = heard("mine", give_up=True)
    assert (bad.error, bad.permanent) == ("WorkerDied", True) and "died 2 times in this step" in (bad.message or "")


def test_unreadable_files_are_outcomes(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("This is not a video.")
    (tmp_path / "dangling.mp4").symlink_to("missing.mp4")
    cut = with_tone(tmp_path / "cut.mp4", 1)
    cut.write_bytes(cut.read_bytes()[:3000])
    for name, error in (("text.mp4", "NotAVideo"), ("dangling.mp4", "MediaError"), ("cut.mp4", "MediaError")):
        found = ingest_video(tmp_path / name, archive, Local())
        assert status(found) == only("failed", "media", rest="skipped")
        assert (found[0].error, found[0].message is not None) == (error, True)
    assert list(archive.ids()) == []


def test_damage_is_counted_and_strict_refuses_it(archive: Archive, tmp_path: Path) -> None:
    """Without ``strict`` what decodes is kept; with it, the pictures and the sound of a damaged video have failed."""
    path = with_tone(tmp_path / "a.mp4", 4, "320x180")
    overwritten(path)
    found = ingest_video(path, archive, Local())
    assert status(found) == dict.fromkeys(STAGES, "ok")
    assert archive.shard(found[0].video).status()["frames"].data["errors"] > 0
    strict = ingest_video(path, archive, Local("run.strict=true"))
    assert {o.stage for o in strict if o.status == "failed"} == {"frames", "text", "speech"}
    assert all(o.message for o in strict if o.status == "failed")


def test_strict_refuses_a_video_that_ends_early(archive: Archive, tmp_path: Path) -> None:
    """Half of the declared time is missing though no packet was broken: that is "in part only", too."""
    path = with_tone(tmp_path / "a.mp4", 4, "320x180", "-movflags", "+faststart")
    cut_between_packets(path)
    found = {o.stage: o for o in ingest_video(path, archive, Local())}
    assert found["frames"].status == "ok"
    assert found["frames"].coverage is not None
    assert found["frames"].coverage < 0.8
    strict = ingest_video(path, archive, Local("run.strict=true"))
    assert {o.stage for o in strict if o.status == "failed"} >= {"frames", "text"}


@pytest.mark.parametrize("during", ["ocr", "asr"])
def test_a_file_that_changes_is_started_again(during: str, clip: Path, archive: Archive, tmp_path: Path) -> None:
    """What is indexed is the new content, whole; nothing is left of the content that is gone."""
    path, engines = tmp_path / "a.mp4", Local()
    shutil.copy(clip, path)

    def change(what: str) -> None:
        if what == during and engines.calls[what] == 1:
            path.write_bytes(path.read_bytes() + b"\0\0\0\x08free")

    engines.on_call = change
    found = ingest_video(path, archive, engines)
    assert status(found) == dict.fromkeys(STAGES, "ok")
    assert found[0].video == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert archive.find("a.mp4") == found[0].video


def test_a_file_that_never_rests_is_a_failure(clip: Path, archive: Archive, tmp_path: Path) -> None:
    path, engines = tmp_path / "a.mp4", Local()
    shutil.copy(clip, path)
    engines.on_call = lambda what: path.write_bytes(path.read_bytes() + b"\0\0\0\x08free")  # type: ignore[assignment]
    found = ingest_video(path, archive, engines)
    assert status(found) == only("failed", "media", rest="skipped")
    assert found[0].error == "SourceChanged"
