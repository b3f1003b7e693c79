"""The HTTP API over the bundled sample: what it answers is what the command line prints, with links."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx2 as httpx
import numpy as np
import pytest
from serve_tools import COMMAND, Server, serving

API = "/api/v1"


@pytest.fixture(scope="module")
def server(sample_archive: Path, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(sample_archive, tmp_path_factory.mktemp("serve"), "--media", str(sample.parent)) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as one:
        yield one


@pytest.fixture(scope="module")
def video(server: Server) -> str:
    with server.client() as one:
        found: str = one.get(f"{API}/videos").json()["videos"][0]["id"]
    return found


def printed(*words: str) -> Any:
    ran = subprocess.run([*COMMAND, *words, "--json"], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def without(told: dict[str, Any], *names: str) -> dict[str, Any]:
    return {k: v for k, v in told.items() if k not in names}


def test_an_answer_is_that_of_the_command_line(client: httpx.Client, sample_archive: Path) -> None:
    question = "Where are the lockers?"
    told = client.post(f"{API}/ask", json={"question": question}).json()
    expected = printed("ask", str(sample_archive), question)
    links = [(e.pop("url"), e.pop("frame_url")) for e in told["evidence"]]
    assert without(told, "timings", "asked") == without(expected, "timings")
    assert told["asked"] == question and told["citations"]
    for url, frame in links:
        assert client.get(url).status_code == 200
        assert client.get(frame).headers["content-type"] == "image/jpeg"


def test_options_and_videos_are_asked_as_given(client: httpx.Client, video: str) -> None:
    asked = {"question": "Which colour has the staircase?", "options": ["red", "blue", "green"], "videos": [video]}
    assert client.post(f"{API}/ask", json=asked).json()["choice"] == "B"


def test_a_streamed_answer_is_the_same(client: httpx.Client) -> None:
    asked = {"question": "Where are the lockers?"}
    whole = client.post(f"{API}/ask", json=asked).json()
    reply = client.post(f"{API}/ask", json=asked, headers={"accept": "text/event-stream"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    name, data = reply.text.strip().split("\n\n")[-1].split("\n")
    assert name == "event: answer"
    told = json.loads(data.removeprefix("data: "))
    assert without(told, "timings") == without(whole, "timings")


def test_a_streamed_mistake_is_an_event(client: httpx.Client) -> None:
    reply = client.post(f"{API}/ask", json={"question": "?"}, headers={"accept": "text/event-stream"})
    assert reply.text.startswith("event: error\n")
    assert json.loads(reply.text.split("data: ")[1])["error"]["exit_code"] == 2


def test_hits_are_those_of_the_command_line(client: httpx.Client, sample_archive: Path) -> None:
    told = client.get(f"{API}/search", params={"q": "blue staircase", "top": 3}).json()
    expected = printed("search", str(sample_archive), "blue staircase", "--top", "3")
    assert [without(h, "url", "frame_url") for h in told["hits"]] == [
        without(h, "path", "thumbnail") for h in expected["hits"]
    ]
    assert (told["next"] is not None) == expected["more"]


def test_filters_and_pages_of_a_search(client: httpx.Client) -> None:
    def hits(**given: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get(f"{API}/search", params={"q": "museum tour", **given}).json()["hits"]
        return found

    assert {h["kind"] for h in hits(kind="text")} == {"text"}
    assert all(h["end"] > 30 for h in hits(**{"from": "0:30"}))
    first = client.get(f"{API}/search", params={"q": "museum tour", "top": 1}).json()
    second = client.get(f"{API}/search", params={"q": "museum tour", "top": 1, "cursor": first["next"]}).json()
    assert [first["hits"][0], second["hits"][0]] == hits(top=2)


def test_rows_come_in_order_and_in_pages(client: httpx.Client, video: str, truth: dict[str, Any]) -> None:
    for kind in ("speech", "text", "frame"):
        whole = client.get(f"{API}/videos/{video}/rows", params={"kind": kind}).json()
        starts = [r["start"] for r in whole["rows"]]
        assert starts == sorted(starts) and len(starts) == whole["total"] > 5
        parts, cursor = list[Any](), "0"
        while cursor:
            page = client.get(f"{API}/videos/{video}/rows", params={"kind": kind, "limit": 4, "cursor": cursor}).json()
            parts, cursor = parts + page["rows"], page.get("next")
        assert parts == whole["rows"]
    some = client.get(f"{API}/videos/{video}/rows", params={"from": 20, "to": 40}).json()["rows"]
    assert some and all(r["end"] > 20 and r["start"] < 40 for r in some)


def test_a_video_is_told_as_a_whole(client: httpx.Client, video: str) -> None:
    told = client.get(f"{API}/videos/{video}").json()
    assert told["name"] == "sample.mp4" and told["seconds"] == pytest.approx(93, abs=0.5)
    assert {s["status"] for s in told["stages"].values()} == {"ok"}
    assert len(told["chapter_list"]) == told["chapters"] > 1
    assert told["original"]["state"] == "here" and told["original"]["mime"].startswith("video/mp4")


def test_pictures_are_scaled_and_asked_for_once(client: httpx.Client, video: str) -> None:
    address = f"{API}/videos/{video}/frame?t=12.2&w=160"
    reply = client.get(address)
    picture = cv2.imdecode(np.frombuffer(reply.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape[1] == 160
    again = client.get(address, headers={"if-none-match": reply.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert client.get(f"{API}/videos/{video}/frame?n=99999").status_code == 404


def test_captions_are_valid(client: httpx.Client, video: str, tmp_path: Path) -> None:
    import pysubs2

    said = client.get(f"{API}/videos/{video}/rows").json()["rows"]
    for form in ("vtt", "srt"):
        reply = client.get(f"{API}/videos/{video}/captions.{form}", params={"download": 1})
        assert reply.headers["content-disposition"] == f'attachment; filename="sample.{form}"'
        cues = pysubs2.SSAFile.from_string(reply.text, format_=form)
        assert [c.plaintext for c in cues] == [" ".join(r["text"].split()) for r in said]
        assert [c.start / 1000 for c in cues] == pytest.approx([r["start"] for r in said], abs=0.002)
    lines = client.get(f"{API}/videos/{video}/rows.jsonl").text.splitlines()
    assert {json.loads(line)["kind"] for line in lines} == {"speech", "text", "frame", "chapter"}


def test_the_original_is_served_by_ranges(client: httpx.Client, video: str, sample: Path) -> None:
    address, data = f"{API}/videos/{video}/original", sample.read_bytes()
    part = client.get(address, headers={"range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == data[100:200]
    assert client.get(address, headers={"range": f"bytes={len(data) + 5}-"}).status_code == 416
    many = ",".join(f"{i}-{i + 1}" for i in range(0, 4000, 3))
    assert len(client.get(address, headers={"range": f"bytes={many}"}).content) < 2 * len(data)
    assert client.get(address).content == data


def test_a_copy_holds_the_same_pictures(client: httpx.Client, video: str, sample: Path) -> None:
    import av

    def times(file: Any) -> list[float]:
        with av.open(file) as opened:
            return [float(p.pts * p.time_base) for p in opened.demux(video=0) if p.pts is not None]

    address = f"{API}/videos/{video}/copy.mp4"
    whole = client.get(address).content
    assert times(io.BytesIO(whole)) == pytest.approx(times(str(sample)), abs=0.05)
    part = client.get(address, headers={"range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == whole[100:200]


def test_a_clip_holds_what_was_asked(client: httpx.Client, video: str, tmp_path: Path) -> None:
    reply = client.get(f"{API}/videos/{video}/clip.mp4", params={"start": 10, "end": 14})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-disposition"] == 'attachment; filename="sample-10-14.mp4"'
    import av

    with av.open(io.BytesIO(reply.content)) as clip:
        times = [float(f.pts * f.time_base) for f in clip.decode(video=0)]
    assert times[0] < 0.3 and times[-1] == pytest.approx(4, abs=0.3)
    for start, end in ((5, 5), (9, 4), (0, 5000)):
        assert client.get(f"{API}/videos/{video}/clip.mp4", params={"start": start, "end": end}).status_code == 400


def test_a_stream_plays_from_where_it_was_asked(client: httpx.Client, video: str) -> None:
    import av

    reply = client.get(f"{API}/videos/{video}/play.mp4", params={"start": 80})
    with av.open(io.BytesIO(reply.content)) as stream:
        assert stream.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in stream.decode(video=0)) > 5
        assert 12 < float(stream.streams.video[0].duration or 0) * float(stream.streams.video[0].time_base or 0) < 15


def test_two_streams_at_most_and_none_left_behind() -> None:
    import asyncio

    from vidrag.jobs.serve.errors import Refused
    from vidrag.jobs.serve.playing import Streams, _Stream

    async def leaves() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def sent(message: Any) -> None:
        if message.get("body"):
            raise OSError("the viewer has gone")

    async def both() -> None:
        streams = Streams()
        one, two = [await streams.start(["sh", "-c", "echo x; exec sleep 100"]) for _ in range(2)]
        with pytest.raises(Refused, match="try again"):
            await streams.start(["true"])
        await streams.stop(one)
        assert one.returncode
        three = await streams.start(["true"])
        await streams.stop(three)
        scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
        with contextlib.suppress(Exception):
            held = contextlib.AsyncExitStack()
            held.push_async_callback(streams.stop, two)
            await _Stream(held, two, b"x", {})(scope, leaves, sent)
        assert two.returncode, "it ends with its viewer"
        assert streams._free == 2

    asyncio.run(asyncio.wait_for(both(), 20))


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/videos/0123456789abcdef", 404),
        ("/videos/nobody.mp4/rows", 404),
        ("/videos/..%2f..%2fetc%2fpasswd", 404),
        ("/search?q=", 400),
        ("/search?q=%3f%21", 400),
        ("/search", 400),
        ("/search?q=a&cursor=x", 400),
        ("/search?q=a&from=x", 400),
        ("/search?q=a&from=9&to=3", 400),
        ("/search?q=a&since=yesterday", 400),
        ("/search?q=a&speaker=Nobody", 400),
        ("/search?q=a&language=xx", 400),
        ("/search?q=a&kind=smell", 400),
        ("/search?q=a&top=100000", 400),
        ("/search?q=" + "x" * 10_001, 400),
        ("/videos?sort=colour", 400),
        ("/videos?cursor=-1", 400),
        ("/nothing", 404),
    ],
)
def test_mistakes_are_one_line(client: httpx.Client, address: str, status: int) -> None:
    reply = client.get(API + address)
    told = reply.json()["error"]
    assert reply.status_code == status and told["exit_code"] == 2
    assert told["message"] and "\n" not in told["message"]


@pytest.mark.parametrize(
    "asked", [{}, {"question": ""}, {"question": "a?", "options": ["x"]}, {"question": "a?", "videos": ["none.mp4"]},
              {"question": "a?", "colour": 1}, {"question": "x" * 20_000}, []],
)  # fmt: skip
def test_odd_questions_are_told_so(client: httpx.Client, asked: Any) -> None:
    reply = client.post(f"{API}/ask", json=asked)
    assert reply.status_code in (400, 404) and reply.json()["error"]["message"]


def test_many_ask_at_once(client: httpx.Client, server: Server) -> None:
    """As many as may wait: none fails, and all get the same answer."""
    from concurrent.futures import ThreadPoolExecutor

    def ask(_: int) -> tuple[int, str]:
        with server.client() as one:
            reply = one.post(f"{API}/ask", json={"question": "Where are the lockers?"})
            return reply.status_code, reply.json()["answer"]

    with ThreadPoolExecutor(32) as threads:
        assert len(set(threads.map(ask, range(32)))) == 1


def test_a_video_that_is_taken_out_is_gone(sample_archive: Path, tmp_path: Path) -> None:
    """Also for a page that shows it."""
    import shutil

    own = shutil.copytree(sample_archive, tmp_path / "archive")
    with serving(own, tmp_path) as running, running.client() as client:
        video = client.get(f"{API}/videos").json()["videos"][0]["id"]
        assert client.get(f"{API}/videos/{video}/rows").status_code == 200
        subprocess.run([*COMMAND, "rm", str(own), video, "--yes"], check=True, capture_output=True)
        reply = client.get(f"{API}/videos/{video}/rows")
        assert reply.status_code == 404 and reply.json()["error"]["code"] == "NoSuchVideo"


def test_the_document_of_the_api_names_every_route(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/archive", "/videos", "/videos/{video}/rows", "/search", "/ask", "/runs", "/ingest"):
        assert API + path in paths
