"""An open archive with the engines of a profile: what the page, programs and Python users ask.

Engines are loaded at the first question and shared by all that follow.  Safe to use from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from threading import RLock

import pyarrow.compute as pc

from ..query.asker import Asker
from ..query.find.results import Lister, Results
from ..query.find.scope import Scope
from ..query.types import Answer
from ..store.archive.archive import Archive
from ..store.archive.shard import Shard
from ..store.encoders import Picture
from ..store.index.index import KINDS, Kind
from . import build, profile
from .listing import Listing

_MOST_SPEAKERS = 200


class Library:
    """One archive, a folder or a bucket, under one profile."""

    def __init__(self, location: str, profile_name: str = "embedded", settings: Sequence[str] = ()) -> None:
        """``profile_name``: a built-in profile or a TOML file; ``settings``: ``section.option=value`` each.

        Raises :class:`~vidrag.store.errors.NotAnArchive` where there is none, and
        :class:`~vidrag.store.errors.OptionError` for what does not fit.
        """
        self.profile = profile.load(profile_name, settings)
        self.archive = Archive.open(location).under(self.profile.key())
        self.listing = Listing(self.archive)
        self._load = build.shared_engines()
        self._lock = RLock()

    def ask(
        self,
        question: str,
        videos: Sequence[str] | None = None,
        options: Sequence[str] = (),
        tell: Callable[[str], object] | None = None,
    ) -> Answer:
        """See :meth:`.Asker.ask`."""
        return self.asker.ask(question, videos, options, tell)

    def search(
        self, text: str, kinds: Sequence[Kind] = KINDS, top: int = 10, page: int = 1, scope: Scope | None = None
    ) -> Results:
        """See :meth:`.Lister.search`."""
        return self.lister.search(text, kinds, top, page, scope)

    def like(self, picture: Picture, top: int = 10, page: int = 1, scope: Scope | None = None) -> Results:
        """See :meth:`.Lister.like`."""
        return self.lister.like(picture, top, page, scope)

    def standalone(self, question: str, conversation: Sequence[tuple[str, str]]) -> str:
        """A question that stands alone, where a language model can make one of it and of what was asked before."""
        if not conversation or not self.model:
            return question
        from .answers.conversation import standalone

        return standalone(question, conversation, self.asker.chat)

    def languages_and_speakers(self) -> tuple[list[str], list[str]]:
        """The languages and the speakers of what is said, sorted."""
        table = self.listing.table()
        languages, speakers = ({*pc.list_flatten(table[c]).unique().to_pylist()} for c in ("languages", "speakers"))
        return sorted(languages), sorted(speakers)[:_MOST_SPEAKERS]

    def shard(self, video: str) -> Shard:
        """What is stored of a video, by id, the start of one, or file name."""
        return self.archive.shard(self.archive.find(video))

    @property
    def name(self) -> str:
        """The last part of where the archive is."""
        return self.archive.location.rstrip("/").rpartition("/")[2] or self.archive.location

    @property
    def model(self) -> str:
        """The name of the language model that writes answers; empty where answers are quotes."""
        return "" if self.profile.chat.name == "extractive" else self.profile.chat.name

    @property
    def asker(self) -> Asker:
        with self._lock:
            return self._asker

    @property
    def lister(self) -> Lister:
        with self._lock:
            return self._lister

    @cached_property
    def _asker(self) -> Asker:
        return build.asker(self.archive, self.profile, self._load)

    @cached_property
    def _lister(self) -> Lister:
        return build.lister(self.archive, self.profile, KINDS, self._load)
