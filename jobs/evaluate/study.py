"""A study: folders of videos with questions are indexed, asked under every arm and ablation, and reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ...ingest.pipeline import Outcome
from ...ingest.sidecars import sidecars
from ...ingest.sources import Location
from ...store.archive.archive import Archive
from ...store.archive.stored_files import version
from ...store.errors import UsageError
from ...store.records import MediaInfo
from ...store.shell import printable
from ...store.storage.faults import storage_errors
from ...store.storage.whole import write_whole
from .. import build, export, profile
from ..profile import Profile
from ..runs import plan
from ..runs import run as ingest_run
from ..runs.plan import Item
from ..runs.pool import Executor
from ..runs.worker import Order
from . import results, tables
from .arms import Arm
from .asking import ArmRun, Report, Setting, code_fingerprint
from .benchmarks import READERS
from .judge import judge_model, judge_of
from .traces import results_folder

Say = Callable[[str], None]
HEAR, READ = "subtitles.use=never", "subtitles.use=only"


@dataclass(frozen=True, slots=True)
class Part:
    """One folder of a study: its videos, and the questions about them, in the format of ``reader``."""

    name: str
    videos: Path
    questions: Path
    reader: str = "corpus"


@dataclass(slots=True)
class Study:
    """What came of it: the results and the arms of each part, and the videos that could not be indexed."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, list[ArmRun]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def parts(data: Path | None) -> list[Part]:
    """Every folder at or below ``data`` that holds a ``questions.json``; without ``data`` the bundled sample.

    Raises :class:`UsageError` where there is none.
    """
    if data is None:
        package = resources.files(__package__.rpartition(".")[0])
        sample = Path(str(package / "demo" / "sample.mp4"))
        return [Part("sample", sample, Path(str(package / "evaluate" / "sample.questions.json")))]
    if not data.is_dir():
        raise UsageError(f"{data}: no such folder; name one that holds folders of videos, each with a questions.json")
    found: dict[str, Part] = {}
    for file in sorted(data.rglob("questions.json")):
        inner = file.parent.relative_to(data).parts or (data.resolve().name,)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(inner)).strip("-.") or "data"
        if name in found:
            raise UsageError(f"{file.parent} and {found[name].videos}: both would be called '{name}'; rename one")
        found[name] = Part(name, file.parent, file)
    if not found:
        raise UsageError(f"{data}: no questions.json in it or below; see 'vidrag eval corpus --help'")
    return list(found.values())


def run(
    output: Path,
    found: Sequence[Part],
    arms: Sequence[Arm],
    profile_name: str,
    overrides: Sequence[str],
    seed: int,
    say: Say,
    report: Report,
    judge: Sequence[str] = (),
) -> Study:
    """Indexes what is not indexed, asks what is not asked, and writes ``report.md`` into ``output``.

    For each part ``output`` gets ``PART/archive`` (speech recognised), ``PART/subtitled`` where its videos have
    subtitles, and ``PART/results``.  ``judge``: settings of the model that scores written answers.
    """
    study = Study()
    datasets = {part.name: READERS[part.reader](part.questions) for part in found}  # before any work
    profile.load(profile_name, overrides)
    load = build.shared_engines()
    judge_model(judge, load)  # refused before any work, and kept for every part
    for part in found:
        home = output / part.name
        archive = index(home / "archive", part, profile_name, overrides, say, study.failed)
        subtitled = _subtitled(archive, home / "subtitled", part, profile_name, overrides, say, study.failed)
        with results_folder(home / "results") as folder:
            scorer = judge_of(judge, archive, load)
            asked = datasets[part.name]
            setting = Setting(asked, archive, subtitled, profile_name, tuple(overrides), seed, folder, scorer)
            say(f"{part.name}: asking {len(setting.dataset.questions)} questions under {len(arms)} arms")
            runs, told = results.measure(setting, arms, report)
            results.write(folder, setting, runs, told)
        study.runs[part.name], study.results[part.name] = runs, told
    write_whole(output / "report.md", markdown(study))
    return study


def index(
    where: Path, part: Part, profile_name: str, overrides: Sequence[str], say: Say, failed: list[str], use: str = HEAR
) -> Archive:
    """The archive of a part's videos at ``where``, made or brought up to date; speech is taken as ``use`` says."""
    chosen = profile.load(profile_name, (*overrides, use))
    items = plan.sources([str(part.videos)])
    if not items:
        raise UsageError(f"{part.videos}: has questions but no videos; put them beside questions.json")
    build.check(chosen, build.INGEST_KINDS)
    with storage_errors(where):
        where.parent.mkdir(parents=True, exist_ok=True)
    archive = Archive.create(where)

    def told(progress: ingest_run.Progress, item: Item, rows: list[Outcome]) -> None:
        if any(o.status != "kept" for o in rows):
            done = "could not index" if any(o.status == "failed" for o in rows) else "indexed"
            say(f"{part.name}: {done} {printable(item.location.name)} ({progress.done}/{progress.videos})")

    _, progress = ingest_run.ingest(archive, chosen, items, lambda order: _executor(order, chosen), told, warn=say)
    failed += [f"{printable(Path(p).name)}: {o.stage}: {o.message}" for p, o in progress.failed.items()]
    return archive


def _executor(order: Order, chosen: Profile) -> Executor:
    from ..runs.processes import Processes

    return Processes(order, chosen.pools)


def _subtitled(
    archive: Archive,
    where: Path,
    part: Part,
    profile_name: str,
    overrides: Sequence[str],
    say: Say,
    failed: list[str],
) -> Archive | None:
    """The same archive with speech from subtitles; None where no video has any.  Only speech is made anew."""
    if not _has_subtitles(archive, part):
        return None
    with storage_errors(where):
        where.parent.mkdir(parents=True, exist_ok=True)
    if not (where / "archive.json").exists():
        export.to_archive(archive, archive.ids(), str(where))
    return index(where, part, profile_name, overrides, say, failed, READ)


def _has_subtitles(archive: Archive, part: Part) -> bool:
    files = [i.location for i in plan.sources([str(part.videos)])]
    return any(_beside(f) for f in files) or any(_inside(archive, v) for v in archive.ids())


def _beside(location: Location) -> bool:
    return not location.remote and bool(sidecars(Path(location.text)))


def _inside(archive: Archive, video: str) -> bool:
    own = archive.manifest(video)
    media = own.cell("media") if own else None
    if media is None or media.status != "ok":
        return False
    return any(t.text for t in MediaInfo.of(media.data).subtitles)


def markdown(study: Study) -> str:
    """Every table of every part."""
    out = [
        "# Evaluation\n",
        f"vidrag {version()}, code {code_fingerprint()}. Made by `vidrag eval study`; the traces behind every figure "
        "are in `PART/results/traces`.\n",
        "## Right options\n",
        tables.summary(study.results),
    ]
    out += [f"- not indexed: {x}" for x in study.failed]
    out += [tables.markdown(told, 2, name) for name, told in study.results.items()]
    return "\n".join(out)
