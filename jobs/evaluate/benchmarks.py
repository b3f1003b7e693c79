"""Readers of public benchmarks in the formats in which they are published, and what their own scorers read.

- Video-MME (arXiv 2405.21075): a JSON list of videos, each with its questions; or the table of its data set page, one
  question a row.  Its scorer reads the list of videos with a ``response`` for each question.
- MLVU (arXiv 2406.04264): JSON lists of questions, one file or a folder of them.  Its site reads a list of
  ``question_id``, ``question_type``, ``option``.  Questions without ``candidates`` (summaries, plots of a part) are
  answered in words, and ``answer`` is a reference for a judge.
- LongVideoBench (arXiv 2407.15754): a JSON list of questions with ``candidates`` and ``correct_choice``.  Answers are
  handed in as one JSON object, letters by question id.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ...query.understand.options import LETTERS
from ...store.errors import UsageError, one_line
from . import corpus
from .dataset import Choices, Dataset, Fields, Question, letter, parsed, read_rows

_MINUTES = ((5, "under 5 min"), (15, "5 to 15 min"), (60, "15 to 60 min"))


def videomme(path: Path) -> Dataset:
    rows = read_rows(path)
    flat: list[tuple[str, Any]] = []
    videos: dict[str, dict[str, Any]] = {}
    for where, row in rows:
        try:
            fields = Fields(row)
            key = fields.text("video_id", "videoID")
            if not fields.has("questions"):
                flat.append((where, row))
                own = {k: v for k, v in fields.row.items() if k not in _OF_A_QUESTION}
                video = videos.setdefault(key, {**own, "questions": []})
                video["questions"].append({k: row[k] for k in _OF_A_QUESTION if k in row})
                continue
            if key in videos:
                raise ValueError(f"the video '{key[:80]}' came before")
            videos[key] = copy.deepcopy(dict(row))
            for i, question in enumerate(fields.items("questions"), 1):
                whole = {**row, **question} if isinstance(question, Mapping) else question
                flat.append((f"{where}, question {i}", whole))
        except (ValueError, TypeError) as e:
            raise UsageError(f"{where}: {one_line(e, 300)}") from e
    questions = tuple(parsed(flat, _videomme))

    def submission(choices: Choices) -> Any:
        told = copy.deepcopy(list(videos.values()))
        for video in told:
            for question in video["questions"]:
                question["response"] = choices.get(str(question["question_id"]), "")
            video["missing"] = not any(q["response"] for q in video["questions"])
        return told

    return Dataset("videomme", path, questions, submission=submission)


_OF_A_QUESTION = ("question_id", "task_type", "question", "options", "choices", "answer", "response")


def _videomme(row: Fields) -> Question:
    options = row.options("options", "choices")
    names = [_of_address(row.text(k)) for k in ("videoID", "url", "video_id") if row.has(k)]
    groups = {
        "duration": row.text("duration", "duration_category"),
        "task": row.text("task_type"),
        "domain": row.text("domain", "video_category"),
        "sub-category": row.text("sub_category", "video_sub_category", "video_subcategory"),
    }
    right = letter(row.text("answer"), options) if row.text("answer", default="") else None
    known = tuple(dict.fromkeys(names))
    return Question(row.text("question_id"), row.text("question"), options, right, (known,), groups)


def _of_address(address: str) -> str:
    """``fFjv93ACGo8`` of ``https://www.youtube.com/watch?v=fFjv93ACGo8``; what is no address stays."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    return parse_qs(parts.query).get("v", [parts.path.rsplit("/", 1)[-1]])[0]


def mlvu(path: Path) -> Dataset:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path}: holds no .json files; name MLVU's file of questions, or the folder of them")
    rows = [row for file in files for row in read_rows(file)]
    types: dict[str, str] = {}
    count: Counter[str] = Counter()

    def parse(row: Fields) -> Question:
        kind = row.text("question_type")
        options = row.options("candidates") if row.has("candidates") else ()
        count[kind] += 1
        name = row.text("question_id", default=f"{kind}_{count[kind] - 1}")
        groups = {"task": kind}
        if row.has("duration"):
            groups["duration"] = _minutes(row.number("duration"))
        right = reference = None
        if options:
            types[name] = kind
            right = _mlvu_answer(row, options)
        else:
            reference = row.text("answer", default="") or None
        videos = ((row.text("video"),),)
        return Question(name, row.text("question"), options, right, videos, groups, reference=reference)

    questions = tuple(parsed(rows, parse))

    def submission(choices: Choices) -> Any:
        return [{"question_id": i, "question_type": types[i], "option": choices.get(i, "")} for i in types]

    return Dataset("mlvu", path, questions, submission=submission)


def _mlvu_answer(row: Fields, options: tuple[str, ...]) -> str | None:
    if not row.has("answer"):
        return None
    answer = row.text("answer").strip()
    if answer in options:
        return LETTERS[options.index(answer)]
    raise ValueError("'answer' is none of the candidates")


def _minutes(seconds: float) -> str:
    return next((name for most, name in _MINUTES if seconds < most * 60), "over 60 min")


def longvideobench(path: Path) -> Dataset:
    def submission(choices: Choices) -> Any:
        return {q.id: choices.get(q.id, "") for q in questions}

    questions = tuple(parsed(read_rows(path), _longvideobench))
    return Dataset("longvideobench", path, questions, submission=submission)


def _longvideobench(row: Fields) -> Question:
    if not row.has("candidates"):  # the table of the data set page has a column for each
        columns = [row.text(f"option{i}", default="N/A") for i in range(5)]
        row = Fields({**row.row, "candidates": [c for c in columns if c != "N/A"]})
    options = row.options("candidates")
    right = None
    if row.has("correct_choice") and (at := row.number("correct_choice")) != -1:  # -1: kept secret
        if at != int(at) or not 0 <= at < len(options):
            raise ValueError(f"'correct_choice' is {at:g}; there are {len(options)} candidates")
        right = LETTERS[int(at)]
    groups = {
        "duration": f"{row.text('duration_group')} s",
        "category": row.text("question_category", default=""),
        "topic": row.text("topic_category", default=""),
        "level": row.text("level", default=""),
    }
    names = tuple(dict.fromkeys(row.text(k) for k in ("video_path", "video_id") if row.has(k)))
    if not names:
        raise ValueError("'video_path' is missing")
    told = {k: v for k, v in groups.items() if v}
    return Question(row.text("id"), row.text("question"), options, right, (names,), told)


READERS: Mapping[str, Callable[[Path], Dataset]] = {
    "corpus": corpus.read,
    "videomme": videomme,
    "mlvu": mlvu,
    "longvideobench": longvideobench,
}
