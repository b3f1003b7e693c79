"""Cache files: whatever is wrong with one costs time, never an answer."""

from __future__ import annotations

import logging
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from vidrag.store.storage.cache_db import CacheFile

TABLE = "CREATE TABLE IF NOT EXISTS things (key INTEGER PRIMARY KEY, value TEXT)"
GET, PUT = "SELECT value FROM things WHERE key=?", "INSERT OR REPLACE INTO things VALUES (?,?)"


def opened(path: Path | None) -> CacheFile:
    return CacheFile(path, TABLE, "things")


def filled(path: Path, rows: int = 2000) -> None:
    cache = opened(path)
    for i in range(rows):
        cache.put(PUT, (i, f"value {i} " * 20))
    cache.close()


def works(cache: CacheFile) -> None:
    cache.put(PUT, (-1, "new"))
    assert cache.find(GET, (-1,)) == ("new",)


def test_rows_are_kept(tmp_path: Path) -> None:
    filled(tmp_path / "cache" / "a.sqlite", 3)
    assert opened(tmp_path / "cache" / "a.sqlite").find(GET, (2,)) == ("value 2 " * 20,)
    assert opened(tmp_path / "cache" / "a.sqlite").find(GET, (3,)) is None


def test_without_a_file_it_lasts_as_long_as_the_process() -> None:
    works(opened(None))


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2 + 7]


def _noise(data: bytes) -> bytes:
    rng = random.Random(len(data))
    out = bytearray(data)
    for _ in range(len(data) // 40):
        out[rng.randrange(100, len(data))] = rng.randrange(256)
    return bytes(out)


@pytest.mark.parametrize(
    "damage",
    [lambda d: b"", lambda d: b"not a database " * 400, _cut, _noise, lambda d: bytes(100) + d[100:]],
    ids=["empty", "text", "cut", "noise", "no header"],
)
def test_a_damaged_file_is_dropped(
    damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is raised; afterwards the cache takes rows again, also those of the next process."""
    path = tmp_path / "a.sqlite"
    filled(path)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.INFO):
        cache = opened(path)
        for i in range(2000):
            found = cache.find(GET, (i,))
            assert found is None or isinstance(found, tuple)
        for i in range(300):
            cache.put(PUT, (i, "again"))
        works(cache)
        cache.close()
    works(opened(path))
    if damage is not _noise and path.stat().st_size:  # noise may hit nothing that was looked at
        assert "damaged" in caplog.text or damage(b"x" * 200) == b""


def test_another_table_of_that_name_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE things (colour TEXT)")
    other.commit()
    other.close()
    cache = opened(path)
    assert cache.find(GET, (1,)) is None
    works(cache)
    assert "damaged" in caplog.text


def test_a_text_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, and a key that SQLite cannot hold."""
    path = tmp_path / "a.sqlite"
    filled(path, 1)
    raw = sqlite3.connect(path)
    raw.execute("UPDATE things SET value = CAST(x'ff00fe' AS TEXT)")
    raw.commit()
    raw.close()
    cache = opened(path)
    assert cache.find(GET, (0,)) is None
    assert cache.find(GET, ("\udce9",)) is None
    cache.put(PUT, (1, "\udce9"))
    works(cache)


@pytest.mark.parametrize("kind", ["folder", "no parent"])
def test_a_place_that_cannot_be_written(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    if kind == "folder":
        path.mkdir()
    else:
        path.write_text("a file")
        path = path / "inner" / "a.sqlite"
    works(opened(path))


def test_a_file_that_is_locked_costs_no_row(tmp_path: Path) -> None:
    """Others may hold it for longer than one waits: what was asked is then not found, and not kept."""
    path = tmp_path / "a.sqlite"
    filled(path, 1)
    cache = opened(path)
    cache._db.execute("PRAGMA busy_timeout=50")
    holder = sqlite3.connect(path)
    holder.execute("BEGIN IMMEDIATE")
    cache.put(PUT, (7, "x"))
    assert cache.find(GET, (0,)) is not None
    holder.rollback()
    works(cache)
    assert path.exists() and opened(path).find(GET, (0,)) is not None


def test_threads_share_one(tmp_path: Path) -> None:
    cache, wrong = opened(tmp_path / "a.sqlite"), list[Any]()

    def work(n: int) -> None:
        for i in range(100):
            cache.put(PUT, (n * 1000 + i, str(i)))
            if cache.find(GET, (n * 1000 + i,)) != (str(i),):
                wrong.append((n, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


WRITER = """
import sys
from pathlib import Path
from vidrag.store.storage.cache_db import CacheFile

cache = CacheFile(Path(sys.argv[1]), sys.argv[2], "things")
for i in range(200):
    cache.put("INSERT OR REPLACE INTO things VALUES (?,?)", (int(sys.argv[3]) * 1000 + i, "x"))
cache.close()
"""


def test_processes_share_one(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    both = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), TABLE, str(n)]) for n in range(3)]
    assert [p.wait(60) for p in both] == [0, 0, 0]
    cache = opened(path)
    assert all(cache.find(GET, (n * 1000 + i,)) for n in range(3) for i in range(200))


def test_a_new_file_that_many_open_at_once(tmp_path: Path) -> None:
    """SQLite says "locked" at once, without waiting, to all but one of them."""
    for path in (tmp_path / f"{n}.sqlite" for n in range(40)):
        start = threading.Barrier(6)

        def open_it(_: int, path: Path = path, start: threading.Barrier = start) -> str:
            start.wait(60)
            cache = opened(path)
            (_, _, file) = cache._db.execute("PRAGMA database_list").fetchone()
            cache.close()
            return str(file)

        with ThreadPoolExecutor(6) as threads:
            assert set(threads.map(open_it, range(6))) == {str(path)}


def test_a_file_that_goes_bad_while_it_is_open(tmp_path: Path) -> None:
    """As another process would see it whose pages are not in memory."""
    path = tmp_path / "a.sqlite"
    filled(path)
    cache = opened(path)
    cache._db.execute("PRAGMA cache_size=2")
    data = path.read_bytes()
    with path.open("r+b") as f:
        f.seek(4096)
        f.write(b"\xff" * (len(data) - 4096))
    assert [cache.find(GET, (i,)) for i in range(1500, 1600)] == [None] * 100
    works(cache)
