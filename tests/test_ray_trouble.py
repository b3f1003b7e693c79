"""Ray nodes that cannot do the work: no weights, a full disk, no packages; the others do it, and the run says which."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3_server as s3
from fault_proxy import FaultProxy
from media_files import with_tone
from ray_nodes import Nodes
from vidrag.store.archive.archive import Archive
from vidrag.store.storage.objects.client import Objects
from world import World, until

CLIPS = 6


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk that takes nothing; without the right to mount one, a folder that cannot be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "vidrag-test", folder], check=False)
    if mounted.returncode:
        (folder / "file").touch()
        yield folder / "file" / "cache"
        return
    with pytest.raises(OSError, match="No space"):
        (folder / "ballast").write_bytes(bytes(2 << 20))
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.make(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "weights.bin").write_bytes(b"weights")
    made.env |= {"HOME": str(tmp_path / "home"), "VIDRAG_CACHE": str(tmp_path / "cache")}
    return made


@pytest.mark.long
def test_nodes_without_weights_space_or_packages_are_set_aside_and_named(
    world: World, full_disk: Path, bucket: str, s3_server: str
) -> None:
    """Videos in a bucket, so that each is fetched to the disk of the node that works on it."""
    (world.root / "in").mkdir()
    for i in range(CLIPS):
        clip = with_tone(world.root / "in" / f"clip{i}.mp4", 1, f"{64 + 16 * i}x48")
        Objects("s3", bucket.partition("://")[2]).put(f"in/{clip.name}", clip.read_bytes())
    world.env |= s3.environment(s3_server)
    (world.root / "bare").mkdir()
    bad = [
        {"HOME": str(world.root / "bare")},
        {"VIDRAG_CACHE": str(full_disk), "TMPDIR": str(full_disk)},
        {"PYTHONPATH": str(world.root)},  # the engines are installed elsewhere
    ]
    asr = ("--set=asr=trouble", "--set=asr.model=~/weights.bin", "--set=asr.delay_s=1")
    with Nodes(world.env) as cluster:
        for count, env in enumerate((*bad, {}), 1):
            cluster.add(env=env)
            cluster.wait_for(count)
        world.env |= cluster.token
        command = ("ingest", "archive", f"{bucket}/in", "--ray", cluster.address, *asr, "--json")
        ran = world.run(*command, timeout=280)
        assert ran.returncode == 0, ran.stderr
        told = json.loads(ran.stdout)
        assert told["failed"] == [] and told["videos"] == CLIPS
        assert sorted(s["error"] for s in told["set_aside"]) == ["EngineMissing", "ModelMissing", "StorageError"]
        assert len({s["host"] for s in told["set_aside"]}) == 3
        report = world.run("report", "archive").stdout
        assert all(f"set aside: 1 worker on {s['host']}: {s['message']}" in report for s in told["set_aside"])
        assert json.loads(world.run("report", "archive", "--json").stdout)["set_aside"] == told["set_aside"]
        assert len(list(Archive.open(world.root / "archive").shards())) == CLIPS
        (world.root / "other").mkdir()
        (world.root / "other" / "more.bin").write_bytes(b"weights that only the driver has")
        ran = world.run(*command, "--set=asr.model=~/more.bin", HOME=str(world.root / "other"))
        assert ran.returncode == 5 and ran.stderr.count("\n") == 1, ran.stderr
        assert "no good worker is left: no " in ran.stderr  # weights or engine: whichever node was heard last


@pytest.mark.slow
def test_a_cluster_that_scales_by_itself_grows_with_the_work(world: World) -> None:
    """From nothing; never by more than it may be asked for; what is not there yet keeps nobody from work."""
    (world.root / "in").mkdir()
    for i in range(CLIPS):
        with_tone(world.root / "in" / f"clip{i}.mp4", 1, f"{64 + 16 * i}x48")
    (world.root / "one").mkdir()
    with_tone(world.root / "one" / "clip.mp4", 1, "48x48")
    command = ("--set=asr=trouble", "--set=asr.delay_s=10", "--set=pools.any.memory_mb=0", "--json")
    with Nodes(world.env, grows_to=3) as cluster:
        world.env |= cluster.token
        for folder, bound, least, most in (("one", 1, 1, 1), ("in", 0, 2, 2 * CLIPS)):
            until(lambda: not cluster.workers())
            bounded = f"--set=pools.any.max_workers={bound}"
            run = world.start("ingest", "archive", folder, "--ray", cluster.address, *command, bounded)
            seen = 0
            while run.poll() is None:
                seen = max(seen, len(cluster.workers()))
                time.sleep(0.2)
            out, err = run.communicate()
            assert run.returncode == 0, err
            assert json.loads(out)["failed"] == [] and least <= seen <= most
    assert len(list(Archive.open(world.root / "archive").shards())) == CLIPS + 1


@pytest.mark.long
def test_nodes_that_share_nothing_but_a_bucket(world: World, bucket: str, s3_server: str) -> None:
    """Archive and videos in it; each node has a home, a cache, a folder for temporary files and a working directory of
    its own.  One has no weights, one is killed while it works, one joins late: every video is there, and whole.
    """
    (world.root / "in").mkdir()
    for i in range(CLIPS):
        clip = with_tone(world.root / "in" / f"clip{i}.mp4", 1, f"{64 + 16 * i}x48")
        Objects("s3", bucket.partition("://")[2]).put(f"in/{clip.name}", clip.read_bytes())
    proxy = FaultProxy(s3_server)
    world.env |= s3.environment(proxy.endpoint)

    def own(name: str, weights: bool = True) -> dict[str, str]:
        folder = world.root / name
        for inner in ("home", "cache", "tmp", "work"):
            (folder / inner).mkdir(parents=True)
        if weights:
            (folder / "home" / "weights.bin").write_bytes(b"weights")
        paths = {"HOME": "home", "VIDRAG_CACHE": "cache", "TMPDIR": "tmp", "PWD": "work"}
        return {key: str(folder / inner) for key, inner in paths.items()}

    archive = f"{bucket}/archive"
    asr = ("--set=asr=trouble", "--set=asr.model=~/weights.bin", "--set=asr.delay_s=3")
    with proxy, Nodes(world.env) as cluster:
        for count, name in enumerate(("bare", "dies", "lives"), 1):
            cluster.add(env=own(name, weights=name != "bare"))
            cluster.wait_for(count)
        world.env |= cluster.token
        run = world.start("ingest", archive, f"{bucket}/in", "--ray", cluster.address, *asr)
        assert run.stdout
        for line in run.stdout:
            if line.startswith("[1/"):
                break
        cluster.kill(cluster.nodes[1])
        cluster.add(env=own("late"))
        out, err = run.communicate(timeout=240)
        assert run.returncode == 0, (out, err)
        assert f"{CLIPS} of {CLIPS} videos indexed" in out and "no weights" in out + line, out
        fetched = Counter(r.key for r in proxy.seen if r.method == "GET" and r.key.startswith("in/clip"))
        print(fetched)
        assert set(fetched) == {f"in/clip{i}.mp4" for i in range(CLIPS)} and max(fetched.values()) <= 3
        again = world.run("ingest", archive, f"{bucket}/in", "--ray", cluster.address, *asr, "--json")
        assert json.loads(again.stdout)["kept"] == CLIPS
        assert world.run("verify", archive).returncode == 0
    assert len(list(Archive.open(archive).shards())) == CLIPS
