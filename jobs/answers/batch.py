"""Many questions from a file, many answers to a file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...query.understand.options import LETTERS
from ...store.errors import UsageError, one_line
from ...store.storage.whole import whole_file


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of a batch; ``problem`` says why it cannot be asked.  ``right``: the letter of the right option."""

    id: Any
    question: str = ""
    options: tuple[str, ...] = ()
    videos: tuple[str, ...] | None = None
    problem: str = ""
    right: str | None = None


def read(path: Path) -> list[Asked]:
    """Questions of a JSONL file or of a JSON array; a broken line becomes a question with a ``problem``."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8-sig")
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: not UTF-8 text (byte {e.start})") from e
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror or e}") from e
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except ValueError as e:
            raise UsageError(f"{path}: not valid JSON: {one_line(e)}") from e
        return [_asked(row, str(i)) for i, row in enumerate(rows, 1)]
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UsageError(f"{path}: holds no questions")
    return [_line(n, line) for n, line in lines]


def _line(number: int, line: str) -> Asked:
    try:
        return _asked(json.loads(line), f"line {number}")
    except (ValueError, RecursionError) as e:
        return Asked(None, problem=f"line {number}: not valid JSON: {one_line(e, 120)}")


def _asked(row: Any, where: str) -> Asked:
    if not isinstance(row, dict):
        return Asked(None, problem=f"{where}: not a JSON object")
    question, options, video = row.get("question"), row.get("options"), row.get("video")
    name = row.get("id", where)
    if not isinstance(question, str):
        return Asked(name, problem=f"{where}: 'question' must be a text")
    if options is not None and not (isinstance(options, list) and all(isinstance(o, str) for o in options)):
        return Asked(name, question, problem=f"{where}: 'options' must be a list of texts or null")
    videos = [video] if isinstance(video, str) else video
    if videos is not None and not (isinstance(videos, list) and videos and all(isinstance(v, str) for v in videos)):
        return Asked(name, question, problem=f"{where}: 'video' must be a name, an id, a list of them, or null")
    found = tuple(options or ())
    right = _right(row.get("answer"), found)
    return Asked(name, question, found, None if videos is None else tuple(videos), right=right)


def _right(answer: Any, options: Sequence[str]) -> str | None:
    """The letter of the right option, which may be given as a letter or as a text; None where none fits."""
    if not isinstance(answer, str):
        return None
    same = [i for i, o in enumerate(options) if o.strip() == answer.strip()]
    at = same[0] if same else LETTERS[: len(options)].find(answer.strip() or "?")
    return LETTERS[at] if at >= 0 and (same or len(answer.strip()) == 1) else None


def answer_all(
    told: Iterable[dict[str, Any]], count: int, output: Path | None, progress: Callable[[int, float], None]
) -> None:
    """Writes one line an answer to ``output`` (which appears when it is complete; None: nowhere)."""
    began = time.monotonic()
    with _whole(output) if output else nullcontext() as out:
        for done, row in enumerate(told, 1):
            if out:
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
            progress(done, (time.monotonic() - began) / done * (count - done))


def check_output(path: Path | None) -> None:
    """Raises :class:`UsageError` where answers could not be written, before any is asked for."""
    if path is not None and path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file for the answers")


@contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    """A file that appears under its name only when all of it is written."""
    if str(path) == "-":
        yield sys.stdout
        return
    with whole_file(path) as temp, temp.open("w", encoding="utf-8", errors="backslashreplace") as out:
        yield out
