"""What ingest costs beside its engines, and what an index weighs.

The engines' calls are recorded during a real ingest and made again with nothing around them: the ratio of the two is
what vidrag itself costs.  What the engines cost over their best setting stands beside it, or the ratio could hide that
they are slow.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...ingest.pipeline import Engines, ingest_video
from ...ingest.stages import IngestSettings
from ...ingest.steps import Clock
from ...store import engines
from ...store.archive.archive import Archive
from ...store.archive.pictures import KIND as PICTURES
from ...store.archive.shard import Shard
from . import machine
from . import settings as best
from .settings import Call

_CALLS: dict[engines.Kind, tuple[str, ...]] = {
    "asr": ("transcribe",),
    "ocr": ("detect", "recognise"),
    "text_encoder": ("documents",),
    "image_text_encoder": ("images",),
}


class _Recorder:
    """An engine that remembers its calls."""

    def __init__(self, engine: Any, methods: Sequence[str]) -> None:
        self._engine = engine
        self.calls: list[Call] = []
        for name in methods:
            setattr(self, name, self._wrapped(name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def _wrapped(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            self.calls.append((name, args, more))
            return getattr(self._engine, name)(*args, **more)

        return call

    def again(self) -> list[Callable[[], Any]]:
        """The calls, to be made once more."""
        return [partial(getattr(self._engine, name), *args, **more) for name, args, more in self.calls]


class _RecordingEngines(Engines):
    def get(self, kind: engines.Kind) -> Any:
        if kind not in self._loaded:
            self._loaded[kind] = _Recorder(super().get(kind), _CALLS[kind])
        return self._loaded[kind]

    def recorded(self) -> dict[engines.Kind, _Recorder]:
        return dict(self._loaded)  # type: ignore[return-value]  # kinds all of them


def run(videos: Sequence[Path], settings: IngestSettings) -> dict[str, Any]:
    """Figures for each video and in total; engines are loaded and used once before anything is measured.

    Settings are tried on the first calls of the last video.
    """
    loaded = _RecordingEngines(settings)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        ingest_video(videos[0], Archive.create(Path(name) / "warm"), loaded)
        for i, video in enumerate(videos):
            rows.append(_one(video, Archive.create(Path(name) / str(i)), loaded))
    total = {k: sum(r[k] for r in rows) for k in ("video_s", "wall_s", "cpu_s", "engines_cpu_s")}
    return {
        "bench": "ingest",
        "machine": machine(),
        "cpu_over_engines": round(total["cpu_s"] / total["engines_cpu_s"], 3),
        "real_time_factor": round(total["wall_s"] / total["video_s"], 3),
        **best.run(settings, {kind: engine.calls for kind, engine in loaded.recorded().items()}),
        "videos": rows,
    }


def _one(video: Path, archive: Archive, loaded: _RecordingEngines) -> dict[str, Any]:
    for engine in loaded.recorded().values():
        engine.calls.clear()
    clock = Clock()
    outcomes = ingest_video(video, archive, loaded)
    spent = clock.read()
    alone: dict[str, float] = {kind: _cpu(engine.again()) for kind, engine in loaded.recorded().items()}
    alone["decoder"] = _cpu([lambda: _decode(video)])
    shard = archive.shard(archive.ids()[0])
    stages = {o.stage: round(o.cpu_seconds, 3) for o in outcomes}
    return {
        "video": video.name,
        "video_s": round(shard.manifest.duration, 2),
        "wall_s": spent["seconds"],
        "cpu_s": spent["cpu_seconds"],
        "engines_cpu_s": round(sum(alone.values()), 3),
        "cpu_over_engines": round(spent["cpu_seconds"] / sum(alone.values()), 3),
        "engines_alone_cpu_s": alone,
        "stages_cpu_s": stages,
        "outside_stages_cpu_s": round(spent["cpu_seconds"] - sum(stages.values()), 3),
        **_weights(shard),
    }


def _cpu(calls: Sequence[Callable[[], Any]]) -> float:
    clock = Clock()
    for call in calls:
        call()
    return round(float(clock.read()["cpu_seconds"]), 3)


def _decode(video: Path) -> None:
    """Every picture and all sound of a file, on one thread, to nowhere."""
    import av

    with av.open(os.fspath(video.absolute())) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        for stream in streams:
            stream.codec_context.thread_count = 1
        for packet in container.demux(streams):
            with contextlib.suppress(av.error.FFmpegError):
                packet.decode()


def _weights(shard: Shard) -> dict[str, Any]:
    """Bytes of the index an hour of video, pictures apart; how often OCR had to work."""
    files = [f for c in shard.status().values() for f in c.files]
    pictures = sum(f.bytes for f in files if f.kind == PICTURES)
    rest = sum(f.bytes for f in files) - pictures
    hours = max(shard.manifest.duration, 1e-9) / 3600
    frames, text = shard.manifest.cell("frames"), shard.manifest.cell("text")
    counts = {**(frames.data if frames else {}), **(text.data if text else {})}
    return {
        "index_bytes_an_hour": round(rest / hours),
        "picture_bytes_an_hour": round(pictures / hours),
        **{k: counts[k] for k in ("sampled", "frames_read", "boxes", "recognised") if k in counts},
    }


def growth(sources: Sequence[Path], command: Callable[[Path, Path], list[str]]) -> dict[str, Any]:
    """Peak memory and CPU of ``command(archive, source)`` for each video or folder, run in a process of its own.

    Ratios are the last over the first: of memory, and of CPU a second of media (1: CPU grows with length and count
    alone; start-up is in it).
    """
    import os

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for i, source in enumerate(sources):
            archive = Path(name) / str(i)
            process = subprocess.Popen(command(archive, source), stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            indexed = Archive.open(archive)
            media = sum(m.duration for v in indexed.ids() if (m := indexed.manifest(v)))
            cpu = usage.ru_utime + usage.ru_stime
            rows.append(
                {
                    "source": source.name,
                    "media_s": round(media, 1),
                    "peak_mib": round(usage.ru_maxrss / 1024, 1),
                    "cpu_s": round(cpu, 1),
                    "cpu_per_media_s": round(cpu / max(media, 1e-9), 4),
                    "exit": status >> 8,
                }
            )
    first, last = rows[0], rows[-1]
    ratios = {k: round(last[k] / first[k], 3) for k in ("peak_mib", "cpu_per_media_s")}
    return {"bench": "memory", "machine": machine(), "last_over_first": ratios, "sources": rows}
