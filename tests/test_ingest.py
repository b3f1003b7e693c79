"""``ingest_video`` with small engines made here: which cells come out, which run again, what a failure costs."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from media_files import SPEC, X264, Local, ffmpeg, grey, lavfi, painted, with_tone
from vidrag.ingest.pipeline import Outcome, identity_of, ingest_video
from vidrag.ingest.sources import Location
from vidrag.ingest.stages import STAGES, fingerprints
from vidrag.jobs import profile
from vidrag.store.archive.archive import Archive


def status(outcomes: list[Outcome]) -> dict[str, str]:
    assert [o.stage for o in outcomes] == list(STAGES)
    return {o.stage: o.status for o in outcomes}


def only(value: str, *stages: str, rest: str) -> dict[str, str]:
    return {s: value if s in stages else rest for s in STAGES}


def versions(archive: Archive, video: str) -> list[str]:
    return [n for n in archive.backend.list(f"videos/{video}") if n.startswith("manifest")]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tone(tmp_path_factory.mktemp("clip") / "clip.mp4", 1)


def test_everything_is_found_and_stored(clip: Path, archive: Archive) -> None:
    outcomes = ingest_video(clip, archive, Local())
    assert status(outcomes) == dict.fromkeys(STAGES, "ok")
    video = outcomes[0].video
    assert video == hashlib.sha256(clip.read_bytes()).hexdigest()[:16]
    shard = archive.shard(video)
    assert [s.text for s in shard.speech] == ["hello."]
    assert [t.text for t in shard.text] == ["Seats: 12"]
    assert [f.caption for f in shard.labels] == ["a cup"] * len(shard.frames)
    assert (shard.frames[0].start, shard.frames[-1].end) == (0, pytest.approx(1, abs=0.11))
    for kind, rows in (("speech", 1), ("text", 1), ("frames", len(shard.frames))):
        stored = shard.vectors(kind, SPEC)
        assert stored is not None
        assert stored.rows == rows
    assert [(c.start, c.end, c.title, c.title_from) for c in shard.chapters] == [
        (0, pytest.approx(1, abs=0.11), "Seats: 12", "screen")
    ]
    assert [m.kind for m in shard.chapters[0].moments] == ["text", "speech"]
    assert {o.rows for o in outcomes if o.stage in ("speech", "speech_vectors", "text", "chapters")} == {1}
    assert list(archive.backend.root.rglob(".tmp-*")) == []  # type: ignore[attr-defined]


def test_a_second_run_does_nothing(clip: Path, archive: Archive) -> None:
    """No engine is called, no new manifest appears."""
    video = ingest_video(clip, archive, Local())[0].video
    before = versions(archive, video)
    again = Local()
    assert status(ingest_video(clip, archive, again)) == dict.fromkeys(STAGES, "kept")
    assert not again.calls
    assert versions(archive, video) == before


VISUAL = ("frames", "text", "frame_vectors", "text_vectors")
SOUND = ("speech", "speech_vectors")
CHAPTERS = ("chapters",)  # reads them all
DEPENDS = {
    "media.max_pixels=1000000": STAGES,
    "media.stall_s=30": (),
    "media.memory_mb=2000": (),
    "sampling.rate=1": VISUAL + CHAPTERS,
    "sampling.jpeg_quality=70": VISUAL + CHAPTERS,
    "reading.min_confidence=0.5": ("text", "text_vectors", "chapters"),
    "tracks.bridge=2": ("text", "text_vectors", "chapters"),
    "ocr.detect_side=400": ("text", "text_vectors", "chapters"),
    "ocr.threads=2": (),
    "speech.pause_s=2": SOUND + CHAPTERS,
    "speech.language=en": SOUND + CHAPTERS,
    "subtitles.use=never": (),
    "asr.beam_size=1": SOUND + CHAPTERS,
    "asr.threads=2": (),
    "image_text_encoder.labels=3": ("frame_vectors", "chapters"),
    "text_encoder.threads=2": (),
    "retrieve.threshold=0.5": (),
    "pools.any.workers=2": (),
    "run.strict=true": (*VISUAL, *SOUND, *CHAPTERS),
    "chapters.shortest_s=20": CHAPTERS,
}


@pytest.mark.parametrize("option", DEPENDS)
def test_an_option_reaches_exactly_what_depends_on_it(option: str) -> None:
    before, after = fingerprints(profile.load().ingest), fingerprints(profile.load("embedded", [option]).ingest)
    assert {s for s in STAGES if before[s] != after[s]} == set(DEPENDS[option])


@pytest.mark.parametrize(
    "option",
    ["sampling.rate=1", "tracks.bridge=2", "asr.beam_size=1", "image_text_encoder.labels=3", "chapters.shortest_s=20"],
)
def test_a_changed_option_reruns_its_stages_only(option: str, clip: Path, archive: Archive) -> None:
    """And going back to the old value needs no work: its cells are still there."""
    video = ingest_video(clip, archive, Local())[0].video
    engines = Local(option)
    assert status(ingest_video(clip, archive, engines)) == only("ok", *DEPENDS[option], rest="kept")
    reads = {"asr": "speech", "ocr": "text", "image_text_encoder": "frame_vectors"}
    assert {k for k in engines.calls if k in reads} == {k for k, s in reads.items() if s in DEPENDS[option]}
    back = Local()
    assert status(ingest_video(clip, archive, back)) == dict.fromkeys(STAGES, "kept")
    assert not back.calls
    assert archive.shard(video).manifest.current == {**fingerprints(back.settings)}


def test_a_video_without_sound_and_one_without_pictures(archive: Archive, tmp_path: Path) -> None:
    """``none`` is not ``failed``: there was nothing to find."""
    silent = painted(tmp_path / "silent.mp4", [0, 0.5], [grey(40), grey(200)])
    found = ingest_video(silent, archive, Local())
    assert status(found) == only("none", *SOUND, rest="ok")
    assert archive.shard(found[0].video).status()["speech"].data["reason"] == "no audio stream"
    ffmpeg(*lavfi("sine=d=1"), "-c:a", "aac", tmp_path / "sound.m4a")
    found = ingest_video(tmp_path / "sound.m4a", archive, Local())
    assert status(found) == only("none", *VISUAL, rest="ok")
    again = Local()
    assert status(ingest_video(silent, archive, again)) == dict.fromkeys(STAGES, "kept")
    assert not again.calls


def test_silence_has_no_speech(archive: Archive, tmp_path: Path) -> None:
    path, engines = tmp_path / "a.mp4", Local()
    still = [*lavfi("testsrc2=s=64x48:r=5:d=1"), *lavfi("anullsrc=r=16000:cl=mono")]
    ffmpeg(*still, "-t", "1", *X264, "-c:a", "aac", path)
    found = ingest_video(path, archive, engines)
    assert status(found) == only("none", *SOUND, rest="ok")
    assert engines.calls["asr"] == 0


def test_sound_that_goes_on_after_the_pictures_is_no_damage(archive: Archive, tmp_path: Path) -> None:
    """Coverage is the share of the stream that decoded, not of a longer neighbour."""
    path = tmp_path / "a.mp4"
    ffmpeg(*lavfi("testsrc2=s=64x48:r=10:d=1"), *lavfi("sine=d=5"), *X264, "-c:a", "aac", path)
    found = {o.stage: o for o in ingest_video(path, archive, Local())}
    assert found["frames"].coverage is None or found["frames"].coverage > 0.9
    assert found["speech"].coverage is None or found["speech"].coverage > 0.9
    assert archive.shard(found["media"].video).manifest.duration == pytest.approx(5, abs=0.1)


def test_one_content_under_two_names_is_one_video(clip: Path, archive: Archive, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    shutil.copy(clip, copy)
    video = ingest_video(clip, archive, Local())[0].video
    again = Local()
    assert status(ingest_video(copy, archive, again)) == dict.fromkeys(STAGES, "kept")
    assert not again.calls
    assert archive.ids() == [video]
    assert set(archive.shard(video).manifest.source.names) == {"clip.mp4", "copy.mp4"}
    assert archive.find("clip.mp4") == archive.find("copy.mp4") == video


def test_a_known_hash_is_believed_as_long_as_the_file_is_the_same(clip: Path, archive: Archive, tmp_path: Path) -> None:
    """Each file is read for its hash once, though both groups of its stages need it."""
    path = shutil.copy(clip, tmp_path / "video.mp4")
    known = identity_of(Location.of(path))
    assert known.sha256 == hashlib.sha256(clip.read_bytes()).hexdigest()
    other = replace(known, sha256="f" * 64)
    assert {o.video for o in ingest_video(path, archive, Local(), "sound", identity=other)} == {"f" * 16}
    os.utime(path, (1, 1))
    assert {o.video for o in ingest_video(path, archive, Local(), "sound", identity=other)} == {known.sha256[:16]}


def test_two_contents_under_one_name_are_two_videos(archive: Archive, tmp_path: Path) -> None:
    path = painted(tmp_path / "a.mp4", [0], [grey(10)])
    first = ingest_video(path, archive, Local())[0].video
    second = ingest_video(painted(path, [0], [grey(200)]), archive, Local())[0].video
    assert archive.ids() == sorted([first, second])


@pytest.mark.parametrize("group", ["visual", "sound"])
def test_a_group_does_its_part_and_the_other_the_rest(group: str, clip: Path, archive: Archive) -> None:
    other = {"visual": "sound", "sound": "visual"}[group]
    first = {o.stage: o.status for o in ingest_video(clip, archive, Local(), group)}
    assert set(first) == {"media", *(VISUAL if group == "visual" else SOUND), "chapters"}
    assert first.pop("chapters") == "skipped"
    assert set(first.values()) == {"ok"}
    second = {o.stage: o.status for o in ingest_video(clip, archive, Local(), other)}
    assert second.pop("media") == "kept"
    assert second["chapters"] == "ok"
    assert set(second.values()) == {"ok"}
    assert status(ingest_video(clip, archive, Local())) == dict.fromkeys(STAGES, "kept")
