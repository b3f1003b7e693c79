"""Videos that exist as rows only, made of stretches that are about different things."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import vidrag_fakes
from store_tools import source
from vidrag.ingest.chapter_step import chapter_step
from vidrag.ingest.chapters import ChapterOptions
from vidrag.store import vectors
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.schema import TableWriter
from vidrag.store.archive.shard import Shard
from vidrag.store.archive.stored_files import stored
from vidrag.store.records import Cell, Frame, FrameLabels, Segment, TextTrack

TOPICS = {
    "bread": "flour yeast oven dough crust salt knead loaf",
    "bees": "hive honey queen swarm pollen wax smoke nectar",
    "boats": "sail anchor harbour mast rope tide deck rudder",
    "clocks": "spring gear pendulum dial hour hand brass escapement",
    "glass": "furnace sand window pane blower lead bottle kiln",
}
FAKE = vidrag_fakes.FakeTextEncoder(vidrag_fakes.FakeTextEncoderOptions())
TITLE_BOX = (0.1, 0.08, 0.7, 0.18)


def talk(topics: Sequence[str], each: int = 12, step: float = 5.0, seed: int = 0) -> list[Segment]:
    """``each`` sentences of five seconds about each of ``topics``, without a pause between them."""
    rng = np.random.default_rng(seed)
    out = []
    for topic in topics:
        for _ in range(each):
            words = rng.choice(TOPICS[topic].split(), 4, replace=False)
            start = len(out) * step
            out.append(
                Segment(start, start + step - 0.3, f"The {words[0]} and the {words[1]} need {' '.join(words[2:])}.")
            )
    return out


def slides(topics: Sequence[str], seconds: float) -> list[TextTrack]:
    """A slide for each of ``topics``: its name as a large title, and a small line that is the same on all."""
    out = []
    for i, topic in enumerate(topics):
        start, end = i * seconds, (i + 1) * seconds
        out.append(TextTrack(start, end, f"All about {topic}", 0.98, TITLE_BOX, 9))
        out.append(TextTrack(start, end, "please keep to the path", 0.95, (0.1, 0.5, 0.5, 0.53), 9))
    return out


def frames(count: int, step: float, cuts: Sequence[int] = ()) -> list[Frame]:
    return [Frame(i * step, (i + 1) * step, 16, 9, 0.5, i in cuts or i == 0) for i in range(count)]


def publish(
    archive: Archive,
    speech: Sequence[Segment] = (),
    text: Sequence[TextTrack] = (),
    pictures: Sequence[Frame] = (),
    labels: Sequence[FrameLabels] = (),
    *,
    name: str = "talk.mp4",
    damage: float | None = None,
    chapters: ChapterOptions | None = None,
) -> Shard:
    """A video of these rows with vectors of the fake encoder; ``damage``: a value that stands all over them.

    ``chapters``: its chapters are made and published, too.
    """
    of = source(name, name.encode())
    with archive.staging(of) as folder:
        cells, staged = dict[str, Cell](), dict[str, Path]()

        def add(stage: str, kind: str, rows: Sequence[object] | np.ndarray) -> None:
            path, own = folder / kind, stage.endswith("_vectors")
            if not len(rows):
                cells.setdefault(stage, Cell(stage, "a" * 16, "none"))
                return
            if isinstance(rows, np.ndarray):
                vectors.write(path, rows)
            else:
                with TableWriter(path, kind, of.sha256[:16]) as writer:
                    writer.write(rows)
            file, stored_name = stored(kind, "a" * 16, path, len(rows))
            before = cells[stage].files if stage in cells else ()
            encoder = FAKE.spec.as_json() if own else None
            end = float(getattr(rows[-1], "end", np.nan))
            extent = end if np.isfinite(end) else None
            cells[stage] = Cell(stage, "a" * 16, "ok", (*before, file), encoder=encoder, extent=extent)
            staged[stored_name] = path

        def vectors_of(texts: Sequence[str]) -> np.ndarray:
            made = FAKE.documents(texts) if texts else np.zeros((0, FAKE.spec.dim), np.float32)
            return made if damage is None else np.full_like(made, damage)

        add("speech", "speech", list(speech))
        add("text", "text", list(text))
        add("frames", "frames", list(pictures))
        add("speech_vectors", "speech.faiss", vectors_of([s.text for s in speech]))
        add("text_vectors", "text.faiss", vectors_of([t.text for t in text]))
        add("frame_vectors", "labels", list(labels))
        add("frame_vectors", "frames.faiss", vectors_of([x.caption for x in labels]))
        archive.publish(of, cells, staged)
    shard = archive.shard(of.sha256[:16])
    if chapters is None:
        return shard
    with archive.staging(of) as folder:
        made = chapter_step(shard, "c" * 16, chapters, folder)
        archive.publish(of, made.cells, made.staged)
    return archive.shard(shard.video)
