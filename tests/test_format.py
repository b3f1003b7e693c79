"""docs/format.md says what a stranger needs: docs/read_archive.py, made from it, reads what vidrag reads."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from store_tools import (
    CHAPTERS,
    JPEGS,
    RECORDS,
    SPEC,
    publish_all,
    publish_old_frames,
    publish_speech,
    source,
    source_with_id,
)  # fmt: skip
from vidrag.store.archive import schema
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import Manifest
from vidrag.store.records import Cell, StoredFile

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "format.md").read_text()
KINDS = ("speech", "text", "frames", "labels", "chapters")


@pytest.fixture(scope="module")
def reader() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("read_archive", ROOT / "docs" / "read_archive.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    yield made


def test_it_reads_what_vidrag_reads(archive: Archive, reader: ModuleType) -> None:
    """Rows, vectors and pictures of the current cells; not those of earlier options, nor of what was taken out."""
    publish_speech(archive, source(), "1" * 16, "of earlier options")
    publish_all(archive, dataclasses.replace(source(), paths=("/films/caf\udce9.mp4",)))
    publish_old_frames(archive, source_with_id("aaaa", "old.mp4"))
    gone = source_with_id("bbbb", "gone.mp4")
    publish_speech(archive, gone)
    archive.discard(gone.sha256[:16])
    found = {v.manifest["video"]: v for v in reader.videos(Path(archive.location))}
    assert sorted(found) == archive.ids()
    for video, read in found.items():
        shard = archive.shard(video)
        assert tuple(read.manifest["source"]["paths"]) == shard.manifest.source.paths
        for kind in KINDS:
            own = [
                {n: r[n] for n in schema.SCHEMAS[kind].names if n != "picture"} for r in shard.rows(kind).to_pylist()
            ]
            assert [{n: r[n] for n in r if n not in ("picture", "jpeg")} for r in read.rows(kind)] == own
        for kind in ("speech", "text", "frames"):
            vectors, theirs = shard.vectors(kind, SPEC), read.vectors(kind)  # type: ignore[arg-type]
            assert (vectors is None) == (theirs is None)
            assert vectors is None or np.array_equal(vectors.vectors(), theirs)
        assert [read.picture(i) for i in range(len(JPEGS))] == JPEGS
    assert len(found[source().sha256[:16]].rows("chapters")) == len(CHAPTERS)


def test_damage_is_seen(archive: Archive, reader: ModuleType) -> None:
    """The version before a damaged manifest counts; a damaged file or picture is refused."""
    publish_speech(archive, source(), "1" * 16, "first")
    made = publish_all(archive, source())
    folder = Path(archive.location) / "videos" / made.video
    for path in (*folder.glob("speech-*.parquet"), *folder.glob("pictures-*")):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    (video,) = reader.videos(Path(archive.location))
    for read in (lambda: video.rows("speech"), lambda: video.picture(len(JPEGS) - 1)):
        with pytest.raises(SystemExit, match="is damaged"):
            read()
    path = folder / "manifest-000002.json"
    path.write_bytes(path.read_bytes().replace(b"talk.mp4", b"fake.mp4"))
    (video,) = reader.videos(Path(archive.location))
    assert video.manifest["version"] == 1


def test_the_command(archive: Archive) -> None:
    """As a program of its own, which never imports vidrag."""
    publish_all(archive, source())
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "docs" / "read_archive.py"), archive.location],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == sum(len(RECORDS[k]) for k in KINDS if k != "frames") and "vidrag." not in done.stderr
    assert {"video": source().sha256[:16], "kind": "speech", "start": 0.5, "end": 2.0, "text": "Good morning."} in lines


def test_the_page_names_every_column_and_key() -> None:
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
    told: dict[str, list[str]] = {}
    for row in rows:
        if row[0] in KINDS:
            told.setdefault(row[0], []).append(row[1])
    heads = ["video", "row", "start", "end"]
    assert {k: [*heads, *c] for k, c in told.items()} == {k: schema.SCHEMAS[k].names for k in KINDS}
    keys = set(re.findall(r"`([a-z0-9_]+)`", PAGE))
    for record in (Manifest, Cell, StoredFile):
        assert {f.name for f in dataclasses.fields(record)} <= keys
