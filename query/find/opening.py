"""Which videos a question is about, opened for it and kept for the next one."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from ...store.archive import Archive
from ...store.encoders import EncoderSpec
from ...store.errors import NoSuchVideo, NotIndexed, SpaceMismatch, UsageError, one_line
from ...store.index import Kind, versions
from ...store.shard import Shard
from ...store.shell import path_word
from ...store.vectors import Vectors
from ..text.words import sought, terms
from .encoding import Encoded
from .rows import RowSet
from .search import Searcher
from .view import View

_MOST_ROWS = 40_000
"""Rows that are kept open beside those that are asked about: 60 MB of vectors."""
_MOST_OPEN = 16
_FILE = re.compile(r"[^\s\"“”'(),;?]+\.[A-Za-z0-9]{2,5}\b")

P = TypeVar("P")


@dataclass(slots=True)
class Opened(Generic[P]):
    """Some videos, opened for questions: their rows, and what the pictures in them are looked at with."""

    shards: list[Shard]
    rows: RowSet
    visual: P


class Opener(Generic[P]):
    """Opens videos of one archive.  ``searcher`` finds the few that are opened for a question about all of a large one;
    without it, and where the archive has no index, all are.
    """

    def __init__(
        self,
        archive: Archive,
        texts: EncoderSpec,
        pictures: Callable[[Sequence[Shard]], P],
        searcher: Searcher | None = None,
    ) -> None:
        """``pictures``: makes what is kept of videos beside their rows."""
        self.archive, self.searcher = archive, searcher
        self._texts, self._pictures = texts, pictures
        self._opened: OrderedDict[tuple[tuple[str, int], ...], Opened[P]] = OrderedDict()
        self._lock = Lock()

    def about(self, question: str, videos: Sequence[str] | None) -> tuple[str, list[str] | None]:
        """The question without the file names in it, and the ids of the videos that it is about; None for all.

        Raises :class:`~vidrag.store.errors.UsageError` for unknown ``videos``.
        """
        ids = None if videos is None else list(dict.fromkeys(self.archive.find(v) for v in videos))
        named = {}
        for name in _FILE.findall(question):
            try:
                found = self.archive.find(name)
            except UsageError:
                continue
            if ids is None or found in ids:
                named[name] = found
        for name in named:
            question = re.sub(
                rf"\b(?:in|of|from|at)\s+{re.escape(name)}\b[,:]?\s*|{re.escape(name)}", "", question, flags=re.I
            )
        return question.strip(" ,:") or "?", list(dict.fromkeys(named.values())) if named else ids

    def indexed(self) -> View | None:
        """The archive as a search sees it, where it is searched for the videos that are worth opening."""
        if self.searcher is None or not versions(self.archive):
            return None
        view = self.searcher.view()
        return view if view.index is not None else None

    def likely(
        self, view: View | None, question: str, choices: Sequence[str], encoded: Encoded, notes: list[str]
    ) -> Opened[P]:
        """The videos that hold the best rows for a question and its options; all where nothing is found.

        ``view``: what :meth:`indexed` gave.
        """
        vectors: dict[Kind, Vectors] = {"speech": encoded.queries["speech"], "text": encoded.queries["text"]}
        if len(encoded.captions):
            vectors["frames"] = encoded.captions[0]
        options = [t for c in choices if (t := terms(c))]
        try:
            found = self.searcher.candidates(vectors, sought(question), options, view) if self.searcher else None
        except SpaceMismatch as e:
            notes.append(f"every video was opened: {one_line(e, 200)}")
            found = None
        if found is None or not found.videos:
            return self.open(None, notes)
        notes += found.notes
        if len(found.videos) < found.of:
            notes.append(f"asked of {len(found.videos)} videos that the archive's index found, of {found.of}")
        return self.open(found.videos, notes, found=True)

    def open(self, ids: Sequence[str] | None, notes: list[str], found: bool = False) -> Opened[P]:
        """The videos ``ids``, or all.  Of all, and of those that a search ``found``, damaged ones are left out with a
        note, and those that were not indexed under the archive's profile.

        Raises :class:`~vidrag.store.errors.NoSuchVideo` where there is none, and
        :class:`~vidrag.store.errors.NotIndexed` where none was indexed under the profile.
        """
        if ids is None or found:
            damaged, other = list[str](), list[str]()
            shards = list(self.archive.shards(damaged, other, ids))
            notes += [f"left out, damaged: {d[:200]}" for d in damaged]
            if len(other) == 1 and not shards:
                self.archive.shard(other[0])  # says under which profile it is
            if other and not shards:
                raise NotIndexed(f"{self.archive.location}: all {self.archive.left_out(len(other))}")
            if other:
                notes.append(self.archive.left_out(len(other)))
        else:
            shards = [self.archive.shard(v) for v in ids]
        if not shards:
            where = self.archive.location
            raise NoSuchVideo(f"{where}: no videos yet; 'vidrag ingest {path_word(where)} VIDEO' adds some")
        return self._kept(shards)

    def _kept(self, shards: list[Shard]) -> Opened[P]:
        key = tuple((s.video, s.manifest.version) for s in shards)
        with self._lock:
            opened = self._opened.get(key)
            if opened is None:
                opened = self._opened[key] = Opened(shards, RowSet(shards, self._texts), self._pictures(shards))
                while len(self._opened) > 1 and (
                    len(self._opened) > _MOST_OPEN or sum(len(o.rows.rows) for o in self._opened.values()) > _MOST_ROWS
                ):
                    self._opened.popitem(last=False)
            self._opened.move_to_end(key)
            return opened
