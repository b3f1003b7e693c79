"""What Python programs use, as ``import vidrag``: archives that are opened once and asked many times, and ingest.

Answers and rows are those of the command line; notebooks show them with pictures.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from ..query import types
from ..query.find import results
from ..query.find.scope import Scope, day_of, seconds_of
from ..store.archive.entries import Entry
from ..store.archive.stored_files import version
from ..store.errors import UsageError
from ..store.weights import models
from . import notebook, pictures, printing
from .library import Library

if TYPE_CHECKING:
    import pyarrow as pa

    from ..store.encoders import Picture

__version__ = version()
Location = str | os.PathLike[str]
Time = float | str
Day = date | str
KindName = Literal["speech", "text", "frame"]
TableName = Literal["speech", "text", "frames", "labels", "chapters"]
_TABLES: tuple[str, ...] = ("speech", "text", "frames", "labels", "chapters")


@dataclass(frozen=True, kw_only=True)
class Answer(types.Answer):
    """An answer with its evidence.  ``print`` shows what ``vidrag ask`` prints, a notebook also the cited pictures.

    ``text`` is the answer, ``cited()`` its rows, ``evidence`` all rows that were considered, ``as_json()`` the object
    of ``vidrag ask --json``; ``abstained`` is true where the videos do not say it.
    """

    library: Library = field(repr=False, compare=False)

    def __str__(self) -> str:
        return "\n".join(printing.answer_lines(self, printing.opener(self.library.archive)))

    def _repr_html_(self) -> str:
        return notebook.answer(self, self.library)


@dataclass(frozen=True)
class SearchResults(results.Results):
    """The rows that a search found, best first; a sequence of :class:`~vidrag.query.find.results.Listed`.

    ``more``: the next page holds others; ``as_json()``: hits and counts as ``vidrag search --json`` has them.
    """

    library: Library = field(repr=False, compare=False)
    page: int = 1

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[results.Listed]:
        return iter(self.found)

    def __getitem__(self, place: int) -> results.Listed:
        return self.found[place]

    def __str__(self) -> str:
        return "\n".join(printing.result_lines(self, self.page, more="page"))

    def _repr_html_(self) -> str:
        return notebook.results(self, self.library)


class VideoArchive:
    """An archive that was opened with :func:`open`.  Safe to use from several threads.

    The encoders of its profile are loaded by the first question or search and kept.
    """

    def __init__(self, library: Library) -> None:
        self._library = library

    def __repr__(self) -> str:
        return f"<vidrag archive {self.location!r}, profile {self._library.profile.name!r}>"

    @property
    def location(self) -> str:
        """The folder, or the address of the bucket."""
        return self._library.archive.location

    def ask(
        self,
        question: str,
        videos: Sequence[str] | None = None,
        options: Sequence[str] = (),
        on_text: Callable[[str], object] | None = None,
    ) -> Answer:
        """Answers a question about ``videos`` (names or ids; None: all) and cites the evidence.

        ``options``: 2 to 26 choices, of which the answer is one; ``on_text``: called with the answer so far, where a
        language model writes it.  Raises :class:`~vidrag.UsageError` for an empty question or an unknown video.
        """
        found = self._library.ask(question, _names(videos, "videos"), _names(options, "options") or (), on_text)
        return Answer(**_values(found), library=self._library)

    def search(
        self,
        text: str | None = None,
        *,
        image: str | os.PathLike[str] | Picture | None = None,
        kinds: Sequence[KindName] = (),
        videos: Sequence[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        language: str | None = None,
        speaker: str | None = None,
        since: Day | None = None,
        until: Day | None = None,
        folder: str | None = None,
        where: Mapping[str, str] | None = None,
        top: int = 10,
        page: int = 1,
    ) -> SearchResults:
        """Moments that fit ``text``, by meaning and by words, ``top`` on a page; or frames like ``image``, a file
        or uint8 ``(H, W, 3)``, RGB.

        ``kinds``: speech, text, frame (default: all); ``start`` and ``end``: only this part of each video, in seconds
        or as ``"1:30"``; ``language``: a code such as ``"en"``; ``speaker``: a part of a name; ``since`` and
        ``until``: days of recording, as dates or ``"2024-06-30"``; ``folder``: one that the videos lie in, or parts of
        its path; ``where``: columns of ``vidrag ingest --meta`` and their texts.
        """
        if not (1 <= top <= 1000 and 1 <= page <= 1000):
            raise UsageError(f"top {top}, page {page}: give numbers from 1 to 1000")
        scope = Scope(
            videos=_names(videos, "videos"),
            start=seconds_of("start", str(start)) if start is not None else None,
            end=seconds_of("end", str(end)) if end is not None else None,
            language=language,
            speaker=speaker,
            since=day_of("since", str(since)) if since is not None else None,
            until=day_of("until", str(until)) if until is not None else None,
            folder=folder,
            where=list((where or {}).items()),
        )
        if (text is None) == (image is None):
            raise UsageError("give a text to look for, or an image, not both")
        if image is not None:
            if set(_names(kinds, "kinds") or ()) - {"frame"} or language or speaker:
                raise UsageError("an image looks for frames: leave out other kinds, language and speaker")
            found = self._library.like(pictures.given(image), top, page, scope)
        else:
            found = self._library.search(text or "", results.kinds_of(_names(kinds, "kinds") or ()), top, page, scope)
        return SearchResults(**_values(found), library=self._library, page=page)

    def videos(self, words: str = "", sort: str = "name", status: str = "") -> list[Entry]:
        """The videos whose names hold ``words``, with length, day of recording and counts of rows.

        ``sort``: name, length, recorded or indexed, with a ``-`` before it the other way round; ``status``: only those
        that are ok, failed or none (nothing was found in them).
        """
        listing = self._library.listing
        return list(listing.page(words, sort, status, 0, listing.table().num_rows or 1).entries)

    def rows(self, video: str, kind: TableName = "speech", columns: Sequence[str] | None = None) -> pa.Table:
        """The stored rows of a video (name or id) as an Arrow table: ``.to_pandas()``, Polars and DuckDB take it.

        ``kind``: speech, text, frames, labels or chapters; ``columns``: only these.  Pictures: see :meth:`frame`.
        """
        if kind not in _TABLES:
            raise UsageError(f"no rows are called '{kind}'; known are {', '.join(_TABLES)}")
        from ..store.archive.schema import SCHEMAS

        known = SCHEMAS[kind].names
        if bad := [c for c in columns or () if c not in known]:
            raise UsageError(f"rows of {kind} have no column '{bad[0]}'; known are {', '.join(known)}")
        return self._library.shard(video).rows(kind, columns)

    def frame(self, video: str, t: Time, width: int = 0) -> bytes:
        """The picture on screen at second ``t`` of a video as JPEG, at most ``width`` pixels wide (0: as stored).

        It comes from the archive: the video file is not needed.
        """
        return pictures.picture(self._library.shard(video), seconds_of("t", str(t)) or 0.0, width)


class AsyncVideoArchive:
    """A :class:`VideoArchive` for asyncio: the same methods, each done in a thread.  ``sync`` is the archive itself."""

    def __init__(self, sync: VideoArchive) -> None:
        self.sync = sync

    async def ask(self, question: str, videos: Sequence[str] | None = None, options: Sequence[str] = ()) -> Answer:
        """See :meth:`VideoArchive.ask`."""
        return await asyncio.to_thread(self.sync.ask, question, videos, options)

    async def search(self, text: str | None = None, **filters: Any) -> SearchResults:
        """See :meth:`VideoArchive.search`."""
        return await asyncio.to_thread(self.sync.search, text, **filters)

    async def videos(self, words: str = "", sort: str = "name", status: str = "") -> list[Entry]:
        """See :meth:`VideoArchive.videos`."""
        return await asyncio.to_thread(self.sync.videos, words, sort, status)

    async def rows(self, video: str, kind: TableName = "speech", columns: Sequence[str] | None = None) -> pa.Table:
        """See :meth:`VideoArchive.rows`."""
        return await asyncio.to_thread(self.sync.rows, video, kind, columns)

    async def frame(self, video: str, t: Time, width: int = 0) -> bytes:
        """See :meth:`VideoArchive.frame`."""
        return await asyncio.to_thread(self.sync.frame, video, t, width)


def open(
    path: Location, profile: str = "embedded", settings: Sequence[str] = (), offline: bool = False
) -> VideoArchive:
    """Opens an archive, a folder or ``s3://bucket/prefix``.

    ``profile``: a built-in profile or a TOML file, the one that the archive was made with; ``settings``: options as
    ``"chat=openai"``; ``offline``: never look for weights in the network, from here on in the whole process.
    Raises :class:`~vidrag.NotAnArchive` where there is none.
    """
    if offline:
        models.set_offline(True)
    return VideoArchive(Library(os.fspath(path), profile, _names(settings, "settings") or ()))


async def open_async(
    path: Location, profile: str = "embedded", settings: Sequence[str] = (), offline: bool = False
) -> AsyncVideoArchive:
    """:func:`open` for asyncio."""
    return AsyncVideoArchive(await asyncio.to_thread(open, path, profile, settings, offline))


@dataclass(frozen=True)
class IngestReport:
    """What came of :func:`ingest`: counts of ``videos`` and of those ``kept`` as they were; ``failed``: source, stage,
    error and message of each video that failed; ``rows``: stored rows by stage; ``seconds`` it took.

    ``as_json()``: the object of ``vidrag ingest --json``.
    """

    run: str
    videos: int
    kept: int
    failed: list[dict[str, Any]]
    rows: dict[str, int]
    seconds: float
    summary: dict[str, Any] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        return self.summary

    def __str__(self) -> str:
        lines = [f"{self.videos - len(self.failed)} of {self.videos} videos indexed in {self.seconds:.0f} s"]
        lines += [f"failed: {f['source']}: {f['stage']}: {f['message']}" for f in self.failed]
        return "\n".join(
            [*lines, *(f"not looked at: {u['path']}: {u['message']}" for u in self.summary["unreachable"])]
        )


def ingest(
    archive: Location,
    paths: Location | Sequence[Location],
    profile: str = "embedded",
    settings: Sequence[str] = (),
    *,
    language: str | None = None,
    exclude: Sequence[str] = (),
    workers: int = 0,
    ray: bool | str = False,
    retry_failed: bool = False,
    rehash: bool = False,
    offline: bool = False,
    on_video: Callable[[str, int, int], object] | None = None,
) -> IngestReport:
    """Indexes videos and folders of them into ``archive``, which is made where there is none.

    Call it again at any time: only what is missing is done.  A video that fails is in the report and does not stop the
    others.  ``workers``: of each pool, 0 as many as there is room for; ``ray``: True for a local Ray, or the address of
    a cluster, in place of processes; ``language``: the one spoken, guessed by default; ``exclude``: patterns as in
    ``.gitignore``; ``on_video``: called with the source, how many are done, and of how many, after each video; for the
    rest see :func:`open` and ``vidrag ingest --help``.
    """
    from ..store.archive.archive import Archive
    from . import build
    from . import profile as profiles
    from .runs import plan
    from .runs import run as ingest_run

    if offline:
        models.set_offline(True)
    chosen = profiles.with_switches(profiles.load(profile, _names(settings, "settings") or ()), language=language)
    named = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    planned = plan.plan([os.fspath(p) for p in named], _names(exclude, "exclude") or ())
    if not planned.items:
        missed = "; ".join(f"{u.path}: {u.message}" for u in planned.unreachable[:3])
        raise UsageError(f"no videos in {', '.join(map(str, named[:3]))}{f' ({missed})' if missed else ''}")
    build.check(chosen, build.INGEST_KINDS)
    location = os.fspath(archive)
    workers_of = ingest_run.workers_of(chosen, workers, ray if isinstance(ray, str) else None, processes=not ray)

    def done(progress: ingest_run.Progress, item: plan.Item, _: object) -> None:
        if on_video:
            on_video(str(item.location), progress.done, progress.videos)

    run, progress = ingest_run.ingest(
        Archive.create(location), chosen, planned.items, workers_of, done, retry_failed=retry_failed, rehash=rehash
    )
    told = {**ingest_run.summary(run, progress, location), **planned.as_json()}
    own = {k: told[k] for k in ("run", "videos", "kept", "failed", "rows", "seconds")}
    return IngestReport(**own, summary=told)


def _values(record: Any) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in fields(record)}


def _names(given: Sequence[str] | None, what: str) -> list[str] | None:
    """A list of names; a single string, which is a sequence too, is a mistake that Python would not notice."""
    if isinstance(given, str):
        raise UsageError(f"{what}: give a list, for example {what}=[{given!r}]")
    return None if given is None else list(given)
