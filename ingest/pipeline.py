"""``ingest_video``: runs the missing stages of one video and publishes what they give.

Knows no Ray: whoever calls it decides where and how often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ..store.archive.archive import Archive
from ..store.archive.manifest import Source
from ..store.errors import MediaError, SourceChanged, VidragError, one_line
from ..store.records import Cell, MediaInfo
from . import captions, media, shares, spoken, steps
from .conduct import Conduct
from .shares import AnsweredEngines, Answers, Share
from .sources import Location, Opened, Stamp
from .stages import GROUPS, STAGES, fingerprints
from .steps import Clock
from .video_job import Engines, Outcome, VideoJob, missing

__all__ = ["Engines", "Identity", "Outcome", "answers_of", "identity_of", "ingest_or_share", "ingest_video", "missing"]

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Identity:
    """The SHA-256 of a source's content, in hex, when it had this stamp."""

    stamp: Stamp
    sha256: str


def identity_of(location: Location) -> Identity:
    """Reads a whole source; raises what :class:`~.sources.Opened` does."""
    with Opened(location) as opened:
        return Identity(opened.stamp, opened.sha256)


def ingest_video(
    path: Path | Location,
    archive: Archive,
    loaded: Engines,
    group: str | None = None,
    conduct: Conduct | None = None,
    identity: Identity | None = None,
    given: Answers | None = None,
) -> list[Outcome]:
    """Brings the index of one video up to date with the settings of ``loaded``; one outcome for each stage.

    ``group`` limits the work to one of :data:`~.stages.GROUPS`.  ``identity``, where it is known, saves reading the
    source for its hash; it is not used where the source has changed since.  ``given``: what engines have answered for
    this video (see :func:`answers_of`).  An unreadable video is an outcome, not an exception; what concerns the whole
    run (no space, missing weights) is raised.
    """
    stages = GROUPS[group] if group else STAGES
    prints = fingerprints(loaded.settings)
    location = path if isinstance(path, Location) else Location.of(path)
    asked = AnsweredEngines(loaded, given) if given else loaded

    def whole(opened: Opened, sha256: str) -> list[Outcome]:
        return _Job(opened, sha256, archive, asked, prints, stages, conduct or Conduct()).run()

    return _tried(location, identity, prints, stages, whole)


def ingest_or_share(
    location: Location, archive: Archive, loaded: Engines, group: str, conduct: Conduct, identity: Identity | None
) -> list[Outcome] | tuple[Share, ...]:
    """As :func:`ingest_video`; of a long video that is to be shared out, the stretches that several workers may ask
    engines about.
    """
    stages, prints = GROUPS[group], fingerprints(loaded.settings)

    def either(opened: Opened, sha256: str) -> list[Outcome] | tuple[Share, ...]:
        job = _Job(opened, sha256, archive, loaded, prints, stages, conduct)
        return job.shares() or job.run()

    return _tried(location, identity, prints, stages, either)


def _tried(
    location: Location,
    identity: Identity | None,
    prints: dict[str, str],
    stages: Iterable[str],
    work: Callable[[Opened, str], Done],
) -> Done | list[Outcome]:
    """What ``work`` makes of the source and its SHA-256; tried once more where the source changed meanwhile.  An
    unreadable source is an outcome.
    """
    for last_try in (False, True):
        try:
            with Opened(location) as opened:
                known = identity.sha256 if identity and identity.stamp == opened.stamp else opened.sha256
                return work(opened, known)
        except SourceChanged as e:
            if last_try:
                return _unreadable(location, prints, stages, e)
        except MediaError as e:
            return _unreadable(location, prints, stages, e)
    raise AssertionError("unreachable")


def answers_of(location: Location, loaded: Engines, share: Share, conduct: Conduct) -> Answers:
    """What engines answer about one stretch; nothing where it cannot be read: the work itself tells why.

    What concerns the machine is raised.
    """
    try:
        with Opened(location) as opened, conduct.watch(conduct.limit_s(share.seconds), lambda: None):
            return shares.answers(opened.path, share, loaded)
    except MediaError:
        return Answers()


def _unreadable(path: Location, prints: dict[str, str], stages: Iterable[str], error: VidragError) -> list[Outcome]:
    first, *rest = stages
    bad = Outcome(
        "",
        str(path),
        first,
        prints[first],
        "failed",
        type(error).__name__,
        one_line(error),
        permanent=error.permanent,
    )
    return [bad, *(Outcome("", str(path), s, prints[s], "skipped", message=f"needs {first}") for s in rest)]


class _Job(VideoJob):
    """The stages of a video that is there to be read."""

    def __init__(
        self,
        opened: Opened,
        sha256: str,
        archive: Archive,
        loaded: Engines,
        prints: dict[str, str],
        stages: Iterable[str],
        conduct: Conduct,
    ) -> None:
        self.opened = opened
        source = Source(sha256, opened.bytes, (str(opened.location),))
        super().__init__(source, str(opened.location), archive, loaded, prints, stages, conduct)
        self._new = self.manifest is None

    def run(self) -> list[Outcome]:
        info, source, recognised = self._prepared
        self._promote()
        if visual := {"frames", "text"} & set(self.todo):
            self._step(
                sorted(visual),
                lambda d: steps.visual_pass(
                    self.opened.path,
                    self.video,
                    info,
                    self.settings,
                    self.prints,
                    visual,
                    lambda: self.loaded.get("ocr"),
                    d,
                ),
            )
        if "speech" in self.todo:
            self._step(
                ["speech"],
                lambda d: spoken.speech_step(
                    self.opened.path,
                    self.video,
                    info,
                    self.settings,
                    source,
                    recognised,
                    lambda: self.loaded.get("asr"),
                    d,
                ),
            )
        self._from_store()
        return [self._outcome(s) for s in self.stages]

    @cached_property
    def _prepared(self) -> tuple[MediaInfo, captions.SpeechSource, Cell | None]:
        info = self._media()
        self.duration = info.duration
        source, recognised = self._speech_source(info)
        self.todo = missing(self.manifest, self.prints, self.stages, self.conduct)
        return info, source, recognised

    def shares(self) -> tuple[Share, ...]:
        """See :func:`ingest_or_share`."""
        info, source, recognised = self._prepared
        free = {"speech"} if source.kind != "asr" or recognised else set[str]()
        return shares.shared_out(info, frozenset(self.todo) - free, self.conduct.share_s)

    def _speech_source(self, info: MediaInfo) -> tuple[captions.SpeechSource, Cell | None]:
        """Where speech comes from, which decides its fingerprint; and the cell of recognised speech, if any."""
        known = self.manifest.source.paths if self.manifest else ()
        source, self.prints = captions.per_video(self.opened.path, known, info, self.settings, self.prints)
        return source, self.manifest.cell("speech", source.plain) if self.manifest else None

    def _check_source(self) -> None:
        try:
            self.opened.check()
        except SourceChanged:
            if self._new:  # what was indexed so far is of content that no file holds
                self.archive.discard(self.video)
            raise

    def _media(self) -> MediaInfo:
        cell = self._cell("media")
        if cell and cell.status == "ok":
            return MediaInfo.of(cell.data)
        clock = Clock()
        info = media.probe(self.opened.path, self.settings.media)
        self.done["media"] = Cell("media", self.prints["media"], "ok", data=asdict(info), **clock.read())
        return info
