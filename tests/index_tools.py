"""Videos of chosen rows for tests of the index over an archive, and searches with and without it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from store_tools import SPEC, rows_of_norm_1
from vidrag.query.find.search import TERMS_ID, Searcher, SearchOptions
from vidrag.query.find.view import Place, View
from vidrag.query.text.words import terms
from vidrag.store import vectors
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import Source
from vidrag.store.archive.pictures import FrameWriter
from vidrag.store.archive.schema import TableWriter
from vidrag.store.archive.stored_files import stored
from vidrag.store.encoders import EncoderSpec, TextEncoder
from vidrag.store.index import build as index_build
from vidrag.store.index import index
from vidrag.store.records import Cell, Frame, Segment, TextTrack

WORDS = "locker staircase blue rocket cake museum ticket garden bridge 4719".split()
JPEG = bytes([255, 216, 255, 0]) * 8


def source_of(name: str) -> Source:
    return Source(hashlib.sha256(name.encode()).hexdigest(), 1, (f"/films/{name}",))


def sentences(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(count)]


def put(
    archive: Archive,
    name: str,
    said: Sequence[str] = (),
    written: Sequence[str] = (),
    frames: int = 0,
    seed: int = 0,
    spec: EncoderSpec = SPEC,
    doubtful: Sequence[int] = (),
    version: str = "1",
    encoder: TextEncoder | None = None,
    segments: Sequence[Segment] = (),
    tracks: Sequence[TextTrack] = (),
) -> str:
    """Publishes rows as the newest version of the video ``name``; returns its id.

    Their vectors are random ones of ``spec``; those of texts are what an ``encoder`` makes, where one is given.
    ``segments`` and ``tracks``: what is said and on screen, where times or speakers matter.
    """
    of = source_of(name)
    video, fingerprint = of.sha256[:16], version * 16
    rows = {
        "speech": list(segments)
        or [
            Segment(2.0 * i, 2.0 * i + 1.5, t, flags=("low_logprob",) if i in doubtful else ())
            for i, t in enumerate(said)
        ],
        "text": list(tracks) or [TextTrack(3.0 * i, 3.0 * i + 3, t, 0.9, (0, 0, 1, 1)) for i, t in enumerate(written)],
        "frames": [Frame(20.0 * i, 20.0 * i + 20, 16, 9, 0.5, True) for i in range(frames)],
    }
    with archive.staging(of) as folder:
        cells, staged = {}, {}
        for at, (kind, records) in enumerate(rows.items()):
            stage = {"speech": "speech_vectors", "text": "text_vectors", "frames": "frame_vectors"}[kind]
            if not records:
                cells |= {s: Cell(s, fingerprint, "none") for s in (kind, stage)}
                continue
            if kind == "frames":
                pictures = FrameWriter(folder, video)
                for i, frame in enumerate(records):
                    pictures.write(frame, JPEG + bytes([i]))  # type: ignore[arg-type]
                files = pictures.close(fingerprint)
            else:
                with TableWriter(folder / kind, kind, video) as writer:
                    writer.write(records)
                files = {stored(kind, fingerprint, folder / kind, len(records))[0]: folder / kind}
            made, own_spec = rows_of_norm_1(len(records), spec.dim, 1000 * seed + at), spec
            if encoder and kind != "frames":
                made, own_spec = encoder.documents([r.text for r in records]), encoder.spec  # type: ignore[attr-defined]
            vectors.write(folder / f"{kind}.faiss", made)
            found, other = stored(f"{kind}.faiss", fingerprint, folder / f"{kind}.faiss", len(records))
            staged |= {**{f.name: path for f, path in files.items()}, other: folder / f"{kind}.faiss"}
            cells[kind] = Cell(kind, fingerprint, "ok", tuple(files), extent=max(9.0, records[-1].end))  # type: ignore[attr-defined]
            cells[stage] = Cell(stage, fingerprint, "ok", (found,), encoder=own_spec.as_json())
        archive.publish(of, cells, staged)
    return video


def build(archive: Archive, rebuild: bool = False) -> index_build.Built:
    return index_build.update(Archive.open(archive.location), terms, TERMS_ID, rebuild=rebuild)


def searcher(archive: Archive, indexed: bool = True, spec: EncoderSpec = SPEC, **more: Any) -> Searcher:
    """One that has never seen the archive; it uses the index at any size, or never."""
    options = SearchOptions(index_rows=0 if indexed else 10**9, **{"depth": 1000, **more})
    return Searcher(Archive.open(archive.location), dict.fromkeys(index.KINDS, spec), options)


@dataclass(frozen=True)
class Hit:
    """A row found, and its scores by vectors and by words (None: not found by them)."""

    place: Place
    dense: float | None
    lexical: float | None


def ask(by: Searcher, words: Sequence[str] = (), seed: int = 77, dim: int = SPEC.dim) -> tuple[View, list[Hit]]:
    query, depth = rows_of_norm_1(1, dim, seed)[0], by.options.depth
    view, places = by.rank(dict.fromkeys(index.KINDS, query), list(words))
    near = {p: s for kind in index.KINDS for s, p in by.nearest(view, kind, query, depth)}
    held = {p: s for s, p in by.lexical(view, words, depth)}
    return view, [Hit(p, near.get(p), held.get(p)) for p in places]


def alike(one: Sequence[Hit], other: Sequence[Hit]) -> None:
    """The same rows by vectors, and by words with the same scores.

    Scores by vectors are rough where the index was made of few rows; test_a_large_archive looks at them.
    """
    first, then = ([(*h.place, h.dense is None, round(h.lexical or 0, 5)) for h in hits] for hits in (one, other))
    assert sorted(first) == sorted(then)


def same(archive: Archive, words: Sequence[str] = (), seed: int = 77, doubtful: bool = False) -> list[Hit]:
    """What a search with the index finds, after it was held against one that reads every shard."""
    view, found = ask(searcher(archive, doubtful=doubtful), words, seed)
    _, truth = ask(searcher(archive, indexed=False, doubtful=doubtful), words, seed)
    alike(found, truth)
    assert view.notes == []
    return found
