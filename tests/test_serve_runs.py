"""Runs, ingest and uploads over HTTP: what they do, and that each attack is refused and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from serve_tools import Server, serving
from vidrag.jobs.serve.allowed import Allowed
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import UsageError
from world import World, clip, until

API = "/api/v1"
LIMIT = 3_000_000
BINARY = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Videos that may be indexed, one beside them that may not, links, and an archive of one video."""
    root = tmp_path_factory.mktemp("world")
    made = World.make(root)
    clip(root / "in" / "red.mp4", 440, "red")
    clip(root / "films" / "white.mp4", 500, "white")
    (root / "films" / "talks").mkdir()
    clip(root / "films" / "talks" / "-dash.mp4", 620, "blue")
    clip(root / "secret" / "secret.mp4", 600, "yellow")
    (root / "films" / "away").symlink_to(root / "secret")
    (root / "films" / "away.mp4").symlink_to(root / "secret" / "secret.mp4")
    (root / "films" / "empty").mkdir()
    (root / "films" / "text.mp4").write_text("This is not a video.")
    ran = made.run("ingest", "archive", "in", "--no-ray")
    assert (ran.returncode, ran.stderr) == (0, "")
    return made


def served(world: World, folder: Path, *words: str) -> Any:
    words = ("--profile", str(world.root / "fake.toml"), "--upload-limit-mb", str(LIMIT // 1_000_000), *words)
    return serving(world.root / "archive", folder, *words, env=world.env)


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    words = ("--allow-ingest", f"films={world.root / 'films'}", "--uploads", str(world.root / "up"))
    with served(world, folder, *words) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as one:
        yield one


def refused(reply: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal, which has the API's shape."""
    told = reply.json()["error"]
    assert (reply.status_code, told["code"], told["exit_code"]) == (status, code, 2), reply.text
    assert "\n" not in told["message"]
    return str(told["message"])


def ended(client: httpx.Client, run: str) -> dict[str, Any]:
    """The last event of a run, which has come to its end then."""
    with client.stream("GET", f"{API}/runs/{run}/events") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in reply.iter_lines() if line and not line.startswith(":")]
    assert lines[::2] == ["event: progress"] * (len(lines) // 2)
    last: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))
    return last


def names(world: World) -> set[str]:
    return {s.name for s in Archive.open(world.root / "archive").shards()}


def test_runs_are_listed_and_told_as_the_command_does(client: httpx.Client, world: World) -> None:
    runs = client.get(f"{API}/runs").json()["runs"]
    assert [r["run"] for r in runs] == sorted((r["run"] for r in runs), reverse=True)
    first = runs[-1]
    assert first["finished"] and first["started"].startswith(f"{first['run'][:4]}-")
    told = client.get(f"{API}/runs/{first['run']}").json()
    expected = json.loads(world.run("report", "archive", first["run"], "--json", fake=False).stdout)
    assert {k: told[k] for k in expected} == expected
    assert (told["running"], told["stoppable"], told["planned"]) == (False, False, None)
    (source,) = told["sources"]
    assert source["source"].endswith("red.mp4") and source["done"] and not source["failed"]
    assert source["stages"]["speech"] == "ok"
    assert ended(client, first["run"]) == told  # one event, and the stream is closed


@pytest.mark.parametrize("run", ["nothing", "..", "%2e%2e%2fname", "x" * 3000, "%00", "2*"])
def test_a_run_that_is_not_there(client: httpx.Client, run: str) -> None:
    for reply in (client.get(f"{API}/runs/{run}"), client.get(f"{API}/runs/{run}/events")):
        assert reply.status_code == 404 and len(reply.text) < 1000


@pytest.mark.parametrize(
    "path",
    [
        "..", "../secret", "../secret/secret.mp4", "talks/../../secret", "/etc", "{root}/secret", "away", "away.mp4",
        "away/secret.mp4", "http://127.0.0.1/x.mp4", "s3://bucket/x", "file:///etc/passwd", "white.mp4\0",
    ],
)  # fmt: skip
def test_nothing_outside_of_the_folder(client: httpx.Client, world: World, path: str) -> None:
    before = client.get(f"{API}/runs").json()
    body = json.dumps({"root": "films", "path": path.replace("{root}", str(world.root))})
    reply = client.post(f"{API}/ingest", content=body, headers={"content-type": "application/json"})
    message = refused(reply, 400, "BadPath")
    assert "passwd" not in message and str(world.root) not in message
    assert client.get(f"{API}/runs").json() == before


@pytest.mark.parametrize(
    "body",
    [
        {"root": "films", "path": "a" * 5000},
        {"root": "films", "profile": "full"},
        {"root": "films", "settings": {"set": "asr=trouble"}},
        {"root": "films", "settings": {"language": "--ray=x"}},
        {"root": "films", "settings": {"language": "en\n"}},
        {"root": ["films"]},
        {"root": "films", "path": "\ud800"},
        {},
    ],
)
def test_nothing_but_what_may_be_said(client: httpx.Client, body: dict[str, Any]) -> None:
    reply = client.post(f"{API}/ingest", content=json.dumps(body), headers={"content-type": "application/json"})
    refused(reply, 400, "UsageError")


def test_what_is_not_there_is_not_indexed(client: httpx.Client) -> None:
    refused(client.post(f"{API}/ingest", json={"root": "films", "path": "--help"}), 404, "NotFound")
    refused(client.post(f"{API}/ingest", json={"root": "films", "path": "x" * 3000}), 404, "NotFound")
    refused(client.post(f"{API}/ingest", json={"root": "elsewhere"}), 404, "NoSuchRoot")
    message = refused(client.post(f"{API}/ingest", json={"root": "films", "path": "empty"}), 400, "IngestFailed")
    assert "no videos in" in message


@pytest.mark.long
def test_a_folder_is_indexed_without_what_links_lead_to(client: httpx.Client, world: World) -> None:
    archive = client.get(f"{API}/archive").json()
    assert archive["ingest"] == {"allowed": True, "roots": ["films", "uploads"], "uploads": True}
    reply = client.post(f"{API}/ingest", json={"root": "films", "settings": {"language": "de"}})
    assert reply.status_code == 202
    told = ended(client, reply.json()["run"])
    assert (told["finished"], told["running"], told["stoppable"]) == (True, False, False)
    assert (told["planned"], told["videos"], told["failed"]) == (3, 3, 1)
    assert told["failures"][0]["source"].endswith("text.mp4")
    assert {Path(s["source"]).name: s["failed"] for s in told["sources"]} == {
        "white.mp4": False, "-dash.mp4": False, "text.mp4": True,
    }  # fmt: skip
    assert all(s["done"] for s in told["sources"])
    assert {"white.mp4", "-dash.mp4"} <= names(world) and "secret.mp4" not in names(world)
    refused(client.delete(f"{API}/runs/{told['run']}"), 409, "NotRunning")


def test_a_name_that_looks_like_an_option_is_a_file(client: httpx.Client) -> None:
    reply = client.post(f"{API}/ingest", json={"root": "films", "path": "talks/-dash.mp4"})
    told = ended(client, reply.json()["run"])
    assert (told["videos"], told["failed"]) == (1, 0)
    assert Path(told["sources"][0]["source"]).name == "-dash.mp4"


def test_an_upload_goes_on_where_it_stopped_and_is_indexed(client: httpx.Client, world: World, tmp_path: Path) -> None:
    clip(tmp_path / "new.mp4", 700, "green")
    data = (tmp_path / "new.mp4").read_bytes()
    url, half = f"{API}/uploads/my film.mp4", len(data) // 2
    assert client.head(url).headers["upload-offset"] == "0"
    reply = client.put(url, content=data[:half], headers=BINARY)
    assert reply.json() == {"name": "my film.mp4", "bytes": half}
    assert client.head(url).headers["upload-offset"] == str(half)
    message = refused(client.put(url, content=data, headers=BINARY), 409, "WrongOffset")
    assert f"offset={half}" in message
    refused(client.post(f"{url}/done", params={"bytes": len(data)}, json={}), 409, "WrongOffset")
    assert not (world.root / "up" / "my film.mp4").exists()
    assert client.put(url, params={"offset": half}, content=data[half:], headers=BINARY).json()["bytes"] == len(data)
    done = client.post(f"{url}/done", params={"bytes": len(data)}, json={}).json()
    assert done == {"root": "uploads", "path": "my film.mp4"}
    assert os.listdir(world.root / "up") == ["my film.mp4"]
    assert (world.root / "up" / "my film.mp4").read_bytes() == data
    for again in (client.put(url, content=b"x", headers=BINARY), client.post(f"{url}/done", json={})):
        refused(again, 409, "NameTaken")
    assert client.head(url).status_code == 409
    run = client.post(f"{API}/ingest", json=done).json()["run"]
    assert ended(client, run)["failed"] == 0
    assert "my film.mp4" in names(world)
    (world.root / "up" / "my film.mp4").unlink()


@pytest.mark.parametrize(
    "name",
    [".hidden.mp4", "-rf.mp4", "a%5Cb.mp4", "a%00b.mp4", "a%0Ab.mp4", "a" * 201, "%C3%A4" * 101, ".%2e", "a%E2%80%AEb"],
)
def test_names_that_are_none(client: httpx.Client, world: World, name: str) -> None:
    for reply in (
        client.put(f"{API}/uploads/{name}", content=b"x", headers=BINARY),
        client.post(f"{API}/uploads/{name}/done", json={}),
    ):
        refused(reply, 400, "BadName")
    assert client.head(f"{API}/uploads/{name}").status_code == 400
    assert os.listdir(world.root / "up") == []


@pytest.mark.parametrize("name", ["..%2fx.mp4", "%2fetc%2fx", "a%2fb.mp4", "%2e%2e%2f%2e%2e%2fx"])
def test_names_with_slashes_lead_nowhere(client: httpx.Client, world: World, name: str) -> None:
    reply = client.put(f"{API}/uploads/{name}", content=b"x", headers=BINARY)
    assert reply.status_code in (404, 405)
    assert not (world.root / "x.mp4").exists() and os.listdir(world.root / "up") == []


def test_uploads_are_bounded(client: httpx.Client, world: World) -> None:
    url = f"{API}/uploads/large.mp4"
    message = refused(client.put(url, content=bytes(LIMIT + 1), headers=BINARY), 413, "BodyTooLarge")
    assert "3 MB" in message
    reply = client.put(url, params={"offset": LIMIT}, content=b"x", headers=BINARY)
    refused(reply, 413, "BodyTooLarge")
    refused(client.put(url, content=iter([b"x" * 10]), headers=BINARY), 411, "NoLength")
    refused(client.put(url, params={"offset": -1}, content=b"x", headers=BINARY), 400, "UsageError")
    assert os.listdir(world.root / "up") == []


def test_a_body_that_is_longer_than_it_says_is_cut(server: Server, client: httpx.Client) -> None:
    where = urlsplit(server.url)
    head = f"PUT {API}/uploads/cut.mp4?offset=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n"
    head += "Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"12345GET / HTTP/1.1\r\n\r\n")
        assert b" 200 " in connection.recv(4096).splitlines()[0]
    assert client.head(f"{API}/uploads/cut.mp4").headers["upload-offset"] == "5"
    assert client.delete(f"{API}/uploads/cut.mp4").status_code == 204
    assert client.head(f"{API}/uploads/cut.mp4").headers["upload-offset"] == "0"


def test_what_came_of_a_body_that_breaks_off_stays(server: Server, client: httpx.Client, world: World) -> None:
    where = urlsplit(server.url)
    head = f"PUT {API}/uploads/torn.mp4?offset=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n"
    head += "Content-Type: application/octet-stream\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"x" * 100_000)
        until(lambda: _size(world.root / "up" / ".torn.mp4.part") == 100_000)
        busy = client.put(f"{API}/uploads/torn.mp4?offset=100000", content=b"y", headers=BINARY)
        refused(busy, 409, "Busy")
    until(lambda: client.put(f"{API}/uploads/torn.mp4?offset=100000", content=b"y", headers=BINARY).is_success)
    assert (world.root / "up" / ".torn.mp4.part").read_bytes() == b"x" * 100_000 + b"y"
    assert client.delete(f"{API}/uploads/torn.mp4").status_code == 204


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def test_links_and_folders_in_the_upload_folder_are_left_alone(client: httpx.Client, world: World) -> None:
    target, up = world.root / "secret" / "target", world.root / "up"
    target.write_text("mine")
    (up / ".linked.mp4.part").symlink_to(target)
    (up / "taken.mp4").symlink_to(world.root / "nowhere")
    (up / ".folder.mp4.part").mkdir()
    os.mkfifo(up / ".pipe.mp4.part")
    for name in ("linked.mp4", "taken.mp4", "folder.mp4", "pipe.mp4"):
        reply = client.put(f"{API}/uploads/{name}", params={"offset": 4}, content=b"evil", headers=BINARY)
        assert reply.status_code == 409
        assert client.post(f"{API}/uploads/{name}/done", json={}).status_code == 409
    assert target.read_text() == "mine" and not (world.root / "nowhere").exists()
    for name in (".linked.mp4.part", "taken.mp4", ".pipe.mp4.part"):
        (up / name).unlink()
    (up / ".folder.mp4.part").rmdir()


def test_a_full_disk_is_told_and_the_part_stays(world: World, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=80m", "vidrag-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk needs root and a working 'mount -t tmpfs'")
    try:
        words = ("--uploads", str(disk), "--upload-limit-mb", "1000")
        with served(world, tmp_path, *words) as running, running.client() as client:
            url = f"{API}/uploads/a.mp4"
            assert client.put(url, content=bytes(1_000_000), headers=BINARY).json()["bytes"] == 1_000_000
            reply = client.put(url, params={"offset": 1_000_000}, content=bytes(30_000_000), headers=BINARY)
            refused(reply, 507, "DiskFull")  # before a byte of it is taken
            (disk / "ballast").write_bytes(bytes(10_000_000))
            _fill_while_it_comes(running, client, disk)
            assert client.head(url).headers["upload-offset"] == "1000000"
            assert client.post(f"{url}/done", json={}).status_code == 200
            assert _size(disk / "a.mp4") == 1_000_000
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _fill_while_it_comes(running: Server, client: httpx.Client, disk: Path) -> None:
    """The disk gets full behind the server's first look."""
    (disk / "ballast").unlink()
    where = urlsplit(running.url)
    head = f"PUT {API}/uploads/b.mp4?offset=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n"
    head += "Content-Type: application/octet-stream\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall(head.encode() + bytes(100_000))
        until(lambda: _size(disk / ".b.mp4.part") == 100_000)
        subprocess.run(["dd", "if=/dev/zero", f"of={disk / 'more'}", "bs=1M"], capture_output=True, check=False)
        connection.sendall(bytes(8_900_000))
        reply = connection.recv(65536)
    assert b" 507 " in reply.splitlines()[0] and b"DiskFull" in reply
    (disk / "more").unlink()
    there = int(client.head(f"{API}/uploads/b.mp4").headers["upload-offset"])
    assert there >= 100_000 and there == _size(disk / ".b.mp4.part")


def test_all_is_off_unless_allowed(world: World, tmp_path: Path) -> None:
    with served(world, tmp_path) as running, running.client() as client:
        assert client.get(f"{API}/archive").json()["ingest"] == {"allowed": False, "roots": [], "uploads": False}
        (run, *_) = client.get(f"{API}/runs").json()["runs"]
        refused(client.post(f"{API}/ingest", json={"root": "films"}), 403, "NotAllowed")
        refused(client.put(f"{API}/uploads/a.mp4", content=b"x", headers=BINARY), 403, "NotAllowed")
        refused(client.post(f"{API}/uploads/a.mp4/done", json={}), 403, "NotAllowed")
        refused(client.delete(f"{API}/runs/{run['run']}"), 403, "NotAllowed")
        refused(client.delete(f"{API}/uploads/a.mp4"), 403, "NotAllowed")
        assert client.head(f"{API}/uploads/a.mp4").status_code == 403


def slow(world: World, folder: Path) -> Any:
    """A server whose runs take their time."""
    words = ("--set", "asr=trouble", "--set", "asr.delay_s=600", "--allow-ingest", f"films={world.root / 'films'}")
    return served(world, folder, *words)


def of(pid: int) -> set[int]:
    """Processes below ``pid``."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    below: dict[int, list[int]] = {}
    for line in found.splitlines():
        child, parent = map(int, line.split())
        below.setdefault(parent, []).append(child)
    out, waiting = set[int](), [pid]
    while waiting:
        new = below.get(waiting.pop(), [])
        out.update(new)
        waiting += new
    return out


def alive(pids: set[int]) -> bool:
    return any(_state(p) not in ("", "Z") for p in pids)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.mark.long
def test_one_run_at_a_time_and_it_can_be_stopped(world: World, tmp_path: Path) -> None:
    with slow(world, tmp_path) as running, running.client() as client:
        run = client.post(f"{API}/ingest", json={"root": "films"}).json()["run"]
        told = client.get(f"{API}/runs/{run}").json()
        assert (told["finished"], told["running"], told["stoppable"], told["planned"]) == (False, True, True, 3)
        assert {Path(s["source"]).name for s in told["sources"]} == {"white.mp4", "-dash.mp4", "text.mp4"}
        refused(client.post(f"{API}/ingest", json={"root": "films"}), 409, "Busy")
        until(lambda: any(s["stages"] for s in client.get(f"{API}/runs/{run}").json()["sources"]))
        with client.stream("GET", f"{API}/runs/{run}/events") as reply:  # a viewer who leaves
            assert next(reply.iter_lines()) == "event: progress"
        first = client.get(f"{API}/runs").json()["runs"][-1]["run"]
        refused(client.delete(f"{API}/runs/{first}"), 409, "NotRunning")
        assert client.delete(f"{API}/runs/{run}").status_code == 202
        told = ended(client, run)
        assert (told["finished"], told["running"], told["stoppable"]) == (True, False, False)
        until(lambda: not of(running.process.pid))
        again = client.post(f"{API}/ingest", json={"root": "films"})
        assert again.status_code == 202 and again.json()["run"] != run
    assert world.run("verify", "archive", fake=False).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_ends_with_the_server_and_leaves_nothing_half(world: World, tmp_path: Path, number: int) -> None:
    with slow(world, tmp_path) as running, running.client() as client:
        run = client.post(f"{API}/ingest", json={"root": "films"}).json()["run"]
        until(lambda: len(of(running.process.pid)) >= 2)
        processes = of(running.process.pid)
        os.kill(running.process.pid, number)
        running.process.wait(60)
        until(lambda: not alive(processes))
    report = json.loads(world.run("report", "archive", run, "--json", fake=False).stdout)
    assert report["finished"]
    assert world.run("verify", "archive", fake=False).returncode == 0


@pytest.mark.long
def test_two_starts_at_once(world: World, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with slow(world, tmp_path) as running, running.client() as client, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: client.post(f"{API}/ingest", json={"root": "films"}), range(8)))
        assert sorted(r.status_code for r in replies) == [202] + [409] * 7


@pytest.mark.parametrize(
    "roots", [["films"], ["=x"], ["a/b=x"], ["../x=x"], ["films=nowhere"], ["films=.", "films=."], ["uploads=."]]
)
def test_folders_that_cannot_be_allowed(roots: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        Allowed.of(roots, tmp_path / "up")


def test_a_link_may_be_named_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    allowed = Allowed.of([f"films={tmp_path / 'link'}"])
    assert allowed.find("films", "a.mp4") == (tmp_path / "real" / "a.mp4").resolve()
    assert allowed.find("films", "") == (tmp_path / "real").resolve()
