"""What came of a run: read from its ledger, also where the run was killed."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...store.archive.archive import Archive
from ...store.archive.schema import SCHEMAS
from ...store.errors import ArchiveDamaged, UsageError, one_line
from ...store.records import clock
from ...store.shell import counted, printable
from .ledger import lines_key, tables

_NAMES = ("source", "stage", "status")
_NUMBERS = ("attempts", "seconds", "cpu_seconds", "rows", "bytes", "media_seconds")
_MOST_ROWS, _MOST_BYTES = 50_000_000, 8 << 30
"""Of a ledger, eight rows a video: more is a hostile file."""
SET_ASIDE = "set aside"
"""Status of a ledger row that is about a worker, not about a video."""
_NOTES = 10
"""Notes of engines that a report tells, the most frequent ones."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run by name; ``finished``: it came to its end, else it works still or was killed."""

    name: str
    finished: bool

    @property
    def started(self) -> datetime.datetime | None:
        """When it began (UTC), as its name says; None for a name that is none of ours."""
        try:
            return datetime.datetime.strptime(self.name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=datetime.UTC)
        except ValueError:
            return None


def runs(archive: Archive) -> list[Run]:
    """Every run that left a ledger, oldest first."""
    names = archive.backend.list("runs")
    done = {n.removesuffix(".parquet") for n in names if n.endswith(".parquet")}
    begun = {n.split(".jsonl")[0] for n in names if ".jsonl" in n}
    return [Run(n, n in done) for n in sorted(done | begun)]


def find(archive: Archive, name: str) -> Run:
    """The run of that name or beginning, or the newest for ``last``; :class:`UsageError` names the known ones."""
    known = runs(archive)
    hits = [r for r in known if r.name == name] or [r for r in known if r.name.startswith(name)]
    if name == "last" and known:
        return known[-1]
    if len(hits) != 1:
        told = ", ".join(r.name for r in known[-5:]) or "none"
        raise UsageError(f"{'several runs fit' if hits else 'no run'} '{name}' in {archive.location}; newest: {told}")
    return hits[0]


def rows(archive: Archive, run: Run) -> Iterator[dict[str, Any]]:
    """The ledger rows of a run, read part by part; :class:`ArchiveDamaged` where its table cannot be read.

    What is no row of a ledger is left out, and a number that is none is zero.
    """
    key = lines_key(run.name) if not run.finished else f"runs/{run.name}.parquet"
    try:
        parts = _table(archive, key) if run.finished else tables(archive.backend.read_journal(key))
        for part in parts:
            yield from (_sound(r) for r in part.to_pylist() if all(isinstance(r[k], str) for k in _NAMES))
    except Exception as e:  # pyarrow raises many types on a damaged file
        where = f"{archive.location}/{key}"
        raise ArchiveDamaged(f"{where}: not a readable ledger ({one_line(e, 100)}); the index does not need it") from e


def _table(archive: Archive, key: str) -> Iterator[pa.Table]:
    file = pq.ParquetFile(archive.backend.local_path(key), page_checksum_verification=True)
    sizes = (file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
    if file.metadata.num_rows > _MOST_ROWS or sum(sizes) > _MOST_BYTES:
        raise ValueError("larger than any run")
    for batch in file.iter_batches(20_000):
        yield pa.Table.from_batches([batch]).select(SCHEMAS["ledger"].names).cast(SCHEMAS["ledger"])


def _sound(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {k: v if isinstance(v := row[k], int | float) and math.isfinite(v) else 0 for k in _NUMBERS}
    coverage = row["coverage"] if row["coverage"] is not None and math.isfinite(row["coverage"]) else None
    return {**row, **numbers, "coverage": coverage}


@dataclass(slots=True)
class _Video:
    """What a report keeps of one video."""

    kept: bool = True
    worked: bool = False
    seconds: float = 0.0
    media_seconds: float = 0.0
    coverage: float = 1.0
    failure: dict[str, Any] | None = None

    def add(self, row: dict[str, Any]) -> None:
        self.kept &= row["status"] == "kept"
        self.worked |= bool(row["status"] in ("ok", "none") and row["seconds"])
        self.seconds += row["seconds"]
        self.media_seconds = max(self.media_seconds, row["media_seconds"])
        if row["coverage"] is not None:
            self.coverage = min(self.coverage, row["coverage"])
        if row["status"] == "failed" and self.failure is None:
            self.failure = {k: row[k] for k in ("source", "stage", "error", "message", "attempts")}


def summary(run: Run, ledger: Iterable[dict[str, Any]], slowest: int = 5) -> dict[str, Any]:
    """Counts, failures by cause, the slowest videos, rates and coverage of a run, as JSON values.

    Goes through the rows once and holds a few numbers a video.
    """
    videos: dict[str, _Video] = {}
    stages: dict[str, Counter[str]] = {}
    hosts: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    cpu = size = 0.0
    last: datetime.datetime | None = None
    set_aside: Counter[tuple[str, str, str]] = Counter()
    for row in ledger:
        if row["status"] == SET_ASIDE:
            set_aside[row["host"] or "?", row["error"] or "?", row["message"] or ""] += 1
            continue
        videos.setdefault(row["source"], _Video()).add(row)
        stages.setdefault(row["stage"], Counter())[row["status"]] += 1
        cpu, size = cpu + row["cpu_seconds"], size + row["bytes"]
        if row["status"] in ("ok", "none"):
            hosts[row["host"] or "?"] += 1
            if row["message"]:
                notes[row["message"]] += 1
        if row["finished"] is not None and (last is None or row["finished"] > last):
            last = row["finished"]
    failures = [v.failure for v in videos.values() if v.failure]
    worked = {s: v for s, v in videos.items() if v.worked}
    media = sum(v.media_seconds for v in worked.values())
    kept = sum(v.kept for v in videos.values())
    partial = sorted((v.coverage, s) for s, v in videos.items() if v.coverage < 0.95)
    wall = round(max(0.0, (last - run.started).total_seconds()), 1) if last and run.started else None
    return {
        "run": run.name,
        "finished": run.finished,
        "videos": len(videos),
        "done": len(videos) - kept - len(failures),
        "kept": kept,
        "failed": len(failures),
        "given_up": sum("given up" in (f["message"] or "") or f["error"] == "WorkerDied" for f in failures),
        "stages": {stage: dict(counts) for stage, counts in stages.items()},
        "causes": dict(Counter(f["error"] or "?" for f in failures).most_common()),
        "failures": failures,
        "notes": dict(notes.most_common(_NOTES)),
        "partial": [{"source": s, "coverage": c} for c, s in partial],
        "slowest": [
            {"source": s, "seconds": round(v.seconds, 2), "media_seconds": round(v.media_seconds, 2)}
            for s, v in sorted(worked.items(), key=lambda p: -p[1].seconds)[:slowest]
        ],
        "media_seconds": round(media, 2),
        "wall_seconds": wall,
        "speed": round(media / wall, 3) if wall else None,
        "cpu_seconds": round(cpu, 2),
        "bytes": int(size),
        "hosts": dict(hosts),
        "set_aside": set_aside_json(set_aside),
    }


def set_aside_json(found: Mapping[tuple[str, str, str], int]) -> list[dict[str, Any]]:
    """Workers that were set aside, counted by host, error and message, as JSON values."""
    return [{"host": h, "workers": n, "error": e, "message": m} for (h, e, m), n in found.items()]


def set_aside_text(host: str, message: str, workers: int = 1) -> str:
    """One line about them."""
    return f"set aside: {counted(workers, 'worker')} on {printable(host)}: {printable(message)}"


def text(told: dict[str, Any]) -> str:
    """A summary as a person wants to read it."""
    state = "" if told["finished"] else "  (works still, or was killed)"
    out = [f"run {told['run']}{state}"]
    out.append(
        f"{told['videos']} videos: {told['done']} indexed, {told['kept']} up to date, {told['failed']} failed"
        + (f", of these {told['given_up']} given up" if told["given_up"] else "")
    )
    if told["media_seconds"]:
        speed = f", {told['speed']:.1f} x real time" if told["speed"] else ""
        out.append(
            f"{told['media_seconds'] / 3600:.2f} h of video in {(told['wall_seconds'] or 0) / 60:.1f} min{speed}; "
            f"{told['cpu_seconds'] / 60:.1f} CPU min; {told['bytes'] / 1e6:.1f} MB written"
        )
    if len(told["hosts"]) > 1:
        out.append("on " + ", ".join(f"{h} ({n} stages)" for h, n in sorted(told["hosts"].items())))
    out += [set_aside_text(s["host"], s["message"], s["workers"]) for s in told["set_aside"]]
    out.append("\nStages")
    for stage, counts in told["stages"].items():
        out.append(f"  {stage:14} " + ", ".join(f"{n} {s}" for s, n in sorted(counts.items(), key=lambda p: -p[1])))
    if told["failures"]:
        out.append("\nFailed: " + ", ".join(f"{n} {c}" for c, n in told["causes"].items()))
        for f in told["failures"]:
            tries = f" [{f['attempts']} tries]" if f["attempts"] > 1 else ""
            out.append(f"  {printable(f['source'])}: {f['stage']}: {f['message']}{tries}")
    if told["notes"]:
        out.append("\nNoted")
        out += [f"  {n} x {printable(note)}" for note, n in told["notes"].items()]
    if told["partial"]:
        out.append("\nDecoded in part")
        out += [f"  {p['coverage']:4.0%} of {printable(p['source'])}" for p in told["partial"]]
    if told["slowest"]:
        out.append("\nSlowest")
        for s in told["slowest"]:
            name = printable(Path(s["source"]).name)
            out.append(f"  {s['seconds']:8.1f} s of work for {clock(s['media_seconds'])} of {name}")
    return "\n".join(printable(line) for line in "\n".join(out).split("\n")) + "\n"


def write(archive: Archive, name: str) -> None:
    """Puts the report of a finished run beside its ledger, as ``runs/<run>.txt``."""
    run = Run(name, True)
    archive.backend.put_if_absent(f"runs/{name}.txt", text(summary(run, rows(archive, run))).encode())
