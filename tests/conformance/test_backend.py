"""What every backend promises, asked of a local disk and of an S3 server alike."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from store_tools import at_a_barrier
from vidrag.store.errors import NotAnArchive, StorageError
from vidrag.store.storage.keys import SCRATCH as BEGINS
from vidrag.store.storage.keys import is_scratch
from vidrag.store.storage.local import LocalBackend
from vidrag.store.storage.open import open_backend
from vidrag.store.storage.protocol import Backend

SCRATCH = f"{BEGINS}{'a' * 16}"
FOLDER = f"videos/{'b' * 16}"
MANIFEST = f"{FOLDER}/manifest-000001.json"
RUN = "runs/20260101-000000-ab.jsonl"

CREATOR = """
import json, sys
from vidrag.store.storage.keys import SCRATCH as BEGINS
from vidrag.store.storage.keys import is_scratch
from vidrag.store.storage.open import open_backend
from vidrag.store.storage.keys import is_scratch
from vidrag.store.storage.keys import is_scratch

backend = open_backend(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([backend.put_if_absent(f"race/{i}", f"{sys.argv[2]} {i}".encode()) for i in range(20)]))
"""


@pytest.fixture(params=["local", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an archive could be made."""
    if request.param == "local":
        return str(tmp_path / "archive")
    return f"{request.getfixturevalue('bucket')}/some where/archive"


@pytest.fixture
def backend(location: str) -> Backend:
    made = open_backend(location)
    made.check_root(empty=True)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    """A finished file with given bytes."""

    def make(data: bytes) -> Path:
        path = tmp_path / f"file-{os.urandom(4).hex()}"
        path.write_bytes(data)
        return path

    return make


def test_what_is_not_there(backend: Backend) -> None:
    """Nothing is an error but reading it."""
    for call in (backend.read, backend.local_path, backend.read_journal):
        with pytest.raises(FileNotFoundError):
            assert call("a/b").read_bytes()  # type: ignore[union-attr]
    assert backend.size("a/b") is None
    assert backend.list("a") == backend.list("a", "b") == list(backend.entries("a")) == []
    assert backend.delete(MANIFEST) and backend.delete(MANIFEST, dry_run=True) and backend.set_aside(MANIFEST)
    assert backend.size(f"quarantine/{MANIFEST}") is None


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 50_000], ids=["empty", "small", "13 MB"])
def test_a_file_comes_back(backend: Backend, file: Callable[[bytes], Path], data: bytes) -> None:
    """Whole, by every way of reading; the source is left alone."""
    source = file(data)
    assert backend.put_file("v/one.bin", source) is True
    assert backend.read("v/one.bin") == data == source.read_bytes()
    assert backend.size("v/one.bin") == len(data)
    assert backend.local_path("v/one.bin").read_bytes() == data
    assert backend.local_path("v/one.bin", fresh=True).read_bytes() == data
    assert backend.list("v") == ["one.bin"]


def test_a_name_is_given_once(backend: Backend, file: Callable[[bytes], Path]) -> None:
    """Neither way in replaces what is there."""
    assert backend.put_if_absent("a/b", b"first") is True
    assert backend.put_if_absent("a/b", b"second") is False
    assert backend.put_if_absent("a/b", b"first") is False
    assert backend.put_file("a/b", file(b"third")) is False
    assert backend.put_file("a/b", file(b"a longer one")) is False
    assert backend.read("a/b") == b"first"
    assert backend.put_file("a/c", file(b"first")) is True
    assert backend.put_file("a/c", file(b"first")) is False
    assert backend.read("a/c") == b"first"


def test_a_name_is_given_to_one_of_two_processes(backend: Backend, location: str, child_env: dict[str, str]) -> None:
    """At a barrier: for each name exactly one is told that it was first, and its bytes are there."""
    command = [sys.executable, "-c", CREATOR, location]
    told = at_a_barrier(command, child_env)
    for i in range(20):
        assert told[0][i] != told[1][i]
        assert backend.read(f"race/{i}") == f"{'a' if told[0][i] else 'b'} {i}".encode()


def test_threads_share_a_backend(backend: Backend) -> None:
    wins: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: wins.append(backend.put_if_absent("k", str(n).encode()))) for n in range(8)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(wins) == [False] * 7 + [True]


def test_names_are_listed(backend: Backend) -> None:
    """Directly below a folder, files and folders once each, sorted; by their beginnings, too."""
    for key in ("f/b", "f/a-1", "f/a-2", "f/a", "f/ab/deep/er", "f/ab/x", "f/a~", "f/.hidden", "g/a-3", "fa", "f/A-1"):
        backend.put_if_absent(key, b"")
    backend.put_if_absent(f"f/{BEGINS}left", b"")
    assert backend.list("f") == sorted([".hidden", "A-1", "a", "a-1", "a-2", "ab", "a~", "b"])
    assert backend.list("f", "a") == ["a", "a-1", "a-2", "ab", "a~"]
    assert backend.list("f", "a-") == ["a-1", "a-2"]
    assert backend.list("f", "ab") == ["ab"]
    assert backend.list("f", "b") == ["b"]
    assert backend.list("f", ".h") == [".hidden"]
    assert backend.list("f", "zz") == backend.list("f/a") == []
    assert backend.list("") == ["f", "fa", "g"]
    assert backend.list("f/ab/deep") == ["er"]


@pytest.mark.parametrize("name", ["with space", "ü+%20#?&=", "🎬", "-dash", "x" * 200])
def test_odd_names(backend: Backend, name: str) -> None:
    assert backend.put_if_absent(f"n/{name}", b"x") is True
    assert backend.list("n") == backend.list("n", name[0]) == backend.list("n", name) == [name]
    assert backend.read(f"n/{name}") == b"x"
    with pytest.raises(StorageError, match="not a name that vidrag writes"):
        backend.delete(f"n/{name}")
    assert backend.list("n") == [name]


def test_more_names_than_a_page(backend: Backend) -> None:
    """Servers give only so many names in one reply."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: backend.put_if_absent(f"many/{i:04d}", b""), range(205)))
    assert backend.list("many") == [f"{i:04d}" for i in range(205)]
    assert backend.list("many", "01") == [f"{i:04d}" for i in range(100, 200)]
    assert len(backend.entries("many")) == 205


def test_marks(backend: Backend) -> None:
    backend.mark("v/try-x")
    backend.mark("v/try-x")
    assert backend.size("v/try-x") == 0 and backend.list("v") == ["try-x"]


def test_setting_aside(backend: Backend) -> None:
    """What was at the new place is replaced."""
    for data in (b"one", b"two"):
        backend.put_if_absent(MANIFEST, data)
        assert backend.set_aside(MANIFEST)
        assert backend.read(f"quarantine/{MANIFEST}") == data and backend.size(MANIFEST) is None
    assert backend.set_aside(MANIFEST)
    assert backend.read(f"quarantine/{MANIFEST}") == b"two"
    with pytest.raises(StorageError, match="not a name that vidrag writes"):
        backend.set_aside("archive.json")


def test_entries_tell_size_and_age(backend: Backend) -> None:
    """Leftovers too, which can be deleted; a dry run only says so."""
    backend.put_if_absent(f"{FOLDER}/a", b"12345")
    backend.put_if_absent(f"{FOLDER}/{SCRATCH}", b"1")
    backend.put_if_absent(f"{FOLDER}/inner/x", b"1")
    found = {e.name: e for e in backend.entries(FOLDER)}
    assert sorted(found) == sorted(["a", SCRATCH, "inner"])
    assert found["a"].bytes == 5 and not found["a"].folder and found["inner"].folder
    assert all(-0.1 <= e.age_s < 60 for e in found.values())
    assert [n for n in found if is_scratch(n)] == [SCRATCH]
    assert backend.delete(f"{FOLDER}/{SCRATCH}", dry_run=True)
    assert backend.size(f"{FOLDER}/{SCRATCH}") == 1
    assert backend.delete(f"{FOLDER}/{SCRATCH}")
    assert [e.name for e in backend.entries(FOLDER)] == ["a", "inner"]
    assert not [e for e in backend.entries("") if is_scratch(e.name)]


def test_other_things_in_a_scratch_folder_stay(backend: Backend) -> None:
    backend.put_if_absent(f"{FOLDER}/{SCRATCH}/film.mp4", b"film")
    assert not backend.delete(f"{FOLDER}/{SCRATCH}", dry_run=True) and not backend.delete(f"{FOLDER}/{SCRATCH}")
    assert backend.read(f"{FOLDER}/{SCRATCH}/film.mp4") == b"film"


def test_putting_a_file_again_makes_it_young(backend: Backend, file: Callable[[bytes], Path]) -> None:
    """So that a sweep that goes by age spares what a writer counts on."""
    import time

    source = file(b"data")
    backend.put_file("v/a", source)
    time.sleep(2.1)
    before = backend.entries("v")[0].age_s
    assert before >= 1
    assert backend.put_file("v/a", source) is False
    assert backend.entries("v")[0].age_s < before


def test_scratch_is_private_and_goes(backend: Backend) -> None:
    with backend.scratch(FOLDER) as one, backend.scratch(FOLDER) as two:
        assert one != two and one.is_dir()
        (one / "speech").write_bytes(b"x")
        backend.put_file(f"{FOLDER}/f", one / "speech")
        assert backend.list(FOLDER) == ["f"]
    assert not one.exists() and not two.exists()
    assert backend.read(f"{FOLDER}/f") == b"x"


def test_a_journal(backend: Backend) -> None:
    """What was synced or closed can be read; a second one of that name cannot be begun."""
    journal = backend.journal(RUN)
    assert backend.read_journal(RUN) == b""
    with pytest.raises(StorageError):
        backend.journal(RUN)
    for i in range(100):
        journal.write(f"{i}\n".encode())
        journal.sync()
    journal.write(b"last\n")
    journal.sync()
    journal.close()
    assert backend.read_journal(RUN) == "".join(f"{i}\n" for i in range(100)).encode() + b"last\n"
    assert backend.list("runs") == ["20260101-000000-ab.jsonl"]
    backend.delete_journal(RUN)
    assert backend.list("runs") == []
    backend.delete_journal(RUN)


def test_the_root(location: str) -> None:
    """Nothing there is no archive, but one can be made; other things are left alone."""
    backend = open_backend(location)
    with pytest.raises(NotAnArchive, match="no such archive.*vidrag ingest"):
        backend.check_root(empty=False)
    backend.check_root(empty=True)
    backend.check_writable()
    assert list(backend.entries("")) == []
    backend.put_if_absent(SCRATCH, b"")
    backend.check_root(empty=True)
    backend.put_if_absent("holiday.mp4", b"x")
    backend.check_root(empty=False)
    with pytest.raises(NotAnArchive, match="other things"):
        backend.check_root(empty=True)
    with pytest.raises(NotAnArchive, match="is (a file|an object)"):
        open_backend(f"{location}/holiday.mp4").check_root(empty=True)


@pytest.mark.long
def test_a_stamp_changes_with_what_is_in_the_folder(backend: Backend) -> None:
    """Where there is one: none just after a change, the same while nothing happens, another after anything has."""
    backend.put_if_absent(MANIFEST, b"1")
    assert backend.stamp(FOLDER) is None
    assert backend.stamp("nowhere") is None
    if isinstance(backend, LocalBackend):
        time.sleep(2.1)
        before = backend.stamp(FOLDER)
        assert before is not None and before == backend.stamp(FOLDER)
        for change in (lambda: backend.put_if_absent(f"{FOLDER}/two", b"2"), lambda: backend.delete(MANIFEST)):
            change()
            assert backend.stamp(FOLDER) is None
            time.sleep(2.1)
            assert backend.stamp(FOLDER) not in (None, before)
            before = backend.stamp(FOLDER)
