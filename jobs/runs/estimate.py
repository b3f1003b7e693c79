"""What a run would have to do, and about how long it would take: ``vidrag ingest --dry-run``."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...ingest import captions, media
from ...ingest.conduct import Conduct
from ...ingest.pipeline import missing
from ...ingest.stages import STAGES, fingerprints
from ...store.archive.archive import Archive
from ...store.archive.manifest import Manifest
from ...store.errors import ArchiveDamaged, VidragError
from ...store.records import MediaInfo
from ..profile import Profile
from . import report
from .known import Known
from .plan import Item

_PROBES = 24
_RUNS = 20
CPU = {
    "media": 0.002,
    "frames": 0.015,
    "text": 0.06,
    "frame_vectors": 0.075,
    "text_vectors": 0.001,
    "speech": 0.13,
    "speech_vectors": 0.001,
    "chapters": 0.0003,
}
"""CPU seconds for a second of video, measured with the embedded profile on two AVX2 cores (lectures and clips)."""
_BYTES = {"frames": 15_000.0, "frame_vectors": 600.0, "speech": 250.0, "text": 100.0, "chapters": 40.0}
"""Bytes written for a second of video, measured likewise."""


@dataclass(slots=True)
class Rates:
    """CPU seconds and bytes for a second of video, by stage; ``measured``: by this archive's own runs."""

    cpu: dict[str, float]
    bytes: dict[str, float]
    measured: bool


def rates(archive: Archive | None) -> Rates:
    """From the ledgers of the last runs where these have worked on a minute of video or more."""
    cpu, size = dict(CPU), dict(_BYTES)
    seconds: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    written: Counter[str] = Counter()
    for run in report.runs(archive)[-_RUNS:] if archive else ():
        with contextlib.suppress(ArchiveDamaged):
            for row in report.rows(archive, run) if archive else ():
                if row["status"] in ("ok", "none") and row["seconds"] and row["media_seconds"]:
                    seconds[row["stage"]] += row["media_seconds"]
                    spent[row["stage"]] += row["cpu_seconds"]
                    written[row["stage"]] += row["bytes"] or 0
    known = [s for s in STAGES if seconds[s] >= 60]
    for stage in known:
        cpu[stage], size[stage] = spent[stage] / seconds[stage], written[stage] / seconds[stage]
    return Rates(cpu, size, bool(known))


def estimate(archive: Archive | None, profile: Profile, items: Sequence[Item], workers: int) -> dict[str, Any]:
    """Missing cells by stage, hours and bytes, as JSON values.  Writes nothing and loads no model.

    Files that have never been indexed under their present size and times count as new; their length is estimated from
    their size, after a look at a sample.
    """
    prints = fingerprints(profile.ingest)
    cells: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    new: list[Item] = []
    partly = settled = 0
    conduct = Conduct(profile=profile.key())
    if archive is None:
        new = list(items)
    else:
        with Known(archive, profile.ingest, conduct) as known:
            for item in items:
                if known.kept(item) is not None:
                    settled += 1
                    continue
                video = known.video(item)
                manifest = archive.manifest(video) if video else None
                if manifest is None:
                    new.append(item)
                    continue
                todo = missing(manifest, _of_video(item, manifest, profile, prints), STAGES, conduct)
                partly += bool(todo)
                settled += not todo
                cells.update(todo)
                seconds.update(dict.fromkeys(todo, manifest.duration))
    lengths, probed, unreadable = _lengths(new, profile)
    cells.update({s: len(new) for s in STAGES})
    seconds.update(dict.fromkeys(STAGES, lengths))
    found = rates(archive)
    cpu = sum(found.cpu.get(s, 0.0) * n for s, n in seconds.items())
    return {
        "videos": len(items),
        "new": len(new),
        "partly": partly,
        "up_to_date": settled,
        "cells": {s: cells[s] for s in STAGES if cells[s]},
        "media_hours": round(max(seconds.values(), default=0.0) / 3600, 3),
        "cpu_hours": round(cpu / 3600, 3),
        "workers": workers,
        "hours": round(cpu / 3600 / max(1, workers), 3),
        "bytes": round(sum(found.bytes.get(s, 0.0) * n for s, n in seconds.items())),
        "rates_measured_here": found.measured,
        "probed": probed,
        "unreadable_in_sample": unreadable,
    }


def _of_video(item: Item, manifest: Manifest, profile: Profile, prints: dict[str, str]) -> dict[str, str]:
    """The fingerprints of a known video, whose speech may come from subtitles."""
    cell = manifest.cell("media", prints["media"])
    if cell is None:
        return prints
    paths = manifest.source.paths
    return captions.per_video(Path(item.location.text), paths, MediaInfo.of(cell.data), profile.ingest, prints)[1]


def _lengths(new: Sequence[Item], profile: Profile) -> tuple[float, int, int]:
    """Seconds of all new files together, how many were looked at, and how many of these cannot be read."""
    step = max(1, len(new) // _PROBES)
    seconds = size = 0.0
    bad = 0
    sample = list(new[::step])[:_PROBES]
    for item in sample:
        try:
            with item.location.fetched() as path:
                seconds += media.probe(path, profile.ingest.media).duration or 0.0
            size += item.bytes
        except (VidragError, OSError):
            bad += 1
    total = sum(i.bytes for i in new) * (1 - bad / len(sample) if sample else 0)
    return (seconds / size * total if size else 0.0), len(sample), bad


def text(told: dict[str, Any]) -> str:
    """An estimate as a person wants to read it."""
    out = [
        f"{told['videos']} videos: {told['new']} new, {told['partly']} with something missing, "
        f"{told['up_to_date']} up to date"
    ]
    if not told["cells"]:
        return out[0] + "\nnothing to do\n"
    out.append("missing: " + ", ".join(f"{n} {s}" for s, n in told["cells"].items()))
    basis = "rates of this archive's own runs" if told["rates_measured_here"] else "rates measured on two CPU cores"
    out.append(
        f"about {told['media_hours']:.2f} h of video: {told['cpu_hours']:.2f} CPU hours, {told['hours']:.2f} h with "
        f"{told['workers']} workers, {told['bytes'] / 1e6:.0f} MB ({basis})"
    )
    if told["unreadable_in_sample"]:
        out.append(f"{told['unreadable_in_sample']} of {told['probed']} files looked at cannot be read")
    return "\n".join(out) + "\n"
