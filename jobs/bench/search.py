"""The index over a whole archive beside a flat search: CPU of both, and what the index fails to find."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...query.find.search import TERMS_ID, Searcher, SearchOptions
from ...query.text.words import terms
from ...store.archive.archive import Archive
from ...store.encoders import EncoderSpec
from ...store.index import build as index_build
from ...store.vectors import Vectors
from . import cpu_each, machine, made_up, spread

K = 10
_ROUNDS = 10


def run(rows: int, dim: int, queries: int, videos: int, options: SearchOptions, real: Vectors | None) -> dict[str, Any]:
    """``real``: rows' vectors of an archive, which ``rows`` vectors are made from; None: FAISS's synthetic ones.

    The ten nearest by flat search are looked for among as many as a question takes from the index.  Both sides run on
    one thread, and CPU seconds of the process are counted.
    """
    if real is None:
        vectors, asked, before = (made_up.hard(n, dim, s) for n, s in ((rows, 7), (queries, 8), (300, 9)))
    else:
        vectors, asked, before = (made_up.perturbed(real, n, s) for n, s in ((rows, 7), (queries, 8), (300, 9)))
    spec = EncoderSpec("made up", "0" * 16, int(vectors.shape[1]))
    texts = made_up.sentences(rows, invented=20_000)
    with tempfile.TemporaryDirectory() as name:
        archive = made_up.archive(Path(name) / "archive", texts, vectors, spec, videos)
        built, build_s = _built(archive)
        searcher = Searcher(archive, {"speech": spec}, options)
        return {
            "bench": "search",
            "machine": machine(),
            "vectors": rows,
            "dim": spec.dim,
            "videos": videos,
            "data": "perturbed rows" if real is not None else "synthetic",
            **_dense(searcher, vectors, asked, before),
            **_lexical(searcher, texts),
            "build_s": round(build_s, 1),
            "bytes_per_vector": round(built.bytes / rows, 1),
            **_appended(archive, texts[: rows // 100], vectors[: rows // 100], spec),
        }


def rows_of(archive: Archive, most: int = 50_000) -> Vectors:
    """Vectors of speech and text that an archive holds, at most ``most``, float32 ``(n, dim)``."""
    from ...store.errors import UsageError
    from ...store.index.index import wanted

    parts, count = list[Vectors](), 0
    for shard in archive.shards():
        for kind, w in wanted(shard.manifest).items():
            if kind != "frames" and w.encoder and (file := shard.vectors(kind, w.encoder)) and count < most:
                parts.append(file.vectors())
                count += file.rows
    if count < 100:
        raise UsageError(
            f"{archive.location}: holds {count} vectors of speech and text; 100 are needed to make more of"
        )
    return np.concatenate(parts)[:most]


def _built(archive: Archive) -> tuple[index_build.Built, float]:
    began = time.perf_counter()
    built = index_build.update(archive, terms, TERMS_ID)
    return built, time.perf_counter() - began


def _dense(searcher: Searcher, vectors: Vectors, asked: Vectors, before: Vectors) -> dict[str, Any]:
    """``before``: other queries, by which the index is loaded, which happens once."""
    import faiss

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(int(vectors.shape[1]))
    flat.add(vectors)
    view, depth = searcher.view(), searcher.options.depth
    place = _original(len(view.cover.live), len(vectors))
    for q in before:
        searcher.nearest(view, "speech", q, depth)
    hits, ratios, flat_ms, index_ms = 0, list[float](), list[float](), list[float]()
    for part in np.array_split(asked, _ROUNDS):
        one, truth = cpu_each(lambda q: flat.search(q[None], K)[1][0], part)
        other, found = cpu_each(lambda q: searcher.nearest(view, "speech", q, depth), part)
        for want, have in zip(truth, found, strict=True):
            hits += len(set(want.tolist()) & {place[p.video] + p.row for _, p in have})
        flat_ms.append(one * 1e3)
        index_ms.append(other * 1e3)
        ratios.append(one / other)
    looked, _ = cpu_each(lambda q: searcher.view(), asked[:20])
    return {
        "queries": len(asked),
        "recall_of_10": round(hits / K / len(asked), 4),
        "flat_cpu_ms": spread(flat_ms),
        "index_cpu_ms": spread(index_ms),
        "flat_over_index": spread(ratios),
        "unchanged_check_cpu_ms": round(looked * 1e3, 3),
    }


def _original(videos: int, rows: int) -> dict[str, int]:
    """For each made-up video the number of its first vector."""
    parts = np.array_split(np.arange(rows), videos)
    return {made_up.video_id(n): int(part[0]) for n, part in enumerate(parts)}


def _lexical(searcher: Searcher, texts: Sequence[str]) -> dict[str, Any]:
    """BM25 with the words of some rows."""
    view, words = searcher.view(), [terms(t)[:8] for t in texts[:: max(1, len(texts) // 100)]]
    took, _ = cpu_each(lambda w: searcher.lexical(view, w, 100), words)
    return {"bm25_cpu_ms": round(took * 1e3, 3)}


def _appended(archive: Archive, texts: Sequence[str], vectors: Vectors, spec: EncoderSpec) -> dict[str, Any]:
    """One more video, with a hundredth of the rows."""
    made_up.add(archive, b"one more", texts, vectors, spec)
    built, seconds = _built(archive)
    return {"append_s": round(seconds, 1), "append": built.how}
