"""Vector files against exact numpy, and files that do not fit what is promised of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from store_tools import rows_of_norm_1
from vidrag.store.errors import ArchiveDamaged
from vidrag.store.vectors import VectorFile, normalised, write

ROWS, DIM = 300, 32
HALF = 2e-3  # inner products of half-precision rows of norm 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "x.faiss", rows_of_norm_1(ROWS, DIM))
    return tmp_path / "x.faiss"


def test_rows_come_back_in_half_precision(path: Path) -> None:
    rows = rows_of_norm_1(ROWS, DIM)
    file = VectorFile(path, ROWS, DIM)
    assert np.allclose(file.vectors(), rows, rtol=2**-10, atol=2**-24)
    assert np.array_equal(file.vectors(), file.vectors().astype(np.float16))
    assert np.array_equal(file.vector(17), file.vectors()[17])
    assert file.vectors().dtype == np.float32


@pytest.mark.parametrize("k", [1, 7, ROWS, ROWS + 50])
def test_search_is_exact(path: Path, k: int) -> None:
    """The best ``k`` rows of numpy, best first; never more than there are."""
    queries = rows_of_norm_1(5, DIM, seed=1)
    file = VectorFile(path, ROWS, DIM)
    truth = queries @ file.vectors().T
    scores, rows = file.search(queries, k)
    assert scores.shape == rows.shape == (5, min(k, ROWS))
    assert scores.dtype == np.float32 and rows.dtype == np.int64
    assert np.allclose(scores, -np.sort(-truth, axis=1)[:, :k], atol=1e-5)
    assert np.allclose(np.take_along_axis(truth, rows, 1), scores, atol=1e-5)
    assert all(len(set(r)) == len(r) for r in rows.tolist())


def test_scores_are_inner_products_in_row_order(path: Path) -> None:
    queries = rows_of_norm_1(5, DIM, seed=1)
    scores = VectorFile(path, ROWS, DIM).scores(queries)
    assert scores.shape == (5, ROWS) and scores.dtype == np.float32
    assert np.allclose(scores, queries @ rows_of_norm_1(ROWS, DIM).T, atol=HALF)


def test_every_row_finds_itself(path: Path) -> None:
    rows = rows_of_norm_1(ROWS, DIM)
    scores, found = VectorFile(path, ROWS, DIM).search(rows, 1)
    assert found[:, 0].tolist() == list(range(ROWS))
    assert np.allclose(scores, 1, atol=HALF)


def test_searching_changes_nothing(path: Path) -> None:
    """Neither the file nor the answers, whatever was asked before."""
    before = path.read_bytes()
    queries = rows_of_norm_1(5, DIM, seed=1)
    file = VectorFile(path, ROWS, DIM)
    first = file.search(queries, 9)
    file.scores(queries[:1])
    file.search(queries * 3, 2)
    again = file.search(queries, 9)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert path.read_bytes() == before


def test_equal_rows_are_all_found(tmp_path: Path) -> None:
    write(tmp_path / "x", np.repeat(rows_of_norm_1(1, DIM), 4, axis=0))
    scores, rows = VectorFile(tmp_path / "x", 4, DIM).search(rows_of_norm_1(1, DIM), 4)
    assert sorted(rows[0].tolist()) == [0, 1, 2, 3]
    assert np.allclose(scores, 1, atol=HALF)


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    """No rows, no queries, or neither: arrays of the promised shape."""
    write(tmp_path / "x", np.zeros((0, DIM), np.float32))
    file = VectorFile(tmp_path / "x", 0, DIM)
    assert file.vectors().shape == (0, DIM)
    for queries in (rows_of_norm_1(3, DIM), np.zeros((0, DIM), np.float32)):
        scores, rows = file.search(queries, 5)
        assert scores.shape == rows.shape == file.scores(queries).shape == (len(queries), 0)


def test_no_queries_find_nothing(path: Path) -> None:
    none = np.zeros((0, DIM), np.float32)
    file = VectorFile(path, ROWS, DIM)
    assert file.search(none, 5)[0].shape == (0, 5)
    assert file.scores(none).shape == (0, ROWS)


@pytest.mark.parametrize(
    "rows, dim", [(ROWS - 1, DIM), (ROWS + 1, DIM), (ROWS, DIM + 1), (ROWS * 2, DIM // 2), (0, DIM)]
)
def test_a_header_that_does_not_fit_is_damage(path: Path, rows: int, dim: int) -> None:
    with pytest.raises(ArchiveDamaged, match=f"{rows} vectors of {dim}"):
        VectorFile(path, rows, dim)


@pytest.mark.parametrize("size", [0, 3, 36, 80, 100, -1, -DIM * 2])
def test_a_truncated_file_is_damage(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArchiveDamaged):
        VectorFile(path, ROWS, DIM)


def test_something_appended_is_damage(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(5000))
    with pytest.raises(ArchiveDamaged):
        VectorFile(path, ROWS, DIM)


@pytest.mark.long
def test_a_flipped_header_is_damage_or_of_no_account(path: Path) -> None:
    """Whatever bit of the header flips: the file is refused, or it answers as before."""
    data = path.read_bytes()
    queries = rows_of_norm_1(2, DIM, seed=1)
    truth = VectorFile(path, ROWS, DIM).scores(queries)
    refused = 0
    for at in range(len(data) - ROWS * DIM * 2):
        for bit in (0, 7):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                scores = VectorFile(path, ROWS, DIM).scores(queries)
            except ArchiveDamaged:
                refused += 1
            else:
                assert np.array_equal(scores, truth), at
    assert refused >= 40


def test_another_index_is_refused(tmp_path: Path) -> None:
    """Only the one type of index that is written is read."""
    import faiss

    for index in (faiss.IndexFlatIP(DIM), faiss.IndexFlatL2(DIM), faiss.IndexHNSWFlat(DIM, 4)):
        index.add(rows_of_norm_1(ROWS, DIM))
        faiss.write_index(index, str(tmp_path / "x"))
        with pytest.raises(ArchiveDamaged):
            VectorFile(tmp_path / "x", ROWS, DIM)


def test_normalised_rows_have_norm_1() -> None:
    """Rows of zeros stay zero: they are like nothing."""
    rows = np.array([[3, 4], [0, 0], [1e-3, 0], [1e15, 0]])
    found = normalised(rows)
    assert found.dtype == np.float32
    assert np.allclose(found, [[0.6, 0.8], [0, 0], [1, 0], [1, 0]])
    assert normalised(np.zeros((0, 5), np.float32)).shape == (0, 5)
