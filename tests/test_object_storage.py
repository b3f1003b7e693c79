"""An archive in a bucket lives as one on a disk does: created, published by rivals, read, searched, discarded."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import pyarrow.parquet as pq
import pytest
from fault_proxy import FaultProxy
from store_tools import JPEGS, SPEC, SPEECH, TEXT, publish_all, publish_speech, source
from test_store_publish import EACH, race
from vidrag.ingest.pipeline import Outcome
from vidrag.jobs.export import to_archive
from vidrag.jobs.library import Library
from vidrag.jobs.runs.ledger import Ledger, close
from vidrag.store.archive import maintenance
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import (
    ArchiveDamaged,
    NoSuchVideo,
    NotAnArchive,
    OptionError,
    StorageError,
    UsageError,
    VidragError,
)
from vidrag.store.storage.objects import backend as object_backend
from vidrag.store.storage.objects.access import ObjectOptions
from vidrag.store.storage.objects.backend import ObjectBackend
from vidrag.store.storage.objects.cache import ObjectCache
from vidrag.store.storage.objects.client import ObjectInfo

VIDEO = source().sha256[:16]

DRIVER = """
import sys, time
from vidrag.store.storage.objects.backend import ObjectBackend

journal = ObjectBackend(sys.argv[1], journal_s=0.2).journal("runs/r.jsonl")
journal.write(b"one\\n")
journal.sync()
time.sleep(0.5)
journal.write(b"two\\n")
print("written", flush=True)
time.sleep(60)
"""


@pytest.fixture
def place(bucket: str) -> str:
    return f"{bucket}/folder/archive"


def test_a_question_fetches_what_it_reads(
    place: str, sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that has never seen the archive: rows and vectors, a few small files, and no picture."""
    local = Archive.open(sample_archive)
    to_archive(local, local.ids(), place)
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        monkeypatch.setenv("VIDRAG_OBJECT_CACHE_MB", "1000")
        for name in ("objects", "manifests"):
            shutil.rmtree(Path(os.environ["VIDRAG_CACHE"]) / name, ignore_errors=True)
        library = Library(place)
        answer = library.asker.ask("Where are the lockers?", videos=["sample.mp4"])
        read = [r.key.rpartition("/")[2].partition("-")[0] for r in proxy.seen if r.method == "GET" and r.lists is None]
        fetched, requests = proxy.sent, len(proxy.seen)
    assert "blue staircase" in answer.text
    files = [f for c in local.shard(local.ids()[0]).status().values() for f in c.files]
    rows = sum(f.bytes for f in files if f.kind != "pictures.mjpeg")
    print(f"{fetched} bytes of {rows}, {requests} requests: {read}")

    assert "pictures" not in read and fetched <= 1.2 * rows and requests <= 12


def test_made_filled_read_and_searched(place: str) -> None:
    """By one process, then by another that has nothing in memory or cache."""
    archive = Archive.create(f"{place}/")
    assert archive.location == place
    assert Archive.create(place).ids() == []
    made = publish_all(archive, source("talk.mp4"))
    fresh = Archive.open(place)
    fresh.backend._cache = ObjectCache(Path(os.environ["VIDRAG_CACHE"]) / "another")  # type: ignore[attr-defined]
    shard = fresh.shard(VIDEO)
    assert shard.manifest == made and fresh.ids() == [VIDEO]
    assert shard.speech == SPEECH and shard.text == TEXT and shard.jpeg(3) == JPEGS[3]
    vectors = shard.vectors("frames", SPEC)
    assert vectors is not None and vectors.vectors().shape == (5, SPEC.dim)
    assert fresh.find("talk.mp4") == fresh.find("talk") == fresh.find(VIDEO[:5]) == VIDEO
    with pytest.raises(NoSuchVideo):
        fresh.find("other.mp4")


def test_two_writers_both_get_through(place: str, child_env: dict[str, str]) -> None:
    """Each number once, nothing lost, under real concurrent conditional requests."""
    archive = Archive.create(place)
    told = race(place, child_env)  # type: ignore[arg-type]
    assert sorted(v for writer in told for v, _ in writer) == list(range(1, 2 * EACH + 1))
    newest = Archive.open(place).manifest(VIDEO)
    assert newest is not None and newest.version == 2 * EACH
    assert {c.fingerprint for c in newest.cells} == {f"{d}{i:015d}" for d in "ab" for i in range(EACH)}
    assert set(newest.source.names) == {"a.mp4", "b.mp4"}
    assert not [e for e in archive.backend.entries(f"videos/{VIDEO}") if e.name.startswith(".tmp-")]


def test_a_reader_keeps_its_version(place: str) -> None:
    archive = Archive.create(place)
    publish_speech(archive, source(), "1" * 16, "old")
    held = Archive.open(place).shard(VIDEO)
    publish_speech(archive, source(), "2" * 16, "new")
    assert held.speech[0].text == "old"
    assert Archive.open(place).shard(VIDEO).speech[0].text == "new"


def test_discarding(place: str) -> None:
    """Nothing of it stays but the version that says so, and it can come back."""
    archive = Archive.create(place)
    publish_all(archive, source())
    assert archive.discard(VIDEO) is True
    assert Archive.open(place).ids() == [] and archive.discard(VIDEO) is False
    assert archive.backend.list(f"videos/{VIDEO}") == ["manifest-000002.json"]
    assert publish_speech(archive, source()).version == 3
    assert Archive.open(place).shard(VIDEO).speech[0].text == "hello"


def test_publishing_again_changes_nothing(place: str) -> None:
    archive = Archive.create(place)
    made = publish_all(archive, source())
    before = [(e.name, e.bytes) for e in archive.backend.entries(f"videos/{VIDEO}")]
    assert publish_all(archive, source()) == made
    assert [(e.name, e.bytes) for e in archive.backend.entries(f"videos/{VIDEO}")] == before


def test_damage_is_named_and_mended(place: str) -> None:
    """Damage in the bucket is the archive's; damage of a local copy is fetched again and never told."""
    archive = Archive.create(place)
    publish_speech(archive, source())
    backend = ObjectBackend(place)
    (name,) = backend.list(f"videos/{VIDEO}", "speech-")
    key = f"videos/{VIDEO}/{name}"
    copy = backend.local_path(key)
    copy.write_bytes(copy.read_bytes()[:-1] + b"?")
    assert Archive.open(place).shard(VIDEO).speech[0].text == "hello"
    good = backend.read(key)
    backend.objects.put(f"folder/archive/{key}", good[:-1] + b"?")
    assert Archive.open(place).shard(VIDEO).speech[0].text == "hello"  # from the copy, which is as good as it was
    elsewhere = ObjectCache(Path(os.environ["VIDRAG_CACHE"]) / "another")
    with pytest.raises(ArchiveDamaged, match=r"s3://.*speech-.*differ"):
        Archive(ObjectBackend(place, cache=elsewhere)).shard(VIDEO).speech  # noqa: B018
    publish_speech(Archive.open(place), source())
    assert Archive.open(place).shard(VIDEO).speech[0].text == "hello" and backend.read(key) == good
    backend.delete(key)
    assert backend.cache.find(backend.objects.url(f"folder/archive/{key}")) is None
    with pytest.raises(ArchiveDamaged, match=r"s3://.*speech-.*no such object"):
        Archive.open(place).shard(VIDEO).speech  # noqa: B018


def test_a_file_is_fetched_once(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at all by who wrote it, once by every other process of the machine together."""
    got: list[str] = []
    true = object_backend.Objects.download
    monkeypatch.setattr(
        object_backend.Objects, "download", lambda self, info, out: (got.append(info.key), true(self, info, out))[1]
    )
    publish_speech(Archive.create(place), source())
    assert Archive.open(place).shard(VIDEO).speech and Archive.open(place).shard(VIDEO).speech
    assert got == []
    other = ObjectCache(Path(os.environ["VIDRAG_CACHE"]) / "another")
    for _ in range(2):
        assert Archive(ObjectBackend(place, cache=other)).shard(VIDEO).speech
    assert len(got) == 1


def test_reading_everything_takes_few_requests(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One listing for all videos and one manifest each; nothing for files of which there are copies."""
    archive = Archive.create(place)
    videos = [source(f"{n}.mp4", str(n).encode()) for n in range(12)]
    for of in videos:
        publish_speech(archive, of, text=of.names[0])
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        reader = Archive.open(place)
        proxy.heal()
        assert sorted(s.speech[0].text for s in reader.shards()) == sorted(of.names[0] for of in videos)
        assert len(proxy.seen) == 12 + len([r for r in proxy.seen if r.lists is not None])
        assert len([r for r in proxy.seen if r.lists is not None]) <= 2
        proxy.heal()
        assert len(list(reader.shards())) == 12 and len(proxy.seen) <= 2


def test_a_manifest_is_read_once_and_never_stale(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By any process of a machine; one that comes under a number that was in use before is another, a bad copy none."""
    archive = Archive.create(place)
    publish_speech(archive, source(), text="first")
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)

        def read() -> int:
            proxy.heal()
            (shard,) = Archive.open(place).shards()
            assert shard.speech[0].text == text
            return len([r for r in proxy.seen if r.method == "GET" and "manifest" in r.key and r.lists is None])

        text = "first"
        assert [read(), read()] == [1, 0]
        (kept,) = Path(os.environ["VIDRAG_CACHE"], "manifests").glob("*.sqlite")
        raw = sqlite3.connect(kept)
        raw.execute("UPDATE manifests SET data = substr(data, 1, 50)")
        raw.commit()
        raw.close()
        assert [read(), read()] == [1, 0]
        archive.discard(VIDEO)
        maintenance.collect(Archive.open(place), 0.0)
        assert archive.backend.list(f"videos/{VIDEO}") == []
        text = "second"
        assert publish_speech(Archive.open(place), source(), text=text).version == 1
        assert [read(), read()] == [1, 0]


def test_times_of_listings_may_be_finer_than_those_of_replies() -> None:
    """MinIO lists milliseconds; the header of a reply has none."""
    listed = ObjectInfo("k", 5, '"tag"', 1700000000.123)
    assert ObjectInfo("k", 5, '"tag"', 1700000000.0).same_as(listed)
    assert not ObjectInfo("k", 5, '"other"', 1700000000.123).same_as(listed)
    assert ObjectInfo("k", 5, "", 1700000000.0).same_as(ObjectInfo("k", 5, "", 1700000000.9))
    assert not ObjectInfo("k", 5, "", 1700000001.0).same_as(ObjectInfo("k", 5, "", 1700000000.9))


def test_what_is_remembered_of_a_listing_ends_with_the_next_write(place: str) -> None:
    """Our own at once, others' after a moment; a writer that counted on it gets through all the same."""
    archive, rival = Archive.create(place), Archive.create(place)
    publish_speech(archive, source(), "1" * 16, "old")
    assert archive.ids() == [VIDEO]
    assert publish_speech(archive, source(), "2" * 16, "new").version == 2
    assert archive.ids() == [VIDEO] and archive.shard(VIDEO).speech[0].text == "new"
    publish_speech(rival, source(), "3" * 16, "rival")
    assert archive.shard(VIDEO).manifest.version in (2, 3)
    assert publish_speech(archive, source(), "4" * 16, "last").version == 4
    publish_speech(rival, source("other.mp4", b"other"))
    archive.backend._listed = (time.monotonic() - 6, {})  # type: ignore[attr-defined]
    assert len(archive.ids()) == 2


def outcome(stage: str) -> Outcome:
    return Outcome(VIDEO, "/films/talk.mp4", stage, "f" * 16, "ok", rows=3)


def test_the_ledger(place: str) -> None:
    """A run's rows become its table; the journal goes."""
    archive = Archive.create(place)
    with Ledger(archive, "20260101-000000-abcd") as ledger:
        ledger.add([outcome("speech"), outcome("text")])
    assert archive.backend.list("runs") == ["20260101-000000-abcd.parquet"]
    rows = pq.read_table(archive.backend.local_path("runs/20260101-000000-abcd.parquet")).to_pylist()
    assert [(r["stage"], r["rows"]) for r in rows] == [("speech", 3), ("text", 3)]


def test_the_ledger_of_a_killed_run(place: str) -> None:
    """What was synced is there, and becomes a table when somebody closes the run."""
    archive = Archive.create(place)
    ledger = Ledger(archive, "r", sync_s=0)
    ledger._journal._every_s = 0.0  # type: ignore[attr-defined]
    ledger.add([outcome("speech")])
    close(Archive.open(place), "r")
    assert archive.backend.list("runs") == ["r.parquet"]


def test_a_journal_after_a_kill(place: str, child_env: dict[str, str]) -> None:
    """Lines wait at most their time, then they are there even if nobody syncs again; later ones may be lost."""
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, place], env=child_env, stdout=subprocess.PIPE, text=True)
    assert driver.stdout and driver.stdout.readline() == "written\n"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert ObjectBackend(place).read_journal("runs/r.jsonl") == b"one\n"


def test_a_journal_makes_few_objects(place: str) -> None:
    """A night of one line a second is not a night of one object a second."""
    backend = ObjectBackend(place, journal_s=0.3)
    journal = backend.journal("runs/r.jsonl")
    began = time.monotonic()
    lines = 0
    while time.monotonic() - began < 1.0:
        journal.write(b"line\n")
        journal.sync()
        lines += 1
    journal.close()
    assert backend.read_journal("runs/r.jsonl") == b"line\n" * lines
    assert 3 <= len(list(backend.entries("runs/r.jsonl"))) <= 6 < lines


def message(place: str, **env: str) -> str:
    """What ``Archive.create`` says in this environment; one line without secrets."""
    made = {**os.environ, "VIDRAG_OBJECT_ATTEMPTS": "2", "VIDRAG_OBJECT_TIMEOUT": "1", "HOME": "/nonexistent", **env}
    there = {k: v for k, v in made.items() if v}
    with mock.patch.dict(os.environ, there, clear=True), pytest.raises(VidragError) as caught:
        Archive.create(place)
    told = f"{type(caught.value).__name__} {caught.value}"
    assert "\n" not in told and made["AWS_SECRET_ACCESS_KEY"] not in told.split()
    return told


def test_what_is_wrong_is_said_in_one_line(bucket: str, tmp_path: Path) -> None:
    """Each names the address and what to do, and none shows a secret."""
    assert "there is no bucket 'nowhere'" in message("s3://nowhere/a")
    assert "nobody answers there; check AWS_ENDPOINT_URL" in message(bucket, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert "nobody answers" in message(bucket, AWS_ENDPOINT_URL="https://s3.invalid")
    assert "AWS_ALLOW_HTTP" in message(bucket, AWS_ENDPOINT_URL="http://s3.invalid")
    assert "no credentials" in message(bucket, AWS_ACCESS_KEY_ID="")
    assert "no such profile" in message(bucket, AWS_PROFILE="nope")
    assert "unknown kind of address 'ftp://'" in message("ftp://x/y")
    assert "names no bucket" in message("s3:///y")
    assert "'..' part" in message(f"{bucket}/a/../b")
    assert "VIDRAG_OBJECT_ATTEMPTS=many" in message(bucket, VIDRAG_OBJECT_ATTEMPTS="many")
    with mock.patch.dict(os.environ, VIDRAG_OBJECT_CACHE_MB="-1"), pytest.raises(OptionError, match="CACHE_MB=-1"):
        ObjectCache()


@pytest.mark.parametrize(
    "status, code, said",
    [
        (403, "AccessDenied", "access denied"),
        (403, "InvalidAccessKeyId", "credentials are not valid"),
        (403, "SignatureDoesNotMatch", "credentials are not valid"),
        (401, "", "asks for credentials"),
        (301, "PermanentRedirect", "another region"),
        (400, "AuthorizationHeaderMalformed", "another region"),
        (503, "SlowDown", "failed with 503 SlowDown"),
    ],
)
def test_what_servers_refuse(bucket: str, status: int, code: str, said: str) -> None:
    """Replies that moto's server does not give, from a server that gives nothing else."""

    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            body = f"<Error><Code>{code}</Code><StringToSign>test-secret</StringToSign></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        told = message(f"{bucket}/a", AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
    assert told.startswith(f"StorageError {bucket}/a/archive.json: ") and said in told and "StringToSign" not in told


def test_profile_files(bucket: str, tmp_path: Path) -> None:
    """Keys, region and endpoint come from the files of the profile that is named."""
    (tmp_path / "credentials").write_text(
        "[other]\naws_access_key_id = k\naws_secret_access_key = s\n[default]\naws_access_key_id = k\n"
        "aws_secret_access_key = s\n"
    )
    (tmp_path / "config").write_text(
        f"[profile other]\nendpoint_url = {os.environ['AWS_ENDPOINT_URL']}\nregion=eu-west-1\n"
    )
    files = {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL": "",
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
    }
    code = "import sys; from vidrag.store.archive.archive import Archive; print(Archive.create(sys.argv[1]).ids())"
    env = {k: v for k, v in {**os.environ, **files, "AWS_PROFILE": "other"}.items() if v}
    done = subprocess.run([sys.executable, "-c", code, f"{bucket}/a"], env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_without_the_package(bucket: str) -> None:
    """One line that says how to get it."""
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from vidrag.store.archive.archive import Archive\n"
        "try: Archive.open('s3://b/a')\n"
        "except Exception as e: print(type(e).__name__, e.exit_code, e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "EngineMissing 5 object storage needs the package obstore; get it with: pip install 'vidrag[objects]'\n"
    )


def test_an_archive_needs_a_place(bucket: str) -> None:
    backend = ObjectBackend(bucket, ObjectOptions(attempts=1, backoff_s=0))
    backend.put_if_absent("holiday.mp4", b"x")
    with pytest.raises(NotAnArchive, match="other things"):
        Archive.create(bucket)
    with pytest.raises(NotAnArchive, match="no such archive"):
        Archive.open(f"{bucket}/nothing")
    with pytest.raises(NotAnArchive, match="archive.json"):
        Archive.open(bucket)
    with pytest.raises(UsageError, match="empty"):
        Archive.open(f"{bucket}/a//b")
    assert json.loads(ObjectBackend(Archive.create(f"{bucket}/new").location).read("archive.json"))["format"] == 1


def test_a_right_that_is_missing_is_a_storage_error(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing into a bucket that has gone says so."""
    backend = ObjectBackend("s3://gone/a", ObjectOptions(attempts=1))
    for write in (lambda: backend.put_if_absent("k", b""), lambda: backend.mark("k"), backend.check_writable):
        with pytest.raises(StorageError, match="there is no bucket 'gone'"):
            write()
