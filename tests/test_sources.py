"""Where videos come from: disk and object storage give the same local files, and notice when a source changes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy
from media_files import with_tone
from vidrag.ingest import media, sources
from vidrag.ingest.listing import listed
from vidrag.ingest.pipeline import identity_of
from vidrag.ingest.sources import Found, Location, Opened
from vidrag.jobs.runs.plan import Item
from vidrag.jobs.runs.scheduler import content
from vidrag.store.errors import MediaError, NotAVideo, SourceChanged, StorageError, UsageError
from vidrag.store.storage.objects.cache import ObjectCache
from vidrag.store.storage.objects.client import Objects
from world import World

MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp41"
Put = Callable[[str, bytes], str]


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    """Connections are kept for the life of a process; here the address changes from test to test."""
    sources.objects_of.cache_clear()


@pytest.fixture(params=["local", "s3"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Put:
    """Writes a source, anew where it is there, and tells its address; "" is the folder of all."""
    if request.param == "local":

        def write(name: str, data: bytes) -> str:
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name:
                path.write_bytes(data)
            return str(path)

        return write
    bucket = request.getfixturevalue("bucket")
    objects = Objects("s3", bucket.partition("://")[2])

    def send(name: str, data: bytes) -> str:
        if name:
            objects.put(f"in/{name}", data)
        return f"{bucket}/in/{name}"

    return send


def names(found: list[Found]) -> list[str]:
    return sorted(f.location.name for f in found)


def test_a_source_is_a_local_file_while_it_is_used(put: Put) -> None:
    """With its name and content, whatever they are."""
    for name, data in (("a.mp4", MP4), ("with space ü?#%20.mp4", b"x" * 9_000_000), ("-rf", b"")):
        location = Location.of(put(name, data))
        assert location.name == name and pickle.loads(pickle.dumps(location)) == location
        with location.fetched() as path:
            assert path.name == name and path.read_bytes() == data
            assert Opened(Location.of(path)).bytes == len(data)
        assert location.start(8) == data[:8]


def test_a_name_longer_than_a_disk_allows(bucket: str) -> None:
    name = "ü" * 200 + ".mp4"
    Objects("s3", bucket[5:]).put(name, MP4)
    with Location.of(f"{bucket}/{name}").fetched() as path:
        assert path.read_bytes() == MP4 and path.suffix == ".mp4"


def test_a_stamp_changes_with_the_source(put: Put) -> None:
    """Also where the new content is as long as the old; not when it is only read."""
    location = Location.of(put("a.mp4", b"12345"))
    first = location.stamp()
    with location.fetched():
        pass
    assert location.stamp() == first
    put("a.mp4", b"abcde")
    assert location.stamp() != first
    with location.fetched() as path:
        assert path.read_bytes() == b"abcde"


def test_a_source_that_is_not_there(put: Put) -> None:
    location = Location.of(put("", b"").rstrip("/") + "/missing.mp4")
    with pytest.raises(MediaError, match=r"missing\.mp4: [Nn]o such"):
        location.stamp()
    assert location.start(10) == b""
    if location.remote:
        with pytest.raises(MediaError, match="no such object"), location.fetched():
            pass


def test_an_object_written_anew_while_it_is_fetched(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is never of two versions."""
    objects = Objects("s3", bucket[5:])
    objects.put("a.mp4", b"1" * 20_000_000)
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        gets = []

        def writer(request: object) -> bool:
            gets.append(request)
            if len([r for r in proxy.seen if r.method == "GET"]) == 2 and len(gets) < 4:
                objects.put("a.mp4", b"2" * 20_000_000)
            return False

        proxy.break_nth(1, "lost reply", writer)
        location = Location.of(f"{bucket}/a.mp4")
        with pytest.raises(SourceChanged, match=r"a\.mp4: changed while it was read"), location.fetched():
            pass
        proxy.heal()
        with location.fetched() as path:
            assert path.read_bytes() == b"2" * 20_000_000


def test_the_copy_is_shared_and_bounded(bucket: str, tmp_path: Path) -> None:
    """Two stages of one video fetch it once; one that does not fit is refused with the remedy."""
    Objects("s3", bucket[5:]).put("a.mp4", b"x" * 1000)
    location = Location.of(f"{bucket}/a.mp4")
    cache = ObjectCache(tmp_path / "c", 1500, spare_s=0)
    with location.fetched(cache) as one, location.fetched(cache) as two:
        assert one.resolve() == two.resolve() and cache.used() == 1000
    with pytest.raises(StorageError, match="VIDRAG_OBJECT_CACHE_MB"), location.fetched(ObjectCache(tmp_path / "d", 10)):
        pass


def test_subtitles_come_along(bucket: str) -> None:
    """Those beside the video that begin with its name; those of others and other things do not."""
    objects = Objects("s3", bucket[5:])
    for name in ("t.mp4", "t.srt", "t.en.vtt", "t.txt", "other.srt", "s.srt", "t/inner.srt", "u.srt", "t.mp4.srt"):
        objects.put(f"films/{name}", name.encode())
    location = Location.of(f"{bucket}/films/t.mp4")
    assert [o.key for o in location.subtitles()] == ["films/t.en.vtt", "films/t.mp4.srt", "films/t.srt"]
    with location.fetched() as path:
        assert sorted(p.name for p in path.parent.iterdir()) == ["t.en.vtt", "t.mp4", "t.mp4.srt", "t.srt"]
        assert (path.parent / "t.srt").read_bytes() == b"t.srt"
    with Location.of(f"{bucket}/films/t.srt").fetched() as path:
        assert path.is_symlink() and path.read_bytes() == b"t.srt"
    objects.put("t.mp4", MP4)
    assert Location.of(f"{bucket}/t.mp4").subtitles() == [] == Location.of("/tmp/t.mp4").subtitles()


def test_an_opened_source(put: Put) -> None:
    """Tells its hash, keeps its file to the end, and notices a change."""
    text = put("a.mp4", MP4)
    with Opened(Location.of(text)) as source:
        assert source.sha256 == hashlib.sha256(MP4).hexdigest() and source.bytes == len(MP4)
        assert source.path.read_bytes() == MP4 and source.path.name == "a.mp4"
        source.check()
        put("a.mp4", MP4[:-1] + b"?")
        with pytest.raises(SourceChanged, match=r"a\.mp4: changed"):
            source.check()
        assert source.location.remote == (source.path.read_bytes() == MP4)
    with Opened(Location.of(text)) as source:
        assert source.sha256 == hashlib.sha256(MP4[:-1] + b"?").hexdigest()
    with pytest.raises(MediaError, match="[Nn]o such"):
        Opened(Location.of(f"{text}.missing"))


def test_a_change_before_the_file_is_fetched_is_noticed(put: Put) -> None:
    """A hash is never told for content that came after the stamp."""
    with Opened(Location.of(put("a.mp4", MP4))) as source:
        put("a.mp4", b"other")
        with pytest.raises(SourceChanged):
            source.sha256  # noqa: B018


def test_what_is_no_file_is_no_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path, tmp_path / "pipe.mp4"):
        with pytest.raises(NotAVideo, match="not a regular file"):
            Opened(Location.of(path))


def test_an_unchanged_object_is_not_fetched_to_be_known(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where the cache has lost it; a note that is no hash is not believed."""
    objects = Objects("s3", bucket[5:])
    objects.put("a.mp4", MP4)
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        location = Location.of(f"{bucket}/a.mp4")

        def opened(expect_fetched: bool) -> str:
            shutil.rmtree(Path(os.environ["VIDRAG_CACHE"]) / "objects", ignore_errors=True)
            proxy.heal()
            with Opened(location) as source:
                told = source.sha256
            assert any(r.method == "GET" for r in proxy.seen) == expect_fetched
            return told

        assert opened(True) == opened(False) == hashlib.sha256(MP4).hexdigest()
        objects.put("a.mp4", b"changed")
        assert opened(True) == opened(False) == hashlib.sha256(b"changed").hexdigest()
        for note in (Path(os.environ["VIDRAG_CACHE"]) / "sources").iterdir():
            note.write_text("half a ha")
        assert opened(True) == hashlib.sha256(b"changed").hexdigest()


def test_folders_and_prefixes_are_listed(put: Put) -> None:
    """Media by their names, at any depth; a named one always."""
    for name in ("a.mp4", "B.MKV", "deep/er/c.webm", "notes.txt", "a.srt", "mp4", "x.mp4.part"):
        put(name, b"x")
    folder = put("", b"").rstrip("/")
    for text in (folder, f"{folder}/"):
        assert names(listed([text]).found) == ["B.MKV", "a.mp4", "c.webm"]
    assert names(listed([f"{folder}/deep", f"{folder}/a.mp4", folder]).found) == ["B.MKV", "a.mp4", "c.webm"]
    assert names(listed([f"{folder}/notes.txt"]).found) == ["notes.txt"]
    with pytest.raises(UsageError, match=r"missing.*no such"):
        listed([f"{folder}/missing"])
    assert [f.bytes for f in listed([f"{folder}/a.mp4"]).found] == [1]


def test_on_a_disk_first_bytes_count(tmp_path: Path) -> None:
    (tmp_path / "odd.bin").write_bytes(MP4)
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "broken.mp4").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert names(listed([str(tmp_path)]).found) == ["broken.mp4", "odd.bin"]


def test_copies_are_recognised(put: Put) -> None:
    """One content under two names; another content of the same length."""
    told = {}
    for f in listed([put(n, d) for n, d in (("a.mp4", b"x"), ("b.mp4", b"x"), ("c.mp4", b"y"))]).found:
        known = None if f.location.remote else identity_of(f.location)
        told[f.location.name] = content(Item(f.location, f.bytes, like=f.like), known)
    assert told["a.mp4"] == told["b.mp4"] != told["c.mp4"] and told["a.mp4"]


@pytest.mark.parametrize(
    "text, why", [("s3://", "no bucket"), ("http://x/a.mp4", "unknown kind"), ("s3://b/a//c.mp4", "empty")]
)
def test_addresses_that_cannot_be(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Location.of(text)
    with pytest.raises(UsageError, match=why):
        listed([text])


def test_no_bucket_is_a_usage_error(bucket: str) -> None:
    """Before any work: one line."""
    with pytest.raises(UsageError, match="there is no bucket 'nowhere'"):
        listed(["s3://nowhere/a/"])
    with pytest.raises(UsageError, match="names a bucket"):
        Location.of(bucket)


def test_a_video_is_decoded_from_a_bucket(bucket: str, sample: Path) -> None:
    """The same identity and the same probe as from the disk; messages name the object's name."""
    objects = Objects("s3", bucket[5:])
    objects.put_large("films/sample.mp4", sample)
    objects.put("films/bad.mp4", b"no video")
    options = media.MediaOptions()
    with Location.of(f"{bucket}/films/sample.mp4").fetched() as path:
        assert path.read_bytes() == sample.read_bytes()
        assert media.probe(path, options) == media.probe(sample, options)
    with pytest.raises(MediaError, match=r"bad\.mp4"), Location.of(f"{bucket}/films/bad.mp4").fetched() as path:
        media.probe(path, options)


@pytest.mark.long
def test_a_bucket_of_videos_is_indexed_and_asked(bucket: str, tmp_path: Path, child_env: dict[str, str]) -> None:
    """By the command, into an archive in the same bucket; a second run fetches nothing, a new subtitle is seen."""
    objects = Objects("s3", bucket[5:])
    with_tone(tmp_path / "beep.mp4", 2)
    objects.put("films/beep.mp4", (tmp_path / "beep.mp4").read_bytes())
    objects.put("films/bad.mp4", b"no video")
    world = World.make(tmp_path)

    def ingest() -> dict[str, Any]:
        ran = world.run("ingest", f"{bucket}/archive", f"{bucket}/films", "--no-ray", "--json")
        assert ran.returncode == 3, ran.stderr
        told: dict[str, Any] = json.loads(ran.stdout)
        return told

    first = ingest()
    assert [f["source"] for f in first["failed"]] == [f"{bucket}/films/bad.mp4"] and first["rows"]["speech"] == 1
    assert ingest()["kept"] == 1
    objects.put("films/beep.en.srt", b"1\n00:00:00,100 --> 00:00:00,900\nThe lighthouse is red.\n")
    assert ingest()["kept"] == 0
    ran = world.run("ask", f"{bucket}/archive", "What colour is the lighthouse?", "--video", "beep.mp4", "--json")
    rows = json.loads(ran.stdout)["evidence"]
    assert [e["text"] for e in rows if e["kind"] == "speech"] == ["The lighthouse is red."]
