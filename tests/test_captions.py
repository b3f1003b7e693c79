"""Which subtitles a video has, which of them are taken, and which stages run again when they change."""

from __future__ import annotations

import errno
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from media_files import SPEC, X264, Local, ffmpeg, lavfi, with_tone
from vidrag.ingest import media
from vidrag.ingest.captions import best_track, choose, known_paths
from vidrag.ingest.pipeline import Outcome, ingest_video
from vidrag.ingest.sidecars import best_first, sidecars
from vidrag.ingest.stages import STAGES, fingerprints
from vidrag.jobs import profile
from vidrag.store.archive.archive import Archive
from vidrag.store.records import Cell, MediaInfo, SoundTrack, SubtitleTrack

SOUND = ("speech", "speech_vectors")


def srt(*cues: tuple[float, float, str]) -> str:
    return "\n".join(f"{i}\n00:00:{a:06.3f} --> 00:00:{b:06.3f}\n{t}\n" for i, (a, b, t) in enumerate(cues, 1))


TALK = srt((0.1, 0.5, "What people wrote."), (0.5, 0.9, "[Music]"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tone(tmp_path_factory.mktemp("clip") / "talk.mp4", 1)


@pytest.fixture
def clip(made: Path, tmp_path: Path) -> Path:
    """A video in a folder of its own; its engine hears "hello."."""
    (tmp_path / "films").mkdir()
    return Path(shutil.copy(made, tmp_path / "films" / "talk.mp4"))


def beside(video: Path, name: str, text: str | bytes = TALK) -> Path:
    path = video.parent / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def status(outcomes: list[Outcome]) -> dict[str, str]:
    return {o.stage: o.status for o in outcomes}


def only(value: str, *stages: str, rest: str = "kept") -> dict[str, str]:
    return {s: value if s in stages else rest for s in STAGES}


def heard(archive: Archive, outcomes: list[Outcome]) -> list[str]:
    return [s.text for s in archive.shard(outcomes[0].video).speech]


def cell(archive: Archive, outcomes: list[Outcome]) -> Cell:
    return archive.shard(outcomes[0].video).status()["speech"]


NAMES = {
    "talk.srt": (True, None),
    "talk.vtt": (True, None),
    "talk.SRT": (True, None),
    "talk.en.srt": (True, "en"),
    "talk.eng.VTT": (True, "en"),
    "talk.pt-BR.srt": (True, "pt"),
    "talk.mp4.srt": (True, None),
    "talk.mp4.de.vtt": (True, "de"),
    "talk.en.sdh.srt": (True, "en"),
    "talk.default.fr.srt": (True, "fr"),
    "talk.en.forced.srt": (False, None),
    "talk.part2.srt": (False, None),
    "talk2.srt": (False, None),
    "Talk.srt": (False, None),
    "my talk.srt": (False, None),
    "talk.srt.bak": (False, None),
    "talk.txt": (False, None),
    "talk": (False, None),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_subtitle_files(name: str, clip: Path) -> None:
    beside(clip, name)
    taken, language = NAMES[name]
    assert [(s.path.name, s.language) for s in sidecars(clip)] == ([(name, language)] if taken else [])


def test_a_file_of_another_video_is_left_to_it(clip: Path) -> None:
    beside(clip, "talk.en.mp4", b"x")
    beside(clip, "talk.en.srt")
    assert sidecars(clip) == []
    assert [s.path.name for s in sidecars(clip.parent / "talk.en.mp4")] == ["talk.en.srt"]


def test_composed_and_decomposed_names_are_one(clip: Path) -> None:
    video = clip.rename(clip.parent / "e\u0301te\u0301.mp4")
    beside(video, "\u00e9t\u00e9.srt")
    assert len(sidecars(video)) == 1


@pytest.mark.parametrize(
    ("names", "options", "taken"),
    [
        (["talk.de.srt", "talk.en.srt", "talk.srt"], ["subtitles.language=en"], "talk.en.srt"),
        (["talk.de.srt", "talk.en.srt", "talk.srt"], ["speech.language=de"], "talk.de.srt"),
        (["talk.de.srt", "talk.en.srt"], ["speech.language=de", "subtitles.language=en"], "talk.en.srt"),
        (["talk.de.srt", "talk.en.srt", "talk.srt"], ["subtitles.language=fr"], "talk.srt"),
        (["talk.de.srt", "talk.en.srt", "talk.srt"], [], "talk.srt"),
        (["talk.fr.srt", "talk.en.vtt"], [], "talk.en.vtt"),
        (["talk.srt", "talk.vtt"], [], "talk.srt"),
    ],
)
def test_the_best_of_several_is_taken(
    names: list[str], options: list[str], taken: str, clip: Path, archive: Archive
) -> None:
    for name in names:
        beside(clip, name, srt((0.1, 0.9, name)))
    found = ingest_video(clip, archive, Local(*options))
    assert heard(archive, found) == [taken]
    assert cell(archive, found).data["file"] == taken


TRACKS = [
    SubtitleTrack(2, "pgssub", False, "eng", True),
    SubtitleTrack(3, "srt", True, "eng", False, True),
    SubtitleTrack(4, "srt", True, "ger"),
    SubtitleTrack(5, "ssa", True, "eng", True),
    SubtitleTrack(6, "srt", True, "eng"),
]


@pytest.mark.parametrize(("language", "index"), [("en", 5), ("de", 4), ("fr", 5), (None, 5)])
def test_the_best_text_track_is_taken(language: str | None, index: int) -> None:
    track = best_track(TRACKS, language)
    assert track is not None
    assert track.index == index


def test_pictures_of_text_and_forced_tracks_are_never_taken() -> None:
    assert best_track(TRACKS[:2], "en") is None
    first = best_track([TRACKS[4], TRACKS[2]], None)
    assert first is not None
    assert first.index == 6


def test_a_subtitle_file_is_the_speech(clip: Path, archive: Archive) -> None:
    """Nothing is recognised; sounds are flagged, vectors have as many rows."""
    beside(clip, "talk.en.srt")
    engines = Local()
    found = ingest_video(clip, archive, engines)
    assert status(found) == dict.fromkeys(STAGES, "ok")
    assert engines.calls["asr"] == 0
    shard = archive.shard(found[0].video)
    assert [(s.start, s.end, s.text, s.language, s.flags) for s in shard.speech] == [
        (0.1, 0.5, "What people wrote.", "en", ()),
        (0.5, 0.9, "[Music]", "en", ("non_speech",)),
    ]
    stored = shard.vectors("speech", SPEC)
    assert stored is not None
    assert stored.rows == 2
    told = {"source": "sidecar", "file": "talk.en.srt", "language": "en", "cues": 2}
    assert cell(archive, found).data == {**told, "languages": ["en"], "speakers": []}
    again = Local()
    assert status(ingest_video(clip, archive, again)) == dict.fromkeys(STAGES, "kept")
    assert not again.calls


def test_a_changed_file_reruns_speech_only_and_a_removed_one_goes_back(clip: Path, archive: Archive) -> None:
    """Nothing is decoded again; what was recognised before is still there."""
    first = ingest_video(clip, archive, Local())
    assert heard(archive, first) == ["hello."]
    assert cell(archive, first).data["source"] == "asr"
    path = beside(clip, "talk.srt")
    for text in ("What people wrote.", "What they mended."):
        path.write_text(TALK.replace("What people wrote.", text))
        engines = Local()
        found = ingest_video(clip, archive, engines)
        assert status(found) == only("ok", *SOUND, "chapters")
        assert set(engines.calls) == {"text_encoder"}
        assert heard(archive, found) == [text, "[Music]"]
    path.write_text(TALK)
    engines = Local()
    assert status(ingest_video(clip, archive, engines)) == only("kept")
    assert not engines.calls
    path.unlink()
    found = ingest_video(clip, archive, engines)
    assert status(found) == only("kept")
    assert not engines.calls
    assert heard(archive, found) == ["hello."]


def test_never_and_only(clip: Path, archive: Archive) -> None:
    beside(clip, "talk.srt")
    assert heard(archive, ingest_video(clip, archive, Local("subtitles.use=never"))) == ["hello."]
    engines = Local("subtitles.use=only")
    found = ingest_video(clip, archive, engines)
    assert heard(archive, found) == ["What people wrote.", "[Music]"]
    assert engines.calls["asr"] == 0
    preferred = Local()
    assert status(ingest_video(clip, archive, preferred)) == only("kept")
    assert not preferred.calls


def test_only_without_any_is_none(clip: Path, archive: Archive) -> None:
    engines = Local("subtitles.use=only")
    found = ingest_video(clip, archive, engines)
    assert status(found) == only("none", *SOUND, rest="ok")
    assert engines.calls["asr"] == 0
    assert cell(archive, found).data["reason"] == "no subtitle file and no text track"


def test_where_there_are_none_the_option_changes_nothing(clip: Path, archive: Archive) -> None:
    """Prefer and never share the cell of recognised speech."""
    ingest_video(clip, archive, Local("subtitles.use=never"))
    for options in (["subtitles.use=prefer"], ["subtitles.language=de"], ["subtitles.sentence_s=3"]):
        engines = Local(*options)
        assert status(ingest_video(clip, archive, engines)) == only("kept")
        assert not engines.calls


@pytest.mark.parametrize(
    ("option", "again"),
    [("asr.beam_size=1", ()), ("speech.pause_s=2", ()), ("speech.language=en", ()), ("subtitles.language=en", ()),
     ("run.strict=true", ("frames", "text", "frame_vectors", "text_vectors", "chapters")),
     ("subtitles.sentence_s=5", (*SOUND, "chapters"))],
)  # fmt: skip
def test_an_option_reaches_subtitles_only_where_it_matters(
    option: str, again: tuple[str, ...], clip: Path, archive: Archive
) -> None:
    beside(clip, "talk.srt")
    ingest_video(clip, archive, Local())
    assert status(ingest_video(clip, archive, Local(option))) == only("ok", *again)


BROKEN = {
    "junk": (bytes(range(256)) * 9, "not text"),
    "nothing": (b"", "holds no subtitle cue"),
    "another video": (srt((30, 31, "much too late")).encode(), "none of its 1 cues is usable .*1 after the end"),
    "bad cues": (b"1\n00:xx:01,000 --> 00:00:02,000\nlost\n", "none of its 1 cues is usable .1 bad"),
    "too large": (TALK.encode() * 20_000, "larger than 1 MiB"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_gives_way_to_the_recogniser_and_is_named(what: str, clip: Path, archive: Archive) -> None:
    """In ``prefer``; in ``only`` the stage has failed, with the same cause."""
    data, why = BROKEN[what]
    beside(clip, "talk.srt", data)
    found = ingest_video(clip, archive, Local("subtitles.max_mb=1"))
    assert heard(archive, found) == ["hello."]
    note = cell(archive, found).data["note"]
    assert note.startswith("subtitles not used: talk.srt: ")
    assert [o.message for o in found if o.stage == "speech"] == [note]
    strictly = ingest_video(clip, archive, Local("subtitles.use=only", "subtitles.max_mb=1"))
    assert {s for s, x in status(strictly).items() if x == "failed"} == {"speech"}
    told = next(o for o in strictly if o.stage == "speech")
    for text in (note, told.message or ""):
        with pytest.raises(AssertionError, match=why):
            raise AssertionError(text)


def test_what_falls_back_is_not_recognised_twice(clip: Path, archive: Archive) -> None:
    ingest_video(clip, archive, Local())
    beside(clip, "talk.srt", b"")
    engines = Local()
    found = ingest_video(clip, archive, engines)
    assert engines.calls["asr"] == 0
    assert heard(archive, found) == ["hello."]
    assert "talk.srt" in cell(archive, found).data["note"]
    assert status(ingest_video(clip, archive, engines)) == only("kept")


def test_the_next_file_is_tried(clip: Path, archive: Archive) -> None:
    beside(clip, "talk.srt", b"")
    beside(clip, "talk.vtt", "WEBVTT\n\n" + TALK)
    found = ingest_video(clip, archive, Local())
    assert heard(archive, found)[0] == "What people wrote."
    assert "talk.srt" in cell(archive, found).data["note"]


@pytest.mark.timeout(60)
def test_a_pipe_named_like_subtitles_is_not_waited_for(clip: Path, archive: Archive) -> None:
    os.mkfifo(clip.parent / "talk.srt")
    (clip.parent / "talk.vtt").symlink_to("/dev/zero")
    found = ingest_video(clip, archive, Local())
    assert heard(archive, found) == ["hello."]
    assert cell(archive, found).data["note"].count("not a regular file") == 2


def test_bad_cues_are_counted_in_the_cell(clip: Path, archive: Archive) -> None:
    beside(clip, "talk.srt", TALK + "\n3\n00:00:xx --> 00:00:02\nlost\n\n4\n00:00:30,000 --> 00:00:31,000\nlate\n")
    data = cell(archive, ingest_video(clip, archive, Local())).data
    assert (data["cues"], data["bad_cues"], data["beyond_end"]) == (4, 1, 1)


def test_a_copy_elsewhere_has_the_same_subtitles(clip: Path, archive: Archive, tmp_path: Path) -> None:
    """One content is one video: the file beside one of its copies counts for all of them."""
    beside(clip, "talk.srt")
    copy = Path(shutil.copy(clip, tmp_path / "copy.mp4"))
    ingest_video(clip, archive, Local())
    for path in (copy, clip, copy):
        engines = Local()
        assert status(ingest_video(path, archive, engines)) == only("kept")
        assert not engines.calls


def test_a_video_without_sound_has_its_subtitles(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    ffmpeg(*lavfi("testsrc2=s=64x48:r=10:d=1"), *X264, path)
    beside(path, "talk.srt")
    assert heard(archive, ingest_video(path, archive, Local()))[0] == "What people wrote."


def with_track(path: Path, codec: str = "subrip", offset: float = 0, *more: str, text: str = TALK) -> Path:
    """Two seconds of picture and tone with a text track; all of it starts ``offset`` seconds into the container."""
    given = path.with_suffix(".given.srt")
    given.write_text(text)
    late = ["-itsoffset", str(offset)] if offset else []
    pictures, sound = lavfi("testsrc2=s=64x48:r=10:d=2"), lavfi("sine=f=440:r=16000:d=2")
    ffmpeg(
        *late, *pictures, *late, *sound, *late, "-i", given, *X264, "-c:a", "aac", "-c:s", codec, "-copyts", *more, path
    )
    given.unlink()
    return path


CONTAINERS = [("a.mkv", "subrip"), ("a.mp4", "mov_text"), ("a.mkv", "webvtt"), ("a.mkv", "ass"), ("a.mov", "mov_text")]


@pytest.mark.parametrize("offset", [0, 3])
@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_a_text_track_is_the_speech_on_the_same_time_axis(
    name: str, codec: str, offset: int, archive: Archive, tmp_path: Path
) -> None:
    """Also where the container starts late: its start is second 0 (AAC begins 64 ms before its sound)."""
    path = with_track(tmp_path / name, codec, offset, "-metadata:s:s:0", "language=ger")
    assert media.probe(path, media.MediaOptions()).start_time == pytest.approx(offset, abs=0.07)
    engines = Local()
    found = ingest_video(path, archive, engines)
    assert status(found) == dict.fromkeys(STAGES, "ok")
    assert engines.calls["asr"] == 0
    rows = [(s.start, s.end, s.text, s.language) for s in archive.shard(found[0].video).speech]
    assert rows == [
        (pytest.approx(0.1, abs=0.07), pytest.approx(0.5, abs=0.07), "What people wrote.", "de"),
        (pytest.approx(0.5, abs=0.07), pytest.approx(0.9, abs=0.07), "[Music]", "de"),
    ]
    data = cell(archive, found).data
    assert (data["source"], data["language"], data["cues"]) == ("embedded", "de", 2)
    again = Local()
    assert status(ingest_video(path, archive, again)) == only("kept")
    assert not again.calls


def test_a_file_beside_it_goes_before_a_track(archive: Archive, tmp_path: Path) -> None:
    path = with_track(tmp_path / "talk.mkv")
    beside(path, "talk.srt", srt((0.1, 0.9, "From the file.")))
    assert heard(archive, ingest_video(path, archive, Local())) == ["From the file."]
    assert heard(archive, ingest_video(path, archive, Local("subtitles.use=never"))) == ["hello."]


def test_an_empty_track_gives_way_to_the_recogniser(archive: Archive, tmp_path: Path) -> None:
    """What it would give is known only when it is read, so the note says it."""
    path = with_track(tmp_path / "talk.mkv", text=srt((0.2, 0.4, "{\\an8}")))
    assert len(media.probe(path, media.MediaOptions()).subtitles) == 1
    found = ingest_video(path, archive, Local())
    assert heard(archive, found) == ["hello."]
    assert "subtitle track 2" in cell(archive, found).data["note"]
    strictly = ingest_video(path, archive, Local("subtitles.use=only"))
    assert {s for s, x in status(strictly).items() if x == "failed"} == {"speech"}


def test_an_empty_track_is_no_damage(archive: Archive, tmp_path: Path) -> None:
    path = with_track(tmp_path / "talk.mkv", text=srt((0.2, 0.4, "{\\an8}")))
    assert heard(archive, ingest_video(path, archive, Local("run.strict=true"))) == ["hello."]


def test_paths_of_an_archive_may_be_anything(clip: Path, archive: Archive) -> None:
    known = ["/nowhere/at/all.mp4", "a\0b.mp4", "", "/dev/null", "relative.mp4", "x" * 5000]
    for path in known_paths(clip, known):
        assert sidecars(path) == []


def test_a_forced_track_is_not_taken(archive: Archive, tmp_path: Path) -> None:
    path = with_track(tmp_path / "talk.mkv", "subrip", 0, "-disposition:s:0", "forced")
    assert heard(archive, ingest_video(path, archive, Local())) == ["hello."]


def test_pictures_of_text_are_named(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "talk.mkv"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=1", "-i", with_track(tmp_path / "x.mkv"),
        "-map", "0:v", "-map", "1:a", "-map", "1:s", *X264, "-c:a", "copy", "-c:s", "copy", path,
    )  # fmt: skip
    data = path.read_bytes().replace(b"S_TEXT/UTF8", b"S_HDMV/PGS\0")
    path.write_bytes(data)
    assert [t.text for t in media.probe(path, media.MediaOptions()).subtitles] == [False]
    found = ingest_video(path, archive, Local())
    assert heard(archive, found) == ["hello."]
    assert cell(archive, found).data["note"] == "1 subtitle track is not text and not read"


def test_the_probe_names_tracks(tmp_path: Path) -> None:
    path = with_track(tmp_path / "a.mkv", "subrip", 0, "-metadata:s:s:0", "language=fre", "-disposition:s:0", "default")
    info = media.probe(path, media.MediaOptions())
    assert info.subtitles == (SubtitleTrack(2, "srt", True, "fre", True, False),)
    assert info.subtitle_tracks == 1


def test_a_damaged_file_gives_the_cues_before_the_damage(archive: Archive, tmp_path: Path) -> None:
    path = with_track(tmp_path / "a.mkv", text=srt((0.1, 0.4, "One."), (0.5, 0.7, "Two."), (1.7, 1.9, "Three.")))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"Three.") - 20])
    found = heard(archive, ingest_video(path, archive, Local()))
    assert found[:1] == ["One."]
    assert "Three." not in found


MORE_NAMES = {
    "talk.English.srt": "en", "talk (English).srt": "en", "talk [Deutsch].srt": "de", "talk.chs.srt": "zh",
    "talk.cht.ass": "zh", "talk.zh-Hans.vtt": "zh", "talk_en.srt": "en", "talk-en.srt": "en", "talk.pt-BR.srt": "pt",
    "talk.français.srt": "fr", "talk.中文.srt": "zh", "talk.日本語.srt": "ja", "talk.русский.srt": "ru",
    "talk en.srt": "en",
    "talk.Brazilian Portuguese.srt": "pt", "talk.English (SDH).srt": "en", "talk.en_US.srt": "en",
    "talk.cc.vtt": None,
    "talk.transcript.vtt": None, "talk.en.auto-generated.json3": "en", "talk.ttml": None, "talk.en.sbv": "en",
    "talk.dfxp": None, "talk.ssa": None, "Subs/talk.srt": None, "Subs/2_English.srt": "en",
    "subtitles/English.srt": "en",
    "Subs/talk/3_German.srt": "de", "Subs/talk.de.srt": "de", "Subs/2_English [CC].srt": "en",
}  # fmt: skip
NOT_ITS_OWN = [
    "talk-it-works.srt", "talk (Part 2).srt", "talk - the film.srt", "talk 2.srt", "Subs/other.srt", "Subs/talk2.srt",
    "talk.signs.srt", "Other/2_English.srt", "Subs/2_English.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", MORE_NAMES)
def test_names_that_players_know(name: str, clip: Path) -> None:
    (clip.parent / name).parent.mkdir(parents=True, exist_ok=True)
    beside(clip, name)
    assert [(s.path, s.language) for s in sidecars(clip)] == [(clip.parent / name, MORE_NAMES[name])]


@pytest.mark.parametrize("name", NOT_ITS_OWN)
def test_names_of_something_else(name: str, clip: Path) -> None:
    (clip.parent / name).parent.mkdir(parents=True, exist_ok=True)
    beside(clip, name)
    assert sidecars(clip) == []


def test_numbered_files_in_a_folder_of_several_videos_belong_to_none(clip: Path) -> None:
    """Unless they lie in a folder of the video's name; links that lead in circles are followed once."""
    beside(clip, "other.mp4", b"x")
    for name in ("Subs/2_English.srt", "Subs/talk/2_English.srt", "Subs/other/3_German.srt"):
        (clip.parent / name).parent.mkdir(parents=True, exist_ok=True)
        beside(clip, name)
    for name in ("Subs", "Sub", "Subtitles"):
        (clip.parent / "Subs" / name).symlink_to("..")
    assert [str(s.path.relative_to(clip.parent)) for s in sidecars(clip)] == ["Subs/talk/2_English.srt"]


def test_the_longest_name_of_a_video_wins(clip: Path) -> None:
    for name in ("talk_English.mp4", "talk (2).mkv"):
        beside(clip, name, b"x")
    beside(clip, "talk_English.English.srt")
    beside(clip, "talk (2).en.srt")
    assert sidecars(clip) == []
    assert [s.path.name for s in sidecars(clip.with_name("talk_English.mp4"))] == ["talk_English.English.srt"]
    assert [s.language for s in sidecars(clip.with_name("talk (2).mkv"))] == ["en"]


def test_recordings_of_one_meeting_share_its_transcript(clip: Path) -> None:
    """As Zoom names them; the transcript, which says who speaks, comes before the captions."""
    video = clip.rename(clip.with_name("GMT20230202-120000_Recording_1920x1080.mp4"))
    for kind in ("cc", "transcript"):
        beside(video, f"GMT20230202-120000_Recording.{kind}.vtt")
    for name in ("GMT20230202-120000_Recording_gallery_1920x1080.mp4", "GMT20230202-120000_Recording.m4a", video.name):
        found = sidecars(clip.with_name(name))
        assert [s.path.name for s in best_first(found, None)] == [
            "GMT20230202-120000_Recording.transcript.vtt", "GMT20230202-120000_Recording.cc.vtt",
        ]  # fmt: skip


def test_a_folder_is_listed_once(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again when it has changed."""
    beside(clip, "talk.srt")
    old = time.time() - 100
    os.utime(clip.parent, (old, old))
    calls = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: calls.append(path) or real(path))
    for _ in range(50):
        assert len(sidecars(clip)) == 1
    assert len(calls) == 1
    beside(clip, "talk.de.srt")
    assert len(sidecars(clip)) == 2 and len(calls) == 2


def test_a_flat_folder_of_many_files_costs_little_a_video(tmp_path: Path) -> None:
    for i in range(20_000):
        (tmp_path / f"talk {i}.mp4").touch()
        if i % 10 == 0:
            (tmp_path / f"talk {i}.en.srt").touch()
    os.utime(tmp_path, (1e9, 1e9))
    sidecars(tmp_path / "talk 0.mp4")
    began = time.perf_counter()
    found = [len(sidecars(tmp_path / f"talk {i}.mp4")) for i in range(1000)]
    assert sum(found) == 100 and time.perf_counter() - began < 1  # listing it takes more than 10 ms each time


def informed(*languages: str | None, chosen: int = 0) -> MediaInfo:
    """What a probe says of a video with sound tracks of these languages, of which one is the default."""
    tracks = tuple(SoundTrack(i + 1, "aac", 2, x, default=i == chosen) for i, x in enumerate(languages))
    return MediaInfo("mov", 1.0, 0.0, True, True, audio=tracks)


@pytest.mark.parametrize(
    ("sound", "names", "taken"),
    [
        (["eng"], ["talk.de.srt", "talk.en.srt"], "talk.en.srt"),
        (["ger"], ["talk.de.srt", "talk.en.srt"], "talk.de.srt"),
        (["und"], ["talk.de.srt", "talk.en.srt", "talk.srt"], "talk.srt"),
        ([None], ["talk.de.srt", "talk.en.orig.srt"], "talk.en.orig.srt"),
        ([None], ["talk.de.srt", "talk.default.fr.srt"], "talk.default.fr.srt"),
        (["eng"], ["talk.de.srt", "talk.srt"], "talk.srt"),
        ([], ["talk.English.srt", "talk.de.srt"], "talk.English.srt"),
    ],
)
def test_the_language_of_the_sound_decides(sound: list[str | None], names: list[str], taken: str, clip: Path) -> None:
    """Not the alphabet; where nothing decides a note says what was taken and how to take another."""
    for name in names:
        beside(clip, name, srt((0.1, 0.9, name)))
    settings = profile.load().ingest
    source = choose([clip], informed(*sound), settings, fingerprints(settings))
    assert source.name == taken
    undecided = {"talk.en.orig.srt", "talk.default.fr.srt", "talk.English.srt"}
    assert [("was taken of subtitles in" in n) for n in source.notes] == [True] * (taken in undecided)


def test_the_chosen_sound_track_decides(clip: Path) -> None:
    for name in ("talk.de.srt", "talk.en.srt"):
        beside(clip, name, srt((0.1, 0.9, name)))
    settings = profile.load().ingest
    source = choose([clip], informed("ger", "eng", chosen=1), settings, fingerprints(settings))
    assert (source.name, source.notes) == ("talk.en.srt", ())


def test_subtitles_in_another_language_than_the_sound_are_noted(clip: Path) -> None:
    beside(clip, "talk.de.srt")
    settings = profile.load().ingest
    source = choose([clip], informed("eng"), settings, fingerprints(settings))
    assert source.name == "talk.de.srt" and "is in 'de', not in 'en'" in source.notes[0]


def test_formats_that_are_not_read_are_named(clip: Path, archive: Archive) -> None:
    for name in ("talk.smi", "talk.en.lrc", "other.smi"):
        beside(clip, name)
    found = ingest_video(clip, archive, Local())
    assert heard(archive, found) == ["hello."]
    note = cell(archive, found).data["note"]
    assert "subtitles not used: talk.smi: this format is not read" in note and "talk.en.lrc" in note
    assert "other" not in note


def test_a_folder_that_cannot_be_listed_is_noted(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named video in it is read all the same."""

    def refused(path: object) -> list[str]:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "listdir", refused)
    settings = profile.load().ingest
    source = choose([clip], informed(), settings, fingerprints(settings))
    assert source.kind == "asr" and "its folder cannot be listed (Stale file handle)" in source.notes[0]


GIVEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "field"
FIELD = {
    "tagged.mkv": ("tagged.en.srt", ["The harbour office opens at nine.", "en", None]),
    "06_English.mp4": ("06_English.English.srt", ["The harbour office opens at nine.", "en", None]),
    "20_ass.mp4": ("20_ass.ass", ["The harbour office opens at nine.", None, None]),
    "GMT20230202-120000_Recording.mp4": (
        "GMT20230202-120000_Recording.transcript.vtt", ["The harbour office opens at nine.", None, "Anna Smith"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELD)
def test_files_of_the_field(name: str) -> None:
    if not GIVEN.is_dir():
        pytest.skip("../shared/data/field is not there (relative to the repository root)")
    taken, (text, language, speaker) = FIELD[name]
    settings = profile.load().ingest
    info = media.probe(GIVEN / name, settings.media)
    source = choose([GIVEN / name], info, settings, fingerprints(settings))
    assert source.name == taken and source.subtitles is not None
    first = source.subtitles.rows[0]
    assert (first.text, first.language, first.speaker, first.start) == (text, language, speaker, 1.0)
    assert "{" not in "".join(r.text for r in source.subtitles.rows)


def test_a_text_track_in_another_language_than_the_sound_is_noted(clip: Path) -> None:
    settings = profile.load().ingest
    info = replace(informed("eng"), subtitles=(SubtitleTrack(2, "srt", True, "ger"),))
    source = choose([clip], info, settings, fingerprints(settings))
    assert source.kind == "embedded" and source.notes == (
        "subtitle track 2 is in 'de', not in 'en' as was asked for or is spoken",
    )  # fmt: skip
