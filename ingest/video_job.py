"""How the stages of one video are run: each step in a private folder, published when it is done, so that a kill costs
the step in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..store import engines
from ..store.archive import attempts as tries
from ..store.archive.archive import Archive
from ..store.archive.manifest import Manifest, Source
from ..store.archive.shard import Shard
from ..store.engines import provenance
from ..store.errors import StepTimeout, VidragError, WorkerDied
from ..store.records import Cell
from . import chapter_step, memory, steps
from .conduct import Conduct, deadly
from .stages import ENGINE_OF, READS, SHARED, EngineChoice, IngestSettings
from .steps import Made


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

    def loaded(self, kind: engines.Kind) -> Any:
        """The engine where it is loaded, else None."""
        return self._loaded.get(kind)


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


def missing(manifest: Manifest | None, prints: dict[str, str], stages: Iterable[str], conduct: Conduct) -> list[str]:
    """The stages whose cell has to be computed: absent, or failed for a reason that may have gone."""
    return [s for s in stages if s in prints and conduct.due(manifest.cell(s, prints[s]) if manifest else None)]


class VideoJob:
    """The stages of one video that read what is stored, and how any step is run and published.

    ``origin``: what outcomes call the video; ``prints``: the fingerprints of its stages.
    """

    def __init__(
        self,
        source: Source,
        origin: str,
        archive: Archive,
        loaded: Engines,
        prints: dict[str, str],
        stages: Iterable[str],
        conduct: Conduct,
    ) -> None:
        self.source, self.origin, self.archive, self.loaded = source, origin, archive, loaded
        self.settings, self.prints, self.stages, self.conduct = loaded.settings, prints, tuple(stages), conduct
        self.video = source.sha256[:16]
        self.manifest = archive.manifest(self.video)
        self.todo = list[str]()
        self.done: dict[str, Cell] = {}
        self.duration: float | None = None

    def _from_store(self) -> None:
        """Computes the stages of ``todo`` that read what is stored."""
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

    def _shard_of(self, stage: str) -> Shard:
        """The video as ``stage`` reads it: cells under the fingerprints of these settings, whatever is current."""
        assert self.manifest is not None
        read = {s: self.prints[s] for s in READS[stage]}
        return Shard(self.archive.backend, f"videos/{self.video}", replace(self.manifest, current=read))

    def _promote(self) -> None:
        """Makes cells current that an earlier run computed, and notes a new name of a known video."""
        have = {s: c for s in self.stages if s not in self.todo and self.manifest and (c := self._cell(s))}
        if self.manifest and (have or self.source.paths[0] not in self.manifest.source.paths):
            self.manifest = self._put(have, {})

    def _ready(self, stage: str) -> bool:
        """True where ``stage`` is to be computed and what it reads did not fail."""
        if stage not in self.todo or self.manifest is None:
            return False
        return all(self._there(r) for r in READS[stage])

    def _there(self, stage: str) -> bool:
        cell = self._cell(stage)
        return cell is not None and cell.status != "failed"

    def _cell(self, stage: str) -> Cell | None:
        """The cell of a stage under these settings; None where it is not computed, or cannot be."""
        return self.manifest.cell(stage, self.prints[stage]) if self.manifest and stage in self.prints else None

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
            self._check_source()
            self._publish(made.cells, made.staged)
        memory.give_back()
        if counted:
            tries.forget(self.archive.backend, self.video, first, self.prints[first])

    def _check_source(self) -> None:
        """Raises where what was read is not what it was taken for; what is stored does not change."""

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
        self.manifest = self._put({**probed, **counted}, staged)
        self.done |= counted

    def _put(self, cells: Mapping[str, Cell], staged: Mapping[str, Path]) -> Manifest:
        return self.archive.publish(self.source, cells, staged, self.conduct.profile)

    def _signed(self, cell: Cell) -> Cell:
        """The cell with what computed it."""
        kind = ENGINE_OF.get(cell.stage)
        if kind is None or not cell.files or cell.data.get("source") in ("sidecar", "embedded"):
            return cell
        choice: EngineChoice = getattr(self.settings, kind)
        return replace(cell, engine=provenance.of_engine(kind, choice.name, choice.options))

    def _outcome(self, stage: str) -> Outcome:
        cell = self._cell(stage)
        head = (self.video, self.origin, stage, self.prints.get(stage, ""))
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
