"""An approximate index of very many vectors: inverted lists that are scanned in compressed form, then ranked again.

A query is compared with the centroids (IVF; Sivic & Zisserman, 2003), the vectors of the nearest lists are scanned as
4-bit product quantizer codes with SIMD shuffles (Jégou et al., 2011; André et al., 2017), and the best of these are
scored again from one byte a dimension (SQ8).  On 300,000 vectors this costs half of what IVF-SQ8 alone does at the same
recall.

A vector's position is its number in the order of adding; nothing is ever taken out, the caller masks what has gone.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArchiveDamaged
from ..storage.faults import storage_errors
from ..vectors import Vectors, head_of

Positions = NDArray[np.int64]
_MAGIC = b"IxRF"  # IndexRefine
_HEADER = struct.Struct("<4siqqq?i")  # fourcc, dim, ntotal, two unused, is_trained, metric
_MOST_LISTS = 1 << 16
SAMPLE = 64
"""Vectors a list that the centroids are trained on."""
FEWEST = 16
"""A 4-bit quantizer needs as many training vectors as it has codes."""
_FEW = 2048
"""So many vectors are scored all, without the lists."""


def _faiss() -> Any:
    import faiss

    if faiss.omp_get_max_threads() != 1:  # counted for each thread
        faiss.omp_set_num_threads(1)
    return faiss


def lists_for(rows: int) -> int:
    """How many inverted lists suit ``rows`` vectors: the power of two nearest to twice the square root."""
    return min(_MOST_LISTS, 1 << max(0, round(math.log2(2 * math.sqrt(max(rows, 1))))))


def probes_for(lists: int) -> int:
    """How many lists are scanned for a query: one in 14, at least 288."""
    return min(lists, max(288, lists * 9 // 128))


def codes_for(dim: int) -> int:
    """How many 4-bit codes a vector has: one for 4 dimensions, more where there are few."""
    step = 4 if dim >= 256 else 2 if dim >= 128 else 1
    return dim // step if dim % step == 0 else dim


class AnnBuilder:
    """Grows an index in memory; about ``1.15 * dim + 8`` bytes a vector."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @property
    def rows(self) -> int:
        return int(self._index.ntotal)

    @classmethod
    def train(cls, sample: Vectors, rows: int, threads: int = 1) -> AnnBuilder:
        """An empty index for about ``rows`` vectors like those of ``sample`` (float32 ``(n, dim)``, n >= 1)."""
        faiss, dim, lists = _faiss(), int(sample.shape[1]), lists_for(rows)
        sample = np.nan_to_num(np.ascontiguousarray(sample, np.float32))
        if len(sample) < max(lists, FEWEST):
            sample = np.resize(sample, (max(lists, FEWEST), dim))
        faiss.omp_set_num_threads(threads)
        try:
            base = faiss.IndexIVFPQFastScan(
                faiss.IndexFlatIP(dim), dim, lists, codes_for(dim), 4, faiss.METRIC_INNER_PRODUCT
            )
            for clustering in (base.cp, base.pq.cp):
                clustering.min_points_per_centroid, clustering.max_points_per_centroid = 1, SAMPLE
            base.cp.spherical, base.cp.niter = True, 8
            base.pq.cp.max_points_per_centroid = 1024
            fine = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
            index = faiss.IndexRefine(base, fine)
            index.train(sample)
        finally:
            faiss.omp_set_num_threads(1)
        return cls(index)

    @classmethod
    def of(cls, path: Path, rows: int, dim: int) -> AnnBuilder:
        """Goes on from a finished file; see :class:`AnnFile` for what is checked."""
        return cls(AnnFile(path, rows, dim, in_memory=True).index)

    def add(self, vectors: Vectors) -> None:
        """float32 ``(n, dim)``; they get the next positions."""
        if len(vectors):
            self._index.add(np.nan_to_num(np.ascontiguousarray(vectors, np.float32)))

    def write(self, path: Path) -> None:
        """Writes through Python: FAISS itself does not notice a disk that fills up while it closes a file."""
        faiss = _faiss()
        with storage_errors(path), path.open("wb") as f:
            failed: list[OSError] = []

            def put(block: bytes) -> int:
                try:
                    return len(block) if f.write(block) == len(block) else 0
                except OSError as e:
                    failed.append(e)
                    return 0

            try:
                faiss.write_index(self._index, faiss.PyCallbackIOWriter(put, 1 << 20))
            except RuntimeError:
                if failed:
                    raise failed[0] from None
                raise
            f.flush()


class AnnFile:
    """A finished index, opened for searching, which changes nothing in it.  The SQ8 half is memory-mapped."""

    def __init__(self, path: Path, rows: int, dim: int, in_memory: bool = False) -> None:
        """Opens ``path``; :class:`ArchiveDamaged` where its header, parts or sizes do not fit ``rows`` and ``dim``."""
        self.path, self.rows, self.dim = path, rows, dim
        head = head_of(path, _HEADER.size)
        try:
            magic, d, n, _, _, trained, metric = _HEADER.unpack(head)
        except struct.error as e:
            raise ArchiveDamaged(f"{path}: too short for a FAISS index") from e
        if (magic, d, n, trained, metric) != (_MAGIC, dim, rows, True, 0) or path.stat().st_size < rows * dim:
            raise ArchiveDamaged(f"{path}: its header does not fit {rows} vectors of {dim} dimensions")
        faiss = _faiss()
        flags = 0 if in_memory else faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY
        try:
            self.index = faiss.read_index(str(path), flags)
            self._check(faiss)
        except (RuntimeError, MemoryError) as e:
            head_of(path, 0)  # its message does not say why it could not open it
            raise ArchiveDamaged(f"{path}: FAISS refuses it ({str(e).splitlines()[0][:200]})") from e

    def _check(self, faiss: Any) -> None:
        """Holds the parts against the header: a position beyond the end would be read from other memory."""
        base: Any = faiss.downcast_index(self.index.base_index) if type(self.index) is faiss.IndexRefine else None
        fine: Any = faiss.downcast_index(self.index.refine_index) if base is not None else None
        if type(base) is not faiss.IndexIVFPQFastScan or type(fine) is not faiss.IndexScalarQuantizer:
            raise ArchiveDamaged(f"{self.path}: holds an index of another kind")
        centroids = faiss.downcast_index(base.quantizer)
        sizes = np.array([base.invlists.list_size(i) for i in range(base.nlist)] if base.nlist <= _MOST_LISTS else [])
        sound = (
            {base.d, fine.d, centroids.d} == {self.dim}
            and {base.ntotal, fine.ntotal, int(sizes.sum())} == {self.rows}
            and (base.nlist, base.pq.nbits, base.metric_type) == (centroids.ntotal, 4, 0)
            and isinstance(centroids, faiss.IndexFlat)
            and (fine.sq.qtype, fine.code_size) == (faiss.ScalarQuantizer.QT_8bit, self.dim)
            and fine.metric_type == 0
        )
        seen = np.zeros(self.rows, bool)
        for i in np.flatnonzero(sizes).tolist() if sound else ():
            ids = faiss.rev_swig_ptr(base.invlists.get_ids(i), int(sizes[i]))
            if ids.min() < 0 or ids.max() >= self.rows:
                raise ArchiveDamaged(f"{self.path}: names vectors that it does not hold")
            seen[ids] = True
        if not sound or not seen.all():
            raise ArchiveDamaged(f"{self.path}: its parts do not fit each other")
        self.lists, self._fine = int(base.nlist), fine
        self._known: dict[tuple[int, float], Any] = {}

    def search(
        self, query: Vectors, k: int, wide: int = 0, probes: int = 0, keep: NDArray[np.bool_] | None = None
    ) -> tuple[Vectors, Positions]:
        """About the ``k`` best vectors for ``query`` ``(dim,)``: SQ8 scores and positions, best first, at most ``k``.

        ``wide``: how many are scored from SQ8 (0: four times ``k``, at least 1024: some encoders put all texts close
        together, and 4 bits tell them apart badly); ``probes``: how many lists are scanned
        (0: :func:`probes_for`); ``keep``: bool ``(rows,)``, False for what must not be found.
        """
        faiss = _faiss()
        k = min(k, self.rows)
        if k == 0:
            return np.zeros(0, np.float32), np.zeros(0, np.int64)
        selector = None if keep is None else faiss.IDSelectorBitmap(np.packbits(keep, bitorder="little"))
        params = self._parameters(probes, max(wide or max(4 * k, 1024), k) / k, selector)
        asked = np.ascontiguousarray(query[None], dtype=np.float32)
        try:
            if self.rows > _FEW:
                scores, rows = self.index.search(asked, k, params=params)
            if self.rows <= _FEW or (rows[0] < 0).any():  # the lists near the query hold too little
                scores, rows = self._fine.search(asked, k, params=faiss.SearchParameters(sel=selector))
        except RuntimeError as e:
            raise ArchiveDamaged(f"{self.path}: FAISS cannot search it ({str(e).splitlines()[0][:100]})") from e
        found = rows[0] >= 0
        return scores[0][found], rows[0][found]

    def _parameters(self, probes: int, factor: float, selector: Any) -> Any:
        """FAISS's form of what a search is asked for; making it takes as long as scanning ten lists."""
        key = probes, factor
        if selector is None and key in self._known:
            return self._known[key]
        faiss = _faiss()
        inner = faiss.SearchParametersIVF(nprobe=min(probes or probes_for(self.lists), self.lists), sel=selector)
        made = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=inner)
        if selector is None:
            self._known[key] = made
        return made


def sampled(rows: int, wanted: int, seed: int = 0) -> Positions:
    """``wanted`` of ``rows`` positions at random, sorted; all where there are fewer."""
    if rows <= wanted:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, wanted, replace=False))


def stacked(parts: Iterable[Vectors], dim: int) -> Vectors:
    """Vectors one below the other, float32 ``(n, dim)``."""
    found = list(parts)
    return np.concatenate(found) if found else np.zeros((0, dim), np.float32)
