"""FAISS files: one flat index a video and kind, half precision, memory-mapped, exact inner product.

At an hour's size an exact search takes under a millisecond; an approximate index would only lose recall.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ArchiveDamaged, StorageError, one_line
from .storage.faults import machine_errors, storage_errors

Vectors = NDArray[np.float32]
_MAGIC = b"IxSQ"  # IndexScalarQuantizer
_HEADER = struct.Struct("<4siqqq?iiifQQQQ")
"""fourcc, dim, ntotal, two unused, is_trained, metric; of the quantizer: type, two of its training, dim, bytes a row,
learned numbers; bytes of all rows."""


def _faiss() -> Any:
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss


def normalised(vectors: Vectors) -> Vectors:
    """Rows divided by their L2 norm; rows of zeros stay zero.  float32 ``(n, dim)`` in and out."""
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    rows: Vectors = vectors / np.maximum(norms, 1e-12)
    return rows


def write(path: Path, vectors: Vectors) -> None:
    """Writes ``vectors`` (float32 ``(n, dim)``, rows of norm 1) as a flat fp16 inner-product index.

    FAISS makes the bytes, but does not write them: where a disk fills up while its stream is closed it only complains
    on stderr, and half a file would count as written.
    """
    faiss = _faiss()
    index = faiss.IndexScalarQuantizer(int(vectors.shape[1]), faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    data = np.ascontiguousarray(vectors, dtype=np.float32)
    if len(data):
        index.train(data)
        index.add(data)
    with storage_errors(path):
        path.write_bytes(faiss.serialize_index(index).data)


def head_of(path: Path, size: int) -> bytes:
    """The first ``size`` bytes of a file; :class:`ArchiveDamaged` where it cannot be read, or StorageError where the
    machine lacks what it takes.
    """
    try:
        with machine_errors(path), path.open("rb") as f:
            return f.read(size)
    except StorageError:
        raise
    except OSError as e:
        raise ArchiveDamaged(f"{path}: cannot be read ({e.strerror or one_line(e)})") from e


class VectorFile:
    """A memory-mapped index of ``rows`` vectors of ``dim`` dimensions.  Searching changes nothing in it."""

    def __init__(self, path: Path, rows: int, dim: int) -> None:
        """Opens ``path``; its header and size must fit ``rows`` and ``dim``, else :class:`ArchiveDamaged`."""
        self.path, self.rows, self.dim = path, rows, dim
        try:
            head = _HEADER.unpack(head_of(path, _HEADER.size))
        except struct.error as e:
            raise ArchiveDamaged(f"{path}: too short for a FAISS index") from e
        faiss = _faiss()
        half, size = faiss.ScalarQuantizer.QT_fp16, 2 * rows * dim
        # Before FAISS reads it, which takes as much memory as a header asks for.
        fits = (*head[:3], *head[6:8], *head[10:]) == (_MAGIC, dim, rows, 0, half, dim, 2 * dim, 0, size)
        if not fits or path.stat().st_size != _HEADER.size + size:
            raise ArchiveDamaged(f"{path}: its header does not fit {rows} vectors of {dim} half-precision numbers")
        try:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as e:
            head_of(path, 0)  # its message does not say why it could not open it
            raise ArchiveDamaged(f"{path}: FAISS refuses it ({str(e).splitlines()[0]})") from e
        codes = self._index.codes
        mapped = faiss.rev_swig_ptr(codes.data(), codes.size()) if rows else np.zeros(0, np.uint8)
        self._half = mapped.view("<f2").reshape(rows, dim)
        self._half.flags.writeable = False

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:
        """The ``k`` best rows of each query: scores and row numbers, both ``(n_queries, min(k, rows))``, best first."""
        k = min(k, self.rows)
        if k == 0 or not len(queries):
            empty = (len(queries), k)
            return np.zeros(empty, np.float32), np.zeros(empty, np.int64)
        try:
            scores, rows = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        except RuntimeError as e:
            raise ArchiveDamaged(f"{self.path}: FAISS cannot search it ({str(e).splitlines()[0][:100]})") from e
        return scores, rows

    def scores(self, queries: Vectors) -> Vectors:
        """Inner products of every query with every row, float32 ``(n_queries, rows)``."""
        out = np.zeros((len(queries), self.rows), np.float32)
        for own, found, rows in zip(out, *self.search(queries, self.rows), strict=True):
            own[rows] = found
        return out

    def vector(self, row: int) -> Vectors:
        """One row, float32 ``(dim,)``."""
        found: Vectors = self._half[row].astype(np.float32)
        return found

    def vectors(self) -> Vectors:
        """All rows, float32 ``(rows, dim)``."""
        if self.rows == 0:
            return np.zeros((0, self.dim), np.float32)
        found: Vectors = self._index.reconstruct_n(0, self.rows)
        return found
