"""Archives of made-up rows for measurements: sentences of realistic length, vectors that are hard to index."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...store import vectors as store_vectors
from ...store.archive.archive import Archive
from ...store.archive.manifest import Source
from ...store.archive.pictures import FrameWriter
from ...store.archive.schema import TableWriter
from ...store.archive.stored_files import stored
from ...store.encoders import EncoderSpec
from ...store.records import Cell, Frame, Segment
from ...store.vectors import Vectors, normalised

COMMON = (
    "the and to of a in that is it you we on for this so are with have be at they was but not what can all there will "
    "one from if about or just as like do now your which then when them some more out up would how also because our "
    "time people think very here two see know go first make get into other really look over way little right where "
    "back work water good years use day thing only take come place new three point world long much well same end "
    "hand around small house car city school music light food table door room street river mountain morning night "
    "summer winter market train station museum garden kitchen bridge island ship engine machine paper letter picture "
    "camera phone window floor wall stone wood glass metal fire snow rain wind sun moon star earth field forest tree "
    "flower fruit apple bread cheese cake coffee tea sugar salt oil knife spoon cup plate bottle box bag shirt shoe "
    "hat coat red blue green yellow white black brown grey large tall short wide deep high low fast slow early late "
    "old young warm cold dry wet clean dark bright quiet loud heavy soft hard easy open closed full empty north south "
    "east west left side top bottom corner middle four five six seven eight nine ten twelve twenty hundred thousand "
    "minute hour week month doctor teacher student farmer driver sister brother mother father child friend neighbour "
    "king queen army police lawyer artist player team game ball goal race horse dog cat bird fish cow sheep"
).split()


def sentences(count: int, seed: int = 0, invented: int = 0) -> list[str]:
    """Sentences of 5 to 25 everyday words, 13 on average as in speech, drawn after Zipf's law.

    ``invented``: so many made-up words follow in the vocabulary, as names and rare words do in a large archive.  An
    encoder cuts these into several tokens, an everyday word is one.
    """
    rng = np.random.default_rng(seed)
    syllables = [a + b for a in "b d f g k l m n p r s t v br st tr".split() for b in "a e i o u an er is or".split()]
    made = ["".join(rng.choice(syllables, rng.integers(2, 5))) for _ in range(invented)]
    words = np.array([*COMMON, *made])
    share = 1 / np.arange(2, len(words) + 2)
    lengths = np.clip(rng.poisson(13, count), 5, 25)
    picked = rng.choice(len(words), int(lengths.sum()), p=share / share.sum())
    ends = np.cumsum(lengths)
    return [" ".join(words[picked[e - n : e]]).capitalize() + "." for n, e in zip(lengths, ends, strict=True)]


def spliced(rows: Sequence[str], count: int, seed: int = 3) -> list[str]:
    """``count`` texts like ``rows``: these, then front halves of some of them before rear halves of others."""
    rng, out = np.random.default_rng(seed), list(rows[:count])
    while len(out) < count:
        front, rear = (rows[int(i)].split() for i in rng.integers(0, len(rows), 2))
        out.append(" ".join([*front[: (len(front) + 1) // 2], *rear[len(rear) // 2 :]]))
    return out


def questions(count: int, seed: int = 1) -> list[str]:
    """Questions of 6 to 12 everyday words about what is said."""
    rng = np.random.default_rng(seed)
    rare = [w for w in COMMON[120:] if len(w) > 2]
    forms = (
        "What does the speaker say about the {} {}?", "Where is the {} {} near the {}?",
        "Who talks about the {} and the {}?", "When does the {} {} open?", "How many {} are in the {} {}?",
    )  # fmt: skip
    return [forms[i % len(forms)].format(*rng.choice(rare, 3)) for i in range(count)]


def hard(count: int, dim: int, seed: int, inner: int = 10) -> Vectors:
    """Vectors "not completely random but still challenging to index", as FAISS's own ``SyntheticDataset`` makes them:
    ``inner`` Gaussian dimensions, mixed linearly into ``dim``, bent by sines of different frequency.

    float32 ``(count, dim)``, rows of norm 1.  The mixture is the same for every ``seed``, so that queries can be drawn
    from where the vectors are.
    """
    mixture = np.random.default_rng(1338)
    turn, frequency = mixture.random((inner, dim), np.float32), mixture.random(dim, np.float32) * 4 + 0.1
    drawn = np.random.default_rng(seed).standard_normal((count, inner), np.float32)
    return normalised(np.sin(drawn @ turn * frequency))


def perturbed(rows: Vectors, count: int, seed: int, by: float = 0.6) -> Vectors:
    """``count`` vectors near ``rows`` ``(n, dim)``: each is one of them, moved by ``by`` times the way from a second to
    a third, so that it stays among directions in which real rows differ.  float32, rows of norm 1.
    """
    first, second, third = np.random.default_rng(seed).integers(0, len(rows), (3, count))
    return normalised(rows[first] + np.float32(by) * (rows[second] - rows[third]))


def archive(root: Path, texts: Sequence[str], vectors: Vectors, spec: EncoderSpec, videos: int) -> Archive:
    """An archive in which ``texts``, with ``vectors`` ``(n, dim)``, are the speech of ``videos`` videos of equal
    length."""
    made = Archive.create(root)
    for number, rows in enumerate(np.array_split(np.arange(len(texts)), videos)):
        add(made, f"made up {number}".encode(), [texts[i] for i in rows], vectors[rows], spec)
    return made


def video_id(number: int) -> str:
    """The id of a video of :func:`archive`."""
    return hashlib.sha256(f"made up {number}".encode()).hexdigest()[:16]


def add(
    to: Archive, content: bytes, texts: Sequence[str], vectors: Vectors, spec: EncoderSpec, picture: bytes = b""
) -> str:
    """Publishes a video whose speech is ``texts``, one sentence every four seconds; returns its id.

    ``picture``: the JPEG that is on screen all the time; none where it is empty.
    """
    of = Source(hashlib.sha256(content).hexdigest(), len(content), (f"/made-up/{content.decode()}.mp4",))
    with to.staging(of) as folder:
        with TableWriter(folder / "speech", "speech", of.sha256[:16]) as writer:
            writer.write(Segment(4.0 * i, 4.0 * i + 3.5, text) for i, text in enumerate(texts))
        store_vectors.write(folder / "vectors", vectors)
        rows, name = stored("speech", "0" * 16, folder / "speech", len(texts))
        found, vector_name = stored("speech.faiss", "0" * 16, folder / "vectors", len(texts))
        cells = {
            "speech": Cell("speech", "0" * 16, "ok", (rows,), extent=4.0 * len(texts)),
            "speech_vectors": Cell("speech_vectors", "0" * 16, "ok", (found,), encoder=spec.as_json()),
        }
        staged = {name: folder / "speech", vector_name: folder / "vectors"}
        if picture:
            frames = FrameWriter(folder, of.sha256[:16])
            frames.write(Frame(0.0, 4.0 * len(texts), 320, 180, 1.0, True), picture)
            shown = frames.close("0" * 16)
            cells["frames"] = Cell("frames", "0" * 16, "ok", tuple(shown), extent=4.0 * len(texts))
            staged |= {file.name: path for file, path in shown.items()}
        to.publish(of, cells, staged)
    return of.sha256[:16]
