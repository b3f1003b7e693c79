"""``ingest_video``: runs the missing stages of one video and publishes what they give.

Each step is published when it is done, so that a kill costs the step in flight.  Knows no Ray: whoever calls it decides
where and how often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..store import engines, provenance, tries
from ..store.archive import Archive
from ..store.errors import MediaError, SourceChanged, StepTimeout, VidragError, WorkerDied, one_line
from ..store.manifest import Manifest, Source
from ..store.records import Cell, MediaInfo
from ..store.shard import Shard
from . import captions, chapter_step, media, memory, spoken, steps
from .conduct import Conduct, deadly
from .sources import Location, Opened, Stamp
from .stages import ENGINE_OF, GROUPS, READS, SHARED, EngineChoice, IngestSettings, fingerprints
from .steps import Clock, Made


class Engines:
    """The engines of one worker, loaded when first used and kept."""

    def __init__(self, settings: IngestSettings) -> None:
        self.settings = settings
        self._loaded: dict[str, Any] = {}

    def get(self, kind: engines.Kind) -> Any:
        if kind not in self._loaded:
            choice: EngineChoice = getattr(self.settings, kind)
            self._loaded[kind] = engines.load(kind, choice.name, choice.options)
        return self._loaded[kind]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one stage of one video ended: a row of the ledger.

    ``status`` is that of the cell, ``kept`` where an earlier run had done it, ``skipped`` where a stage that it reads
    failed; ``permanent``: a failure that is not tried again by itself.
    """

    video: str
    source: str
    stage: str
    fingerprint: str
    status: str
    error: str | None = None
    message: str | None = None
    attempts: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    rows: int = 0
    bytes: int = 0
    media_seconds: float = 0.0
    coverage: float | None = None
    host: str | None = None
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """The SHA-256 of a source's content, in hex, when it had this stamp."""

    stamp: Stamp
    sha256: str


def identity_of(location: Location) -> Identity:
    """Reads a whole source; raises what :class:`~.sources.Opened` does."""
    with Opened(location) as opened:
        return Identity(opened.stamp, opened.sha256)


def missing(manifest: Manifest | None, prints: dict[str, str], stages: Iterable[str], conduct: Conduct) -> list[str]:
    """The stages whose cell has to be computed: absent, or failed for a reason that may have gone."""
    return [s for s in stages if conduct.due(manifest.cell(s, prints[s]) if manifest else None)]


def ingest_video(
    path: Path | Location,
    archive: Archive,
    loaded: Engines,
    group: str | None = None,
    conduct: Conduct | None = None,
    identity: Identity | None = None,
) -> list[Outcome]:
    """Brings the index of one video up to date with the settings of ``loaded``; one outcome for each stage.

    ``group`` limits the work to one of :data:`~.stages.GROUPS`.  ``identity``, where it is known, saves reading the
    source for its hash; it is not used where the source has changed since.  An unreadable video is an outcome, not an
    exception; what concerns the whole run (no space, missing weights) is raised.
    """
    stages = GROUPS[group] if group else tuple(READS)
    prints = fingerprints(loaded.settings)
    location = path if isinstance(path, Location) else Location.of(path)
    for last_try in (False, True):
        try:
            with Opened(location) as opened:
                known = identity.sha256 if identity and identity.stamp == opened.stamp else opened.sha256
                return _Job(opened, known, archive, loaded, prints, stages, conduct or Conduct()).run()
        except SourceChanged as e:
            if last_try:
                return _unreadable(location, prints, stages, e)
        except MediaError as e:
            return _unreadable(location, prints, stages, e)
    raise AssertionError("unreachable")


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


class _Job:
    """One video under one set of fingerprints."""

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
        self.opened, self.archive, self.loaded, self.settings = opened, archive, loaded, loaded.settings
        self.prints, self.stages, self.conduct = prints, tuple(stages), conduct
        self.source = Source(sha256, opened.bytes, (str(opened.location),))
        self.video = self.source.sha256[:16]
        self.manifest = archive.manifest(self.video)
        self._new = self.manifest is None
        self.todo = list[str]()
        self.done: dict[str, Cell] = {}
        self.duration: float | None = None

    def run(self) -> list[Outcome]:
        info = self._media()
        self.duration = info.duration
        source = self._speech_source(info)
        self.todo = missing(self.manifest, self.prints, self.stages, self.conduct)
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
                    self.opened.path, self.video, info, self.settings, *source, lambda: self.loaded.get("asr"), d
                ),
            )
        if self._ready("frame_vectors"):
            self._step(
                ["frame_vectors"],
                lambda d: steps.frame_vectors(
                    self._shard_of("frame_vectors"),
                    self.prints["frame_vectors"],
                    lambda: self.loaded.get("image_text_encoder"),
                    d,
                ),
            )
        for kind in ("text", "speech"):
            stage = f"{kind}_vectors"
            if self._ready(stage):
                self._step(
                    [stage],
                    lambda d, kind=kind, stage=stage: steps.text_vectors(  # type: ignore[misc]
                        self._shard_of(stage),
                        kind,
                        stage,
                        self.prints[stage],
                        lambda: self.loaded.get("text_encoder"),
                        d,
                    ),
                )
        if self._ready("chapters"):
            self._step(
                ["chapters"],
                lambda d: chapter_step.chapter_step(
                    self._shard_of("chapters"), self.prints["chapters"], self.settings.chapters, d
                ),
            )
        return [self._outcome(s) for s in self.stages]

    def _speech_source(self, info: MediaInfo) -> tuple[captions.SpeechSource, Cell | None]:
        """Where speech comes from, which decides its fingerprint; and the cell of recognised speech, if any."""
        known = self.manifest.source.paths if self.manifest else ()
        source, self.prints = captions.per_video(self.opened.path, known, info, self.settings, self.prints)
        return source, self.manifest.cell("speech", source.plain) if self.manifest else None

    def _shard_of(self, stage: str) -> Shard:
        """The video as ``stage`` reads it: cells under the fingerprints of these settings, whatever is current."""
        assert self.manifest is not None
        read = {s: self.prints[s] for s in READS[stage]}
        return Shard(self.archive.backend, f"videos/{self.video}", replace(self.manifest, current=read))

    def _promote(self) -> None:
        """Makes cells current that an earlier run computed, and notes a new name of a known video."""
        have = {
            s: c
            for s in self.stages
            if s not in self.todo and self.manifest and (c := self.manifest.cell(s, self.prints[s]))
        }
        if self.manifest and (have or self.source.paths[0] not in self.manifest.source.paths):
            self.manifest = self.archive.publish(self.source, have, {}, self.conduct.profile)

    def _media(self) -> MediaInfo:
        cell = self.manifest.cell("media", self.prints["media"]) if self.manifest else None
        if cell and cell.status == "ok":
            return MediaInfo.of(cell.data)
        clock = Clock()
        info = media.probe(self.opened.path, self.settings.media)
        self.done["media"] = Cell("media", self.prints["media"], "ok", data=asdict(info), **clock.read())
        return info

    def _ready(self, stage: str) -> bool:
        """True where ``stage`` is to be computed and what it reads did not fail."""
        if stage not in self.todo or self.manifest is None:
            return False
        return all(self._there(r) for r in READS[stage])

    def _there(self, stage: str) -> bool:
        cell = self.manifest.cell(stage, self.prints[stage]) if self.manifest else None
        return cell is not None and cell.status != "failed"

    def _step(self, stages: Sequence[str], make: Callable[[Path], Made]) -> None:
        """Runs the step that computes ``stages`` in a private folder and publishes it.

        A step that takes too long is published as failed and ends its process, if ``conduct.watch`` says so; one whose
        workers died again and again is published as failed without another try.  A stage of both groups is not
        counted so: another worker that is at it just now would look like one that died in it.
        """
        first, conduct = stages[0], self.conduct
        counted = first not in SHARED
        if counted and (why := deadly(self.archive, self.video, first, self.prints[first], conduct)):
            self._publish({s: self._failed(s, WorkerDied(why)) for s in stages}, {})
            return
        limit = conduct.limit_s(self.duration)
        late = StepTimeout(f"no result after {limit:.0f} s; stopped")

        def overdue() -> None:
            self._publish({s: self._failed(s, late) for s in stages}, {})
            tries.forget(self.archive.backend, self.video, first, self.prints[first])

        begun = tries.trying(self.archive.backend, self.video, first, self.prints[first], conduct.run)
        with (
            begun if counted else nullcontext(),
            conduct.watch(limit, overdue),
            self.archive.staging(self.source) as folder,
        ):
            made = make(folder)
            try:
                self.opened.check()
            except SourceChanged:
                if self._new:  # what was indexed so far is of content that no file holds
                    self.archive.discard(self.video)
                raise
            self._publish(made.cells, made.staged)
        memory.give_back()
        if counted:
            tries.forget(self.archive.backend, self.video, first, self.prints[first])

    def _failed(self, stage: str, error: VidragError) -> Cell:
        return steps.failed(stage, self.prints[stage], error)

    def _publish(self, cells: dict[str, Cell], staged: dict[str, Path]) -> None:
        """Publishes ``cells``, with the probe's where that is new."""
        before = self.manifest
        counted = {
            s: self.conduct.counted(self._signed(c), before.cell(s, c.fingerprint) if before else None)
            for s, c in cells.items()
        }
        probed = {"media": self.done["media"]} if "media" in self.done else {}
        self.manifest = self.archive.publish(self.source, {**probed, **counted}, staged, self.conduct.profile)
        self.done |= counted

    def _signed(self, cell: Cell) -> Cell:
        """The cell with what computed it."""
        kind = ENGINE_OF.get(cell.stage)
        if kind is None or not cell.files or cell.data.get("source") in ("sidecar", "embedded"):
            return cell
        choice: EngineChoice = getattr(self.settings, kind)
        return replace(cell, engine=provenance.of_engine(kind, choice.name, choice.options))

    def _outcome(self, stage: str) -> Outcome:
        cell = self.manifest.cell(stage, self.prints[stage]) if self.manifest else None
        head = (self.video, str(self.opened.location), stage, self.prints[stage])
        if cell is None:
            needs = ", ".join(r for r in READS[stage] if not self._there(r)) or "a readable file"
            return Outcome(*head, "skipped", message=f"needs {needs}")
        ran = stage in self.done or stage in self.todo
        status = cell.status if ran or cell.status == "failed" else "kept"
        return Outcome(
            *head,
            status,
            cell.error,
            cell.message or cell.data.get("note"),
            cell.attempts,
            cell.seconds if ran else 0.0,
            cell.cpu_seconds if ran else 0.0,
            max((f.rows for f in cell.files), default=0),
            sum(f.bytes for f in cell.files) if ran else 0,
            self.manifest.duration if self.manifest else 0.0,
            cell.coverage,
            permanent=cell.permanent,
        )
