"""A small video's worth of evidence, made without decoding anything, and ways to publish it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from vidrag.store import vectors
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import Manifest, ProfileKey, Source
from vidrag.store.archive.pictures import FrameWriter
from vidrag.store.archive.schema import FRAMES_WITH_JPEG, TableWriter
from vidrag.store.archive.stored_files import stored
from vidrag.store.encoders import EncoderSpec
from vidrag.store.records import (
    Cell,
    Chapter,
    Detection,
    Frame,
    FrameLabels,
    Label,
    Moment,
    Segment,
    StoredPicture,
    TextTrack,
    Word,
)

SPEC = EncoderSpec("test", "0123456789abcdef", 8)

SPEECH = [
    Segment(
        0.5, 2.0, "Good morning.", (Word(0.5, 1.0, "Good", 0.5), Word(1.0, 2.0, "morning.", 0.75)), "en", "A", -0.25
    ),
    Segment(2.0, 4.0, "日本語 🎬", (), "ja", None, -1.5, 0.5, 2.5, ("low_logprob", "repetitive")),
    Segment(4.0, 5.0, "a cue"),
]
TEXT = [TextTrack(0.0, 8.0, "Locker code: 4719", 0.75, (0.25, 0.5, 0.75, 1.0), 3), TextTrack(8, 9, "", 0, (0, 0, 1, 1))]
JPEGS = [bytes([255, 216, i]) * (20 + i) for i in range(5)]
FRAMES = [
    Frame(float(i), i + 1.0, 16, 9, 0.5, i == 0, StoredPicture(sum(map(len, JPEGS[:i])), len(j), zlib.crc32(j)))
    for i, j in enumerate(JPEGS)
]
LABELS = [
    FrameLabels(0.0, 1.0, "a photo of a cat", (Label("cat", 0.5),), (Detection("cat", 0.25, (0.0, 0.25, 0.5, 1.0)),)),
    *(FrameLabels(float(i), i + 1.0, "") for i in range(1, 5)),
]
CHAPTERS = [
    Chapter(0.0, 4.0, "Locker code: 4719", "screen", ("locker", "日本語"), (Moment("text", 0.0, 8.0),)),
    Chapter(4.0, 9.0, ""),
]
RECORDS = {"speech": SPEECH, "text": TEXT, "frames": FRAMES, "labels": LABELS, "chapters": CHAPTERS}


def source(name: str = "talk.mp4", content: bytes = b"a video") -> Source:
    return Source(hashlib.sha256(content).hexdigest(), len(content), (f"/films/{name}",))


def source_with_id(start: str, name: str) -> Source:
    """A source whose video id begins with the hex digits ``start``."""
    return Source(start + hashlib.sha256(start.encode()).hexdigest()[len(start) :], 1, (f"/films/{name}",))


def rows_of_norm_1(rows: int, dim: int = SPEC.dim, seed: int = 0) -> vectors.Vectors:
    return vectors.normalised(np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32))


def table(path: Path, kind: str, video: str, group_rows: int = 2) -> Path:
    with TableWriter(path, kind, video, group_rows) as writer:
        writer.write(RECORDS[kind])
    return path


def publish_speech(
    archive: Archive,
    of: Source,
    fingerprint: str = "f" * 16,
    text: str = "hello",
    rows: int = 1,
    profile: ProfileKey | None = None,
) -> Manifest:
    """One cell of ``rows`` rows of the same text."""
    with archive.staging(of) as folder:
        with TableWriter(folder / "speech", "speech", of.sha256[:16]) as writer:
            writer.write([Segment(0, 1, text)] * rows)
        file, name = stored("speech", fingerprint, folder / "speech", rows)
        cell = Cell("speech", fingerprint, "ok", (file,), extent=1.0)
        return archive.publish(of, {"speech": cell}, {name: folder / "speech"}, profile)


def publish_all(archive: Archive, of: Source, fingerprint: str = "e" * 16) -> Manifest:
    """Every kind of file that a video can have."""
    with archive.staging(of) as folder:
        cells, staged = {}, {}

        def add(stage: str, *kinds: str) -> None:
            files = []
            for kind in kinds:
                path = folder / kind
                stem = kind.removesuffix(".faiss")
                rows = len(RECORDS[stem])
                if kind == stem:
                    table(path, kind, of.sha256[:16])
                else:
                    vectors.write(path, rows_of_norm_1(rows))
                file, name = stored(kind, fingerprint, path, rows)
                files.append(file)
                staged[name] = path
            encoder = SPEC.as_json() if stage.endswith("_vectors") else None
            cells[stage] = Cell(stage, fingerprint, "ok", tuple(files), encoder=encoder, extent=9.0)

        add("speech", "speech")
        add("text", "text")
        frames = FrameWriter(folder, of.sha256[:16])
        for frame, jpeg in zip(FRAMES, JPEGS, strict=True):
            frames.write(frame, jpeg)
        shown = frames.close(fingerprint)
        staged |= {file.name: path for file, path in shown.items()}
        cells["frames"] = Cell("frames", fingerprint, "ok", tuple(shown), extent=9.0)
        add("speech_vectors", "speech.faiss")
        add("text_vectors", "text.faiss")
        add("frame_vectors", "frames.faiss", "labels")
        add("chapters", "chapters")
        return archive.publish(of, cells, staged)


def publish_old_frames(archive: Archive, of: Source, fingerprint: str = "e" * 16) -> Manifest:
    """Frames as they were stored before pictures had a file of their own."""
    with archive.staging(of) as folder:
        rows = [{**dataclasses.asdict(f), "jpeg": j} for f, j in zip(FRAMES, JPEGS, strict=True)]
        rows = [{"video": of.sha256[:16], "row": i, **r} for i, r in enumerate(rows)]
        pq.write_table(pa.Table.from_pylist(rows, schema=FRAMES_WITH_JPEG), folder / "frames", row_group_size=2)
        file, name = stored("frames", fingerprint, folder / "frames", len(rows))
        cell = Cell("frames", fingerprint, "ok", (file,), extent=5.0)
        return archive.publish(of, {"frames": cell}, {name: folder / "frames"})


def at_a_barrier(command: Sequence[str], env: Mapping[str, str]) -> list[Any]:
    """What two processes print as JSON, ``command a`` and ``command b``, which both wait for a line to begin."""
    both = [
        subprocess.Popen([*command, who], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for who in "ab"
    ]
    for one in both:
        assert one.stdout and one.stdout.readline() == "ready\n"
    for one in both:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    return [json.loads(one.communicate(timeout=60)[0]) for one in both]
