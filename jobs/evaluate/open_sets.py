"""Sets of open questions: a folder of transcripts, videos or both, with a ``truth.json``; made ready to be asked.

``truth.json`` is a list of questions, each with ``id``, ``question``, ``kind``, ``lang`` and ``answerable``; and where
they apply: ``evidence`` (``video``, ``start_s``, ``end_s`` of each place that answers it), ``pattern`` (a regular
expression that a right answer holds), ``answer`` (short right answers, one of which it holds), ``reference`` (a right
answer at length), ``video`` (which answers it) and ``elsewhere`` (a video that does not).
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...ingest.subtitles import SubtitleOptions, parse
from ...store.archive.archive import Archive
from ...store.errors import UsageError
from ...store.storage.faults import storage_errors
from ..runs import plan
from .corpus import place
from .dataset import Fields, Place, parsed, read_rows
from .study import READ, Part, Say, index

BUNDLED = ("natural", "paraphrased", "languages")
TRANSCRIPTS = (".srt", ".vtt")
_FPS = 2
_TAIL_S = 2.0
"""A stand-in is so much longer than its transcript."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """A question without options, and what its answer is held against; see the module."""

    id: str
    question: str
    kind: str
    lang: str
    answerable: bool
    places: tuple[Place, ...] = ()
    pattern: re.Pattern[str] | None = None
    answers: tuple[str, ...] = ()
    reference: str | None = None
    video: str | None = None
    elsewhere: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSet:
    """``transcripts`` by the name of their video; ``videos``: the files of videos that are there, by name."""

    name: str
    questions: tuple[OpenQuestion, ...]
    transcripts: Mapping[str, Path]
    videos: Mapping[str, Path]


def read(name: str, videos: Sequence[str] = ()) -> OpenSet:
    """The set in the folder ``name``, or the bundled one of that name; ``videos``: files or folders of more videos.

    Raises :class:`UsageError` for a folder without questions or videos, and for a question that does not fit.
    """
    folder = _folder(name)
    questions = read_questions(folder)
    files = [Path(i.location.text) for i in plan.sources([str(folder), *videos])]
    found = {f.name: f for f in files}
    by_stem = {f.stem: f.name for f in files}
    written = [f for f in sorted(folder.iterdir()) if f.suffix in TRANSCRIPTS]
    transcripts = {by_stem.get(f.stem, f"{f.stem}.mp4"): f for f in written}
    known = {*(transcripts or found)}
    if not known:
        raise UsageError(f"{folder}: has questions but neither transcripts nor videos; name videos with --videos")
    for q in questions:
        for video in (q.video, q.elsewhere, *(p.video for p in q.places)):
            if video is not None and video not in known:
                raise UsageError(f"{folder / 'truth.json'}: question '{q.id}' names {video}, which is not in the set")
    kept = {n: f for n, f in found.items() if n in known}
    return OpenSet(name=folder.resolve().name, questions=questions, transcripts=transcripts, videos=kept)


def _folder(name: str) -> Path:
    folder = Path(__file__).with_name(name) if name in BUNDLED and not Path(name).exists() else Path(name)
    if not folder.is_dir():
        raise UsageError(f"{name}: no such folder, and no bundled set ({', '.join(BUNDLED)})")
    if not (folder / "truth.json").exists():
        raise UsageError(f"{folder}: holds no truth.json, the questions of the set")
    return folder


def read_questions(folder: Path) -> tuple[OpenQuestion, ...]:
    """The questions of ``folder``; :class:`UsageError` names the first row that does not fit."""
    return tuple(parsed(read_rows(folder / "truth.json"), _question))


def _question(row: Fields) -> OpenQuestion:
    answerable = row.row.get("answerable")
    if not isinstance(answerable, bool):
        raise ValueError("'answerable' must be true or false")
    answers = row.items("answer") if row.has("answer") else []
    if not all(isinstance(a, str) and a.strip() for a in answers):
        raise ValueError("'answer' must be a list of texts")
    try:
        pattern = re.compile(row.text("pattern"), re.I) if row.has("pattern") else None
    except re.error as e:
        raise ValueError(f"'pattern' is no regular expression: {e}") from e
    return OpenQuestion(
        id=row.text("id"),
        question=row.text("question"),
        kind=row.text("kind", default="-"),
        lang=row.text("lang", default="-"),
        answerable=answerable,
        places=tuple(_place(p) for p in row.items("evidence")) if row.has("evidence") else (),
        pattern=pattern,
        answers=tuple(answers),
        reference=row.text("reference", default="") or None,
        video=row.text("video", default="") or None,
        elsewhere=row.text("elsewhere", default="") or None,
    )


def _place(row: Any) -> Place:
    return place(Fields({"modality": "any", **Fields(row).row}))


def in_words_of(found: OpenSet, other: str) -> OpenSet:
    """The same set with each question as the set ``other`` words it; both name it alike after the first hyphen."""
    words = {_common_id(q): q for q in read_questions(_folder(other))}
    if lacking := [q.id for q in found.questions if _common_id(q) not in words]:
        raise UsageError(f"{other}: has no question for '{lacking[0]}' of {found.name}")
    translated = (replace(q, question=(o := words[_common_id(q)]).question, lang=o.lang) for q in found.questions)
    return replace(found, questions=tuple(translated))


def _common_id(question: OpenQuestion) -> str:
    return question.id.partition("-")[2] or question.id


def ingest(found: OpenSet, home: Path, profile: str, overrides: Sequence[str], say: Say) -> tuple[Archive, list[str]]:
    """The archive of the set in ``home``, made or brought up to date, and a line for each video that failed.

    Speech comes from the transcripts where the set has some; each without a video gets a stand-in of one colour.
    """
    videos = home / "videos"
    with storage_errors(home):
        videos.mkdir(parents=True, exist_ok=True)
        for file in (*found.videos.values(), *found.transcripts.values()):
            link(videos / file.name, file)
        for name, transcript in found.transcripts.items():
            if name not in found.videos and not (videos / name).exists():
                make_stand_in(videos / name, seconds(transcript) + _TAIL_S, f"{found.name}/{transcript.stem}")
        expected = {*found.videos, *found.transcripts, *(f.name for f in found.transcripts.values())}
        if odd := sorted({f.name for f in videos.iterdir()} - expected):
            raise UsageError(f"{videos}: holds {odd[0]}, which is not of the set '{found.name}'; name a new folder")
    failed: list[str] = []
    use = READ if found.transcripts else "subtitles.use=prefer"
    part = Part(found.name, videos, home / "truth.json")
    return index(home / "archive", part, profile, overrides, say, failed, use), failed


def link(link: Path, file: Path) -> None:
    """Makes ``link`` a link to ``file``, in place of what is there."""
    if link.is_symlink() and link.resolve() == file.resolve():
        return
    temp = link.with_name(f".{link.name}.{secrets.token_hex(4)}.link")
    temp.symlink_to(file.resolve())
    os.replace(temp, link)


def seconds(transcript: Path) -> float:
    """Where the last cue ends."""
    with storage_errors(transcript):
        found = parse(transcript.read_bytes(), transcript.name, SubtitleOptions())
    return max((r.end for r in found.rows), default=0.0)


def make_stand_in(path: Path, seconds: float, title: str) -> None:
    """Writes a silent video of one colour, 64 x 36; ``title`` makes its content its own."""
    import av

    colour = np.frombuffer(hashlib.md5(path.stem.encode()).digest()[:3], np.uint8)
    picture = av.VideoFrame.from_ndarray(np.tile(colour, (36, 64, 1)), "rgb24").reformat(format="yuv420p")
    temp = path.parent.with_name(f"making-{path.name}")  # not beside it: half a video is not to be indexed
    with av.open(str(temp), "w", format="mp4") as made:
        made.metadata["title"] = title
        stream = made.add_stream("mpeg4", rate=_FPS, width=64, height=36, pix_fmt="yuv420p")
        for i in range(max(1, round(seconds * _FPS))):
            picture.pts = i
            made.mux(stream.encode(picture))
        made.mux(stream.encode())
    os.replace(temp, path)
