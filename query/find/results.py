"""What a search found, as a person sees it: text, its neighbours, the frame on screen then.

Rows are ranked as for a question, frames by how well they fit.  Below a line nothing is listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.archive.pictures import on_screen
from ...store.archive.shard import Shard
from ...store.encoders import ImageTextEncoder, Picture, TextEncoder
from ...store.errors import ArchiveDamaged, UsageError, one_line
from ...store.index.index import KINDS, Kind
from ...store.storage.faults import storage_errors
from ...store.vectors import Vectors
from ..types import Grounds, Request
from .finding import Finder
from .frames import Frames, Hit, seen_in
from .names import called
from .opening import Opened, Opener
from .retrieve import RetrieveOptions, Scored, fewness, likely, may_be_used, words_held
from .rows import RowSet
from .scope import Scope
from .search import Searcher
from .view import View

LONGEST = 10_000
LINE = 0.2
"""How likely a row must answer the text, taken as a question, to be listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One row: ``row`` is its number among those of its kind in its video; ``before`` and ``after`` are the texts of
    its neighbours (empty: none), ``frame`` the stored frame on screen when it begins (None: none); ``near``: how near
    it lies, in the units of its kind; ``speaker``: who says it, where that is known.
    """

    rank: int
    kind: str
    video: str
    row: int
    name: str
    start: float
    end: float
    text: str
    before: str
    after: str
    score: float
    near: float
    doubts: tuple[str, ...]
    frame: int | None
    path: str
    speaker: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Results:
    """``rows``: those of speech and text of all ``videos``; ``indexed``: how many of them the index holds; ``more``:
    there are others on the next page.
    """

    found: tuple[Listed, ...]
    videos: int
    rows: int
    indexed: int
    more: bool
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """What ``vidrag search --json`` prints of them."""
        counts = {"videos": self.videos, "rows": self.rows, "indexed_rows": self.indexed}
        return {"hits": [f.as_json() for f in self.found], **counts, "more": self.more, "notes": list(self.notes)}


class Lister:
    """Lists moments of one archive, any number of times.  ``pictures``: needed where frames are searched."""

    def __init__(
        self, searcher: Searcher, texts: TextEncoder, pictures: ImageTextEncoder | None, options: RetrieveOptions
    ) -> None:
        self.searcher, self.pictures, self.options = searcher, pictures, options
        self.finder = Finder(texts, options)
        self.opener = Opener(searcher.archive, texts.spec, lambda _: None, searcher)

    def search(
        self, text: str, kinds: Sequence[Kind] = KINDS, top: int = 10, page: int = 1, scope: Scope | None = None
    ) -> Results:
        """The ``page``-th ``top`` rows of ``kinds`` that fit ``text`` best.

        Raises :class:`~vidrag.store.errors.UsageError` for an empty or overlong text, an unknown kind, and a scope that
        holds nothing.
        """
        text = _checked(text, kinds)
        scope, notes, damaged = scope or Scope(), list[str](), dict[str, str]()
        ids = scope.chosen(self.searcher.archive)
        sought, view = self.finder.encode(text, Request(), ()), self.searcher.view()
        picture = self._pictured(text, kinds)
        opened = self.opener.opened(ids, sought, picture, notes, view)
        kept = scope.rows(opened.rows) if opened.rows.rows else np.zeros(0, bool)
        rankings = list[Iterator[Hit]]()
        if spoken := [k for k in kinds if k != "frames"]:
            found = self.finder.score(opened.rows, text, sought.vectors[0], self.opener.sample(opened))
            rankings.append(self._rows(opened.rows, text, found, kept, spoken))
        if len(picture) and scope.language is None and scope.speaker is None:  # a frame has neither
            rankings.append(self._frames(opened, scope, damaged).fitting(text, picture))
        rows = self._page(opened, merge(*rankings, key=lambda h: -h.score), damaged, top, page)
        name = called(opened.rows, text) if not rows and page == 1 else ""
        return _results(rows, top, view, damaged, [*notes, *([name] if name else [])])

    def like(self, picture: Picture, top: int = 10, page: int = 1, scope: Scope | None = None) -> Results:
        """The ``page``-th ``top`` stored frames that are most like a picture, uint8 ``(H, W, 3)``, RGB.

        ``score`` and ``near`` are inner products of the encoder's vectors.  Every frame is like it to some degree:
        nothing is left out.  Raises as :meth:`search`.
        """
        scope, notes, damaged = scope or Scope(), list[str](), dict[str, str]()
        ids, view = scope.chosen(self.searcher.archive), self.searcher.view()
        assert self.pictures is not None
        vector, named = seen_in(self.pictures, picture)
        opened = self.opener.opened(ids, None, vector, notes, view)
        rows = self._page(opened, self._frames(opened, scope, damaged).like(vector), damaged, top, page)
        return _results(rows, top, view, damaged, [*notes, *([f"seen in the picture: {named}"] if named else [])])

    def _frames(self, opened: Opened[None], scope: Scope, damaged: dict[str, str]) -> Frames:
        assert self.pictures is not None
        return Frames(opened.shards, self.pictures, scope, self.searcher.options.apart_s, damaged)

    def _page(
        self, opened: Opened[None], hits: Iterable[Hit], damaged: dict[str, str], top: int, page: int
    ) -> list[Listed]:
        """The rows of a page, and the first of the next one."""
        skipped = (page - 1) * top
        return list(islice(self._told(opened.shards, hits, damaged), skipped, skipped + top + 1))

    def _pictured(self, text: str, kinds: Sequence[Kind]) -> Vectors:
        if "frames" not in kinds or self.pictures is None:
            return np.zeros((0, 1), np.float32)
        return self.pictures.queries([f"a photo of {text}"])

    def _rows(
        self, rows: RowSet, text: str, found: Scored, kept: NDArray[np.bool_], kinds: Sequence[Kind]
    ) -> Iterator[Hit]:
        """Rows that are likely to answer the text, or hold all of its words, best first."""
        usable = kept & may_be_used(rows, self.options)
        few = fewness(int(usable.sum()))
        for at in np.argsort(-found.score, kind="stable").tolist():
            row = rows.rows[at]
            if not usable[at] or row.kind not in kinds:
                continue
            near = float(found.near[at])
            held = words_held(rows, text, found, at)
            if found.exact[at] or held == 1 or likely(Grounds(near=near, held=held, few=few)) >= LINE:
                yield Hit(row.shard, row.kind, row.row, float(found.score[at]), near)

    def _told(self, shards: Sequence[Shard], hits: Iterable[Hit], damaged: dict[str, str]) -> Iterator[Listed]:
        """The hits that can be read, each with what stands beside it."""
        rank = 1
        for hit in hits:
            shard = shards[hit.shard]
            try:
                listed = _listed(shard, hit, rank)
            except ArchiveDamaged as e:
                damaged[shard.video] = one_line(e)
                continue
            rank += 1
            yield listed


def kinds_of(names: Sequence[str]) -> list[Kind]:
    """The kinds that users call ``speech``, ``text`` and ``frame``; all of them without a name."""
    named: Any = dict.fromkeys("frames" if n == "frame" else n for n in names)
    return list(named or KINDS)


def _results(rows: list[Listed], top: int, view: View, damaged: Mapping[str, str], notes: Sequence[str]) -> Results:
    cover = view.cover
    told = [*notes, *view.notes, *(f"left out, damaged: {d[:200]}" for d in damaged.values())]
    return Results(
        found=tuple(rows[:top]),
        videos=len(cover.numbers),
        rows=cover.rows,
        indexed=sum(b.rows for b in cover.live if b.first >= 0),
        more=len(rows) > top,
        notes=tuple(dict.fromkeys(told)),
    )


def _checked(text: str, kinds: Sequence[Kind]) -> str:
    text = text.encode("utf-8", "replace").decode()
    if not any(c.isalnum() for c in text):
        raise UsageError('the text is empty; say what to look for, for example "blue staircase"')
    if len(text) > LONGEST:
        raise UsageError(f"the text has {len(text)} characters, {LONGEST} are allowed; shorten it")
    if bad := [k for k in kinds if k not in KINDS]:
        raise UsageError(f"no kind of row is called '{bad[0]}'; known are speech, text and frame")
    return text


def _listed(shard: Shard, hit: Hit, rank: int) -> Listed:
    kind, row = hit.kind, hit.row
    times: Sequence[Any] = shard.frames if kind == "frames" else shard.text if kind == "text" else shard.speech
    texts = [r.caption.removeprefix("a photo of ") for r in shard.labels] if kind == "frames" else None

    def text(at: int) -> str:
        if not 0 <= at < len(times):
            return ""
        if texts is None:
            return str(times[at].text)
        return texts[at] if at < len(texts) else ""

    start = times[row].start
    return Listed(
        rank=rank,
        kind="frame" if kind == "frames" else kind,
        video=shard.video,
        row=row,
        name=shard.name,
        start=start,
        end=times[row].end,
        text=text(row),
        before=text(row - 1),
        after=text(row + 1),
        score=hit.score,
        near=hit.near,
        doubts=tuple(times[row].flags) if kind == "speech" else (),
        frame=row if kind == "frames" else on_screen(shard.frames, start),
        path=shard.manifest.source.paths[0],
        speaker=times[row].speaker if kind == "speech" else None,
    )


def thumbnails(searcher: Searcher, found: Sequence[Listed], folder: Path) -> Mapping[int, str]:
    """Writes the stored picture of each row to ``folder``, which is made; paths by rank.  No video is decoded."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder for the thumbnails")
    out = {}
    view = searcher.view()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        shard = view.shard(one.video)
        if shard is None or one.frame is None:
            continue
        path = folder / f"{one.rank:03d}-{one.video}-{int(one.start):05d}s.jpg"
        try:
            data = shard.jpeg(one.frame)
        except (ArchiveDamaged, IndexError) as e:
            view.damaged[one.video] = one_line(e)
            continue
        with storage_errors(path):
            path.write_bytes(data)
        out[one.rank] = str(path)
    return out
