"""Cells of several profiles in one archive: each question reads those of the profile that it names."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from vidrag.ingest.conduct import Conduct
from vidrag.ingest.pipeline import Engines, ingest_video
from vidrag.jobs import build, profile
from vidrag.jobs.answers.asking import Keys
from vidrag.jobs.answers.batch import Asked
from vidrag.jobs.runs import report
from vidrag.query.find.search import TERMS_ID
from vidrag.query.text.words import terms
from vidrag.store import engines
from vidrag.store.archive import maintenance
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import EARLIER, Manifest, ProfileKey, Source
from vidrag.store.errors import NotIndexed, SpaceMismatch
from vidrag.store.index import build as index_build
from vidrag.store.records import Cell
from world import World, clip

MORE = '[asr]\nengine = "fake"\nword = "honk"\n[sampling]\nrate = 4\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two videos under ``fake``, then the first of them under ``loud`` (another ear, more samples) as well."""
    made = World.make(tmp_path_factory.mktemp("world"))
    fake = (made.root / "fake.toml").read_text()
    loud = fake.replace('name = "fake"', 'name = "loud"').replace('[asr]\nengine = "fake"\n', "") + MORE
    (made.root / "loud.toml").write_text(loud)
    (made.root / "other.toml").write_text(loud.replace("loud", "other").replace("rate = 4", "rate = 5"))
    clip(made.root / "in" / "red.mp4", 440, "red")
    clip(made.root / "in" / "blue.mp4", 500, "blue")
    Archive.create(made.root / "archive")
    for name in ("red.mp4", "blue.mp4"):
        ingest(made, "fake.toml", name)
    # the probe is of both; all else depends on what is sampled or heard
    assert ingest(made, "loud.toml", "red.mp4") == {"media": "kept", **dict.fromkeys(STAGES, "ok")}
    return made


STAGES = ("frames", "frame_vectors", "text", "text_vectors", "speech", "speech_vectors", "chapters")


def run(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return world.run(*arguments, fake=False)


def loaded(world: World, name: str, *settings: str) -> profile.Profile:
    return profile.load(str(world.root / name), settings)


def ingest(world: World, name: str, video: str, *settings: str) -> dict[str, str]:
    """What became of each stage of a video."""
    chosen = loaded(world, name, *settings)
    conduct = Conduct(profile=chosen.key())
    archive = Archive.open(world.root / "archive")
    rows = ingest_video(world.root / "in" / video, archive, Engines(chosen.ingest), None, conduct)
    return {o.stage: o.status for o in rows}


def heard(world: World, name: str, *videos: str, notes: list[str] | None = None) -> set[str]:
    """The words of the speech rows that a question under a profile finds, and in what."""
    answer = build.asker(Archive.open(world.root / "archive"), loaded(world, name)).ask("beep or honk?", videos or None)
    if notes is not None:
        notes += answer.notes
    return {f"{e.text} {e.name}" for e in answer.evidence if e.kind == "speech"}


def test_each_profile_answers_from_its_own_cells(world: World) -> None:
    assert heard(world, "fake.toml", "red.mp4") == {"beep red.mp4"}
    assert heard(world, "loud.toml", "red.mp4") == {"honk red.mp4"}
    shown = json.loads(run(world, "show", "archive", "red.mp4", "--json", "--profile", "fake.toml").stdout)
    assert [s["text"] for s in shown["transcript"]] == ["beep"] and shown["profiles"] == ["fake", "loud"]


def test_ingest_again_computes_nothing_and_changes_no_answer(world: World) -> None:
    for name in ("fake.toml", "loud.toml", "fake.toml"):
        assert set(ingest(world, name, "red.mp4").values()) == {"kept"}
    assert heard(world, "loud.toml", "red.mp4") == {"honk red.mp4"}


def test_a_video_without_cells_of_the_profile_is_one_line_with_the_command(world: World) -> None:
    ran = run(world, "ask", "archive", "beep?", "--profile", "loud.toml", "--video", "blue.mp4")
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 2 and "blue.mp4 is not indexed under profile 'loud' (only under fake)" in line
    command = line.partition("add it with: ")[2]
    assert command == f"vidrag ingest archive {world.root}/in/blue.mp4 --profile loud.toml"


def test_in_a_whole_archive_they_are_left_out_with_a_note(world: World) -> None:
    notes: list[str] = []
    assert heard(world, "loud.toml", notes=notes) == {"honk red.mp4"}
    assert any("not indexed under profile 'loud': 1 video" in n and "vidrag ingest" in n for n in notes)
    lister = build.lister(Archive.open(world.root / "archive"), loaded(world, "loud.toml"), ["speech"])
    results = lister.search("honk", ["speech"], 5)
    assert {f.name for f in results.found} == {"red.mp4"}
    assert any("not indexed under profile 'loud'" in n for n in results.notes)


def test_a_profile_that_nothing_was_indexed_under(world: World) -> None:
    with pytest.raises(NotIndexed, match=r"not indexed under profile 'other': 2 videos.*vidrag ingest"):
        heard(world, "other.toml")


def test_a_profile_with_other_options_of_asking_reads_the_same_cells(world: World) -> None:
    """Cells belong to options of ingest: another name, or another threshold, asks for no new ones."""
    text = (world.root / "loud.toml").read_text()
    (world.root / "strict.toml").write_text(text.replace("loud", "strict") + "[retrieve]\nthreshold = 0.5\n")
    assert heard(world, "strict.toml", "red.mp4") == {"honk red.mp4"}


def test_a_changed_option_of_the_same_profile_is_what_is_read(world: World, tmp_path: Path) -> None:
    """As ever: what the last ingest under a name made, whatever ``--set`` it had."""
    shutil.copytree(world.root, tmp_path / "copy")
    mine = World(tmp_path / "copy", world.env)
    assert ingest(mine, "fake.toml", "red.mp4", "asr.word=toot")["speech"] == "ok"
    assert heard(mine, "fake.toml", "red.mp4") == {"toot red.mp4"}
    assert heard(mine, "loud.toml", "red.mp4") == {"honk red.mp4"}


@pytest.mark.long
def test_the_command_line_from_ingest_to_answer(world: World, tmp_path: Path) -> None:
    """A run notes its profile, also where an earlier one had settled every file; ``--profile`` may come first."""
    shutil.copytree(world.root, tmp_path / "copy")
    mine = World(tmp_path / "copy", world.env)
    for _ in range(2):
        assert run(mine, "ingest", "archive", "in", "--no-ray", "--profile", "fake.toml").returncode == 0
    ran = run(mine, "--profile", "loud.toml", "--set", "name=third", "ingest", "archive", "in", "--no-ray", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(run(mine, "show", "archive", "blue.mp4", "--json").stdout)["profiles"] == ["fake", "third"]


def test_kept_answers_of_one_profile_are_none_of_another(world: World) -> None:
    asked = Asked(1, "beep or honk?", (), ("red.mp4",))
    keys = set()
    for name in ("fake.toml", "loud.toml", "loud.toml"):
        chosen = loaded(world, name)
        keys.add(Keys(chosen, build.asker(Archive.open(world.root / "archive"), chosen)).of(asked))
    assert len(keys) == 2 and "" not in keys


def test_garbage_is_what_no_profile_needs(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.root / "archive", tmp_path / "archive")
    archive = Archive.open(tmp_path / "archive")
    maintenance.collect(archive, 0)
    video = archive.find("red.mp4")
    for name, word in (("fake", "beep"), ("loud", "honk")):
        assert [s.text for s in archive.under(ProfileKey(name)).shard(video).speech] == [word]
    assert maintenance.forget(archive, "loud") == 1 and maintenance.forget(archive, "loud") == 0
    removed = maintenance.collect(archive, 0).keys
    assert any("/speech-" in k for k in removed) and any("/frames-" in k for k in removed)
    assert [s.text for s in archive.shard(video).speech] == ["beep"]
    with pytest.raises(NotIndexed):
        archive.under(ProfileKey("loud")).shard(video)
    assert all(not c.damage for c in maintenance.verify(archive, archive.ids(), 1))


def test_an_export_holds_every_profile(world: World, tmp_path: Path) -> None:
    assert run(world, "export", "archive", str(tmp_path / "out")).returncode == 0
    archive = Archive.open(tmp_path / "out")
    video = archive.find("red.mp4")
    for name, word in (("fake", "beep"), ("loud", "honk")):
        assert [s.text for s in archive.under(ProfileKey(name)).shard(video).speech] == [word]


def test_an_index_of_one_profile_is_not_believed_for_another(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.root / "archive", tmp_path / "archive")
    archive = Archive.open(tmp_path / "archive")
    index_build.update(archive.under(loaded(world, "fake.toml").key()), terms, TERMS_ID)
    for name, word in (("fake.toml", "beep"), ("loud.toml", "honk")):
        lister = build.lister(archive, loaded(world, name, "search.index_rows=0"), ["speech"])
        results = lister.search(word, ["speech"], 5)
        assert {f.text for f in results.found} == {word}


SOURCE = Source("a" * 64, 1, ("/v/a.mp4",))


def cells(fingerprint: str) -> dict[str, Cell]:
    return {"speech": Cell("speech", fingerprint, "none")}


def test_an_archive_from_before_profiles_is_read_as_it_was() -> None:
    """Its cells were current; they stay what any profile reads that has none of its own, its encoder permitting."""
    old = Manifest("a" * 16, 1, SOURCE).merged(cells("1"), ())
    assert old.under(ProfileKey("embedded")) == old
    new = old.merged(cells("2"), (), ProfileKey("full", "x"))
    assert set(new.profiles) == {EARLIER, "full"}
    assert [dict(m.current) for k in ("embedded", "full") if (m := new.under(ProfileKey(k)))] == [
        {"speech": "1"},
        {"speech": "2"},
    ]


def test_the_very_options_go_before_the_name() -> None:
    made = Manifest("a" * 16, 1, SOURCE).merged(cells("1"), (), ProfileKey("a", "x"))
    made = made.merged(cells("2"), (), ProfileKey("b", "y"))
    found = {k: made.under(ProfileKey(*k)) for k in (("a", "x"), ("a", "y"), ("a", "z"), ("c", "y"), ("c", "z"))}
    assert [m and m.current["speech"] for m in found.values()] == ["1", "2", "1", "2", None]


def test_vectors_of_another_space_are_still_refused(world: World) -> None:
    """A profile's name says nothing of its encoder: the space does."""
    archive = Archive.open(world.root / "archive")
    changed = profile.load(str(world.root / "fake.toml"), ["text_encoder.salt=3"])
    with pytest.raises(SpaceMismatch):
        build.asker(archive, changed).ask("beep?", ["red.mp4"])


def test_what_engines_note_stands_in_their_cells(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that were left out, batches made smaller: told with the results, by ``show``, ledger and report."""
    for kind in ("asr", "ocr", "text_encoder", "image_text_encoder"):
        monkeypatch.setattr(engines.find(kind, "fake"), "notes", [f"{kind}: batches of 4"], raising=False)
    shutil.copytree(world.root / "in", tmp_path / "in")
    (tmp_path / "fake.toml").write_text((world.root / "fake.toml").read_text())
    Archive.create(tmp_path / "archive")
    mine = World(tmp_path, world.env)
    ingest(mine, "fake.toml", "red.mp4")
    archive = Archive.open(tmp_path / "archive")
    told = {s: c.data.get("note") for s, c in archive.shard(archive.ids()[0]).status().items()}
    assert {s: n for s, n in told.items() if n} == {
        "speech": "asr: batches of 4",
        "text": "ocr: batches of 4",
        "frame_vectors": "image_text_encoder: batches of 4",
        **dict.fromkeys(("speech_vectors", "text_vectors"), "text_encoder: batches of 4"),
    }
    row = {
        "source": "a",
        "status": "ok",
        "message": "asr: batches of 4",
        "host": "h",
        "finished": None,
        "coverage": None,
    }
    rows = [{**row, "stage": s, "seconds": 1, "cpu_seconds": 1, "bytes": 1, "media_seconds": 1} for s in told]
    found = report.summary(report.Run("r", True), rows)
    assert found["notes"] == {"asr: batches of 4": len(told)} and f"{len(told)} x asr: batches of 4" in report.text(
        found
    )
