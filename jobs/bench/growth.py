"""How an archive grows: what a commit costs, how fast unchanged videos are passed over, what one question opens."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ...ingest.conduct import Conduct
from ...ingest.pipeline import Engines, Outcome, ingest_video
from ...ingest.stages import STAGES, fingerprints
from ...store.archive import maintenance, names
from ...store.archive.archive import Archive
from ...store.archive.manifest import Manifest, Source
from ...store.records import Cell
from ...store.storage.keys import manifest_name
from ..export import to_archive
from ..profile import Profile
from ..runs.known import Known
from ..runs.plan import sources
from . import machine, spread

Timed = Callable[..., Any]


class _TimedBackend:
    """A backend that adds up the seconds spent in it."""

    def __init__(self, backend: Any) -> None:
        self._backend, self.seconds, self.calls = backend, 0.0, 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        if name == "scratch":
            return lambda prefix: self._scratch(found(prefix))
        return self._wrapped(found) if callable(found) else found

    def _wrapped(self, method: Timed) -> Timed:
        def call(*args: Any, **more: Any) -> Any:
            with self._counting():
                return method(*args, **more)

        return call

    @contextmanager
    def _scratch(self, inner: AbstractContextManager[Path]) -> Iterator[Path]:
        with self._counting():
            folder = inner.__enter__()
        try:
            yield folder
        finally:
            with self._counting():
                inner.__exit__(None, None, None)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began
            self.calls += 1


def commit(videos: Sequence[Path], profile: Profile) -> dict[str, Any]:
    """Seconds spent on storage over those of the whole ingest, for each video; engines are warm."""
    loaded, rows = Engines(profile.ingest), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as name:
        ingest_video(videos[0], Archive.create(Path(name) / "warm"), loaded)
        for i, video in enumerate(videos):
            archive = Archive.create(Path(name) / str(i))
            timed = _TimedBackend(archive.backend)
            archive.backend = timed
            began = time.perf_counter()
            ingest_video(video, archive, loaded)
            whole = time.perf_counter() - began
            rows.append(
                {
                    "video": video.name,
                    "ingest_s": round(whole, 3),
                    "storage_s": round(timed.seconds, 4),
                    "calls": timed.calls,
                    "commit_over_ingest": round(timed.seconds / whole, 5),
                }
            )
    worst = max(float(r["commit_over_ingest"]) for r in rows)
    return {"bench": "commit", "machine": machine(), "commit_over_ingest": worst, "videos": rows}


def verify(archive: Archive, runs: int) -> dict[str, Any]:
    """Bytes a second of verifying the archive over those of plain SHA-256 of the same files, in turn."""
    folder = Path(archive.backend.address)
    files = [p for p in folder.glob("videos/*/*") if p.suffix in (".parquet", ".faiss", ".mjpeg")]
    size = sum(p.stat().st_size for p in files)
    ratios, rates = [], []
    for _ in range(runs + 1):
        began = time.perf_counter()
        read = sum(c.bytes for c in maintenance.verify(archive, archive.ids()))
        middle = time.perf_counter()
        for path in files:
            with path.open("rb") as f:
                hashlib.file_digest(f, "sha256")
        end = time.perf_counter()
        rates.append(read / (middle - began))
        ratios.append((read / (middle - began)) / (size / (end - middle)))
    return {
        "bench": "verify",
        "machine": machine(),
        "bytes": size,
        "files": len(files),
        "verify_mb_per_s": spread([r / 1e6 for r in rates[1:]]),
        "verify_over_sha256": spread(ratios[1:]),
    }


def _cells(profile: Profile) -> tuple[Cell, ...]:
    """Cells as of a video in which nothing was found."""
    info = {"format": "mov", "duration": 60.0, "start_time": 0.0, "has_video": True, "has_audio": True}
    return tuple(
        Cell(s, fp, "ok" if s == "media" else "none", data=info if s == "media" else {})
        for s, fp in fingerprints(profile.ingest).items()
    )


def populate(root: Path, videos: Sequence[Source], cells: tuple[Cell, ...]) -> Archive:
    """An archive in which each of ``videos`` has one version with ``cells``; written fast, not durably."""
    archive = Archive.create(root)
    current = {c.stage: c.fingerprint for c in cells}
    for source in videos:
        video = source.sha256[:16]
        folder = root / "videos" / video
        folder.mkdir(parents=True, exist_ok=True)
        (folder / manifest_name(1)).write_bytes(Manifest(video, 1, source, cells, current).encode())
        for name in {names.stem(source.names[0]), source.names[0]}:
            digits = hashlib.sha256(names.same(name).encode()).hexdigest()[:16]
            place = root / "names" / digits[:2]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{digits}-{video}").touch()
    archive.update_catalogue(always=True)
    return archive


def unchanged(program: str, profile: Profile, count: int) -> dict[str, Any]:
    """Videos a second that ``vidrag ingest`` passes over where nothing has changed: the whole process, start included.

    The files and their manifests are made up; the run over them is the real command.
    """
    cells = _cells(profile)
    with tempfile.TemporaryDirectory() as name:
        root, old = Path(name), time.time() - 3600
        made = []
        for i in range(count):
            path = root / "in" / f"{i // 1000}" / f"video{i}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\0\0\0\x18ftypisom" + i.to_bytes(8, "big"))
            os.utime(path, (old, old))
            made.append(Source(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, (str(path),)))
        archive = populate(root / "archive", made, cells)
        time.sleep(2.1)  # files that changed just now are not trusted
        with Known(archive, profile.ingest, Conduct()) as known:
            by_path = {s.paths[0]: s.sha256[:16] for s in made}
            for item in sources([str(root / "in")]):
                video = by_path[item.location.text]
                known.add(item, [Outcome(video, item.location.text, s, "", "none") for s in STAGES])
        began = time.perf_counter()
        ran = subprocess.run(
            [program, "--offline", "ingest", str(root / "archive"), str(root / "in"), "--json"],
            capture_output=True,
            check=True,
        )
        seconds = time.perf_counter() - began
        told = json.loads(ran.stdout)
    return {
        "bench": "unchanged",
        "machine": machine(),
        "videos": count,
        "kept": told["kept"],
        "seconds": round(seconds, 2),
        "videos_per_s": round(told["kept"] / seconds, 1),
    }


def opening(program: str, profile: Profile, archive: Archive, count: int, question: str, runs: int) -> dict[str, Any]:
    """One cold question about one named video: in its archive, and in one with ``count`` more videos, in turn."""
    shard = archive.shard(archive.ids()[0])
    with tempfile.TemporaryDirectory() as name:
        more = [
            Source(hashlib.sha256(f"{i}".encode()).hexdigest(), 1, (f"/films/made up {i}.mp4",)) for i in range(count)
        ]
        small, large = Path(name) / "small", Path(name) / "large"
        for root in (small, large):
            to_archive(archive, [shard.video], str(root))
        populate(large, more, _cells(profile))
        walls: dict[str, list[float]] = {"small": [], "large": []}
        for _ in range(runs + 1):
            for label, root in (("small", small), ("large", large)):
                began = time.perf_counter()
                subprocess.run(
                    [program, "--offline", "ask", str(root), question, "--video", shard.name, "--json"],
                    capture_output=True,
                    check=True,
                )
                walls[label].append(time.perf_counter() - began)
    ratios = [b / a for a, b in zip(walls["small"][1:], walls["large"][1:], strict=True)]
    return {
        "bench": "opening",
        "machine": machine(),
        "videos": count + 1,
        "one_video_s": spread(walls["small"][1:]),
        "many_videos_s": spread(walls["large"][1:]),
        "many_over_one": spread(ratios),
    }
