"""An archive as one search sees it: what the index holds and may be believed, and what is searched exactly beside
it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from threading import RLock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...store.archive.archive import Archive
from ...store.archive.shard import Shard
from ...store.encoders import EncoderSpec
from ...store.errors import ArchiveDamaged, one_line
from ...store.index.coverage import Coverage, coverage, shard
from ...store.index.index import KINDS, MEND, ArchiveIndex, Block, Kind, newest, versions, wanted
from ...store.index.postings import DOUBTFUL, Postings, Rows, length
from ...store.shell import path_word
from ...store.vectors import Vectors
from ..text.words import terms

_OPEN = 512
Terms = list[tuple[list[str], bool]]


class Place(NamedTuple):
    """A row: the video's id, the kind, and its number within them."""

    video: str
    kind: Kind
    row: int


Scored = list[tuple[float, Place]]


class IndexLost(ArchiveDamaged):
    """The inverted lists of the index cannot be read: the search starts again without it."""


def _key(block: Block) -> tuple[str, Kind, str, int, int]:
    """What tells a block of an index from all others."""
    return block.video, block.kind, block.file, block.first, block.vector


class View:
    """A snapshot of an archive for searching; see :func:`look`.  Safe to use from several threads."""

    def __init__(
        self, archive: Archive, index: ArchiveIndex | None, cover: Coverage, notes: Sequence[str], known: View | None
    ) -> None:
        """``known``: an older view, whose terms of rows are taken over."""
        self.archive, self.index, self.cover, self.own_notes = archive, index, cover, list(notes)
        self.loaded, self.key = index, object()
        self._lock, self._given_up = RLock(), set[Kind]()
        self.damaged: dict[str, str] = dict(cover.damaged)
        self._shards: dict[str, Shard | None] = {}
        self._terms: dict[tuple[str, Kind, str], Terms] = dict(known._terms) if known else {}
        live = {_key(b) for b in self.cover.live}
        self._vector: dict[Kind, _Ranges] = {}
        self._keep: dict[tuple[Kind, bool], NDArray[np.bool_] | None] = {}
        self._fresh: Postings | None = None
        self._fresh_rows: list[tuple[Place, bool]] = []
        blocks = self.index.blocks if self.index else []
        for kind in KINDS:
            own = sorted((b for b in blocks if b.kind == kind and b.vector >= 0), key=lambda b: b.vector)
            self._vector[kind] = _Ranges([b.vector for b in own], own)
            dead = [b for b in own if _key(b) not in live]
            for doubtful in (False, True):
                self._keep[kind, doubtful] = self._mask(kind, own, dead, doubtful)
        held = sorted((b for b in blocks if b.first >= 0), key=lambda b: b.first)
        self._row = _Ranges([b.first for b in held], held)
        self._live = np.zeros(self.index.manifest.rows if self.index else 0, bool)
        for block in held:
            self._live[block.first : block.first + block.rows] = _key(block) in live
        self._held = {b.kind for b in self.cover.live if b.vector >= 0}
        self.rows = sum(b.rows for b in self.cover.live if b.first >= 0)
        self.words = sum(b.words for b in self.cover.live)

    def _mask(
        self, kind: Kind, own: Sequence[Block], dead: Sequence[Block], doubtful: bool
    ) -> NDArray[np.bool_] | None:
        """Which vectors of ``kind`` may be found, bool ``(rows,)``; None where all may."""
        doubts = [] if doubtful else [b for b in own if len(b.doubtful)]
        held = self.index.rows(kind) if self.index else 0
        if not dead and not doubts and sum(b.rows for b in own) == held:
            return None
        keep = np.zeros(held, bool)
        for block in own:
            keep[block.vector : block.vector + block.rows] = True
        for block in dead:
            keep[block.vector : block.vector + block.rows] = False
        for block in doubts:
            keep[block.vector + block.doubtful] = False
        return keep

    @property
    def notes(self) -> list[str]:
        """What the user should know."""
        out = [*self.own_notes, *(f"left out, damaged: {d[:200]}" for d in self.damaged.values())]
        return [*out, self.archive.left_out(len(self.cover.other))] if self.cover.other else out

    def only(self, videos: Collection[str]) -> View:
        """The same archive as if it held these videos alone."""
        meant, cover = set(videos), self.cover
        held = replace(
            cover,
            numbers={v: n for v, n in cover.numbers.items() if v in meant},
            live=[b for b in cover.live if b.video in meant],
            fresh={v: kinds for v, kinds in cover.fresh.items() if v in meant},
            damaged={v: why for v, why in cover.damaged.items() if v in meant},
            other=cover.other & meant,
        )
        return View(self.archive, self.index, held, self.own_notes, self)

    def without_index(self, why: str) -> View:
        """The same archive, searched exactly; ``why`` becomes a note."""
        cover = coverage(self.archive, None, self.cover.numbers)
        found = View(self.archive, None, cover, [*self.own_notes, why], self)
        found.key, found.loaded = self.key, self.loaded
        return found

    def give_up(self, kind: Kind, why: str) -> None:
        """Goes on without the vectors of ``kind`` in the index."""
        with self._lock:
            if kind not in self._given_up:
                self._given_up.add(kind)
                self.own_notes.append(why)

    def holds(self, kind: Kind) -> bool:
        """True where the index has vectors of ``kind`` that may be believed."""
        return kind in self._held and kind not in self._given_up

    def keep(self, kind: Kind, doubtful: bool) -> NDArray[np.bool_] | None:
        return self._keep[kind, doubtful]

    def shard(self, video: str) -> Shard | None:
        """The newest version of a video; None where it cannot be read, which is noted."""
        if video not in self._shards:
            if len(self._shards) >= _OPEN:
                self._shards = {}
            self._shards[video] = shard(self.archive, video, self.damaged, self.cover.numbers.get(video, 0))
        return self._shards.get(video)

    def places(self, kind: Kind, scores: Vectors, vectors: NDArray[np.int64]) -> Scored:
        """Where the vectors with these positions in the index stand, with their scores."""
        own = self._vector[kind]
        return [(float(s), Place(b.video, kind, r)) for s, (b, r) in zip(scores, own.find(vectors), strict=True)]

    def exact(self, kind: Kind, query: Vectors, k: int, spec: EncoderSpec, doubtful: bool) -> Scored:
        """The ``k`` nearest rows of every video whose vectors of ``kind`` the index does not hold."""
        out: Scored = []
        videos = [v for v, kinds in self.cover.fresh.items() if kind in kinds]
        if self.index is not None and kind in self._given_up:
            videos += [b.video for b in self.cover.live if b.kind == kind and b.vector >= 0]
        for video in videos:
            opened = self.shard(video)
            try:
                file = opened.vectors(kind, spec) if opened else None
                if opened is None or file is None or file.rows != wanted(opened.manifest)[kind].file.rows:
                    continue
                doubts = set[int]()
                if kind == "speech" and not doubtful:
                    doubts = {i for i, (_, doubt) in enumerate(self._terms_of(opened, kind)) if doubt}
                scores, rows = file.search(query[None], k + len(doubts))
                found = zip(scores[0].tolist(), rows[0].tolist(), strict=True)
                out += [(s, Place(video, kind, r)) for s, r in found if r not in doubts]
            except ArchiveDamaged as e:
                self.damaged[video] = one_line(e)
        return out

    def postings(self, term: str) -> Rows:
        """Every row that holds ``term``; see :meth:`place` for the numbers.  Raises :class:`IndexLost`."""
        with self._lock:
            fresh = self._postings_of_fresh().get(term)
        if self.index is None:
            return fresh
        try:
            found = self.index.lists.get(term)
        except ArchiveDamaged as e:
            raise IndexLost(f"the index of the archive is damaged: {one_line(e, 200)}; {MEND}") from e
        return np.concatenate([found[self._live[found["row"]]], fresh])

    def _postings_of_fresh(self) -> Postings:
        """Inverted lists of the rows that the index does not hold, numbered behind those that it does."""
        if self._fresh is not None:
            return self._fresh
        made, offset = Postings(), len(self._live)
        for video, kinds in self.cover.fresh.items():
            for kind in (k for k in kinds if k != "frames"):
                opened = self.shard(video)
                try:
                    rows = self._terms_of(opened, kind) if opened else []
                except ArchiveDamaged as e:
                    self.damaged[video] = one_line(e)
                    continue
                for i, (words, doubt) in enumerate(rows):
                    number = offset + len(self._fresh_rows)
                    made.add(number, words, DOUBTFUL * doubt)
                    self._fresh_rows.append((Place(video, kind, i), doubt))
                    self.words += length(words)
                self.rows += len(rows)
        self._fresh = made
        return made

    def _terms_of(self, opened: Shard, kind: Kind) -> Terms:
        """Terms of each row of a video, and whether it is doubtful; kept, as they are dear to make."""
        have = wanted(opened.manifest).get(kind)
        key = opened.video, kind, have.file.name if have else ""
        if key not in self._terms:
            self._terms[key] = [(terms(text), doubt) for text, doubt in opened.texts(kind)]
        return self._terms[key]

    def place(self, number: int) -> Place:
        """Where the row with this number in the inverted lists stands."""
        if number >= len(self._live):
            return self._fresh_rows[number - len(self._live)][0]
        ((block, row),) = self._row.find(np.array([number]))
        return Place(block.video, block.kind, row)


class _Ranges:
    """Blocks by their first number, ascending."""

    def __init__(self, firsts: Sequence[int], blocks: Sequence[Block]) -> None:
        self._firsts, self._blocks = np.array(firsts, np.int64), blocks

    def find(self, numbers: NDArray[np.int64]) -> list[tuple[Block, int]]:
        """The block of each number, and the row within it."""
        at = np.searchsorted(self._firsts, numbers, "right") - 1
        rows = numbers - self._firsts[at]
        return [(self._blocks[i], r) for i, r in zip(at.tolist(), rows.tolist(), strict=True)]


def look(archive: Archive, index_rows: int, before: View | None) -> View:
    """The archive as it is now; ``before`` where nothing has changed since.

    The index is used where the archive has ``index_rows`` rows of speech and text or more.
    """
    key = archive.newest_numbers(), versions(archive)
    if before is not None and before.key == key:
        return before
    notes: list[str] = []
    loaded = before.loaded if before else None
    if loaded is None or key[1][:1] != [loaded.manifest.version]:
        loaded = newest(archive, notes)
    cover = coverage(archive, loaded, key[0])
    used = loaded if loaded is not None and cover.rows >= index_rows else None
    if used is None and loaded is not None:
        cover = coverage(archive, None, key[0])
    if used is None and loaded is None and not notes and cover.rows >= index_rows > 0:
        notes.append(
            f"{cover.rows} rows are searched without an index; 'vidrag index {path_word(archive.location)}' makes one"
        )
    found = View(archive, used, cover, notes, before)
    found.key, found.loaded = key, loaded
    return found
