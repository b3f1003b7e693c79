"""``vidrag embed``: vectors and chapters computed anew from what is stored; the videos are gone."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from index_tools import put
from vidrag.ingest import reembed
from vidrag.ingest.conduct import Conduct
from vidrag.ingest.pipeline import Engines, ingest_video
from vidrag.ingest.reembed import embed_video
from vidrag.ingest.stages import FROM_STORE, STAGES
from vidrag.jobs import profile
from vidrag.jobs.runs import embed
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import Manifest
from vidrag.store.encoders.minilm import MiniLM, MiniLMOptions
from vidrag.store.errors import NoSuchVideo, SpaceMismatch
from world import VIDRAG, World, clip

SALT = "text_encoder.salt=1"
VECTORS = ("text_vectors", "speech_vectors")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two videos under ``fake``, the first of them under ``loud`` as well; then the videos are removed."""
    world = World.make(tmp_path_factory.mktemp("world"))
    fake = (world.root / "fake.toml").read_text()
    loud = fake.replace('name = "fake"', 'name = "loud"').replace('[asr]\nengine = "fake"\n', "")
    (world.root / "loud.toml").write_text(loud + '[asr]\nengine = "fake"\nword = "honk"\n')
    clip(world.root / "in" / "red.mp4", 440, "red")
    clip(world.root / "in" / "blue.mp4", 500, "blue")
    archive = Archive.create(world.root / "archive")
    for name, video in (("loud.toml", "red.mp4"), ("fake.toml", "red.mp4"), ("fake.toml", "blue.mp4")):
        chosen = profile.load(str(world.root / name))
        ingest_video(world.root / "in" / video, archive, Engines(chosen.ingest), None, Conduct(profile=chosen.key()))
    (world.root / "in").rename(world.root / "gone")
    return world


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """A copy of it."""
    shutil.copytree(made.root, tmp_path / "world")
    return World(tmp_path / "world", made.env)


def manifests(world: World) -> dict[str, Manifest]:
    archive = Archive.open(world.root / "archive")
    return {m.name: m for m in (archive.manifest(v) for v in archive.ids()) if m}


def cells(manifest: Manifest, name: str = "fake") -> dict[str, str]:
    return dict(manifest.profiles[name].cells)


def run(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return world.run(*arguments, "--profile", "fake.toml", fake=False)


def test_it_computes_vectors_and_chapters_and_nothing_else(world: World) -> None:
    before = manifests(world)
    ran = run(world, "embed", "archive", "--set", SALT)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "[1/2] " in ran.stdout and "[2/2] " in ran.stdout and "min left" in ran.stdout
    assert "2 of 2 videos have the vectors of this profile (0 had them before)" in ran.stdout
    for name, after in manifests(world).items():
        old, new = cells(before[name]), cells(after)
        assert {s for s in STAGES if old[s] != new[s]} == {*VECTORS, "chapters"}
        assert dict(after.current) == new
        assert cells(after, "loud") == cells(before[name], "loud") if name == "red.mp4" else True
    answer = run(world, "ask", "archive", "beep?", "--set", SALT)
    assert answer.returncode == 0 and "beep" in answer.stdout


@pytest.mark.long
def test_what_it_makes_is_what_ingest_would_make(world: World) -> None:
    """So that ingest finds nothing left to do when the videos are there again."""
    assert run(world, "embed", "archive", "--set", SALT).returncode == 0
    (world.root / "gone").rename(world.root / "in")
    ran = run(world, "ingest", "archive", "in", "--no-ray", "--json", "--set", SALT)
    assert json.loads(ran.stdout)["kept"] == 2


def test_a_second_run_does_nothing(world: World) -> None:
    run(world, "embed", "archive", "--set", SALT)
    before, ledgers = manifests(world), sorted((world.root / "archive" / "runs").iterdir())
    ran = run(world, "embed", "archive", "--set", SALT, "--json")
    told = json.loads(ran.stdout)
    assert (told["videos"], told["kept"], told["rows"], told["failed"]) == (2, 2, 0, {})
    assert manifests(world) == before and sorted((world.root / "archive" / "runs").iterdir()) == ledgers


def test_a_run_is_in_the_ledger(world: World) -> None:
    run(world, "embed", "archive", "--set", SALT)
    told = json.loads(world.run("report", "archive", "last", "--json", fake=False).stdout)
    assert (told["videos"], told["done"], told["failed"]) == (2, 2, 0)
    assert told["stages"]["speech_vectors"] == {"ok": 2} and told["stages"]["speech"] == {"kept": 2}


REFUSALS = (
    ("ask", "archive", "beep?"),
    ("search", "archive", "beep"),
    ("index", "archive"),
    ("index", "archive", "--rebuild"),
)


@pytest.mark.long
@pytest.mark.parametrize("refused", REFUSALS, ids=" ".join)
def test_commands_that_need_vectors_name_the_one_that_mends_it(refused: tuple[str, ...], world: World) -> None:
    """Copied from the message as it is, it works, and then the first command does."""
    ran = run(world, *refused, "--set", SALT)
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 2 and ran.stdout == ""
    command = shlex.split(line.partition("by: ")[2])
    assert command == ["vidrag", "embed", "archive", "--profile", "fake.toml", "--set", SALT]
    assert world.run(*command[1:], fake=False).returncode == 0
    assert run(world, *refused, "--set", SALT).returncode == 0


def test_a_batch_names_it_too(world: World) -> None:
    (world.root / "q.jsonl").write_text(json.dumps({"question": "beep?"}) + "\n")
    ran = run(world, "batch", "archive", "q.jsonl", "-o", "a.jsonl", "--set", SALT)
    (row,) = map(json.loads, (world.root / "a.jsonl").read_text().splitlines())
    assert ran.returncode == 3
    assert f"vidrag embed archive --profile fake.toml --set {SALT}" in json.dumps(row)


@pytest.mark.long
def test_an_index_over_all_videos_is_brought_up_to_date(world: World) -> None:
    assert run(world, "index", "archive", "--rebuild").returncode == 0
    ran = run(world, "embed", "archive", "--set", SALT)
    assert "index over all videos: version 2, 2 videos" in ran.stdout
    again = json.loads(run(world, "index", "archive", "--set", SALT, "--json").stdout)
    assert again["how"] == "unchanged"
    assert run(world, "search", "archive", "beep", "--set", SALT, "--set", "search.index_rows=0").returncode == 0


def test_an_index_of_another_profile_is_left_alone(world: World) -> None:
    world.run("index", "archive", "--rebuild", "--profile", "loud.toml", fake=False)
    ran = run(world, "embed", "archive", "--set", SALT)
    assert ran.returncode == 0 and "index" not in ran.stdout


def test_a_video_of_another_profile_is_left_out_with_a_note(world: World) -> None:
    ran = world.run("embed", "archive", "--profile", "loud.toml", "--set", SALT, fake=False)
    assert ran.returncode == 0 and "1 of 1 videos" in ran.stdout
    assert "not indexed under profile 'loud': 1 video; add them with: vidrag ingest archive" in ran.stderr


def test_pictures_are_embedded_from_the_stored_frames(world: World) -> None:
    before = manifests(world)
    ran = run(world, "embed", "archive", "--set", "image_text_encoder.labels=1")
    assert ran.returncode == 0, ran.stderr
    for name, after in manifests(world).items():
        old, new = cells(before[name]), cells(after)
        assert {s for s in STAGES if old[s] != new[s]} == {"frame_vectors", "chapters"}


def test_damaged_rows_fail_alone(world: World) -> None:
    red = manifests(world)["red.mp4"]
    cell = red.cell("speech")
    assert cell is not None
    (world.root / "archive" / "videos" / red.video / cell.files[0].name).write_bytes(b"damaged")
    ran = run(world, "embed", "archive", "--set", SALT)
    assert ran.returncode == 3
    assert "1 of 2 videos have" in ran.stdout and "failed: red.mp4" in ran.stdout
    assert cells(manifests(world)["blue.mp4"]) != cells(red)
    told = json.loads(world.run("report", "archive", "last", "--json", fake=False).stdout)
    assert told["failed"] == 1 and told["causes"] == {"ArchiveDamaged": 1}


def test_a_run_that_is_killed_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published stays, and no mark or folder of a step is left when the next run is through."""
    chosen = profile.load(str(world.root / "fake.toml"), [SALT])
    archive = Archive.open(world.root / "archive")

    def killed(done: int, of: int, line: str, left_s: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed.embed(archive, chosen, 1, killed)
    told = embed.embed(archive, chosen, 1, lambda *_: None)
    assert (told.videos, told.kept, told.failed) == (2, 1, {})
    left = [p.name for p in (world.root / "archive" / "videos").rglob("*") if p.name.startswith((".tmp-", "try-"))]
    assert left == []


@pytest.mark.long
def test_a_process_that_is_killed_in_a_step_leaves_a_sound_archive(world: World) -> None:
    """Killed while the encoder works, by an encoder that kills."""
    code = (
        "import os, signal, sys, vidrag_fakes\n"
        "vidrag_fakes.FakeTextEncoder.documents = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from vidrag.jobs.cli import main\n"
        "sys.argv = ['vidrag', 'embed', 'archive', '--profile', 'fake.toml', '--set', sys.argv[1]]\n"
        "main()\n"
    )
    dead = subprocess.run([sys.executable, "-c", code, SALT], cwd=world.root, env=world.env, timeout=60, check=False)
    assert dead.returncode == -9
    assert run(world, "ask", "archive", "beep?").returncode == 0
    assert run(world, "embed", "archive", "--set", SALT).returncode == 0
    assert run(world, "ask", "archive", "beep?", "--set", SALT).returncode == 0
    assert world.run("verify", "archive", fake=False).returncode == 0


def test_a_video_that_is_taken_out_meanwhile_stays_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = profile.load(str(world.root / "fake.toml"), [SALT])
    archive = Archive.open(world.root / "archive")
    red = archive.find("red.mp4")

    class Removing(Engines):
        def get(self, kind: object) -> object:
            archive.discard(red)
            return super().get(kind)  # type: ignore[arg-type]

    with pytest.raises(NoSuchVideo, match="taken out"):
        embed_video(red, archive.under(chosen.key()), Removing(chosen.ingest), Conduct(profile=chosen.key()))
    assert red not in Archive.open(archive.location).ids()
    with pytest.raises(NoSuchVideo):
        embed_video(red, archive.under(chosen.key()), Engines(chosen.ingest), Conduct(profile=chosen.key()))


@pytest.mark.long
def test_two_at_once_and_an_ingest_beside_them(world: World) -> None:
    (world.root / "gone").rename(world.root / "in")
    arguments = ("--profile", "fake.toml", "--set", SALT)
    started = [
        world.start("embed", "archive", *arguments),
        world.start("embed", "archive", *arguments),
        world.start("verify", "archive", "--read-only"),
    ]
    for process in started:
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
    ran = run(world, "ingest", "archive", "in", "--no-ray", "--json", "--set", SALT)
    assert json.loads(ran.stdout)["kept"] == 2


@pytest.mark.long
def test_it_works_in_a_bucket(
    bucket: str, sample: Path, fake_profile: Path, child_env: dict[str, str], tmp_path: Path
) -> None:
    def vidrag(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [VIDRAG, "--offline", *arguments, "--profile", fake_profile]
        return subprocess.run(command, env=child_env, cwd=tmp_path, capture_output=True, text=True, timeout=200)

    archive = f"{bucket}/archive"
    (tmp_path / "in").mkdir()
    shutil.copy(sample, tmp_path / "in" / "sample.mp4")
    assert vidrag("ingest", archive, "in", "--no-ray").returncode == 0
    shutil.rmtree(tmp_path / "in")
    refused = vidrag("ask", archive, "What is said?", "--set", SALT)
    assert refused.returncode == 2 and f"vidrag embed {archive} --profile" in refused.stderr
    ran = vidrag("embed", archive, "--set", SALT)
    assert ran.returncode == 0 and "1 of 1 videos" in ran.stdout, ran.stderr
    assert vidrag("ask", archive, "What is said?", "--set", SALT).returncode == 0


def test_an_archive_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    done = subprocess.run([VIDRAG, "embed", tmp_path / "none"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "none").exists()


@pytest.mark.long
def test_an_archive_of_the_default_profile_of_before(archive: Archive) -> None:
    """Embedded with MiniLM by a version that noted no profiles; its videos are nowhere."""
    spec = MiniLM(MiniLMOptions()).spec
    put(archive, "talk.mp4", ["The lockers are next to the blue staircase.", "Lunch is at noon."], spec=spec)
    put(archive, "vortrag.mp4", ["Die Schließfächer sind neben der blauen Treppe.", "Mittag ist um zwölf."], spec=spec)

    def vidrag(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([VIDRAG, "--offline", *arguments], capture_output=True, text=True, timeout=100)

    refused = vidrag("ask", archive.location, "Where are the lockers?")
    (line,) = refused.stderr.splitlines()
    assert refused.returncode == 2 and "embedded with minilm" in line and "asks with e5" in line
    command = shlex.split(line.partition("by: ")[2])
    assert command == ["vidrag", "embed", archive.location, "--profile", "embedded"]
    ran = vidrag(*command[1:])
    assert ran.returncode == 0 and "4 rows embedded" in ran.stdout, ran.stderr
    asked = vidrag("ask", archive.location, "Where are the lockers?", "--video", "talk.mp4")
    assert "blue staircase" in asked.stdout
    found = json.loads(
        vidrag("search", archive.location, "Wo sind die Schließfächer?", "-k", "speech", "--json").stdout
    )
    order = [h["text"][:8] for h in found["hits"]]
    assert order[0] == "Die Schl" and "Lunch is" not in order
    kept = vidrag("ask", archive.location, "lockers?", "--set", "text_encoder.engine=minilm")
    assert kept.returncode == 2 and "--set text_encoder.engine=minilm" in kept.stderr


def test_vectors_of_other_encoders_are_counted(world: World) -> None:
    archive = Archive.open(world.root / "archive")
    for settings, holds in (([], True), ([SALT], False)):
        chosen = profile.load(str(world.root / "fake.toml"), settings)
        if holds:
            embed.check_vectors(archive.under(chosen.key()), chosen)
        else:
            with pytest.raises(SpaceMismatch, match="2 videos were embedded with other encoders"):
                embed.check_vectors(archive.under(chosen.key()), chosen)


def test_stages_that_read_what_is_stored_never_open_a_video(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of them is complete: the others read the video, and a stage that is new has to be put somewhere."""
    assert set(STAGES) - set(FROM_STORE) == {"media", "frames", "text", "speech"}
    chosen = profile.load(str(world.root / "fake.toml"), [SALT])
    for manifest in manifests(world).values():
        under = manifest.under(chosen.key())
        assert under and set(reembed.outdated(under, chosen.ingest, Conduct())) == {*VECTORS, "chapters"}
