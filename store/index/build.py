"""Builds the index over an archive and brings it up to date.

What an index holds is taken over as it is; videos that have come are added behind, and what belongs to versions that
have gone stays until so much of it has gathered, or the archive has grown so much, that everything is laid out anew.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..archive.archive import Archive
from ..archive.shard import Shard
from ..archive.stored_files import now, stored, version
from ..encoders import EncoderSpec
from ..errors import ArchiveDamaged, StorageError, one_line
from ..records import StoredFile
from ..storage.faults import storage_errors
from ..vectors import Vectors
from . import ann
from .ann import AnnBuilder
from .coverage import Coverage, coverage, profile_of, shard
from .index import (
    FOLDER,
    INDEX,
    KINDS,
    TABLES,
    ArchiveIndex,
    Block,
    IndexManifest,
    Kind,
    Wanted,
    newest,
    versions,
    wanted,
)
from .postings import DOUBTFUL, MOST_ROWS, Writer, length

MOST_DEAD, MOST_GROWTH = 0.25, 2.0
"""Share of rows that have gone, and growth since the lists were laid out, from which on all is built anew."""
Terms = Callable[[str], list[str]]
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Built:
    """What an update did: ``how`` is ``unchanged``, ``appended`` or ``built``; ``rows`` of speech and text, ``vectors``
    by kind, ``added`` and ``dropped`` videos (a replaced one counts as both).
    """

    how: str
    version: int = 0
    videos: int = 0
    rows: int = 0
    vectors: Mapping[Kind, int] = field(default_factory=dict)
    added: int = 0
    dropped: int = 0
    bytes: int = 0
    notes: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def update(
    archive: Archive,
    terms: Terms,
    terms_id: str,
    *,
    rebuild: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
    attempts: int = 5,
) -> Built:
    """Publishes a version of the index that holds every video as it is now; returns what that took.

    ``terms`` makes text into terms and ``terms_id`` names how; an index made otherwise is not built upon.  Where
    another job publishes first, this one goes on from what that one made.
    """
    for _ in range(attempts):
        notes: list[str] = []
        highest = max(versions(archive), default=0)
        base = newest(archive, notes)
        cover = coverage(archive, base)
        if base is not None and not rebuild and not cover.changed and base.manifest.terms == terms_id:
            return _told(base, "unchanged", notes, cover.damaged)
        if base is None or rebuild or _stale(base, cover, terms_id):
            base, cover = None, coverage(archive, None, cover.numbers)
        with archive.backend.scratch(FOLDER) as folder:
            try:
                work = _Work(archive, folder, base, cover, terms, threads)
            except ArchiveDamaged as e:  # a vector file of the base
                notes.append(f"{one_line(e, 200)}; the index is built anew")
                work = _Work(archive, folder, None, coverage(archive, None, cover.numbers), terms, threads)
            work.run(progress or (lambda done, total: None))
            made = _publish(archive, work, terms_id, highest + 1)
        if made is not None:
            found = _told(made, "appended" if work.base else "built", notes, work.damaged)
            found.added, found.dropped = len(work.added), len(work.dropped)
            return found
        rebuild = False
    raise StorageError(f"{archive.location}/{FOLDER}: other jobs were faster {attempts} times; run the command again")


def _told(index: ArchiveIndex, how: str, notes: list[str], damaged: Mapping[str, str]) -> Built:
    m = index.manifest
    rows = sum(b.rows for b in index.blocks if b.first >= 0)
    vectors = {k: sum(b.rows for b in index.blocks if b.kind == k and b.vector >= 0) for k in KINDS}
    size = sum(f.bytes for f in m.files)
    return Built(how, m.version, m.videos, rows, vectors, bytes=size, notes=notes, damaged=list(damaged.values()))


def _stale(base: ArchiveIndex, cover: Coverage, terms_id: str) -> bool:
    """True where building upon ``base`` would be wrong or make searching slow."""
    if base.manifest.terms != terms_id:
        return True
    if cover.rows and base.manifest.rows > MOST_ROWS // 2:
        return True
    for kind in KINDS:
        spaces, own = Counter[EncoderSpec](), base.manifest.encoders.get(kind)
        for kinds in cover.fresh.values():
            if (w := kinds.get(kind)) and w.encoder:
                spaces[w.encoder] += w.file.rows
        held, live = base.rows(kind), sum(b.rows for b in cover.live if b.kind == kind and b.vector >= 0)
        if held and (
            live < (1 - MOST_DEAD) * held or live < max((n for s, n in spaces.items() if s != own), default=0)
        ):
            return True
        if own and live + spaces[own] > MOST_GROWTH * base.manifest.trained[kind]:
            return True
    live = sum(b.rows for b in cover.live if b.first >= 0)
    return live < (1 - MOST_DEAD) * base.manifest.rows


class _Work:
    """One run: what is taken over from ``base``, what is read from shards, where it is written."""

    def __init__(
        self, archive: Archive, folder: Path, base: ArchiveIndex | None, cover: Coverage, terms: Terms, threads: int
    ) -> None:
        self.archive, self.folder, self.base, self._terms, self._threads = archive, folder, base, terms, threads
        self.cover, self.damaged = cover, dict(cover.damaged)
        self.blocks = list(cover.live) if base else []
        gone = {b.video for b in base.blocks} - {b.video for b in cover.live} if base else set[str]()
        self.added, self.dropped = set[str](), gone
        self.rows = base.manifest.rows if base else 0
        self._todo = cover.fresh
        self.encoders: dict[str, EncoderSpec] = dict(base.manifest.encoders) if base else {}
        self.trained: dict[str, int] = dict(base.manifest.trained) if base else {}
        self.builders: dict[Kind, AnnBuilder] = {}
        for kind in KINDS:
            if base and base.rows(kind):
                self.builders[kind] = AnnBuilder.of(
                    base.path(f"{kind}.faiss"), base.rows(kind), self.encoders[kind].dim
                )
        self.catalogue = folder / "catalogue"
        if base:
            with storage_errors(self.catalogue):
                shutil.copyfile(base.path("catalogue.sqlite"), self.catalogue)

    def run(self, progress: Progress) -> None:
        for kind in KINDS:
            if kind not in self.builders:
                self._train(kind)
        writer = Writer(self.catalogue, TABLES)
        for done, (video, kinds) in enumerate(self._todo.items()):
            progress(done, len(self._todo))
            self._add(video, kinds, writer)
        progress(len(self._todo), len(self._todo))
        whole = {(b.video, b.kind) for b in self.blocks}
        partly = {v for v, kinds in self._todo.items() if any((v, k) not in whole for k in kinds)}
        bad = {*self.damaged, *self.cover.behind, *self.cover.other, *partly}  # are looked at again each time
        known = [(v, n) for v, n in self.cover.numbers.items() if v not in bad]
        writer.fill("videos", known)
        writer.fill("blocks", (b.as_row() for b in self.blocks))
        writer.close()
        self.videos = len({b.video for b in self.blocks})

    def _train(self, kind: Kind) -> None:
        """Lays out the lists for all vectors of ``kind`` that are of the space of most."""
        rows: Counter[EncoderSpec] = Counter()
        for kinds in self._todo.values():
            if (w := kinds.get(kind)) and w.encoder and w.vectors:
                rows[w.encoder] += w.vectors.rows
        if not rows:
            return
        spec, total = rows.most_common(1)[0]
        picked = ann.sampled(total, ann.SAMPLE * max(ann.lists_for(total), 4 * ann.FEWEST))
        parts, at = [], 0
        for video, kinds in self._todo.items():
            if (w := kinds.get(kind)) is None or w.encoder != spec or w.vectors is None:
                continue
            own = picked[(picked >= at) & (picked < at + w.vectors.rows)] - at
            at += w.vectors.rows
            if len(own) and (vectors := self._vectors(video, kind, w)) is not None:
                parts.append(vectors[own])
        sample = ann.stacked(parts, spec.dim)
        if len(sample):
            self.builders[kind] = AnnBuilder.train(sample, total, self._threads)
            self.encoders[kind], self.trained[kind] = spec, total

    def _vectors(self, video: str, kind: Kind, w: Wanted) -> Vectors | None:
        if w.encoder is None or w.encoder != self.encoders.get(kind, w.encoder):
            return None
        opened = shard(self.archive, video, self.damaged, self.cover.numbers.get(video, 0))
        try:
            file = opened.vectors(kind, w.encoder) if opened else None
            return file.vectors() if file is not None and file.rows == w.file.rows else None
        except ArchiveDamaged as e:
            self.damaged[video] = one_line(e)
            return None

    def _add(self, video: str, kinds: Mapping[Kind, Wanted], writer: Writer) -> None:
        """All kinds of a video or none: a damaged one is left to the exact search, which says so."""
        opened = shard(self.archive, video, self.damaged, self.cover.numbers.get(video, 0))
        if opened is None or any(wanted(opened.manifest).get(k) != w for k, w in kinds.items()):
            return  # gone, or replaced since it was looked at
        try:
            texts: dict[Kind, list[tuple[str, bool]]] = {k: opened.texts(k) for k in kinds if k != "frames"}
        except ArchiveDamaged as e:
            self.damaged[video] = one_line(e)
            return
        vectors = {k: self._vectors(video, k, w) if k in self.builders else None for k, w in kinds.items()}
        if video in self.damaged:
            return
        for kind, w in kinds.items():
            if w.vectors is None or vectors[kind] is not None:  # of another space: cannot be compared, stays outside
                self.blocks.append(self._block(opened, kind, w, texts.get(kind, []), vectors[kind], writer))
                self.added.add(video)

    def _block(
        self,
        opened: Shard,
        kind: Kind,
        w: Wanted,
        texts: Sequence[tuple[str, bool]],
        vectors: Vectors | None,
        writer: Writer,
    ) -> Block:
        words, position, first = 0, -1, -1
        doubtful = np.array([i for i, (_, doubt) in enumerate(texts) if doubt], np.int32)
        if kind != "frames":
            first, self.rows = self.rows, self.rows + len(texts)
            for i, (text, doubt) in enumerate(texts):
                terms = self._terms(text)
                words += length(terms)
                writer.add(first + i, terms, DOUBTFUL * doubt)
        if vectors is not None:
            position = self.builders[kind].rows
            self.builders[kind].add(vectors)
        return Block(opened.video, kind, *w.names, w.file.rows, first, position, words, doubtful)


def _publish(archive: Archive, work: _Work, terms_id: str, number: int) -> ArchiveIndex | None:
    """Gives the staged files their names and makes the manifest appear; None where another job was faster."""
    files, staged = list[StoredFile](), dict[str, Path]()
    paths = {"catalogue.sqlite": (work.catalogue, len(work.blocks))}
    for kind, builder in work.builders.items():
        builder.write(work.folder / kind)
        paths[f"{kind}.faiss"] = work.folder / kind, builder.rows
    for what, (path, rows) in paths.items():
        stem, _, ending = what.partition(".")
        file, name = stored(what, work.encoders[stem].space if ending == "faiss" else terms_id, path, rows)
        files.append(file)
        staged[name] = path
    for name, path in staged.items():
        archive.place(f"{FOLDER}/{name}", path)
    made = IndexManifest(
        number,
        tuple(files),
        {k: work.encoders[k] for k in work.builders},
        {k: work.trained[k] for k in work.builders},
        terms_id,
        work.rows,
        work.videos,
        now(),
        f"vidrag {version()}",
        profile_of(archive),
    )
    if not INDEX.publish(archive.backend, made, staged):
        return None
    return ArchiveIndex(archive, made)
