"""The cache of remote files: shared by processes, bounded, never half a file, nothing taken from who uses it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from vidrag.store.errors import StorageError
from vidrag.store.storage.objects.cache import ObjectCache

USER = """
import random, sys, time
from pathlib import Path
from vidrag.store.storage.objects.cache import ObjectCache

folder, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
cache = ObjectCache(folder, limit=5000, spare_s=0.0)
dice = random.Random(seed)
made = 0
for _ in range(rounds):
    n = dice.randrange(12)
    def fill(out, n=n):
        global made
        made += 1
        for _ in range(10):
            out.write(bytes([n]) * 100)
    with cache.pinned(f"file {n}", 1000, fill) as path:
        time.sleep(dice.random() / 500)
        assert path.read_bytes() == bytes([n]) * 1000
print(made)
"""

SLOW = """
import sys, time
from pathlib import Path
from vidrag.store.storage.objects.cache import ObjectCache

def fill(out):
    out.write(b"x" * 500)
    out.flush()
    print("half", flush=True)
    time.sleep(60)

ObjectCache(Path(sys.argv[1])).path("one", 1000, fill)
"""


def of(data: bytes) -> Callable[[IO[bytes]], None]:
    def fill(out: IO[bytes]) -> None:
        out.write(data)

    return fill


def never(out: IO[bytes]) -> None:
    raise AssertionError("fetched again")


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "new" / "cache", 1000)
    path = cache.path("s3://b/k", 3, of(b"abc"))
    assert path.read_bytes() == b"abc"
    assert ObjectCache(cache.folder, 1000).path("s3://b/k", 3, never) == path
    with cache.pinned("s3://b/k", 3, never) as pinned:
        assert pinned == path
    cache.drop("s3://b/k")
    assert cache.path("s3://b/k", 3, of(b"xyz")).read_bytes() == b"xyz"
    assert cache.path("empty", 0, of(b"")).read_bytes() == b""


def test_threads_fetch_once_together(tmp_path: Path) -> None:
    cache, count = ObjectCache(tmp_path, 1000), []

    def fill(out: IO[bytes]) -> None:
        count.append(1)
        time.sleep(0.1)
        out.write(b"abc")

    threads = [threading.Thread(target=lambda: cache.path("k", 3, fill)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(count) == 1


@pytest.mark.parametrize("data", [b"ab", b"abcd"])
def test_what_came_wrong_is_never_seen(tmp_path: Path, data: bytes) -> None:
    """Too few or too many bytes, or an error on the way: nothing appears, nothing is left."""
    cache = ObjectCache(tmp_path, 1000)
    with pytest.raises(StorageError, match=r"bytes came instead of 3.*again"):
        cache.path("k", 3, of(data))

    def broken(out: IO[bytes]) -> None:
        out.write(b"abc")
        raise ConnectionError("gone")

    with pytest.raises(OSError, match="gone"):
        cache.path("k", 3, broken)
    assert files(tmp_path) == []
    assert cache.path("k", 3, of(b"abc")).read_bytes() == b"abc"


def test_a_truncated_copy_is_fetched_again(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, 1000)
    cache.path("k", 3, of(b"abc")).write_bytes(b"ab")
    assert cache.path("k", 3, of(b"abc")).read_bytes() == b"abc"


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, 30, spare_s=0)
    for name in "abc":
        cache.path(name, 10, of(name.encode() * 10))
        time.sleep(0.02)
    cache.path("a", 10, never)
    time.sleep(0.02)
    cache.path("d", 10, of(b"d" * 10))
    assert cache.used() == 30
    for name in "acd":
        cache.path(name, 10, never)
    with pytest.raises(AssertionError, match="fetched again"):
        cache.path("b", 10, never)


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    """Pinned files as long as they are, others for a while after they were asked for; then the bound holds again."""
    cache = ObjectCache(tmp_path, 10, spare_s=0)
    with cache.pinned("a", 10, of(b"a" * 10)) as path:
        cache.path("b", 10, of(b"b" * 10))
        assert path.read_bytes() == b"a" * 10
    cache.path("c", 10, of(b"c" * 10))
    assert cache.used() == 10 and not path.exists()
    patient = ObjectCache(tmp_path, 10, spare_s=60)
    kept = patient.path("c", 10, never)
    patient.path("d", 10, of(b"d" * 10))
    assert kept.read_bytes() == b"c" * 10
    cache.path("e", 10, of(b"e" * 10))
    assert cache.used() == 10


def test_a_lock_that_was_evicted_while_we_waited_is_not_ours(tmp_path: Path) -> None:
    """Who gets it looks whether it is still the lock of that name, else his pin would hold nothing."""
    cache = ObjectCache(tmp_path, 10, spare_s=0)
    path = cache.path("a", 10, of(b"a" * 10))
    name = path.with_name(path.name + ".lock")
    held = os.open(name, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    inside, done = threading.Event(), threading.Event()

    def user() -> None:
        with cache.pinned("a", 10, never):
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=user)
    thread.start()
    time.sleep(0.2)  # it waits for the lock
    name.unlink()
    os.close(held)
    assert inside.wait(10)
    cache.path("a", 10, never)
    cache.path("b", 10, of(b"b" * 10))
    assert path.exists()
    done.set()
    thread.join()


def test_a_file_that_is_open_outlives_its_eviction(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, 10, spare_s=0)
    with cache.path("a", 10, of(b"a" * 10)).open("rb") as f:
        cache.path("b", 10, of(b"b" * 10))
        assert f.read() == b"a" * 10


def test_a_video_larger_than_the_cache(tmp_path: Path) -> None:
    """Says what to raise, before anything is fetched."""
    cache = ObjectCache(tmp_path, 10)
    with pytest.raises(StorageError, match="VIDRAG_OBJECT_CACHE_MB"), cache.pinned("a", 11, never):
        pass


def test_processes_share_it(tmp_path: Path, child_env: dict[str, str]) -> None:
    """Many readers and evictions at once: every reader sees whole files, and the bound holds at the end."""
    users = [
        subprocess.Popen(
            [sys.executable, "-c", USER, str(tmp_path), str(n), "150"], env=child_env, stdout=subprocess.PIPE, text=True
        )
        for n in range(4)
    ]
    told = [u.communicate(timeout=100)[0] for u in users]
    assert [u.returncode for u in users] == [0] * 4
    assert 12 <= sum(int(t) for t in told) <= 600
    cache = ObjectCache(tmp_path, 5000, spare_s=0)
    cache.path("last", 1000, of(b"x" * 1000))
    assert cache.used() <= 5000
    assert not [p for p in files(tmp_path) if p.name.startswith(".tmp-")]


def test_a_killed_download_leaves_nothing_in_the_way(tmp_path: Path, child_env: dict[str, str]) -> None:
    """Its lock goes with it, its piece with the next download."""
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path)], env=child_env, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout and child.stdout.readline() == "half\n"
    cache = ObjectCache(tmp_path, 10_000)
    assert cache.used() == 1000  # room that is reserved
    child.kill()
    child.wait()
    assert cache.path("one", 1000, of(b"y" * 1000)).read_bytes() == b"y" * 1000
    assert len(files(tmp_path)) == 1


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """Before a byte is fetched, and without leaving a piece."""
    cache = ObjectCache(tmp_path, 1 << 60)
    with pytest.raises(StorageError, match=f"{tmp_path}.*(no space|too large|VIDRAG_CACHE)"):
        cache.path("a", 1 << 50, never)
    assert files(tmp_path) == []


def test_a_seed_is_a_copy(tmp_path: Path) -> None:
    """Of its own: the source may go or change."""
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    cache = ObjectCache(tmp_path / "cache", 100)
    cache.seed("k", source)
    source.write_bytes(b"xyz")
    assert cache.path("k", 3, never).read_bytes() == b"abc"
    cache.seed("other", tmp_path / "missing")
    assert len(files(cache.folder)) == 1


def test_names_do_not_matter(tmp_path: Path) -> None:
    """Whatever a key is called, its copy lies in the folder, and no two share one."""
    cache = ObjectCache(tmp_path, 1 << 20)
    names = ["../../x", "/etc/passwd", "a\nb", "ü" * 300, "\udcff", "a", "A", "-rf", ""]
    paths = {cache.path(n, 4, of(hashlib.md5(n.encode("utf-8", "surrogatepass")).digest()[:4])) for n in names}
    assert len(paths) == len(names) and {p.parent for p in paths} == {tmp_path}


def test_a_read_only_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file"):
        ObjectCache(tmp_path / "file" / "cache", 10).path("k", 1, of(b"x"))
