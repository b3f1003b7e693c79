"""Computes the vectors of an archive anew from its stored rows: after a change of encoder, without the videos."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ...ingest.conduct import Conduct
from ...ingest.pipeline import Engines, Outcome
from ...ingest.reembed import embed_video, outdated
from ...ingest.stages import ENGINE_OF, EngineChoice
from ...store import engines
from ...store.archive.archive import Archive
from ...store.archive.manifest import Manifest
from ...store.encoders import EncoderSpec, TextEncoder
from ...store.errors import (
    ArchiveDamaged,
    EngineMissing,
    ModelMissing,
    NoSuchVideo,
    SpaceMismatch,
    VidragError,
    one_line,
)
from ...store.fingerprints import digest
from ...store.index.coverage import coverage
from ...store.index.index import Kind, newest
from .. import build
from ..profile import Profile
from .ledger import Ledger, new_run
from .report import write as report_file

_ROWS = {"text_vectors": "text", "speech_vectors": "speech", "frame_vectors": "frames"}


@dataclass(slots=True)
class Embedded:
    """What a run did.  ``videos`` of the profile, of which ``kept`` were up to date; ``rows`` that were embedded;
    ``failed``: what went wrong, by name; ``other``: videos that are indexed under other profiles only.
    """

    run: str = ""
    videos: int = 0
    kept: int = 0
    rows: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    other: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Todo:
    """A video with stages that are out of date, and how many rows they embed."""

    video: str
    name: str
    stages: Sequence[str]
    rows: int


Report = Callable[[int, int, str, float], None]
"""Hears how many of how many videos are done, what came of the last one, and the seconds that are left."""


def look(archive: Archive, profile: Profile, conduct: Conduct, told: Embedded) -> list[Todo]:
    """The videos whose vectors or chapters are out of date.  ``archive``: under the profile."""
    other, damaged, todo = list[str](), list[str](), list[Todo]()
    for shard in archive.shards(damaged, other):
        told.videos += 1
        if stages := outdated(shard.manifest, profile.ingest, conduct):
            rows = sum(_rows(shard.manifest, s) for s in stages)
            todo.append(Todo(shard.video, shard.name, stages, rows))
    told.failed |= {d.partition(":")[0]: d for d in damaged}
    told.other = len(other)
    return todo


def _rows(manifest: Manifest, stage: str) -> int:
    kind = _ROWS.get(stage, "")
    cell = manifest.cell(kind) if kind else None
    file = cell.file(kind) if cell else None
    return file.rows if file else 0


def embed(archive: Archive, profile: Profile, threads: int, report: Report) -> Embedded:
    """Embeds what is out of date, video by video; each is published when it is done, so that a killed run goes on.

    ``threads``: of the text encoder, where the profile names none.  Raises before any work where an engine or its
    weights are missing.
    """
    run, began = new_run(), time.monotonic()
    told, key = Embedded(run), profile.key()
    conduct = Conduct(run, profile.run.attempts, retry_failed=True, profile=key)
    archive = archive.under(key)
    archive.backend.check_writable()
    todo = look(archive, profile, conduct, told)
    told.kept = told.videos - len(todo)
    build.check(profile, tuple({ENGINE_OF[s]: None for t in todo for s in t.stages if s in ENGINE_OF}))
    loaded = Engines(replace(profile.ingest, text_encoder=_with_threads(profile.ingest.text_encoder, threads)))
    if todo:
        with Ledger(archive, run) as ledger:
            done, total = 0, sum(t.rows for t in todo)
            for number, one in enumerate(todo, 1):
                line = _one(one, archive, loaded, conduct, told, ledger)
                done += one.rows
                spent = time.monotonic() - began
                report(number, len(todo), f"{one.name}: {line}", spent / max(done, 1) * (total - done))
        report_file(archive, run)
        archive.update_catalogue()
    told.seconds = time.monotonic() - began
    return told


def _one(one: Todo, archive: Archive, loaded: Engines, conduct: Conduct, told: Embedded, ledger: Ledger) -> str:
    """Embeds a video and says in a few words what came of it."""
    try:
        outcomes = embed_video(one.video, archive, loaded, conduct)
    except NoSuchVideo:
        told.videos -= 1
        return "taken out meanwhile"
    except ArchiveDamaged as e:
        outcomes = [_failed(one, e)]
    ledger.add(outcomes)
    if bad := next((o for o in outcomes if o.status == "failed"), None):
        told.failed[one.name] = f"{bad.stage}: {bad.message}"
        return f"failed in {bad.stage}: {bad.message}"
    told.rows += one.rows
    return f"{one.rows} rows"


def _failed(one: Todo, error: VidragError) -> Outcome:
    return Outcome(one.video, one.name, one.stages[0], "", "failed", type(error).__name__, one_line(error))


def _with_threads(choice: EngineChoice, threads: int) -> EngineChoice:
    known = engines.find("text_encoder", choice.name).Options.model_fields
    return replace(choice, options={"threads": threads, **choice.options}) if "threads" in known else choice


def check_vectors(archive: Archive, profile: Profile) -> None:
    """Raises :class:`~vidrag.store.errors.SpaceMismatch` where videos were embedded with other encoders than those of
    the profile, and says how to change that.  ``archive``: under the profile.
    """
    held = _spaces(archive)
    with contextlib.suppress(EngineMissing, ModelMissing):  # who only indexes need not have them
        old = {
            v for kind, found in held.items() for s, vs in found.items() if s != _space(profile, kind, s) for v in vs
        }
        if old:
            raise SpaceMismatch(
                f"{archive.location}: {len(old)} videos were embedded with other encoders than those of profile "
                f"'{profile.name}'; embed the archive anew, without its videos, by: {archive.how_to_embed()}"
            )


def _spaces(archive: Archive) -> dict[engines.Kind, dict[str, set[str]]]:
    """For each kind of encoder the videos that have vectors of a space."""
    index = newest(archive, [])
    cover = coverage(archive, index)
    out: dict[engines.Kind, dict[str, set[str]]] = {"text_encoder": {}, "image_text_encoder": {}}

    def add(kind: Kind, encoder: EncoderSpec, video: str) -> None:
        found = out["image_text_encoder" if kind == "frames" else "text_encoder"]
        found.setdefault(encoder.space, set()).add(video)

    for video, kinds in cover.fresh.items():
        for kind, rows in kinds.items():
            if rows.encoder:
                add(kind, rows.encoder, video)
    if index is not None:
        for block in (b for b in cover.live if b.vector >= 0):
            add(block.kind, index.manifest.encoders[block.kind], block.video)
    return out


def _space(profile: Profile, kind: engines.Kind, found: str) -> str:
    """The space of the profile's encoder.  It is loaded only where ``found`` is not what its options and weights name:
    a plugin may name its space in a way of its own.
    """
    choice = build.choice_of(profile, kind)
    if digest(engines.identity(kind, choice.name, choice.options)) == found:
        return found
    encoder: TextEncoder = engines.load(kind, choice.name, choice.options)
    return encoder.spec.space
