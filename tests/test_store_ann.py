"""The approximate index of vectors against exact inner products, and files of it that are not what they should be."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from store_tools import rows_of_norm_1
from vidrag.jobs.bench.made_up import hard
from vidrag.store.errors import ArchiveDamaged, StorageError
from vidrag.store.index.ann import AnnBuilder, AnnFile, lists_for, probes_for
from vidrag.store.vectors import Vectors, normalised


def made(path: Path, *parts: Vectors) -> AnnFile:
    """An index laid out for the first part, to which the others were added one file after the other."""
    builder = AnnBuilder.train(parts[0], len(parts[0]))
    rows = 0
    for part in parts:
        builder.add(part)
        rows += len(part)
        builder.write(path)
        builder = AnnBuilder.of(path, rows, part.shape[1])
    return AnnFile(path, rows, parts[0].shape[1])


@pytest.mark.parametrize("dim", [1, 7, 8, 384])
@pytest.mark.parametrize("rows", [1, 2, 15, 17, 100, 2500])
def test_any_size(rows: int, dim: int, tmp_path: Path) -> None:
    """Every vector is found by itself, and so many as are asked for are found."""
    vectors = rows_of_norm_1(rows, dim)
    file = made(tmp_path / "x", vectors)
    scores, found = file.search(vectors[rows // 2], 10)
    assert len(found) == len(set(found.tolist())) == min(10, rows)
    assert scores[0] == pytest.approx(1, abs=0.02)
    assert (np.diff(scores) <= 0).all()


@pytest.mark.long
@pytest.mark.parametrize("dim", [64, 384])
def test_recall(dim: int, tmp_path: Path) -> None:
    """Hard vectors: 93 of 100 true neighbours at the least, and scores that are right to a hundredth."""
    vectors, queries = hard(20_000, dim, 1), hard(100, dim, 2)
    file, hits = made(tmp_path / "x", vectors), 0
    for query in queries:
        truth = vectors @ query
        scores, found = file.search(query, 10)
        hits += len(set(found.tolist()) & set(np.argsort(-truth)[:10].tolist()))
        np.testing.assert_allclose(scores, truth[found], atol=0.02)
    assert hits >= 930


def close(count: int, seed: int, asked: float = 0.0, dim: int = 384) -> Vectors:
    """Vectors that all lie together, at cosines from .7 to .9 as those of E5 do; ``asked``: so far from the others."""
    fixed = np.random.default_rng(7)
    common, other = fixed.standard_normal((2, dim)) / np.sqrt(dim)
    spread = fixed.standard_normal((dim, dim)) * np.arange(1, dim + 1) ** -0.7
    own = normalised(np.random.default_rng(seed).standard_normal((count, dim)) @ spread.T)
    return normalised(common + asked * other + 0.5 * own)


@pytest.mark.long
def test_recall_of_vectors_that_lie_close_together(tmp_path: Path) -> None:
    vectors, queries = close(20_000, 1), close(100, 2, asked=0.3)
    assert 0.7 < (vectors[:500] @ vectors[500:1000].T).mean() < 0.9
    file, hits = made(tmp_path / "x", vectors), {0: 0, 96: 0}
    for query in queries:
        truth = set(np.argsort(-(vectors @ query))[:10].tolist())
        for wide in hits:
            hits[wide] += len(truth & set(file.search(query, 10, wide=wide)[1].tolist()))
    assert hits[0] >= 930 > 850 > hits[96]


@pytest.mark.parametrize("rows", [50, 5000])
def test_what_is_masked_is_not_found(rows: int, tmp_path: Path) -> None:
    """The rest is, as many as there are, however few."""
    vectors = rows_of_norm_1(rows, 16)
    file = made(tmp_path / "x", vectors)
    for kept in (np.arange(rows) % 3 == 0, np.arange(rows) < 4, np.zeros(rows, bool)):
        _, found = file.search(vectors[1], 8, keep=kept)
        assert kept[found].all()
        assert len(found) == min(8, int(kept.sum()))


def test_appending_gives_the_next_positions(tmp_path: Path) -> None:
    first, second = rows_of_norm_1(3000, 16, seed=1), rows_of_norm_1(500, 16, seed=2)
    file = made(tmp_path / "x", first, second)
    assert file.rows == 3500
    assert all(file.search(v, 1)[1][0] == 3000 + i for i, v in enumerate(second[:50]))


def test_odd_numbers_do_not_stop_it(tmp_path: Path) -> None:
    """A vector of NaN is found by nobody and harms no other."""
    vectors = rows_of_norm_1(100, 8)
    vectors[3] = np.nan
    file = made(tmp_path / "x", vectors)
    assert file.search(vectors[5], 1)[1][0] == 5


def test_the_layout_grows_with_the_rows() -> None:
    assert [lists_for(n) for n in (0, 1, 1000, 300_000)] == [2, 2, 64, 1024]
    assert [probes_for(n) for n in (1, 64, 1024, 8192)] == [1, 64, 288, 576]


def _shorter(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _header(rows: int) -> Any:
    return lambda data: data[:8] + struct.pack("<q", rows) + data[16:]


@pytest.mark.parametrize("change", [_shorter, _header(99), _header(2**40), lambda d: b"IxFl" + d[4:], lambda d: b""])
def test_another_file_is_damage(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "x"
    made(path, rows_of_norm_1(100, 8))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ArchiveDamaged, match=str(path)):
        AnnFile(path, 100, 8)
    with pytest.raises(ArchiveDamaged):
        AnnFile(path, 99, 8)


def test_positions_beyond_the_end_are_damage(tmp_path: Path) -> None:
    """They would be read from other memory."""
    path = tmp_path / "x"
    made(path, rows_of_norm_1(100, 8))
    index = faiss.read_index(str(path))
    base = faiss.downcast_index(index.base_index)
    full = next(i for i in range(base.nlist) if base.invlists.list_size(i))
    faiss.rev_swig_ptr(base.invlists.get_ids(full), 1)[0] = 10_000_000
    faiss.write_index(index, str(path))
    with pytest.raises(ArchiveDamaged, match="does not hold"):
        AnnFile(path, 100, 8)


def test_an_index_of_another_kind_inside_is_damage(tmp_path: Path) -> None:
    path, vectors = tmp_path / "x", rows_of_norm_1(100, 8)
    inner, outer = faiss.IndexFlatIP(8), faiss.IndexFlatIP(8)
    other = faiss.IndexRefine(inner, outer)
    other.add(vectors)
    faiss.write_index(other, str(path))
    with pytest.raises(ArchiveDamaged, match="another kind"):
        AnnFile(path, 100, 8)


def test_a_full_disk_is_named() -> None:
    builder = AnnBuilder.train(rows_of_norm_1(100, 8), 100)
    with pytest.raises(StorageError, match="/dev/full: no space left"):
        builder.write(Path("/dev/full"))
