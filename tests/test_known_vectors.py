"""Vectors of texts that come with the package are made once on a machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vidrag.query.text import known_vectors
from vidrag.query.text.known_vectors import remembered

VECTORS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(known_vectors, "cache_dir", lambda: tmp_path)
    return tmp_path / "vectors"


class Encoder:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> np.ndarray:
        self.asked += 1
        return VECTORS


def test_they_are_made_once(cache: Path) -> None:
    """For each space and each text."""
    encode = Encoder()
    for _ in range(3):
        assert np.array_equal(remembered("space", "text", encode), VECTORS)
    assert encode.asked == 1
    remembered("another space", "text", encode)
    remembered("space", "another text", encode)
    assert encode.asked == 3
    assert {p.suffix for p in cache.iterdir()} == {".npy"} and len([*cache.iterdir()]) == 3


@pytest.mark.parametrize("damage", [b"", b"noise", "cut", "nan", "double", "flat"])
def test_what_is_damaged_is_made_again(cache: Path, damage: bytes | str) -> None:
    encode = Encoder()
    remembered("space", "text", encode)
    (path,) = cache.iterdir()
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        other = {"nan": VECTORS * np.nan, "double": VECTORS.astype(float), "flat": VECTORS.ravel()}[damage]
        np.save(path, other)
    assert np.array_equal(remembered("space", "text", encode), VECTORS)
    assert np.array_equal(remembered("space", "text", encode), VECTORS)
    assert encode.asked == 2


def test_a_cache_that_cannot_be_written_costs_time_alone(cache: Path) -> None:
    cache.write_text("in the way")
    encode = Encoder()
    for _ in range(2):
        assert np.array_equal(remembered("space", "text", encode), VECTORS)
    assert encode.asked == 2
