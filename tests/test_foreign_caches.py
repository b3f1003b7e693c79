"""Caches that somebody else prepared are not believed: neither what an archive brings with it, nor files of others."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from media_files import with_tone
from store_tools import publish_speech, source
from vidrag.query.answer.models.openai import OpenAIChat, OpenAIOptions
from vidrag.query.look.detectors.over_http import OverHttp, OverHttpOptions
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import OptionError
from vidrag.store.storage.cache_db import CacheFile
from vidrag.store.transport import is_private
from world import World

TABLE = "CREATE TABLE IF NOT EXISTS things (key INTEGER PRIMARY KEY, value TEXT)"
GET, PUT = "SELECT value FROM things WHERE key=?", "INSERT OR REPLACE INTO things VALUES (?,?)"


def test_what_is_kept_of_an_archive_lies_outside_it(archive: Archive, tmp_path: Path) -> None:
    """For each archive in a place of its own: a copy elsewhere has another, and one made anew at the same address."""
    own = archive.cache_file("replies.sqlite")
    assert own == Archive.open(archive.location).cache_file("replies.sqlite")
    assert not own.is_relative_to(archive.location) and own.is_relative_to(os.environ["VIDRAG_CACHE"])
    shutil.copytree(archive.location, tmp_path / "copy")
    assert Archive.open(tmp_path / "copy").cache_file("replies.sqlite") != own
    shutil.rmtree(archive.location)
    assert Archive.create(archive.location).cache_file("replies.sqlite") != own


@pytest.mark.long
def test_an_archive_cannot_say_that_a_file_is_indexed(tmp_path: Path) -> None:
    """A stranger's list of unchanged files, right for this file in every respect, in an archive without the video."""
    with_tone(tmp_path / "one.mp4", 1)
    os.utime(tmp_path / "one.mp4", (1_700_000_000, 1_700_000_000))
    world, cache = World.make(tmp_path), tmp_path / "mine"
    world.env["VIDRAG_CACHE"] = str(cache)
    time.sleep(2.1)  # a file that has just been written is not remembered
    for expected in (0, 1):
        told = json.loads(world.run("ingest", "theirs", "one.mp4", "--no-ray", "--json").stdout)
        assert told["kept"] == expected
    (kept,) = cache.glob("archives/*/files.sqlite")
    prepared = tmp_path / "prepared"
    Archive.create(prepared)
    (prepared / "cache").mkdir()
    for path in kept.parent.iterdir():
        shutil.copy(path, prepared / "cache" / path.name)
    raw = sqlite3.connect(prepared / "cache" / "files.sqlite")
    assert raw.execute("SELECT count(*) FROM files").fetchone() == (1,)
    raw.execute("UPDATE files SET video='', version=0")
    raw.commit()
    raw.close()
    told = json.loads(world.run("ingest", "prepared", "one.mp4", "--no-ray", "--json").stdout)
    assert told["kept"] == 0
    assert [s.name for s in Archive.open(prepared).shards()] == ["one.mp4"]


@pytest.mark.parametrize(
    "extra",
    [
        "CREATE TRIGGER t AFTER INSERT ON things BEGIN UPDATE things SET value = 'forged'; END",
        "CREATE VIEW v AS SELECT * FROM things",
        "CREATE TABLE more (x)",
        "CREATE INDEX i ON things (value)",
    ],
)
def test_a_cache_with_anything_else_in_it_is_dropped(extra: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    raw = sqlite3.connect(path)
    raw.execute(TABLE)
    raw.execute(PUT, (1, "prepared"))
    raw.execute(extra)
    raw.commit()
    raw.close()
    cache = CacheFile(path, TABLE, "things")
    assert cache.find(GET, (1,)) is None
    cache.put(PUT, (2, "ours"))
    cache.put(PUT, (3, "too"))
    assert cache.find(GET, (2,)) == ("ours",)
    cache.close()
    raw = sqlite3.connect(path)
    assert [n for (n,) in raw.execute("SELECT name FROM sqlite_master")] == ["things"]
    raw.close()


def test_a_table_that_is_a_view_is_dropped(tmp_path: Path) -> None:
    """``CREATE TABLE IF NOT EXISTS`` is content with a view of that name."""
    path = tmp_path / "a.sqlite"
    raw = sqlite3.connect(path)
    raw.execute("CREATE VIEW things AS SELECT 1 AS key, 'prepared' AS value")
    raw.commit()
    raw.close()
    cache = CacheFile(path, TABLE, "things")
    assert cache.find(GET, (1,)) is None
    cache.put(PUT, (1, "ours"))
    assert cache.find(GET, (1,)) == ("ours",)


@pytest.mark.parametrize("how", ["somebody else's", "a link"])
def test_a_file_of_another_user_is_not_opened(how: str, tmp_path: Path) -> None:
    """Nor one behind a link; what is kept is kept in memory then, and the file stays as it was."""
    path, real = tmp_path / "a.sqlite", tmp_path / "real.sqlite"
    made = CacheFile(real, TABLE, "things")
    made.put(PUT, (1, "prepared"))
    made.close()
    if how == "a link":
        path.symlink_to(real)
    else:
        if os.geteuid():
            pytest.skip("giving a file to another user needs root")
        path = real
        os.chown(path, 12345, 12345)
    before = real.read_bytes()
    cache = CacheFile(path, TABLE, "things")
    assert cache.find(GET, (1,)) is None
    cache.put(PUT, (1, "ours"))
    assert cache.find(GET, (1,)) == ("ours",)
    cache.close()
    assert real.read_bytes() == before and path.is_symlink() == (how == "a link")


def test_gc_removes_the_caches_of_earlier_versions(archive: Archive) -> None:
    from vidrag.store.archive import maintenance

    publish_speech(archive, source())
    folder = Path(archive.location) / "cache"
    folder.mkdir()
    for name in ("files.sqlite", "replies.sqlite-wal", "my notes.sqlite"):
        (folder / name).write_bytes(b"x")
    found = maintenance.collect(archive, 0.0)
    assert sorted(found.keys) == ["cache/files.sqlite", "cache/replies.sqlite-wal"]
    assert found.foreign == ["cache/my notes.sqlite"] and [p.name for p in folder.iterdir()] == ["my notes.sqlite"]


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost/v1", True),
        ("http://[::1]:9", True),
        ("https://a.example", True),
        ("http://127.9.9.9", True),
        ("http://[::ffff:127.0.0.1]", True),
        ("http://10.0.0.7", False),
        ("http://a.example", False),
        ("http://127.0.0.1.a.example", False),
        ("http://127.example", False),
        ("http://localhost.example", False),
        ("http://0.0.0.0", False),
        ("http://127.0.0.1@a.example/", False),
        ("http://2130706433.example", False),
    ],
)
def test_where_a_secret_may_go(url: str, private: bool) -> None:
    assert is_private(url) is private


@pytest.mark.parametrize("url", ["http://detector.example:8000", "http://10.0.0.7"])
def test_a_detectors_token_is_not_sent_in_the_clear(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before any request; without a token the server may be asked."""
    monkeypatch.setenv("VIDRAG_DETECTOR_TOKEN", "sesame")
    with pytest.raises(OptionError, match=r"not encrypted.*VIDRAG_DETECTOR_TOKEN.*https://") as e:
        OverHttp(OverHttpOptions(url=url, model="m"))
    assert "sesame" not in str(e.value) and "\n" not in str(e.value)
    monkeypatch.delenv("VIDRAG_DETECTOR_TOKEN")
    OverHttp(OverHttpOptions(url=url, model="m"))


def test_a_language_models_key_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    options = OpenAIOptions(base_url="http://10.0.0.7/v1", model="m")
    with pytest.raises(OptionError, match=r"not encrypted.*OPENAI_API_KEY.*https://") as e:
        OpenAIChat(options)
    assert "sesame" not in str(e.value) and "\n" not in str(e.value)
    OpenAIChat(options.model_copy(update={"api_key_env": "NO_SUCH_KEY"}))
    OpenAIChat(options.model_copy(update={"base_url": "http://127.0.0.1:1/v1"}))
    OpenAIChat(options.model_copy(update={"base_url": "https://a.example/v1"}))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://10.0.0.7/v1")
    with pytest.raises(OptionError, match="not encrypted"):
        OpenAIChat(OpenAIOptions(model="m"))
