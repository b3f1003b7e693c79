"""What the owner of videos says of them, and narrowing lists, questions and searches by it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from store_tools import publish_speech, source_with_id
from vidrag.jobs.runs import metadata
from vidrag.query.find.scope import Scope, conditions
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import UsageError
from world import World, clip

PATHS = {
    "aaaa": "/films/2021/budget talk.mp4", "bbbb": "/films/2022/2022-03-04 walk.mp4", "cccc": "C:\\Clips\\kurz.mkv",
}  # fmt: skip
ID = {d: source_with_id(d, "x").sha256[:16] for d in PATHS}


@pytest.fixture
def three(archive: Archive) -> Archive:
    for digits, path in PATHS.items():
        of = source_with_id(digits, "x")
        publish_speech(archive, type(of)(of.sha256, of.bytes, (path,)))
    metadata.describe(
        archive,
        [
            ("budget talk.mp4", {"Tags": "budget; Year 2021", "recorded": "2021-05-06", "speaker": "Ann"}),
            ("kurz.mkv", {"Tags": "Wald", "speaker": "Öl"}),
        ],
    )
    return archive


def chosen(archive: Archive, **scope: object) -> list[str]:
    found = Scope(**scope).chosen(archive)  # type: ignore[arg-type]
    assert found is not None
    return [d for d in PATHS for v in found if v == ID[d]]


@pytest.mark.parametrize("catalogued", [False, True])
def test_videos_are_chosen_by_what_is_known_of_them(three: Archive, catalogued: bool) -> None:
    if catalogued:
        three.update_catalogue()
    assert Scope().chosen(three) is None
    assert chosen(three, where=[("tags", "BUDGET")]) == ["aaaa"]
    assert chosen(three, where=[("Tags", "year 2021"), ("SPEAKER", "ann")]) == ["aaaa"]
    assert chosen(three, where=[("speaker", "öl")]) == ["cccc"]
    assert chosen(three, since=date(2021, 5, 6)) == ["aaaa", "bbbb"]
    assert chosen(three, until=date(2021, 12, 31)) == ["aaaa"]
    assert chosen(three, folder="/films") == chosen(three, folder="films/") == ["aaaa", "bbbb"]
    assert chosen(three, folder="2022") == ["bbbb"] and chosen(three, folder="Clips") == ["cccc"]
    assert chosen(three, folder="films", videos=["2022-03-04 walk.mp4", "kurz.mkv"]) == ["bbbb"]


@pytest.mark.parametrize(
    "scope, says",
    [
        ({"where": [("tags", "dog")]}, "tags=dog: no video says so; known are Wald, budget; Year 2021"),
        ({"where": [("mood", "good")]}, "no video has a column 'mood'; known are recorded, speaker, tags"),
        ({"folder": "films/2023"}, "folder films/2023: no video lies there"),
        ({"folder": "ilms"}, "no video lies there"),
        ({"folder": "/"}, "the folder is empty"),
        ({"since": date(2030, 1, 1)}, "they are from 2021-05-06 to 2022-03-04"),
        ({"videos": ["kurz.mkv"], "since": date(2000, 1, 1)}, "no day of recording is known"),
    ],
)
def test_what_fits_no_video_is_told_with_what_there_is(three: Archive, scope: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        chosen(three, **scope)


@pytest.mark.parametrize("given", ["tags", "=x", "tags=", ""])
def test_a_condition_is_a_column_and_a_text(given: str) -> None:
    with pytest.raises(UsageError, match="--where .*expected column=text"):
        conditions("--where", [given])


def test_rows_of_several_forms(tmp_path: Path) -> None:
    for name, text in {
        "a.csv": "video,tags,n\na.mp4,\"x, y\",1\n",
        "b.csv": "\ufeffFile;tags;n\r\na.mp4;x, y;1\r\n",
        "c.tsv": "id\ttags\tn\na.mp4\tx, y\t1\n",
        "d.jsonl": '{"video": "a.mp4", "tags": ["x", "y"], "n": 1}\n\n',
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text, "utf-8")
        assert metadata.read(tmp_path / name) == [("a.mp4", {"tags": "x, y", "n": "1"})], name


@pytest.mark.parametrize(
    "name, data, says",
    [
        ("a.csv", b"a,b\n1,2\n", "no column names the videos; call one of them video"),
        ("a.csv", b"video,a\nx,1,2\n", "line 2: more fields than the first line has columns"),
        ("a.csv", b"video,a\n,1\n", "line 2: names no video in column 'video'"),
        ("a.csv", b'video,a\n"x,1\n', "line 2: unexpected end of data"),
        ("a.csv", b"", "no column names the videos"),
        ("a.csv", b"video\n\xff\xfe\n", "not UTF-8 \\(byte 6\\); save it as UTF-8"),
        ("a.jsonl", b'{"video": "x"}\n{oops\n', "line 2: not JSON"),
        ("a.jsonl", b"[1]\n", "line 1: expected an object"),
        ("none.csv", None, "No such file"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, name: str, data: bytes | None, says: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=says):
        metadata.read(tmp_path / name)


def test_an_empty_text_takes_away_and_others_stay(three: Archive) -> None:
    found = metadata.describe(three, [("kurz.mkv", {"Tags": "", "place": "Ulm"}), ("nobody.mp4", {"a": "b"})])
    assert (found.changed, found.unknown) == (1, ["nobody.mp4"])
    manifest = three.manifest(ID["cccc"])
    assert manifest is not None and dict(manifest.metadata) == {"speaker": "Öl", "place": "Ulm"}
    assert metadata.describe(three, [("kurz.mkv", {"place": "Ulm"})]).changed == 0
    assert three.shard(ID["cccc"]).speech[0].text == "hello"  # nothing was computed again


def test_the_command_line(tmp_path: Path) -> None:
    world = World.make(tmp_path)
    clip(tmp_path / "videos" / "a.mkv", 440, "red")
    clip(tmp_path / "videos" / "b.mkv", 880, "blue")
    (tmp_path / "m.csv").write_text("file,tags\na.mkv,first\nnone.mkv,x\n", "utf-8")
    ran = world.run("ingest", "archive", "videos", "--no-ray", "--meta", "m.csv")
    assert ran.returncode == 0, ran.stderr
    assert "--meta: 1 of 2 rows name no video of the archive: none.mkv" in ran.stdout + ran.stderr
    listed = json.loads(world.run("ls", "archive", "--where", "tags=first", "--json").stdout)
    assert [(v["names"], v["metadata"]) for v in listed] == [(["a.mkv"], {"tags": "first"})]
    assert "a.mkv  tags: first" in world.run("ls", "archive").stdout
    ran = world.run("ask", "archive", "who speaks", "--where", "tags=second")
    assert (ran.returncode, ran.stdout) == (2, "") and "known are first" in ran.stderr
    found = json.loads(world.run("search", "archive", "anything", "--where", "tags=first", "--json").stdout)
    assert {h["name"] for h in found["hits"]} <= {"a.mkv"}
    ran = world.run("ingest", "archive", "videos", "--no-ray", "--meta", "none.csv")
    assert ran.returncode == 2 and "none.csv: No such file" in ran.stderr
