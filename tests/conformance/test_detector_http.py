"""The client of detector servers: what it sends, and what becomes of every way in which a server can fail."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import detector_process
import numpy as np
import pytest
from engine_tools import coco_server
from vidrag.query.look.detectors.over_http import MOST_BOXES
from vidrag.store import engines
from vidrag.store.errors import EngineFailed, EngineMissing, OptionError

SECRET = "do-not-print-me"
PICTURE = np.full((90, 160, 3), (200, 40, 40), np.uint8)
DOCS = (Path(__file__).resolve().parents[2] / "docs" / "detectors.md").read_text("utf-8")
Answer = tuple[int, str, bytes | Iterable[bytes]]


def told(*found: tuple[str, Any, Any], status: int = 200) -> Answer:
    rows = [{"label": label, "score": score, "box": box} for label, score, box in found]
    return status, "application/json", json.dumps({"detections": rows}).encode()


@dataclass
class Server:
    """``detect`` and ``about`` answer; ``requests`` holds path, headers and body of each."""

    url: str = ""
    detect: Callable[[dict[str, Any]], Answer] = lambda _: told(("cat", 0.9, [0.1, 0.2, 0.5, 0.6]))
    about: Callable[[], Answer] = lambda: (200, "application/json", b'{"identity": "test-1"}')
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(state.about(), {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(state.detect(body), body)

        def answer(self, answer: Answer, body: dict[str, Any]) -> None:
            state.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, kind, data = answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked has gone
                for piece in [data] if isinstance(data, bytes) else data:
                    self.wfile.write(piece)
                    self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            return

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    running.shutdown()
    running.server_close()
    thread.join()


def client(server: Server, **options: Any) -> Any:
    return engines.load("detector", "http", {"url": server.url, "timeout_s": 5, **options})


def test_sends_what_was_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JPEG of the picture, the phrases, the threshold, and the token of the variable named."""
    monkeypatch.setenv("DOOR", SECRET)
    found = client(server, threshold=0.4, token_env="DOOR").detect(PICTURE, ["the cats", "A red mug", "cat", "?"])
    path, headers, body = server.requests[-1]
    assert (path, headers["authorization"]) == ("/detect", f"Bearer {SECRET}")
    assert body["entities"] == ["cat", "red mug"] and body["threshold"] == 0.4
    sent = cv2.imdecode(np.frombuffer(base64.b64decode(body["image"]), np.uint8), cv2.IMREAD_COLOR)
    assert sent.shape == PICTURE.shape and np.abs(sent[..., ::-1].astype(int) - PICTURE).max() < 12
    assert [(d.label, d.score, d.box) for d in found] == [("cat", 0.9, (0.1, 0.2, 0.5, 0.6))]


def test_boxes_are_put_right(server: Server) -> None:
    """Clipped into the picture with a note; what has no area in it, or was not asked for, is left out; best first."""
    server.detect = lambda _: told(
        ("cat", 0.5, [-0.5, 0.2, 0.5, 7]),
        ("Cats", 1, [0.1, 0.1, 0.2, 0.2]),
        ("cat", 0.9, [1.2, 0.2, 1.5, 0.6]),
        ("cat", 0.9, [0.6, 0.2, 0.5, 0.6]),
        ("cat", 0.1, [0.6, 0.2, 0.7, 0.6]),
        ("dog", 0.9, [0.1, 0.2, 0.5, 0.6]),
    )
    asking = client(server)
    for _ in range(2):
        found = asking.detect(PICTURE, ["cat"])
        assert [(d.score, d.box) for d in found] == [(1.0, (0.1, 0.1, 0.2, 0.2)), (0.5, (0.0, 0.2, 0.5, 1.0))]
    assert len(asking.notes) == 2
    assert any("beyond the picture" in n for n in asking.notes) and any("not asked for" in n for n in asking.notes)


def test_very_many_boxes_become_the_best(server: Server) -> None:
    server.detect = lambda _: told(*(("cat", 0.3 + i / 10_000, [0.1, 0.2, 0.5, 0.6]) for i in range(1000)))
    found = client(server).detect(PICTURE, ["cat"])
    assert len(found) == MOST_BOXES and found[0].score == pytest.approx(0.3999)


BOX = [0.1, 0.2, 0.5, 0.6]
WRONG = {
    "html": (200, "text/html", b"<html><body>hello</body></html>"),
    "no json": (200, "application/json", b'{"detections": ['),
    "no text": (200, "application/json", b"\xff\xfe"),
    "a list": (200, "application/json", b"[]"),
    "nothing": (200, "application/json", b""),
    "very deep": (200, "application/json", b"[" * 100_000),
    "no detections": (200, "application/json", b"{}"),
    "detections of text": (200, "application/json", b'{"detections": "none"}'),
    "rows of numbers": (200, "application/json", b'{"detections": [1]}'),
    "label": told((5, 0.9, BOX)),  # type: ignore[arg-type]
    "score of text": told(("cat", "0.9", BOX)),
    "true for a score": told(("cat", True, BOX)),
    "score above 1": told(("cat", 1.5, BOX)),
    "not a number": told(("cat", math.nan, BOX)),
    "infinite box": told(("cat", 0.9, [0, 0, math.inf, 1])),
    "huge": (200, "application/json", b'{"detections": [{"label": "cat", "score": 1e999, "box": [0, 0, 1, 1]}]}'),
    "three corners": told(("cat", 0.9, [0.1, 0.2, 0.5])),
    "corners by name": told(("cat", 0.9, {"x0": 0})),
    "corners of text": told(("cat", 0.9, ["0", "0", "1", "1"])),
    "unauthorised": (401, "application/json", b'{"error": "who are you"}'),
    "not found": (404, "text/html", b"<html>"),
    "redirect": (302, "text/html", b""),
    "broken": (500, "application/json", b'{"error": "out of memory"}'),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_sends_something_else_has_failed(
    server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clear line, with the server and without the token."""
    monkeypatch.setenv("VIDRAG_DETECTOR_TOKEN", SECRET)
    asking = client(server)
    server.detect = lambda _: WRONG[name]
    with pytest.raises(EngineFailed) as caught:
        asking.detect(PICTURE, ["cat"])
    line = str(caught.value)
    assert server.url in line and SECRET not in line and "\n" not in line and len(line) < 400


def test_a_server_that_fails_once_is_asked_again(server: Server) -> None:
    """After 500 and after a broken connection; not after 401, and no more often than told."""
    answers = [told(status=500), told(("cat", 0.9, BOX))]
    server.detect = lambda _: answers.pop(0)
    asking = client(server)
    assert len(asking.detect(PICTURE, ["cat"])) == 1
    for status, requests in ((500, 2), (401, 1)):
        server.detect = lambda _, s=status: told(status=s)  # type: ignore[misc]
        before = len(server.requests)
        with pytest.raises(EngineFailed, match=str(status)):
            asking.detect(PICTURE, ["cat"])
        assert len(server.requests) - before == requests


def test_fifty_megabytes_are_not_read(server: Server) -> None:
    sent = []

    def pieces() -> Iterator[bytes]:
        for _ in range(50):
            sent.append(1)
            yield b" " * (1 << 20)

    server.detect = lambda _: (200, "application/json", pieces())
    with pytest.raises(EngineFailed, match="more than 4 MB"):
        client(server).detect(PICTURE, ["cat"])
    assert len(sent) < 20


@pytest.mark.parametrize("drips", [False, True])
def test_a_server_that_hangs_has_failed(server: Server, drips: bool) -> None:
    """In time as a whole, whether it says nothing or a byte now and then; then it is left alone for a while."""
    let_go = threading.Event()

    def pieces() -> Iterator[bytes]:
        while not let_go.wait(0.05):
            yield b" " if drips else b""

    server.detect = lambda _: (200, "application/json", pieces())
    asking, began = client(server, timeout_s=0.4), time.monotonic()
    try:
        for _ in range(2):
            with pytest.raises(EngineFailed, match=r"more than 0\.4 s"):
                asking.detect(PICTURE, ["cat"])
        with pytest.raises(EngineFailed, match="2 times in a row"):
            asking.detect(PICTURE, ["cat"])
    finally:
        let_go.set()
    assert time.monotonic() - began < 4


def test_a_server_that_is_not_there_is_named() -> None:
    """When the engine is made, unless it is told what the server runs; then when it is asked."""
    gone = "http://127.0.0.1:9"
    with pytest.raises(EngineFailed, match=f"{gone} cannot be reached"):
        engines.load("detector", "http", {"url": gone})
    named = engines.load("detector", "http", {"url": gone, "model": "ape"})
    with pytest.raises(EngineFailed, match="cannot be reached"):
        named.detect(PICTURE, ["cat"])
    with pytest.raises(EngineMissing, match=r"detector\.url"):
        engines.load("detector", "http", {})


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://x", "http://", "http://u:p@x", "http://x:99999", "http://x/?a"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(OptionError, match=r"http\.url"):
        engines.load("detector", "http", {"url": url})


def test_an_odd_token_is_not_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in (f"{SECRET}\nX: y", f"{SECRET}é"):
        monkeypatch.setenv("VIDRAG_DETECTOR_TOKEN", token)
        with pytest.raises(OptionError) as caught:
            client(server)
        assert SECRET not in str(caught.value)
    monkeypatch.setenv("VIDRAG_DETECTOR_TOKEN", f" {SECRET}\n")  # as a file of secrets ends
    client(server)
    assert server.requests[-1][1]["authorization"] == f"Bearer {SECRET}"


def test_the_identity_is_what_the_server_runs(server: Server) -> None:
    """Not where it runs; a name given counts for more than what it says."""
    first = client(server).identity
    assert client(server, timeout_s=9).identity == first != client(server, model="test-2").identity
    server.about = lambda: (200, "application/json", b'{"identity": "test-2"}')
    assert client(server).identity != first
    server.about = lambda: (200, "application/json", b"{}")
    with pytest.raises(EngineFailed, match=r"detector\.model"):
        client(server)


def test_a_server_without_names_is_given_any_words(server: Server) -> None:
    asking = client(server)
    assert [asking.knows(e) for e in ("The Blue Staircases", "??", "42")] == ["blue staircase", None, None]
    assert len(server.requests) == 1


def test_the_reference_server_is_asked_as_the_engine_itself(sample_picture: Any) -> None:
    """docs/detector_server.py in a process of its own finds what the engine finds here."""
    if not (url := coco_server()):
        pytest.skip("the engine coco cannot be loaded here")
    here, there = engines.load("detector", "coco", {}), engines.load("detector", "http", {"url": url})
    for entity in ("kitten", "people", "candle", "blue staircase"):
        assert there.knows(entity) == here.knows(entity)
    found, expected = there.detect(sample_picture(80), ["kitten", "bus"]), here.detect(sample_picture(80), ["cat"])
    assert [d.label for d in found] == ["cat"] == [d.label for d in expected]
    assert found[0].box == pytest.approx(expected[0].box, abs=0.05)


def test_the_reference_server_keeps_its_door() -> None:
    """Without a token it listens to this machine only; with one nobody else comes in; odd requests are told so."""
    with pytest.raises(RuntimeError, match="VIDRAG_DETECTOR_TOKEN"):
        detector_process.started("--host", "0.0.0.0")
    try:
        url, stop = detector_process.started(VIDRAG_DETECTOR_TOKEN="open sesame")
    except RuntimeError as e:
        pytest.skip(f"the engine coco cannot be loaded here: {e}")
    try:
        with pytest.raises(EngineFailed, match="401"):
            engines.load("detector", "http", {"url": url})
        with pytest.MonkeyPatch.context() as changed:
            changed.setenv("VIDRAG_DETECTOR_TOKEN", "open sesame")
            engine = engines.load("detector", "http", {"url": url})
            for path, body in (("/detect", b"[]"), ("/detect", b'{"entities": ["cat"], "image": "?"}'), ("/x", b"{}")):
                with pytest.raises(EngineFailed, match="status 40"):
                    engine._client.send(path, body)
    finally:
        stop()


def test_the_examples_of_the_documentation_are_the_protocol(server: Server) -> None:
    """What the page shows as replies is understood, and what it shows as requests is what is sent."""
    about, request, found, names_asked, named = [json.loads(b) for b in re.findall(r"```json\n(.*?)```", DOCS, re.S)]
    server.about = lambda: (200, "application/json", json.dumps({**about, "knows": True}).encode())

    def respond(body: dict[str, Any]) -> Answer:
        return 200, "application/json", json.dumps(found if "image" in body else named).encode()

    server.detect = respond
    asking = client(server, threshold=request["threshold"])
    assert [asking.knows(e) for e in names_asked["entities"]] == ["cup", None]
    named["names"]["candle"] = "candle"
    asking = client(server, threshold=request["threshold"])
    assert [list(d.box) for d in asking.detect(PICTURE, ["candle"])] == [found["detections"][0]["box"]]
    assert set(server.requests[-1][2]) == set(request) and set(server.requests[-2][2]) == set(names_asked)
