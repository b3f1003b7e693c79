"""An archive that is damaged, newer, empty, written to or on a bucket that goes away, behind the server."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import s3_server
from serve_tools import COMMAND, serving
from vidrag.store.storage.objects.client import Objects
from world import World, until

API = "/api/v1"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def test_a_damaged_file_is_named_and_the_rest_is_served(sample_archive: Path, tmp_path: Path) -> None:
    own = shutil.copytree(sample_archive, tmp_path / "archive")
    video = next((own / "videos").iterdir())
    flip(next(video.glob("speech-*.parquet")))
    with serving(own, tmp_path) as running, running.client() as client:
        reply = client.get(f"{API}/videos/{video.name}/rows")
        told = reply.json()["error"]
        assert reply.status_code == 500 and told["code"] == "ArchiveDamaged" and "speech" in told["message"]
        page = client.get(f"/v/{video.name}")
        assert page.status_code == 500 and "SHA-256" in page.text and "Traceback" not in page.text
        assert client.get(f"{API}/archive").json()["videos"] == 1
        assert client.get(f"{API}/videos/{video.name}/rows?kind=text").json()["rows"]
        assert client.get(f"{API}/videos/{video.name}/frame?t=3").status_code == 200


def test_an_archive_of_a_newer_format_is_refused(sample_archive: Path, tmp_path: Path) -> None:
    own = shutil.copytree(sample_archive, tmp_path / "archive")
    head = json.loads((own / "archive.json").read_text())
    (own / "archive.json").write_text(json.dumps({**head, "format": 99}))
    ran = subprocess.run([*COMMAND, "serve", str(own), "--port", "0"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "update vidrag" in ran.stderr


@pytest.mark.long
def test_what_is_no_archive_and_a_port_that_is_taken(sample_archive: Path, tmp_path: Path) -> None:
    ran = subprocess.run([*COMMAND, "serve", str(tmp_path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "holds no archive" in ran.stderr
    with serving(sample_archive, tmp_path) as running:
        port = running.url.rpartition(":")[2]
        command = [*COMMAND, "serve", str(sample_archive), "--port", port]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "--port 0" in ran.stderr


def test_an_empty_archive_says_how_to_fill_it(tmp_path: Path) -> None:
    from vidrag.store.archive.archive import Archive

    Archive.create(tmp_path / "archive")
    with serving(tmp_path / "archive", tmp_path) as running, running.client() as client:
        assert client.get(f"{API}/videos").json() == {"videos": [], "total": 0, "next": None}
        assert client.get("/").status_code == 200
        reply = client.post(f"{API}/ask", json={"question": "Where are the lockers?"})
        assert reply.status_code == 404 and "vidrag ingest" in reply.json()["error"]["message"]


def test_a_video_that_is_added_while_it_serves_is_found(sample_archive: Path, tmp_path: Path) -> None:
    from vidrag.store.archive.archive import Archive

    Archive.create(tmp_path / "archive")
    with serving(tmp_path / "archive", tmp_path) as running, running.client() as client:
        assert client.get(f"{API}/videos").json()["total"] == 0
        copied = [*COMMAND, "export", str(sample_archive), str(tmp_path / "archive")]
        subprocess.run(copied, check=True, capture_output=True)
        until(lambda: client.get(f"{API}/videos").json()["total"] == 1)
        assert client.post(f"{API}/ask", json={"question": "Where are the lockers?"}).json()["citations"]


@pytest.mark.long
def test_a_bucket_is_served_and_one_that_goes_away_is_told(sample_archive: Path, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(s3_server.running())
        s3_server.make_bucket(endpoint, "films")
        keys = {**os.environ, **s3_server.environment(endpoint)}
        env = {**keys, "VIDRAG_OBJECT_ATTEMPTS": "1", "VIDRAG_CACHE": str(tmp_path / "cache")}
        copied = [*COMMAND, "export", str(sample_archive), "s3://films/archive"]
        subprocess.run(copied, check=True, capture_output=True, env=env)
        with serving("s3://films/archive", tmp_path, env=env) as running, running.client() as client:
            video = client.get(f"{API}/videos").json()["videos"][0]["id"]
            assert client.get(f"{API}/videos/{video}/frame?t=3").status_code == 200
            assert client.post(f"{API}/ask", json={"question": "Where are the lockers?"}).json()["citations"]
            stack.close()
            until(lambda: client.get(f"{API}/videos").status_code == 503)
            told = client.post(f"{API}/ask", json={"question": "Where are the lockers?"})
            assert told.status_code == 503 and "films" in told.json()["error"]["message"]
            assert client.get("/").status_code == 503 and client.get("/health/live").status_code == 200


@pytest.mark.long
def test_originals_in_a_bucket_are_played_where_that_was_allowed(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ranges and as a clip; not where neither a run of this user nor ``--media`` allows it; not when changed."""
    data = sample.read_bytes()
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "talk.mp4").write_bytes(data)
    made = World.make(tmp_path)
    with s3_server.running(folder=tmp_path / "films") as endpoint:
        keys = {**s3_server.environment(endpoint), "VIDRAG_CACHE": str(tmp_path / "cache")}
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        ran = made.run("ingest", "archive", "s3://full/talk.mp4", "--no-ray", **keys)
        assert ran.returncode == 0, ran.stderr
        env, words = {**made.env, **keys}, ["--profile", str(tmp_path / "fake.toml")]
        with serving(tmp_path / "archive", tmp_path, *words, env=env) as running, running.client() as client:
            video = client.get(f"{API}/videos").json()["videos"][0]["id"]
            address = f"{API}/videos/{video}"
            original = client.get(address).json()["original"]
            assert original["state"] == "here" and original["url"] == f"{address}/original"
            for wanted, first, end in (("100-199", 100, 200), ("-50", len(data) - 50, len(data)), ("9-", 9, len(data))):
                part = client.get(f"{address}/original", headers={"range": f"bytes={wanted}"})
                assert part.status_code == 206 and part.content == data[first:end]
                assert part.headers["content-range"] == f"bytes {first}-{end - 1}/{len(data)}"
            assert client.get(f"{address}/original").content == data
            assert client.get(f"{address}/original", headers={"range": f"bytes={len(data)}-"}).status_code == 416
            assert client.get(f"{address}/clip.mp4", params={"start": 1, "end": 2}).content[4:8] == b"ftyp"
        elsewhere = {**env, "VIDRAG_CACHE": str(tmp_path / "other")}
        for media, state in (("s3://full/other", "outside"), ("s3://full", "here")):
            words = [*words[:2], "--media", media]
            with serving(tmp_path / "archive", tmp_path, *words, env=elsewhere) as running, running.client() as client:
                assert client.get(address).json()["original"]["state"] == state
                assert client.get(f"{address}/original").status_code == (404 if state == "outside" else 200)
                if state == "here":
                    Objects("s3", "full").put("talk.mp4", data + b"more")
                    assert client.get(f"{address}/original").status_code == 409
