"""Attacks on the server: each is refused, and nothing of the archive or the machine gets out."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from serve_tools import COMMAND, Server, serving

API = "/api/v1"
TOKEN = "a-long-word-that-nobody-guesses"


@pytest.fixture(scope="module")
def server(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(f"{TOKEN}\n")
    with serving(sample_archive, folder, "--token-file", str(folder / "token")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client(headers={"authorization": f"Bearer {TOKEN}"}) as one:
        yield one


def head(first: str, *lines: str) -> str:
    """The head of a request that is let in."""
    own = (first, "Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}", *lines)
    return "".join(f"{line}\r\n" for line in own)


def raw(server: Server, data: bytes, seconds: float = 3) -> bytes:
    """What the server sends back for bytes as they are, until it is silent for so long."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=seconds) as connection:
        connection.sendall(data)
        out = b""
        try:
            while part := connection.recv(65536):
                out += part
        except (TimeoutError, ConnectionResetError):
            pass
        return out


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_others_are_not_let_in_without_a_token(sample_archive: Path, host: str) -> None:
    """Fault 37."""
    env = {k: v for k, v in os.environ.items() if k != "VIDRAG_TOKEN"}
    command = [*COMMAND, "serve", str(sample_archive), "--host", host, "--port", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert ran.returncode == 2 and "give a token" in ran.stderr and not ran.stdout


@pytest.mark.parametrize("token", ["short", "with a space in it all", "ümlaute-und-so-weiter"])
def test_a_weak_token_is_refused(sample_archive: Path, token: str) -> None:
    env = {**os.environ, "VIDRAG_TOKEN": token}
    command = [*COMMAND, "serve", str(sample_archive), "--host", "0.0.0.0", "--port", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert ran.returncode == 2 and "the token must have" in ran.stderr and token not in ran.stderr


@pytest.mark.parametrize(
    "path", ["/", "/v/x", "/runs", f"{API}/archive", f"{API}/videos", "/openapi.json", "/mcp", "/v1/models"]
)
def test_nothing_without_the_token(server: Server, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"cookie": f"vidrag={TOKEN}"}):
        with server.client(headers=headers) as one:
            assert one.get(path).status_code == 401
            assert one.get(f"{path}?token={TOKEN}").status_code == 401  # none in addresses
            page = one.get(path, headers={"accept": "text/html"})
            assert page.status_code == 303 and page.headers["location"] == "/login"


def test_the_token_becomes_a_cookie_that_scripts_cannot_read(server: Server) -> None:
    with server.client() as one:
        assert one.post("/login", json={"token": "wrong"}).status_code == 401
        assert one.post("/login", data={"token": "wrong"}).status_code == 401
        cookie = one.post("/login", json={"token": TOKEN}).headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        assert one.get(f"{API}/archive").status_code == 200  # the client sends it
    with server.client() as one:
        assert one.post("/login", data={"token": TOKEN}).status_code == 303
        assert one.get(f"{API}/archive").status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.7", "[", ""],
)
def test_another_name_is_not_answered(server: Server, client: httpx.Client, host: str) -> None:
    """DNS rebinding: a page of evil.example whose name now leads here."""
    reply = client.get(f"{API}/archive", headers={"host": host}) if host else None
    if reply is not None:
        assert reply.status_code in (400, 421) and "videos" not in reply.text
    said = raw(server, f"GET {API}/archive HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\nHost: {host}\r\n\r\n".encode())
    assert b"sample" not in said


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_site_changes_nothing(client: httpx.Client, headers: dict[str, str]) -> None:
    """Cross-site request forgery."""
    reply = client.post(f"{API}/ask", json={"question": "Where are the lockers?"}, headers=headers)
    assert reply.status_code == 403
    assert client.delete(f"{API}/runs/x", headers=headers).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_of_another_page_is_not_json(client: httpx.Client, kind: str) -> None:
    data = json.dumps({"question": "Where are the lockers?"})
    assert client.post(f"{API}/ask", content=data, headers={"content-type": kind}).status_code == 415


def test_no_other_site_may_read(client: httpx.Client) -> None:
    reply = client.get(f"{API}/archive", headers={"origin": "http://evil.example"})
    assert not [h for h in reply.headers if h.startswith("access-control")]
    assert client.options(f"{API}/ask", headers={"origin": "http://evil.example"}).status_code in (404, 405)


def test_every_reply_says_what_may_run(client: httpx.Client) -> None:
    for path in ("/", f"{API}/archive", f"{API}/nothing", "/static/nothing", "/login", f"{API}/videos/x/frame"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/security.py", "/static//etc/passwd", "/static/%00"],
)
def test_only_files_of_the_page_are_served(server: Server, path: str) -> None:
    said = raw(server, f"{head(f'GET {path} HTTP/1.1', 'Connection: close')}\r\n".encode())
    assert b" 404 " in said.split(b"\r\n")[0]


@pytest.mark.long
def test_large_bodies_are_not_read(server: Server, client: httpx.Client) -> None:
    assert client.post(f"{API}/ask", json={"question": "x" * 70_000}).status_code == 413
    begun = head(f"POST {API}/ask HTTP/1.1", "Content-Type: application/json")
    said = raw(server, f"{begun}Content-Length: 99999999999\r\n\r\n".encode())
    assert b" 413 " in said.split(b"\r\n")[0]
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    said = raw(server, f"{begun}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 4)
    assert b" 413 " in said.split(b"\r\n")[0]


@pytest.mark.long
def test_a_slow_body_holds_nobody_up(server: Server, client: httpx.Client) -> None:
    where = urlsplit(server.url)
    begun = head(f"POST {API}/ask HTTP/1.1", "Content-Type: application/json", "Content-Length: 100")
    slow = [socket.create_connection((where.hostname, where.port), timeout=60) for _ in range(40)]
    try:
        for one in slow:
            one.sendall(f"{begun}\r\n{{".encode())
        assert client.post(f"{API}/ask", json={"question": "Where are the lockers?"}).status_code == 200
        assert b" 408 " in slow[0].recv(65536).split(b"\r\n")[0]
    finally:
        for one in slow:
            one.close()


def test_the_token_is_in_no_log(server: Server) -> None:
    raw(
        server,
        f"GET /?{TOKEN} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode(),
    )
    assert TOKEN not in server.log.read_text()


def test_paths_of_a_foreign_archive_lead_nowhere(sample_archive: Path, tmp_path: Path) -> None:
    """An archive from elsewhere names any file of this machine as its original; only given folders are served."""
    from vidrag.store.archive.archive import Archive
    from vidrag.store.archive.manifest import Source
    from vidrag.store.records import Cell

    secret, shown = tmp_path / "secret", tmp_path / "shown"
    for folder in (secret, shown):
        folder.mkdir()
        (folder / "diary.mp4").write_bytes(b"dear diary" + folder.name.encode())
    (shown / "link.mp4").symlink_to(secret / "diary.mp4")
    archive = Archive.create(tmp_path / "archive")
    media = Cell("media", "0" * 16, "none", data={"reason": "nothing"})
    paths = {
        "secret": str(secret / "diary.mp4"), "dots": f"{shown}/../secret/diary.mp4", "link": str(shown / "link.mp4"),
        "shown": str(shown / "diary.mp4"), "dev": "/dev/zero", "address": "http://127.0.0.1:1/x.mp4",
    }  # fmt: skip
    for number, path in enumerate(paths.values()):
        source = Source(hashlib.sha256(str(number).encode()).hexdigest(), (shown / "diary.mp4").stat().st_size, (path,))
        archive.publish(source, {"media": media}, {})
    with serving(tmp_path / "archive", tmp_path, "--media", str(shown)) as running, running.client() as client:
        listed = client.get(f"{API}/videos").json()["videos"]
        assert len(listed) == len(paths)
        served = {}
        for one in listed:
            reply = client.get(f"{API}/videos/{one['id']}/original")
            served[one["id"]] = reply.content if reply.status_code == 200 else b""
            if not served[one["id"]]:
                assert client.get(f"{API}/videos/{one['id']}/play.mp4").status_code == 404
        assert sorted(filter(None, served.values())) == [b"dear diaryshown"]


def test_a_playlist_dressed_as_a_video_opens_nothing(tmp_path: Path) -> None:
    from vidrag.jobs.serve.errors import Refused
    from vidrag.jobs.serve.media import stream_command

    path = tmp_path / "film.mp4"
    path.write_text(f"#EXTM3U\n#EXTINF:10,\nfile://{tmp_path}/secret.ts\n")
    with pytest.raises(Refused):
        stream_command(path, 0, None, small=True)


def test_without_ffmpeg_streams_say_how_to_get_it(
    sample: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from vidrag.jobs.serve.errors import Refused
    from vidrag.jobs.serve.media import stream_command

    assert stream_command(sample, 0, None, small=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="apt install ffmpeg") as refused:
        stream_command(sample, 0, None, small=True)
    assert refused.value.status == 503


def test_conversations_may_be_longer_but_not_endless(client: httpx.Client) -> None:
    said = [{"role": "user", "content": "x" * 900_000}, {"role": "user", "content": "Where are the lockers?"}]
    asked = {"model": "vidrag", "messages": said}
    assert client.post("/v1/chat/completions", json=asked).status_code == 200
    asked["messages"] = [{"role": "user", "content": "x" * 1_100_000}, *said]
    assert client.post("/v1/chat/completions", json=asked).status_code == 413


@pytest.mark.long
def test_behind_a_proxy_links_lead_to_it(sample_archive: Path, tmp_path: Path) -> None:
    asked = {"model": "vidrag", "messages": [{"role": "user", "content": "Where are the lockers?"}]}
    with serving(sample_archive, tmp_path, "--address", "https://films.example/") as running:
        with running.client(headers={"host": "films.example", "origin": "https://films.example"}) as one:
            text = one.post("/v1/chat/completions", json=asked).json()["choices"][0]["message"]["content"]
        with running.client(headers={"host": "other.example"}) as one:
            assert one.get(f"{API}/archive").status_code == 421
    assert "](https://films.example/v/" in text and "127.0.0.1" not in text
    for odd in ("films.example", "ftp://films.example", "https://films.example/below"):
        command = [*COMMAND, "serve", str(sample_archive), "--address", odd]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 2 and "--address" in ran.stderr
