"""What each stage computes.  A step writes finished files into a private folder and describes them as cells.

Steps read the source file (``visual_pass``, ``speech_rows``) or the store (the vector steps), never each other.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..store import vectors
from ..store.archive.pictures import FrameWriter, decode_jpeg
from ..store.archive.schema import TableWriter
from ..store.archive.shard import Shard
from ..store.archive.stored_files import stored
from ..store.encoders import ImageTextEncoder, TextEncoder
from ..store.errors import (
    MACHINE_ERRORS,
    EngineFailed,
    MediaError,
    OutOfMemory,
    VidragError,
    one_line,
    out_of_memory,
)
from ..store.records import Cell, Frame, FrameLabels, MediaInfo, Segment, Status, StoredFile, TextTrack
from . import media, memory, sound_tracks
from .asr import SpeechRecogniser
from .ocr import TextRecogniser
from .reading import Reader
from .sampling import Kept, Sampler, jpeg
from .stages import IngestSettings
from .tracks import Tracker


@dataclass(slots=True)
class Made:
    """Cells and the local files behind them, ready to publish."""

    cells: dict[str, Cell] = field(default_factory=dict)
    staged: dict[str, Path] = field(default_factory=dict)


class Clock:
    """Wall and CPU seconds of this process and its finished children since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def read(self) -> dict[str, Any]:
        return {
            "seconds": round(time.perf_counter() - self._wall, 4),
            "cpu_seconds": round(cpu_seconds() - self._cpu, 4),
        }


def cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def failed(stage: str, fingerprint: str, error: BaseException, **told: Any) -> Cell:
    """The failed cell of a stage.  What concerns the machine, not this video, is raised instead."""
    if isinstance(error, MACHINE_ERRORS):
        raise error
    if out_of_memory(error):
        raise OutOfMemory(f"{stage}: out of memory ({one_line(error)}); fewer --workers need less") from error
    permanent = isinstance(error, VidragError) and error.permanent
    return Cell(
        stage, fingerprint, "failed", error=type(error).__name__, message=one_line(error), permanent=permanent, **told
    )


def noted(*told: object) -> dict[str, str]:
    """What users should know of a cell, as data of it: texts, and the ``notes`` of engines that keep some."""
    notes = [n for one in told for n in ([one] if isinstance(one, str) else getattr(one, "notes", ()))]
    return {"note": "; ".join(dict.fromkeys(map(str, notes)))} if notes else {}


MOST_SPEAKERS = 200


class Voices:
    """The languages and speakers of speech, which the catalogue of the archive tells."""

    def __init__(self) -> None:
        self._languages, self._speakers = set[str](), set[str]()

    def through(self, rows: Iterable[Segment]) -> Iterator[Segment]:
        """The same rows, noted as they pass."""
        for row in rows:
            self._languages |= {row.language} if row.language else set()
            self._speakers |= {row.speaker} if row.speaker else set()
            yield row

    def data(self) -> dict[str, list[str]]:
        """Data of a cell."""
        return {"languages": sorted(self._languages), "speakers": sorted(self._speakers)[:MOST_SPEAKERS]}


class Table:
    """Rows of one kind on their way to a file; nothing is kept where none came."""

    def __init__(self, folder: Path, kind: str, video: str, fingerprint: str) -> None:
        self.path = folder / f"{kind}.parquet"
        self.kind, self.fingerprint = kind, fingerprint
        self._writer = TableWriter(self.path, kind, video)

    def write(self, rows: Iterable[Any]) -> None:
        self._writer.write(rows)

    def close(self, made: Made) -> tuple[Status, tuple[StoredFile, ...]]:
        self._writer.__exit__(None)
        if not self._writer.rows:
            return "none", ()
        file, name = stored(self.kind, self.fingerprint, self.path, self._writer.rows)
        made.staged[name] = self.path
        return "ok", (file,)

    def abandon(self) -> None:
        self._writer.__exit__(RuntimeError)


def visual_pass(
    path: Path,
    video: str,
    info: MediaInfo,
    settings: IngestSettings,
    prints: dict[str, str],
    stages: set[str],
    ocr: Callable[[], TextRecogniser],
    folder: Path,
) -> Made:
    """Frames and on-screen text in one pass over the decoded video: neither needs it decoded twice."""
    made = Made()
    if not info.has_video:
        for stage in stages:
            made.cells[stage] = Cell(stage, prints[stage], "none", data={"reason": "no video stream"})
        return made
    clock, spent = Clock(), 0.0
    rate = settings.sampling.rate_in(info)
    source = media.frames(path, info, settings.media, rate, settings.sampling.read_side)
    sampler = Sampler(settings.sampling)
    frames = FrameWriter(folder, video) if "frames" in stages else None
    text = _TextStage(video, settings, prints["text"], ocr, folder) if "text" in stages else None
    try:
        for count, (kept, end) in enumerate(_with_ends(sampler.keep(source), lambda: source.end)):
            if count % memory.EVERY_FRAMES == 0:
                memory.give_back()
            if frames:
                picture, w, h = jpeg(kept.picture, settings.sampling.stored_side, settings.sampling.jpeg_quality)
                frames.write(Frame(kept.start, end, w, h, kept.change, kept.cut), picture)
            if text:
                spent += text.add(kept, end)
        if settings.strict and (source.errors or source.corrupt):
            raise MediaError(f"{path.name}: {source.errors + source.corrupt} decoding errors ({source.first_error})")
        coverage = _coverage(source.end, info)
        if settings.strict and coverage is not None and coverage < 0.95:
            raise MediaError(f"{path.name}: only {coverage:.0%} of its pictures can be read")
        if not source.decoded:
            raise MediaError(f"{path.name}: no frame of it decodes ({source.first_error or 'empty stream'})")
    except VidragError as e:
        if frames:  # first: what is open keeps its room on a disk that is full
            frames.abandon()
        if text:
            text.abandon()
        told = {**clock.read()}
        for stage in stages:
            made.cells[stage] = failed(stage, prints[stage], e, **told)
        return made
    told = {**clock.read(), "extent": source.end, "coverage": coverage}
    damage: dict[str, Any] = {"errors": source.errors + source.corrupt, "first_error": source.first_error}
    if frames:
        files = frames.close(prints["frames"])
        made.staged |= {file.name: path for file, path in files.items()}
        data = {"sampled": sampler.seen, "decoded": source.decoded, **(damage if damage["errors"] else {})}
        own = {**told, "cpu_seconds": round(told["cpu_seconds"] - spent, 4)}
        made.cells["frames"] = Cell("frames", prints["frames"], "ok" if files else "none", tuple(files), data, **own)
    if text:
        made.cells["text"] = text.close(made, spent, told["extent"], told["coverage"])
    return made


class _TextStage:
    """OCR beside the decoder.  When the engine fails, this stage fails; the frames go on."""

    def __init__(
        self, video: str, settings: IngestSettings, fingerprint: str, ocr: Callable[[], TextRecogniser], folder: Path
    ) -> None:
        self.fingerprint = fingerprint
        self._ocr, self._options = ocr, settings.reading
        self._reader: Reader | None = None
        self._tracker = Tracker(settings.tracks)
        self._tracks: list[TextTrack] = []
        self._table = Table(folder, "text", video, fingerprint)
        self._error: Exception | None = None
        self._frames = 0

    def add(self, kept: Kept, end: float) -> float:
        """Reads one frame; returns the CPU seconds it took."""
        if self._error:
            return 0.0
        before = cpu_seconds()
        try:
            self._reader = self._reader or Reader(self._ocr(), self._options)
            self._tracks += self._tracker.add(kept.start, end, self._reader.lines(kept.picture))
        except Exception as e:  # an engine may raise anything: it costs this stage only
            self._error = e
        self._frames += 1
        return cpu_seconds() - before

    def close(self, made: Made, cpu: float, extent: float, coverage: float | None) -> Cell:
        if self._error:
            self.abandon()
            return failed("text", self.fingerprint, self._error)
        self._table.write(sorted([*self._tracks, *self._tracker.finish()], key=lambda t: (t.start, t.box[1])))
        status, files = self._table.close(made)
        read = self._reader
        data = {
            "frames_read": self._frames,
            "boxes": read.found if read else 0,
            "recognised": read.recognised if read else 0,
            **noted(read and read.engine),
        }
        return Cell(
            "text",
            self.fingerprint,
            status,
            files,
            data,
            seconds=round(cpu, 4),
            cpu_seconds=round(cpu, 4),
            extent=extent,
            coverage=coverage,
        )

    def abandon(self) -> None:
        self._table.abandon()


def _with_ends(kept: Iterator[Kept], last_end: Callable[[], float]) -> Iterator[tuple[Kept, float]]:
    """Each kept frame with the time at which the next one takes over; the last ends with the stream."""
    held: Kept | None = None
    for frame in kept:
        if held:
            yield held, max(held.start, frame.start)
        held = frame
    if held:
        yield held, max(held.start, last_end())


def _coverage(end: float, info: MediaInfo) -> float | None:
    """The share of the pictures that was read; None where nothing says how long they are."""
    if not info.video_end or info.video_end < 0:
        return None
    return round(min(1.0, end / info.video_end, info.reachable), 4)


def speech_rows(
    path: Path,
    video: str,
    info: MediaInfo,
    settings: IngestSettings,
    fingerprint: str,
    asr: Callable[[], SpeechRecogniser],
    folder: Path,
) -> Made:
    """The sound track on which somebody speaks as speech rows; see :mod:`.sound_tracks`."""
    made, clock = Made(), Clock()
    if not info.has_audio:
        made.cells["speech"] = Cell("speech", fingerprint, "none", data={"reason": "no audio stream"})
        return made
    table, engine, voices = Table(folder, "speech", video, fingerprint), None, Voices()
    try:
        engine = asr()
        heard = sound_tracks.heard(path, info, settings, engine)
        table.write(voices.through(heard.rows))
        sound = heard.sound
        if settings.strict and sound.warning:
            raise MediaError(f"{path.name}: {sound.warning}")
    except VidragError as e:
        table.abandon()
        made.cells["speech"] = failed("speech", fingerprint, e, **clock.read())
        return made
    except Exception as e:  # an engine may raise anything
        table.abandon()
        wrapped = e if out_of_memory(e) else EngineFailed(f"{settings.asr.name}: {type(e).__name__}: {one_line(e)}")
        made.cells["speech"] = failed("speech", fingerprint, wrapped, **clock.read())
        return made
    status, files = table.close(made)
    data: dict[str, Any] = {"warning": sound.warning} if sound.warning else {}
    data |= noted(*heard.notes, engine) | voices.data()
    if status == "none":
        data["reason"] = "no speech found"
    made.cells["speech"] = Cell(
        "speech",
        fingerprint,
        status,
        files,
        data,
        extent=sound.end,
        coverage=sound.coverage,
        **clock.read(),
    )
    return made


def text_vectors(
    shard: Shard, kind: str, stage: str, fingerprint: str, encoder: Callable[[], TextEncoder], folder: Path
) -> Made:
    """Vectors of the rows of ``speech`` or ``text``, in their order."""
    made, clock = Made(), Clock()
    rows = shard.speech if kind == "speech" else shard.text
    if not rows:
        made.cells[stage] = Cell(stage, fingerprint, "none", data={"reason": f"no {kind}"})
        return made
    try:
        engine = encoder()
        found = engine.documents([r.text for r in rows])
        file = _write_vectors(made, folder, f"{kind}.faiss", fingerprint, found)
        made.cells[stage] = Cell(
            stage, fingerprint, "ok", (file,), noted(engine), encoder=engine.spec.as_json(), **clock.read()
        )
    except Exception as e:
        made.cells[stage] = failed(stage, fingerprint, e, **clock.read())
    return made


def _write_vectors(made: Made, folder: Path, kind: str, fingerprint: str, found: vectors.Vectors) -> StoredFile:
    path = folder / kind
    vectors.write(path, found)
    file, name = stored(kind, fingerprint, path, len(found))
    made.staged[name] = path
    return file


def frame_vectors(shard: Shard, fingerprint: str, encoder: Callable[[], ImageTextEncoder], folder: Path) -> Made:
    """Vectors of the stored frames, and what the encoder can name in them."""
    made, clock = Made(), Clock()
    if not shard.frames:
        made.cells["frame_vectors"] = Cell("frame_vectors", fingerprint, "none", data={"reason": "no frames"})
        return made
    try:
        engine = encoder()
        found: list[vectors.Vectors] = []
        table = Table(folder, "labels", shard.video, fingerprint)
        for frame, jpeg in shard.pictures():
            batch = engine.images([decode_jpeg(jpeg)])
            found.append(batch.vectors)
            table.write([FrameLabels(frame.start, frame.end, batch.captions[0], batch.labels[0], batch.detections[0])])
        _, files = table.close(made)
        file = _write_vectors(made, folder, "frames.faiss", fingerprint, np.concatenate(found))
        made.cells["frame_vectors"] = Cell(
            "frame_vectors",
            fingerprint,
            "ok",
            (*files, file),
            noted(engine),
            encoder=engine.spec.as_json(),
            **clock.read(),
        )
    except Exception as e:
        made.cells["frame_vectors"] = failed("frame_vectors", fingerprint, e, **clock.read())
    return made
