"""Manifests: what is written is read again, and nothing else is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_tools import SPEC, source
from vidrag.store.archive.manifest import FORMAT, Manifest, Source, decode
from vidrag.store.errors import ArchiveDamaged, NotAnArchive
from vidrag.store.fingerprints import canonical
from vidrag.store.records import Cell, StoredFile
from vidrag.store.storage.keys import manifest_name, manifest_version

ODD_NAMES = [
    "caf\udce9.mp4",
    "a\nb\tc.mp4",
    "🎬 \u202egpj.mp4",
    '"quoted\\".mp4',
    "\ud83d\ude00",
    "\x00\x7f\u2028",
    "a b/ c",
]
FILE = StoredFile("speech", "speech-abc-012.parquet", 123, "0" * 64, 7)
CELL = Cell(
    "speech",
    "f" * 16,
    "ok",
    (FILE, dataclasses.replace(FILE, kind="speech.faiss", name="speech-abc.faiss")),
    {"language": "en", "nested": {"list": [1, 2.5, None, True, "ü"]}},
    SPEC.as_json(),
    attempts=2,
    seconds=1.25,
    extent=12.5,
    coverage=0.75,
    engine={"name": "whisper"},
)
FAILED = Cell("text", "e" * 16, "failed", error="EngineFailed", message="it\nbroke", permanent=True)
MANIFEST = Manifest("a" * 16, 3, source(), (CELL, FAILED), {"speech": "f" * 16, "text": "e" * 16}, "now", "vidrag 0")

anything = st.text(st.characters(exclude_categories=()), min_size=1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=6,
)


def signed(body: dict[str, Any]) -> bytes:
    """A manifest whose checksum holds, whatever stands in it."""
    body = {k: v for k, v in body.items() if k != "checksum"}
    return json.dumps({**body, "checksum": hashlib.sha256(canonical(body)).hexdigest()}).encode()


def changed(**changes: Any) -> bytes:
    return signed({**json.loads(MANIFEST.encode()), **changes})


def test_a_manifest_survives() -> None:
    assert decode(MANIFEST.encode(), "x") == MANIFEST
    assert decode(changed(), "x") == MANIFEST


@given(paths=st.lists(anything, min_size=1, max_size=3), data=st.dictionaries(anything, values, max_size=3))
def test_any_name_and_any_data_survive(paths: list[str], data: dict[str, Any]) -> None:
    """File names hold what a file system allows: undecodable bytes, line breaks, emoji."""
    cell = dataclasses.replace(CELL, data=data)
    manifest = dataclasses.replace(MANIFEST, source=Source("0" * 64, 1, tuple(paths)), cells=(cell,))
    assert decode(manifest.encode(), "x") == manifest


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_survive(name: str) -> None:
    manifest = dataclasses.replace(MANIFEST, source=Source("0" * 64, 1, (f"/films/{name}", name)))
    assert decode(manifest.encode(), "x").source.paths == (f"/films/{name}", name)


def test_any_flipped_bit_is_damage() -> None:
    """At every place of the file; nothing but the error for damage comes out."""
    data = MANIFEST.encode()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 7)
        with pytest.raises(ArchiveDamaged):
            decode(bytes(flipped), f"byte {at}")


def test_a_flipped_bit_in_the_format_is_damage() -> None:
    """A format that only looks newer is told from one that is: the checksum does not hold."""
    data = MANIFEST.encode().replace(b'"format": 1', b'"format": 9')
    with pytest.raises(ArchiveDamaged):
        decode(data, "x")


@pytest.mark.parametrize("size", [0, 1, 2, 100, -2, -1])
def test_a_cut_manifest_is_damage(size: int) -> None:
    with pytest.raises(ArchiveDamaged):
        decode(MANIFEST.encode()[:size], "x")


@pytest.mark.parametrize(
    "data", [b"null", b"[]", b"{}", b"3", b'"x"', b"\xff\xfe", b"NaN", b"[" * 100_000, b'{"format": 1}', b"1" * 5000]
)
def test_other_json_is_damage(data: bytes) -> None:
    with pytest.raises(ArchiveDamaged, match="x.json"):
        decode(data, "x.json")


def test_a_newer_format_is_refused_and_not_called_damaged() -> None:
    """The message says which format it is and what to do."""
    with pytest.raises(NotAnArchive, match=f"format {FORMAT + 1}.*update"):
        decode(changed(format=FORMAT + 1), "x")


@pytest.mark.parametrize(
    "changes",
    [
        {"source": {"sha256": "0", "bytes": 1, "paths": []}},
        {"source": {"sha256": "0", "bytes": 1, "paths": [7]}},
        {"source": {"sha256": "0", "bytes": "many", "paths": ["a"]}},
        {"source": None},
        {"cells": None},
        {"cells": [7]},
        {"cells": [{"stage": "speech"}]},
        {"current": ["speech"]},
        {"unknown": 1},
    ],
)
def test_a_manifest_of_another_shape_is_damage(changes: dict[str, Any]) -> None:
    """Archives from elsewhere are not trusted: a checksum that holds is not enough."""
    with pytest.raises(ArchiveDamaged):
        decode(changed(**changes), "x")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ".hidden", "a/b", "", "a\x00b", "ä.parquet", "a\n"])
def test_a_file_name_that_leads_elsewhere_is_damage(name: str) -> None:
    cell = json.loads(MANIFEST.encode())["cells"][0]
    cell["files"][0]["name"] = name
    with pytest.raises(ArchiveDamaged, match="file name"):
        decode(changed(cells=[cell]), "x")


@pytest.mark.parametrize("version", [0, 1, 999_999, 1_000_000])
def test_versions_are_in_the_name(version: int) -> None:
    assert manifest_version(manifest_name(version)) == version


@pytest.mark.parametrize("name", ["manifest-1.json", "manifest-000001.json.tmp", ".manifest-000001.json", "x", ""])
def test_other_names_are_no_manifests(name: str) -> None:
    assert manifest_version(name) is None


def test_merging_adds_cells_and_makes_them_current() -> None:
    """What was there stays; a failed cell gives way; a good one is kept; the newest path comes first."""
    new = Cell("speech", "1" * 16, "none")
    merged = MANIFEST.merged({"speech": new}, ("/elsewhere/b.mp4",))
    assert merged.version == 4
    assert merged.cells == (CELL, FAILED, new)
    assert merged.cell("speech") == new and merged.cell("speech", "f" * 16) == CELL
    assert merged.source.paths == ("/elsewhere/b.mp4", "/films/talk.mp4")
    assert merged.name == "b.mp4"
    again = dataclasses.replace(FAILED, status="ok")
    assert MANIFEST.merged({"text": again}, ()).cell("text") == again
    other = dataclasses.replace(CELL, seconds=99.0)
    assert MANIFEST.merged({"speech": other}, ()).cell("speech") == CELL


def test_the_duration_is_what_was_read() -> None:
    """Of current cells only; what the container declares where nothing was read."""
    assert MANIFEST.duration == 12.5
    media = Cell("media", "m" * 16, "ok", data={"duration": 33.0})
    declared = dataclasses.replace(MANIFEST, cells=(media, CELL), current={"media": "m" * 16})
    assert declared.duration == 33.0
    assert dataclasses.replace(MANIFEST, cells=(), current={}).duration == 0.0


def test_names_have_no_folders_and_no_repeats() -> None:
    assert Source("0", 1, ("/a/x.mp4", "/b/x.mp4", "C:\\films\\y.mp4", "z.mp4")).names == ("x.mp4", "y.mp4", "z.mp4")
