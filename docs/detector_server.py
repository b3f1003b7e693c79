"""A detector server that speaks the protocol of docs/detectors.md: any detector engine of vidrag over HTTP.

    python detector_server.py --engine coco --port 8765
    python detector_server.py --engine grounding-dino --set model=/models/dino --set device=cuda

It is the reference for servers of your own: replace ``Service`` and keep the rest.  Standard library beside vidrag.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(50_000_000))  # before a picture is decoded

from vidrag.store import engines
from vidrag.store.archive.pictures import decode_jpeg
from vidrag.store.errors import VidragError, one_line

MOST_BYTES = 16 << 20
MOST_ENTITIES = 100


class Service:
    """What is behind the server: three questions, JSON in and out."""

    def __init__(self, engine: str, options: dict[str, str]) -> None:
        self.detector = engines.load("detector", engine, options)
        self.lock = threading.Lock()

    def about(self) -> dict[str, Any]:
        return {"protocol": "vidrag-detector/1", "identity": self.detector.identity, "knows": True}

    def knows(self, entities: list[str]) -> dict[str, Any]:
        return {"names": {e: self.detector.knows(e) for e in entities}}

    def detect(self, jpeg: bytes, entities: list[str], threshold: float) -> dict[str, Any]:
        picture = decode_jpeg(jpeg)
        with self.lock:
            found = self.detector.detect(picture, entities)
        return {
            "detections": [
                {"label": d.label, "score": d.score, "box": list(d.box)} for d in found if d.score >= threshold
            ]
        }


class Refused(Exception):
    """A request that is not what the protocol says: a status and a reason."""


def handler(service: Service, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            self.reply(lambda: service.about() if self.path.rstrip("/") == "" else refuse(404, "no such path"))

        def do_POST(self) -> None:
            self.reply(self.posted)

        def posted(self) -> dict[str, Any]:
            length = int(self.headers.get("Content-Length") or -1)
            if not 0 <= length <= MOST_BYTES:
                refuse(413, f"a body of at most {MOST_BYTES >> 20} MB with its Content-Length is wanted")
            asked = json.loads(self.rfile.read(length))
            entities = asked.get("entities")
            if not isinstance(entities, list) or not all(isinstance(e, str) for e in entities[:MOST_ENTITIES]):
                refuse(400, "'entities' is no list of texts")
            if self.path == "/knows":
                return service.knows(entities[:MOST_ENTITIES])
            if self.path == "/detect":
                jpeg = base64.b64decode(asked["image"], validate=True)
                return service.detect(jpeg, entities[:MOST_ENTITIES], float(asked.get("threshold", 0)))
            return refuse(404, "no such path")

        def reply(self, work: Any) -> None:
            status = 200
            try:
                given = self.headers.get("Authorization", "")
                if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                    refuse(401, "a bearer token is wanted")
                told = work()
            except Refused as e:
                status, told = e.args[0], {"error": e.args[1]}
            except VidragError as e:
                status, told = 500, {"error": one_line(e)}
            except (ValueError, KeyError, TypeError, AttributeError) as e:
                status, told = 400, {"error": one_line(e)}
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    return Handler


def refuse(status: int, reason: str) -> Any:
    raise Refused(status, reason)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="coco")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the engine")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765, help="0 takes a free one")
    parser.add_argument("--token-env", default="VIDRAG_DETECTOR_TOKEN", help="the variable that holds the token")
    given = parser.parse_args()
    token = os.environ.get(given.token_env, "")
    if given.host not in ("127.0.0.1", "::1", "localhost") and not token:
        parser.error(f"{given.host} can be reached from elsewhere: put a token into {given.token_env} first")
    try:
        service = Service(given.engine, dict(s.split("=", 1) for s in given.set))
    except (VidragError, ValueError) as e:
        parser.error(one_line(e))
    server = ThreadingHTTPServer((given.host, given.port), handler(service, token))
    print(f"{given.engine} listens on http://{given.host}:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
