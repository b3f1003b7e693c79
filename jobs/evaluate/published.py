"""Public benchmarks as they are unpacked from their pages, laid out to be indexed: questions, videos, subtitles.

- Video-MME: a table of questions (``test-*.parquet``), ``*.mp4`` and, from ``subtitle.zip``, ``*.srt``.
- MLVU: a folder ``json`` of questions, and ``*.mp4`` by task.
- LongVideoBench: ``lvb_val.json``, ``videos/`` and ``subtitles/*.json``, whose times are those of the recording that a
  clip was cut from.

Where in the folder the files lie does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...store.errors import UsageError, one_line
from ...store.records import Segment
from ...store.storage.faults import storage_errors
from ...store.storage.whole import write_whole
from ..export import srt_blocks
from ..runs import plan
from .benchmarks import READERS
from .dataset import Fields, read_rows
from .open_sets import link
from .study import Part

_QUESTIONS: Mapping[str, Sequence[str]] = {
    "videomme": ("test-*.parquet", "*videomme*.parquet", "*videomme*.json"),
    "mlvu": ("json/*.json", "*mlvu*.json"),
    "longvideobench": ("lvb_val.json", "lvb_test_wo_gt.json", "validation-*.parquet"),
}
"""Files of questions, the first that are there."""


def part(name: str, folder: Path, home: Path) -> Part:
    """The benchmark ``name`` in ``folder`` as a part of a study: its videos, with their subtitles beside them, are
    linked in ``home/videos``.

    Raises :class:`UsageError` where it holds no questions, or none of the videos that they name.
    """
    questions = _questions(name, folder)
    wanted = {n for q in READERS[name](questions).questions for names in q.videos or () for n in names}
    known = {key for n in wanted for key in (Path(n).name, Path(n).stem)}
    videos = _of_name(Path(i.location.text) for i in plan.sources([str(folder)]))
    found = {n: f for n, f in videos.items() if known & {n, Path(n).stem}}
    if not found:
        example = min(wanted, default="")
        raise UsageError(f"{folder}: holds none of the {len(wanted)} videos of {questions}, such as '{example}'")
    into = home / "videos"
    with storage_errors(into):
        into.mkdir(parents=True, exist_ok=True)
        for file in found.values():
            link(into / file.name, file)
        if name == "longvideobench":
            _write_subtitles(questions, folder, {Path(n).stem for n in found}, into)
        else:
            stems = {Path(n).stem for n in found}
            for file in _of_name(f for f in folder.rglob("*.srt") if f.stem in stems).values():
                link(into / file.name, file)
    return Part(name, into, questions, reader=name)


def _questions(name: str, folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name the one that {name} was unpacked into")
    for pattern in _QUESTIONS[name]:
        if found := sorted(folder.rglob(pattern)):
            return found[0].parent if "/" in pattern else found[0]
    raise UsageError(f"{folder}: no questions of {name} in it or below (looked for {', '.join(_QUESTIONS[name])})")


def _of_name(files: Iterator[Path]) -> dict[str, Path]:
    """Files by name; copies of one are one."""
    found: dict[str, Path] = {}
    for file in files:
        other = found.setdefault(file.name, file)
        if other.stat().st_size != file.stat().st_size:
            raise UsageError(f"{other} and {file}: two videos of one name; questions cannot tell which one they mean")
    return found


def _write_subtitles(questions: Path, folder: Path, stems: set[str], into: Path) -> None:
    """Subtitles of LongVideoBench as ``.srt`` files beside the videos."""
    files = {f.name: f for f in folder.rglob("*.json") if f != questions}
    done = set[str]()
    for where, row in read_rows(questions):
        fields = Fields(row)
        stem = Path(fields.text("video_path", "video_id")).stem
        if stem not in stems or stem in done or not fields.has("subtitle_path"):
            continue
        done.add(stem)
        file = files.get(Path(fields.text("subtitle_path")).name)
        if file is None:
            continue
        try:
            begin = fields.number(_BEGIN) if fields.has(_BEGIN) else 0.0
            end = begin + fields.number("duration") if fields.has("duration") else float("inf")
            text = "".join(f"{b}\n" for b in srt_blocks(_cues(json.loads(file.read_text("utf-8")), begin, end)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise UsageError(f"{where}: {file} has no subtitles of it: {one_line(e, 100)}") from e
        made = into / f"{stem}.srt"
        if not made.exists() or made.read_text("utf-8") != text:
            write_whole(made, text)


_BEGIN = "starting_timestamp_for_subtitles"


def _cues(rows: Sequence[Mapping[str, Any]], begin: float, end: float) -> Iterator[Segment]:
    """What is said between ``begin`` and ``end``, counted from ``begin``.  Some have no end: the next one's start."""
    timed = []
    for row in rows:
        first, last = row["timestamp"] if "timestamp" in row else (_seconds(row["start"]), _seconds(row["end"]))
        timed.append((float(first), last, " ".join(str(row["text"] if "text" in row else row["line"]).split())))
    for i, (first, last, text) in enumerate(timed):
        following = timed[i + 1][0] if i + 1 < len(timed) else first + 5.0
        until = min(float(last) if isinstance(last, int | float) else max(following, first), end)
        if text and first < end and until > max(first, begin):
            yield Segment(max(first, begin) - begin, until - begin, text)


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
