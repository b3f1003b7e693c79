"""Which videos a question is about, opened for it and kept for the next one."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from mimetypes import guess_type
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from ...store.archive.archive import Archive
from ...store.archive.shard import Shard
from ...store.encoders import EncoderSpec
from ...store.errors import ArchiveDamaged, NoSuchVideo, NotIndexed, SpaceMismatch, one_line
from ...store.index.index import Kind, versions
from ...store.shell import path_word
from ...store.vectors import Vectors
from ..text.words import forms, terms
from .finding import Sought
from .rows import RowSet
from .search import Searcher
from .view import View

_MOST_ROWS = 40_000
"""Rows that are kept open beside those that are asked about: 60 MB of vectors."""
_MOST_OPEN = 16
_SAMPLED = 8
"""Videos whose rows tell what any text of the archive is like."""
_FILE = re.compile(r"\S\.[A-Za-z0-9]{2,5}\b|\b(?=\w*[A-Za-z])\w*(?:[a-z]\d|\d[a-z]|_)[\w-]*", re.I)
"""Where the name of a file may end: with its ending, or as a word with digits or underscores, as "IMG_1234"."""
_WORD = re.compile(r"(?<![^\s\"“”'(),;?])[^\s\"“”'(),;?]")
_WORDS = 12
"""Words of which the name of a file may be made."""

P = TypeVar("P")


@dataclass(slots=True)
class Opened(Generic[P]):
    """Some videos, opened for questions: their rows, what the pictures in them are looked at with, and what is damaged
    and left out.
    """

    shards: list[Shard]
    rows: RowSet
    visual: P
    damaged: list[str]


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
        self._sample: tuple[Mapping[str, int], Vectors] | None = None
        self._lock = Lock()

    def about(self, question: str, videos: Sequence[str] | None) -> tuple[str, list[str] | None, str]:
        """The question without the file names in it, "video" where they stood, the ids of the videos that it is about
        (None for all), and the name of one that is not there, or nothing.

        Raises :class:`~vidrag.store.errors.UsageError` for unknown ``videos``.
        """
        known = self.archive.newest_numbers() if videos is not None and self._many(videos) else {}
        ids = None if videos is None else list(dict.fromkeys(v if v in known else self.archive.find(v) for v in videos))
        named, missing = dict[str, str](), ""
        starts = [m.start() for m in _WORD.finditer(question)]
        for found in _FILE.finditer(question):
            end, media = found.end(), (guess_type(found[0])[0] or "").startswith(("video/", "audio/"))
            before = starts[: bisect_left(starts, end)][-_WORDS if media else -1 :]
            meant = {name: self.archive.meant_by(name) for name in (question[at:end] for at in before)}
            single = {name: videos[0] for name, videos in meant.items() if len(videos) == 1}
            own = {name: video for name, video in single.items() if ids is None or video in ids}
            if own:
                name = max(own, key=len)
                named[name] = own[name]
            elif media and not single:
                missing = question[before[-1] : end]
        if named:
            any_of = "|".join(re.escape(n) for n in sorted(named, key=len, reverse=True))
            question = re.sub(rf"\b(?:in|of|from|at)\s+(?:{any_of})\b[,:]?\s*", "", question, flags=re.I)
            question = re.sub(any_of, "video", question, flags=re.I)
        missing = "" if named else missing
        return question.strip(" ,:") or "?", list(dict.fromkeys(named.values())) if named else ids, missing

    def opened(
        self,
        ids: Sequence[str] | None,
        sought: Sought | None,
        captions: Vectors,
        notes: list[str],
        view: View | None = None,
    ) -> Opened[P]:
        """The videos ``ids``; without them all of the archive.

        Where these are many and the archive has an index, those of them that hold the best rows for a question and its
        options.  ``sought``: None where pictures alone are looked for; ``captions``: vectors of what they are looked
        for by, or of one that they are to be like; ``view``: the archive as the searcher saw
        it, where it has looked already.
        """
        few = ids is not None and not self._many(ids)
        if few or self.searcher is None or (view is None and not versions(self.archive)):
            return self.open(ids, notes)
        view = view or self.searcher.view()
        if view.index is None:
            return self.open(ids, notes)
        if ids is not None:
            view = view.only(ids)
        vectors: dict[Kind, Vectors] = dict.fromkeys(("speech", "text"), sought.vectors[0]) if sought else {}
        if len(captions):
            vectors["frames"] = captions[0]
        words = [f for t in terms(sought.question) for f in forms(t)] if sought else []  # rows of any language
        options = [t for c in sought.options if (t := terms(c))] if sought else []
        try:
            found = self.searcher.candidates(vectors, words, options, view)
        except SpaceMismatch as e:
            notes.append(f"every video was opened: {one_line(e, 200)}")
            found = None
        if found is None or not found.videos:
            return self.open(ids, notes)
        notes += found.notes
        if len(found.videos) < found.of:
            notes.append(f"asked of {len(found.videos)} videos that the archive's index found, of {found.of}")
        return self.open(found.videos, notes, found=True)

    def _many(self, videos: Sequence[str]) -> bool:
        """True for more videos than are opened, where an index can tell which of them matter."""
        return self.searcher is not None and len(videos) > 2 * self.searcher.options.videos

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
        opened = self._kept(shards, whole=ids is not None and not found)
        notes += [f"left out, damaged: {d[:200]}" for d in opened.damaged]
        return opened

    def _kept(self, shards: list[Shard], whole: bool) -> Opened[P]:
        """``whole``: none of the videos may be left out."""
        key = tuple((s.video, s.manifest.version) for s in shards)
        with self._lock:
            opened = self._opened.get(key)
            if opened is None:
                damaged = dict[str, str]() if whole else self._damaged(shards)
                good = [s for s in shards if s.video not in damaged]
                opened = self._opened[key] = Opened(
                    good,
                    RowSet(good, self._texts),
                    self._pictures(good),
                    list(damaged.values()),
                )
                while len(self._opened) > 1 and (
                    len(self._opened) > _MOST_OPEN or sum(len(o.rows.rows) for o in self._opened.values()) > _MOST_ROWS
                ):
                    self._opened.popitem(last=False)
            self._opened.move_to_end(key)
            return opened

    def _damaged(self, shards: Sequence[Shard]) -> dict[str, str]:
        """What is wrong with the videos whose rows or vectors cannot be read, by id; nothing where none could be."""
        found = dict[str, str]()
        for shard in shards:
            try:
                for kind, rows in (("speech", shard.speech), ("text", shard.text)):
                    if rows:
                        shard.vectors(kind, self._texts)
            except ArchiveDamaged as e:
                found[shard.video] = one_line(e)
        return found if len(found) < len(shards) else {}

    def sample(self, opened: Opened[P]) -> Vectors:
        """Vectors of some rows of the archive, ``(n, dim)``: what any text is like here.  Those of the videos opened
        where they are many; else of up to :data:`_SAMPLED` videos, read once for each state of the archive.
        """
        if len(opened.shards) >= _SAMPLED:
            return opened.rows.sample
        numbers = self.archive.newest_numbers()
        with self._lock:
            if self._sample is None or (self._sample[0] is not numbers and self._sample[0] != numbers):
                ids = list(numbers)[:: max(1, -(-len(numbers) // _SAMPLED))]
                own = {s.video: s for s in opened.shards if s.video in ids and numbers[s.video] == s.manifest.version}
                shards = [*own.values(), *self.archive.shards([], [], [v for v in ids if v not in own])]
                parts = [rows for s in shards if len(rows := _some_rows(s, self._texts))]
                self._sample = numbers, np.concatenate(parts) if parts else opened.rows.sample
            return self._sample[1]


def _some_rows(shard: Shard, spec: EncoderSpec) -> Vectors:
    """Vectors of at most fifty rows of a video; none where they cannot be read or are another encoder's."""
    try:
        file = shard.vectors("speech", spec) or shard.vectors("text", spec)
        found = file.vectors() if file is not None else np.zeros((0, spec.dim), np.float32)
    except (ArchiveDamaged, SpaceMismatch):
        return np.zeros((0, spec.dim), np.float32)
    return found[:: max(1, -(-len(found) // 50))]
