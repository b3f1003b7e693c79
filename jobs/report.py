"""What came of a run: read from its ledger, also where the run was killed."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..store.archive import Archive
from ..store.errors import ArchiveDamaged, UsageError, one_line
from ..store.records import clock
from ..store.schema import SCHEMAS
from .ledger import lines_key, parse, printable, to_table

_NAMES = ("source", "stage", "status")
_NUMBERS = ("attempts", "seconds", "cpu_seconds", "rows", "bytes", "media_seconds")
_MOST_ROWS, _MOST_BYTES = 50_000_000, 8 << 30
"""Of a ledger, seven rows a video: more is a hostile file."""


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


def rows(archive: Archive, run: Run) -> list[dict[str, Any]]:
    """The ledger rows of a run; :class:`ArchiveDamaged` where its table cannot be read.

    What is no row of a ledger is left out, and a number that is none is zero.
    """
    key = lines_key(run.name) if not run.finished else f"runs/{run.name}.parquet"
    try:
        if not run.finished:
            table = to_table(parse(archive.backend.read_journal(key)))
        else:
            file = pq.ParquetFile(archive.backend.local_path(key), page_checksum_verification=True)
            sizes = (file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
            if file.metadata.num_rows > _MOST_ROWS or sum(sizes) > _MOST_BYTES:
                raise ValueError("larger than any run")
            table = file.read().select(SCHEMAS["ledger"].names).cast(SCHEMAS["ledger"])
        return [_sound(r) for r in table.to_pylist() if all(isinstance(r[k], str) for k in _NAMES)]
    except Exception as e:  # pyarrow raises many types on a damaged file
        where = f"{archive.location}/{key}"
        raise ArchiveDamaged(f"{where}: not a readable ledger ({one_line(e, 100)}); the index does not need it") from e


def _sound(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {k: v if isinstance(v := row[k], int | float) and math.isfinite(v) else 0 for k in _NUMBERS}
    coverage = row["coverage"] if row["coverage"] is not None and math.isfinite(row["coverage"]) else None
    return {**row, **numbers, "coverage": coverage}


def summary(run: Run, ledger: Sequence[dict[str, Any]], slowest: int = 5) -> dict[str, Any]:
    """Counts, failures by cause, the slowest videos, rates and coverage of a run, as JSON values."""
    videos: dict[str, list[dict[str, Any]]] = {}
    for row in ledger:
        videos.setdefault(row["source"], []).append(row)
    failed = {s: bad for s, rs in videos.items() if (bad := next((r for r in rs if r["status"] == "failed"), None))}
    kept = sum(all(r["status"] == "kept" for r in rs) for rs in videos.values())
    worked = {s: rs for s, rs in videos.items() if any(r["status"] in ("ok", "none") and r["seconds"] for r in rs)}
    seconds = {s: sum(r["seconds"] for r in rs) for s, rs in worked.items()}
    media = sum(max(r["media_seconds"] or 0.0 for r in rs) for rs in worked.values())
    partial = {
        s: min(c)
        for s, rs in videos.items()
        if (c := [r["coverage"] for r in rs if r["coverage"] is not None]) and min(c) < 0.95
    }
    finished = [r["finished"] for r in ledger if r["finished"] is not None]
    wall = _wall(run, finished)
    return {
        "run": run.name,
        "finished": run.finished,
        "videos": len(videos),
        "done": len(videos) - kept - len(failed),
        "kept": kept,
        "failed": len(failed),
        "given_up": sum("given up" in (r["message"] or "") or r["error"] == "WorkerDied" for r in failed.values()),
        "stages": {s: dict(Counter(r["status"] for r in ledger if r["stage"] == s)) for s in _stages(ledger)},
        "causes": dict(Counter(r["error"] or "?" for r in failed.values()).most_common()),
        "failures": [
            {"source": s, "stage": r["stage"], "error": r["error"], "message": r["message"], "attempts": r["attempts"]}
            for s, r in failed.items()
        ],
        "partial": [{"source": s, "coverage": c} for s, c in sorted(partial.items(), key=lambda p: p[1])],
        "slowest": [
            {"source": s, "seconds": round(v, 2), "media_seconds": round(max(r["media_seconds"] for r in worked[s]), 2)}
            for s, v in sorted(seconds.items(), key=lambda p: -p[1])[:slowest]
        ],
        "media_seconds": round(media, 2),
        "wall_seconds": wall,
        "speed": round(media / wall, 3) if wall else None,
        "cpu_seconds": round(sum(r["cpu_seconds"] for r in ledger), 2),
        "bytes": sum(r["bytes"] or 0 for r in ledger),
        "hosts": dict(Counter(r["host"] or "?" for r in ledger if r["status"] in ("ok", "none"))),
    }


def _stages(ledger: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(r["stage"] for r in ledger))


def _wall(run: Run, finished: Sequence[Any]) -> float | None:
    """Seconds from the run's start to its last row."""
    started = run.started
    if not finished or started is None:
        return None
    last: datetime.datetime = max(finished)
    return round(max(0.0, (last - started).total_seconds()), 1)


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
    out.append("\nStages")
    for stage, counts in told["stages"].items():
        out.append(f"  {stage:14} " + ", ".join(f"{n} {s}" for s, n in sorted(counts.items(), key=lambda p: -p[1])))
    if told["failures"]:
        out.append("\nFailed: " + ", ".join(f"{n} {c}" for c, n in told["causes"].items()))
        for f in told["failures"]:
            tries = f" [{f['attempts']} tries]" if f["attempts"] > 1 else ""
            out.append(f"  {printable(f['source'])}: {f['stage']}: {f['message']}{tries}")
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
