"""What a search found, as a person sees it: text, its neighbours, the frame on screen then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...store.backend import storage_errors
from ...store.encoders import ImageTextEncoder, TextEncoder
from ...store.errors import ArchiveDamaged, NoSuchVideo, UsageError, one_line
from ...store.index import KINDS, Kind
from ...store.records import Frame
from ...store.shard import Shard
from ...store.shell import path_word
from ..text.words import sought
from .search import Hit, Searcher
from .view import View

LONGEST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One row: ``before`` and ``after`` are the texts of its neighbours of the same kind (empty: none), ``frame`` the
    stored frame on screen when it begins (None: none); ``dense`` and ``lexical`` are inner product and BM25 score
    (None: not among the best); ``speaker``: who says it, where that is known.
    """

    rank: int
    kind: str
    video: str
    name: str
    start: float
    end: float
    text: str
    before: str
    after: str
    score: float
    dense: float | None
    lexical: float | None
    doubts: tuple[str, ...]
    frame: int | None
    path: str
    speaker: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Results:
    """``rows``: those of speech and text that were searched; ``indexed``: how many of them the index holds."""

    found: tuple[Found, ...]
    videos: int
    rows: int
    indexed: int
    notes: tuple[str, ...]


def search(
    searcher: Searcher,
    text: str,
    kinds: Sequence[Kind],
    top: int,
    texts: TextEncoder,
    pictures: ImageTextEncoder | None,
) -> Results:
    """The ``top`` rows of ``kinds`` in the whole archive that fit ``text`` best; frames need ``pictures``.

    Raises :class:`~vidrag.store.errors.UsageError` for an empty or overlong text or an unknown kind.
    """
    text = text.encode("utf-8", "replace").decode()
    if not any(c.isalnum() for c in text):
        raise UsageError('the text is empty; say what to look for, for example "blue staircase"')
    if len(text) > LONGEST:
        raise UsageError(f"the text has {len(text)} characters, {LONGEST} are allowed; shorten it")
    if bad := [k for k in kinds if k not in KINDS]:
        raise UsageError(f"no kind of row is called '{bad[0]}'; known are speech, text and frame")
    vectors = {}
    if spoken := [k for k in kinds if k != "frames"]:
        vectors = dict.fromkeys(spoken, texts.queries([text])[0])
    if "frames" in kinds and pictures is not None:
        vectors["frames"] = pictures.queries([text])[0]
    view, hits = searcher.rank(vectors, sought(text) if spoken else (), 2 * top, kinds)
    if not view.cover.numbers:
        where = searcher.archive.location
        raise NoSuchVideo(f"{where}: no videos yet; 'vidrag ingest {path_word(where)} VIDEO' adds some")
    found = tuple(_told(view, hits, top, searcher.options.apart_s))
    indexed = sum(b.rows for b in view.cover.live if b.first >= 0)
    return Results(found, len(view.cover.numbers), view.cover.rows, indexed, tuple(view.notes))


def _told(view: View, hits: Iterable[Hit], top: int, apart_s: float) -> Iterator[Found]:
    """The best hits that can be read; of frames close together only the best."""
    rank, shown = 0, dict[str, list[Found]]()
    for hit in hits:
        if rank == top:
            return
        shard = view.shard(hit.place.video)
        try:
            one = _row(shard, hit, rank + 1) if shard else None
        except ArchiveDamaged as e:
            view.damaged[hit.place.video] = one_line(e)
            continue
        if one is None:
            continue
        near = shown.setdefault(one.video, [])
        if one.kind == "frame":
            if any(one.start < n.end + apart_s and n.start < one.end + apart_s for n in near):
                continue
            near.append(one)
        rank += 1
        yield one


def _row(shard: Shard, hit: Hit, rank: int) -> Found | None:
    """A hit with what its video holds; None where the video has been replaced since."""
    kind, row = hit.place.kind, hit.place.row
    times: Sequence[Any] = shard.frames if kind == "frames" else shard.text if kind == "text" else shard.speech
    if not 0 <= row < len(times):
        return None
    texts = [r.caption.removeprefix("a photo of ") for r in shard.labels] if kind == "frames" else None

    def text(at: int) -> str:
        if not 0 <= at < len(times):
            return ""
        if texts is None:
            return str(times[at].text)
        return texts[at] if at < len(texts) else ""

    start = times[row].start
    return Found(
        rank=rank,
        kind="frame" if kind == "frames" else kind,
        video=shard.video,
        name=shard.name,
        start=start,
        end=times[row].end,
        text=text(row),
        before=text(row - 1),
        after=text(row + 1),
        score=hit.score,
        dense=hit.dense,
        lexical=hit.lexical,
        doubts=tuple(times[row].flags) if kind == "speech" else (),
        frame=row if kind == "frames" else _on_screen(shard.frames, start),
        path=shard.manifest.source.paths[0],
        speaker=times[row].speaker if kind == "speech" else None,
    )


def _on_screen(frames: Sequence[Frame], time: float) -> int | None:
    """The frame shown at ``time``; the first one before there is any."""
    shown = [i for i, f in enumerate(frames) if f.start <= time]
    return shown[-1] if shown else 0 if frames else None


def thumbnails(searcher: Searcher, found: Sequence[Found], folder: Path) -> Mapping[int, str]:
    """Writes the stored picture of each row to ``folder``, which is made; paths by rank.  No video is decoded."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder for the thumbnails")
    out = {}
    view = searcher.view()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        shard = view.shard(one.video)
        if shard is None or one.frame is None:
            continue
        path = folder / f"{one.rank:03d}-{one.video}-{int(one.start):05d}s.jpg"
        try:
            data = shard.jpeg(one.frame)
        except (ArchiveDamaged, IndexError) as e:
            view.damaged[one.video] = one_line(e)
            continue
        with storage_errors(path):
            path.write_bytes(data)
        out[one.rank] = str(path)
    return out
