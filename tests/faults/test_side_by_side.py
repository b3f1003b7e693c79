"""Readers, writers and collections side by side; other clocks; archives of the first version."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_tools import publish_speech, source
from vidrag.store.archive import maintenance
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import ArchiveDamaged

VIDEO = source().sha256[:16]

WRITER = """
import sys
from store_tools import publish_speech, source
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import StorageError
archive = Archive.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for i in range(int(sys.argv[2])):  # the same three results in turn, so that files that were collected come again
    try:
        publish_speech(archive, source(), f"{i % 3}" * 16, f"says {i % 3}")
    except StorageError as e:  # without a grace period even a private folder may go
        assert sys.argv[3] == "0.0" and "No such file" in str(e), e
print("done", flush=True)
"""

COLLECTOR = """
import sys, threading
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.maintenance import collect
archive, rounds = Archive.open(sys.argv[1]), 0
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
print("ready", flush=True)
while not stop.is_set():
    collect(archive, float(sys.argv[2]))
    rounds += 1
print(rounds, flush=True)
"""


def child(code: str, env: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=env, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert started.stdout and started.stdout.readline() == "ready\n"
    return started


@pytest.mark.parametrize("grace", [0.0, 60.0])
def test_readers_while_a_writer_and_gc_work(grace: float, archive: Archive, child_env: dict[str, str]) -> None:
    """A reader sees one of the versions, whole.  Only without a grace period may what it has opened be gone: then it is
    told so.  So is a writer whose private folder goes; its files may be collected under its hands without a word.
    """
    publish_speech(archive, source(), "0" * 16, "says 0")
    collector = child(COLLECTOR, child_env, archive.location, grace)
    writers = [child(WRITER, child_env, archive.location, 60, grace) for _ in range(2)]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    seen, lost = dict[str, int](), 0
    while any(w.poll() is None for w in writers):
        reader = Archive.open(archive.location)
        try:
            (row,) = reader.shard(VIDEO).speech
        except ArchiveDamaged as e:
            assert grace == 0.0, e
            lost += 1
            continue
        seen[row.text] = seen.get(row.text, 0) + 1
    for writer in writers:
        told, trouble = writer.communicate(timeout=60)
        assert (told, trouble[-3000:]) == ("done\n", "")
    rounds, trouble = collector.communicate("stop\n", timeout=60)
    assert trouble.count("Traceback") == 0
    print(f"grace {grace:g}: {int(rounds)} collections, read {seen}, lost {lost}")
    assert set(seen) <= {"says 0", "says 1", "says 2"} and seen and int(rounds) > 3
    fresh = Archive.open(archive.location)
    publish_speech(fresh, source(), "2" * 16, "says 2")
    assert fresh.shard(VIDEO).speech[0].text == "says 2"
    maintenance.collect(fresh, grace)  # with it go old results whose files a collection took while one was published
    assert [d for c in maintenance.verify(fresh, [VIDEO], 1) for d in c.damage] == []


def test_a_clock_that_goes_backwards(archive: Archive) -> None:
    """Files of the newer version are years older than those before: the number decides, for readers and for gc."""
    publish_speech(archive, source(), "1" * 16, "old")
    publish_speech(archive, source(), "2" * 16, "new")
    folder, now = Path(archive.location) / "videos" / VIDEO, time.time()
    for path in folder.iterdir():
        is_new = "000002" in path.name or "2" * 16 in path.name
        os.utime(path, (now - 1e9, now - 1e9) if is_new else (now + 1e9, now + 1e9))
    assert Archive.open(archive.location).shard(VIDEO).speech[0].text == "new"
    maintenance.collect(Archive.open(archive.location), 3600)  # nothing is older than its change of times
    assert Archive.open(archive.location).shard(VIDEO).speech[0].text == "new"
    publish_speech(archive, source(), "3" * 16, "newest")
    found = Archive.open(archive.location).shard(VIDEO)
    assert (found.speech[0].text, found.manifest.version) == ("newest", 3)
    assert maintenance.collect(Archive.open(archive.location), 0).keys
    assert Archive.open(archive.location).shard(VIDEO).speech[0].text == "newest"


def test_an_archive_of_the_first_version_is_read(archive: Archive) -> None:
    """Without a catalogue of names, and with manifests that know nothing of removals."""
    made = publish_speech(archive, source("first.mp4"))
    root = Path(archive.location)
    (root / "archive.json").write_text(json.dumps({"format": 1, "created_by": "vidrag 0.0.1", "created": "2025"}))
    for path in sorted((root / "names").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    body = json.loads(made.encode())
    del body["deleted"], body["checksum"]
    from test_store_manifest import signed

    (root / "videos" / VIDEO / "manifest-000001.json").write_bytes(signed(body))
    opened = Archive.open(root)
    assert opened.shard(opened.find("first.mp4")).speech[0].text == "hello"
    assert dataclasses.replace(opened.shard(VIDEO).manifest) == made
    assert publish_speech(opened, source("second.mp4"), "2" * 16).version == 2
    assert opened.find("second.mp4") == opened.find("first.mp4") == VIDEO
