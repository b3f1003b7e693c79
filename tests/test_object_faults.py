"""An object store that fails: what was committed stays, what fails says so, and running it again helps.

Faults are made by a proxy between us and a real S3 server.  What is left is judged by a fresh process that reaches the
server directly.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fault_proxy import FOR_WRITES, FaultProxy, Kind, Request
from store_tools import JPEGS, SPEC, publish_all, publish_speech, source
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import Manifest
from vidrag.store.errors import StorageError
from vidrag.store.storage.objects.access import ObjectOptions
from vidrag.store.storage.objects.backend import ObjectBackend
from vidrag.store.storage.objects.cache import ObjectCache

VIDEO = source().sha256[:16]
ONE = ObjectOptions(timeout_s=0.4, attempts=1, backoff_s=0)
SEVERAL = ObjectOptions(timeout_s=0.4, attempts=3, backoff_s=0.01)
HANG_S = 0.8
FOR_READS: tuple[Kind, ...] = ("503 before", "lost reply", "hang before")

JUDGE = """
import json, sys
from vidrag.store.archive.archive import Archive

out = {}
for place in sys.argv[1:]:
    archive = Archive.open(place)
    found = {}
    for video in archive.ids():
        shard = archive.shard(video)
        for cell in shard.manifest.cells:
            for file in cell.files:
                shard.path(file)
        named = "new.mp4" in shard.manifest.source.names
        assert not named or archive.find("new.mp4") == video
        found[video] = [shard.manifest.version, [s.text for s in shard.speech], named]
    out[place] = found
print(json.dumps(out))
"""

PUBLISHER = """
import sys
from store_tools import publish_speech, source
from vidrag.store.archive.archive import Archive

publish_speech(Archive.open(sys.argv[1]), source("new.mp4"), "2" * 16, "new")
"""


@pytest.fixture
def proxy(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"], HANG_S) as made:
        yield made


class World:
    """Archives of one version each, in one bucket, written through the proxy or past it."""

    def __init__(self, bucket: str, proxy: FaultProxy, tmp: Path, env: dict[str, str]) -> None:
        self.bucket, self.proxy, self.tmp, self.env = bucket, proxy, tmp, env
        self.direct = os.environ["AWS_ENDPOINT_URL"]
        self._model: list[str] = []

    def backend(self, place: str, options: ObjectOptions | None = None, through: bool = True) -> ObjectBackend:
        """With a cache of its own, so that nothing is remembered from one writer to the next."""
        os.environ["AWS_ENDPOINT_URL"] = self.proxy.endpoint if through else self.direct
        try:
            return ObjectBackend(place, options, ObjectCache(self.tmp / os.urandom(4).hex()))
        finally:
            os.environ["AWS_ENDPOINT_URL"] = self.direct

    def archive(self, place: str, options: ObjectOptions | None = None, through: bool = True) -> Archive:
        return Archive(self.backend(place, options, through))

    def place(self, name: str) -> str:
        """An archive with one video of one version; nothing of this goes through the proxy."""
        if not self._model:
            publish_speech(Archive.create(f"{self.bucket}/model"), source("old.mp4"), "1" * 16, "old")
            self._objects = self.backend(f"{self.bucket}/model", through=False).objects
            self._model = [o.key for o in self._objects.below("model")]
        inner = name.replace(" ", "-")
        for key in self._model:
            self._objects.copy(key, inner + key.removeprefix("model"))
        return f"{self.bucket}/{inner}"

    def judge(self, *places: str) -> dict[str, dict[str, tuple[int, list[str], bool]]]:
        """Each archive as a fresh process sees it: id -> version, spoken text, whether the new name finds it."""
        done = subprocess.run(
            [sys.executable, "-c", JUDGE, *places], env=self.env, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        return {p: {v: tuple(row) for v, row in found.items()} for p, found in told.items()}  # type: ignore[misc]


@pytest.fixture
def world(bucket: str, proxy: FaultProxy, tmp_path: Path, child_env: dict[str, str]) -> World:
    return World(bucket, proxy, tmp_path / "caches", {**child_env, "VIDRAG_CACHE": str(tmp_path / "judge")})


def writes(request: Request) -> bool:
    return request.writes


def reads(request: Request) -> bool:
    return not request.writes


def commits(request: Request) -> bool:
    """The one request that makes a version."""
    return request.writes and "/manifest-" in request.key


def publish_new(archive: Archive) -> Manifest:
    return publish_speech(archive, source("new.mp4"), "2" * 16, "new")


PUBLISH_WRITES = 6
"""The file, its name with and without its ending, its path, the mark in the catalogue, and last the manifest."""
OLD = (1, ["old"], False)
NEW = (2, ["new"], True)


@pytest.fixture(params=["some", pytest.param("all", marks=pytest.mark.slow)])
def kinds(request: pytest.FixtureRequest) -> Sequence[Kind]:
    return FOR_WRITES if request.param == "all" else ("lost request", "lost reply", "hang after")


@pytest.mark.long
@pytest.mark.parametrize("patience", [ONE, SEVERAL], ids=["one attempt", "several"])
def test_any_write_of_a_publish_may_fail(world: World, kinds: Sequence[Kind], patience: ObjectOptions) -> None:
    """The first, the second ... until there is none left to fail: old or new, as the writer was told, and a retry ends
    it with exactly one new version.
    """
    told: dict[str, bool] = {}
    for kind in kinds:
        for nth in range(1, 50):
            place = world.place(f"{kind} {nth}")
            world.proxy.heal()
            world.proxy.break_nth(nth, kind, writes)
            try:
                made = publish_new(world.archive(place, patience))
                assert made.version == 2
                told[place] = True
            except StorageError as e:
                assert str(e).startswith(world.bucket) and "\n" not in str(e) and "again" in str(e)
                told[place] = False
            if not world.proxy.broken:
                break
        assert nth == PUBLISH_WRITES + 1
    if patience is SEVERAL:
        assert all(told.values())
    for place, seen in world.judge(*told).items():
        assert seen == {VIDEO: NEW} or (seen == {VIDEO: OLD} and not told[place])
    world.proxy.heal()
    for place in told:
        assert publish_new(world.archive(place, through=False)).version == 2
    assert list(world.judge(*told).values()) == [{VIDEO: NEW}] * len(told)


@pytest.mark.parametrize("kind", ["half a body", *(pytest.param(k, marks=pytest.mark.slow) for k in FOR_READS)])
def test_any_read_of_a_publish_may_fail(world: World, kind: Kind) -> None:
    """Reading is tried again and goes unnoticed; a reply cut in its middle is not taken for the whole."""
    for nth in range(1, 50):
        place = world.place(f"{nth}")
        world.proxy.heal()
        world.proxy.break_nth(nth, kind, reads)
        archive = world.archive(place, SEVERAL)
        assert publish_new(archive).version == 2
        assert archive.shard(VIDEO).speech[0].text == "new" and archive.find("new") == VIDEO
        if not world.proxy.broken:
            break
    assert nth > 4


def test_one_picture_is_read_without_the_others(world: World) -> None:
    """What questions read touches no picture; a picture costs one request, and one that breaks off comes again."""
    place = f"{world.bucket}/a"
    publish_all(Archive.create(place), source())
    shard = world.archive(place, SEVERAL).shard(VIDEO)
    assert shard.speech and shard.text and shard.frames and shard.labels and shard.chapters
    assert all(shard.vectors(k, SPEC) for k in ("speech", "text", "frames"))  # type: ignore[arg-type]
    assert not [r for r in world.proxy.seen if "/pictures-" in r.key]
    assert shard.jpeg(3) == JPEGS[3] and [r.bytes for r in world.proxy.seen if "/pictures-" in r.key] == [len(JPEGS[3])]
    for kind in ("half a body", *FOR_READS):
        world.proxy.break_nth(1, kind, lambda r: "/pictures-" in r.key)
        assert shard.jpeg(4) == JPEGS[4] and world.proxy.broken
        world.proxy.heal()
    assert [j for _, j in shard.pictures()] == JPEGS


@pytest.mark.parametrize("kind", ["500 after", "lost reply", "hang after"])
def test_a_lost_reply_to_the_commit_is_no_conflict(world: World, kind: Kind) -> None:
    """It is read back and found to be ours, with one attempt as with several: one version, not two."""
    for patience in (ONE, SEVERAL):
        place = world.place(f"{patience.attempts}")
        world.proxy.heal()
        world.proxy.break_nth(1, kind, commits)
        assert publish_new(world.archive(place, patience)).version == 2
        assert world.archive(place, through=False).backend.list(f"videos/{VIDEO}", "manifest-") == [
            "manifest-000001.json",
            "manifest-000002.json",
        ]
        assert len([r for r in world.proxy.seen if commits(r)]) == min(2, patience.attempts)
        assert all(r.conditional for r in world.proxy.seen if commits(r))


@pytest.mark.parametrize("kind", ["500 after", "lost reply", "hang after"])
@pytest.mark.parametrize("patience", [ONE, SEVERAL], ids=["one attempt", "several"])
def test_a_write_whose_reply_was_lost_is_ours(
    world: World, kind: Kind, patience: ObjectOptions, tmp_path: Path
) -> None:
    """By both ways in; and never where there were other bytes before, even if they are the same."""
    backend = world.backend(f"{world.bucket}/a", patience)
    (tmp_path / "file").write_bytes(b"data")
    for key, put in (
        ("k", lambda: backend.put_if_absent("k", b"data")),
        ("f-0123456789ab.parquet", lambda: backend.put_file("f-0123456789ab.parquet", tmp_path / "file")),
    ):
        world.proxy.heal()
        world.proxy.break_nth(1, kind, lambda r: r.conditional)
        assert put() is True and len(world.proxy.broken) == 1
        world.proxy.heal()
        assert put() is False
        assert world.backend(backend.location, through=False).read(key) == b"data"
    backend.objects.put("a/k", b"theirs")
    world.proxy.break_nth(1, kind, lambda r: r.conditional)
    assert backend.put_if_absent("k", b"data") is False and backend.read("k") == b"theirs"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["lost request", "500 before", "hang before"])
def test_a_rival_commits_while_our_reply_is_lost(world: World, kind: Kind) -> None:
    """What is read back is not ours: we build on it and both results stay."""
    place = world.place("a")

    def rival(request: Request) -> bool:
        if commits(request) and not world.proxy.broken:
            publish_speech(world.archive(place, through=False), source("rival.mp4"), "3" * 16, "rival")
            return True
        return False

    world.proxy.break_nth(1, kind, rival)
    made = publish_new(world.archive(place, SEVERAL))
    assert made.version == 3
    assert {c.fingerprint for c in made.cells} == {"1" * 16, "2" * 16, "3" * 16}
    assert world.judge(place) == {place: {VIDEO: (3, ["new"], True)}}


@pytest.mark.long
def test_when_nothing_can_be_read_back_the_outcome_is_unknown(world: World) -> None:
    """It says so, and that running it again is safe; it was done, and again it is not done twice."""
    place = world.place("a")
    world.proxy.break_nth(1, "lost reply", commits)
    world.proxy.break_nth(1, "503 before", lambda r: any(commits(s) for s in world.proxy.seen[:-1]), times=1000)
    with pytest.raises(StorageError, match=r"s3://.*manifest-000002.*unknown.*again, that is safe"):
        publish_new(world.archive(place, SEVERAL))
    assert world.judge(place) == {place: {VIDEO: NEW}}
    world.proxy.heal()
    assert publish_new(world.archive(place, SEVERAL)).version == 2


@pytest.mark.long
def test_a_commit_that_may_still_arrive_says_so(world: World) -> None:
    place = world.place("a")
    world.proxy.break_nth(1, "hang before", commits, times=3)
    with pytest.raises(StorageError, match=r"s3://.*no answer in time.*not there yet.*may still arrive.*safe"):
        publish_new(world.archive(place, SEVERAL))
    assert world.judge(place) == {place: {VIDEO: OLD}}


def test_two_conditional_writes_that_meet(world: World) -> None:
    """S3 answers 409 where none of them has won yet: that is no conflict, but a reason to come again."""
    place = world.place("a")
    world.proxy.break_nth(1, "409 before", commits)
    assert publish_new(world.archive(place, SEVERAL)).version == 2
    backend = world.backend(place, SEVERAL)
    world.proxy.break_nth(1, "409 before", writes)
    assert backend.put_if_absent("k", b"x") is True
    world.proxy.heal()
    world.proxy.break_nth(1, "409 before", writes)
    assert backend.put_if_absent("k", b"x") is False


@pytest.mark.long
def test_a_stale_listing_is_an_older_version(world: World) -> None:
    """A reader sees what was; a writer that builds on it loses its conditional put and overwrites nothing."""
    place = world.place("a")
    world.proxy.stale(lambda r: r.lists is not None and VIDEO in r.lists)
    behind = world.archive(place, SEVERAL)
    assert behind.shard(VIDEO).speech[0].text == "old"
    publish_speech(world.archive(place, through=False), source("rival.mp4"), "3" * 16, "rival")
    assert behind.shard(VIDEO).speech[0].text == "old"
    assert world.archive(place, SEVERAL).shard(VIDEO).speech[0].text == "old"
    with pytest.raises(StorageError, match="run the command again"):
        publish_new(behind)
    rival = world.judge(place)[place][VIDEO]
    assert rival[:2] == (2, ["rival"])
    world.proxy.heal()
    made = publish_new(world.archive(place, SEVERAL))
    assert made.version == 3 and {c.fingerprint for c in made.cells} == {"1" * 16, "2" * 16, "3" * 16}


def test_a_listing_that_is_stale_for_a_while(world: World) -> None:
    """The writer goes on with the true list as soon as it comes."""
    place = world.place("a")
    behind = world.archive(place, SEVERAL)
    world.proxy.stale(lambda r: r.lists is not None and VIDEO in r.lists)
    assert behind.shard(VIDEO).manifest.version == 1
    publish_speech(world.archive(place, through=False), source("rival.mp4"), "3" * 16, "rival")

    def lost(request: Request) -> bool:
        if commits(request):
            world.proxy._stale = None
        return False

    world.proxy.break_nth(1, "lost reply", lost)
    assert publish_new(behind).version == 3


def kill_at(world: World, place: str, nth: int, kind: Kind) -> None:
    """A writer that is killed when its ``nth`` write is asked for ("lost request") or was done ("lost reply")."""
    env = {**world.env, "AWS_ENDPOINT_URL": world.proxy.endpoint, "VIDRAG_CACHE": str(world.tmp / "killed")}
    writer: list[subprocess.Popen[bytes]] = []
    started, count = threading.Event(), [0]

    def victim(request: Request) -> bool:
        count[0] += request.writes
        if count[0] < nth or (kind == "lost reply" and count[0] == nth and request.writes):
            return False
        started.wait(10)
        writer[0].kill()
        return True

    world.proxy.break_nth(1, "lost request", victim, times=100)
    if kind == "lost reply":  # the request that follows it comes too late
        world.proxy.break_nth(nth, "lost reply", writes)
    writer.append(subprocess.Popen([sys.executable, "-c", PUBLISHER, place], env=env, stderr=subprocess.DEVNULL))
    started.set()
    assert writer[0].wait(60) == -signal.SIGKILL


@pytest.mark.long
def test_a_writer_killed_at_any_write(world: World, kill_points: Sequence[tuple[int, Kind]]) -> None:
    """Just before the request or just after it worked: old or new, and whoever comes next ends it."""
    places = {}
    for nth, kind in kill_points:
        place = world.place(f"{kind} {nth}")
        world.proxy.heal()
        kill_at(world, place, nth, kind)
        places[place] = NEW if (nth, kind) == (PUBLISH_WRITES, "lost reply") else OLD
    assert world.judge(*places) == {p: {VIDEO: seen} for p, seen in places.items()}
    for place in places:
        assert publish_new(world.archive(place, through=False)).version == 2
    assert world.judge(*places) == {p: {VIDEO: NEW} for p in places}


@pytest.fixture(params=["some", pytest.param("all", marks=pytest.mark.slow)])
def kill_points(request: pytest.FixtureRequest) -> Sequence[tuple[int, Kind]]:
    """At which write, and on which side of it; the last is the commit."""
    last = PUBLISH_WRITES
    if request.param == "some":
        return [(2, "lost request"), (last, "lost request"), (last, "lost reply")]
    return [(nth, kind) for nth in range(1, last + 1) for kind in ("lost request", "lost reply")]


@pytest.mark.parametrize("kind", ["500 before", "lost request", "lost reply"])
def test_any_write_of_a_removal_may_fail(world: World, kind: Kind) -> None:
    """The video is in or out; removing again ends it."""
    for nth in range(1, 20):
        place = world.place(f"{nth}")
        world.proxy.heal()
        world.proxy.break_nth(nth, kind, writes)
        try:
            world.archive(place, ObjectOptions(timeout_s=10, attempts=1, backoff_s=0)).discard(VIDEO)
        except StorageError as e:
            assert "again" in str(e)
        if not world.proxy.broken:
            break
        world.proxy.heal()
        archive = world.archive(place, through=False)
        assert [s.speech[0].text for s in archive.shards()] in ([], ["old"])
        archive.discard(VIDEO)
        assert archive.ids() == [] and archive.backend.list(f"videos/{VIDEO}", "speech") == []
    assert nth > 3


@pytest.mark.parametrize("kind", ["500 before", "500 after", "lost request", "lost reply"])
def test_a_large_file_in_parts(world: World, kind: Kind, tmp_path: Path, sweep: Callable[[int], range]) -> None:
    """Any of its requests may fail; it is there whole or not at all."""
    data = os.urandom(1 << 20) * 17
    (tmp_path / "large").write_bytes(data)
    for nth in sweep(8):
        world.proxy.heal()
        world.proxy.break_nth(nth, kind, writes)
        backend = world.backend(f"{world.bucket}/large-{nth}", ObjectOptions(timeout_s=10, attempts=3, backoff_s=0.01))
        assert backend.put_file("v/f", tmp_path / "large") is True
        assert world.backend(backend.location, through=False).read("v/f") == data
        if not world.proxy.broken:
            break


@pytest.fixture(params=["some", pytest.param("all", marks=pytest.mark.slow)])
def sweep(request: pytest.FixtureRequest) -> Callable[[int], range]:
    """Which requests to break: the first and the last ones by default, every one in the slow run."""
    return lambda top: range(1, top) if request.param == "all" else range(5, 7)


def test_a_download_that_breaks_off_goes_on(world: World, tmp_path: Path) -> None:
    """Part by part, and what arrives is what was there."""
    data = os.urandom(1 << 20) * 17
    (tmp_path / "large").write_bytes(data)
    world.backend(f"{world.bucket}/a", through=False).put_file("v/f", tmp_path / "large")
    for kind in ("half a body", "lost reply", "500 before"):
        world.proxy.heal()
        world.proxy.break_nth(2, kind, lambda r: r.method == "GET")  # type: ignore[arg-type]
        backend = world.backend(f"{world.bucket}/a", ObjectOptions(timeout_s=10, attempts=3, backoff_s=0.01))
        assert backend.local_path("v/f").read_bytes() == data
        assert len([r for r in world.proxy.seen if r.method == "GET"]) == 4


def test_a_journal_whose_reply_was_lost(world: World) -> None:
    """No line is lost or doubled, though later lines joined those that had seemed to fail."""
    backend = ObjectBackend(f"{world.bucket}/a", ONE, journal_s=0)
    world.proxy.heal()
    backend = world.backend(f"{world.bucket}/a", ONE)
    backend._journal_s = 0.0
    journal = backend.journal("runs/r")
    world.proxy.break_nth(1, "lost reply", writes)
    world.proxy.break_nth(1, "503 before", reads)
    journal.write(b"one\n")
    with pytest.raises(StorageError, match="unknown"):
        journal.sync()
    journal.write(b"two\n")
    journal.sync()
    journal.write(b"three\n")
    journal.close()
    assert backend.read_journal("runs/r") == b"one\ntwo\nthree\n"


def test_ctrl_c_does_not_wait_for_an_answer(world: World) -> None:
    """A server that hangs does not keep a command from being stopped."""
    place = world.place("a")
    world.proxy.hang_s = 30
    world.proxy.break_nth(1, "hang before", lambda r: True, times=100)
    env = {**world.env, "AWS_ENDPOINT_URL": world.proxy.endpoint, "VIDRAG_OBJECT_TIMEOUT": "20"}
    waiting = subprocess.Popen([sys.executable, "-c", JUDGE, place], env=env, stderr=subprocess.PIPE, text=True)
    while not world.proxy.broken:
        time.sleep(0.05)
    began = time.monotonic()
    waiting.send_signal(signal.SIGINT)
    _, told = waiting.communicate(timeout=60)
    assert "KeyboardInterrupt" in told and waiting.returncode != 0
    assert time.monotonic() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOR_WRITES)
def test_any_write_of_a_whole_video_may_fail(world: World, kind: Kind) -> None:
    """Every kind of file that a video can have."""
    told: dict[str, bool] = {}
    for nth in range(1, 50):
        place = world.place(f"{nth}")
        world.proxy.heal()
        world.proxy.break_nth(nth, kind, writes)
        try:
            publish_all(world.archive(place, ONE), source("new.mp4"))
            told[place] = True
        except StorageError:
            told[place] = False
        if not world.proxy.broken:
            break
    assert nth > 9
    versions = {p: seen[VIDEO][0] for p, seen in world.judge(*told).items()}
    assert all(versions[p] == 2 or not ok for p, ok in told.items())
    world.proxy.heal()
    for place in told:
        assert publish_all(world.archive(place), source("new.mp4")).version == 2
    assert all(seen[VIDEO][0] == 2 for seen in world.judge(*told).values())
