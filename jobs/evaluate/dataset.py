"""What every benchmark becomes: questions about videos, in groups; and the reading of its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ...query.understand.options import LETTERS, unlettered
from ...store.errors import UsageError, one_line
from ...store.records import Span

EMPTY = "(nothing)"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the proof of an answer is: ``modality`` is asr, ocr, vision, or any where nobody says."""

    video: str
    modality: str
    span: Span


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a benchmark, most of them multiple-choice.

    ``options`` is empty where the answer is to be written; ``reference`` is then a right one, for a judge.
    ``answer`` is the letter of the right option, None in a test set.  ``videos`` holds for each video the names under
    which it may be known, best first; None means the whole archive.  ``groups`` says by which groups it is scored, for
    example ``{"category": "OCR Problems", "duration": "short"}``.  ``evidence`` is empty where no video answers it, or
    where the data set tells no proof.
    """

    id: str
    question: str
    options: tuple[str, ...]
    answer: str | None
    videos: tuple[tuple[str, ...], ...] | None
    groups: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[Place, ...] = ()
    reference: str | None = None

    @property
    def modality(self) -> str:
        """The modalities of the proof, joined; ``none`` for questions that no video answers."""
        return "+".join(sorted({p.modality for p in self.evidence})) or "none"

    def distinct(self) -> tuple[tuple[str, ...], str]:
        """The options that differ, and the letter of each: published sets hold repeated and empty options.

        A repeated option has the letter of its first place.
        """
        first: dict[str, tuple[str, str]] = {}
        for letter, option in zip(LETTERS, self.options, strict=False):
            text = option.strip() or EMPTY
            first.setdefault(" ".join(text.lower().split()), (text, letter))
        return tuple(o for o, _ in first.values()), "".join(x for _, x in first.values())


Choices = Mapping[str, str]
"""Letters by question id; questions that were not answered are missing."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """``proofs``: the questions tell where their proof is, so that evidence can be scored.  ``submission`` turns
    letters into what the benchmark's own scorer reads.
    """

    name: str
    path: Path
    questions: tuple[Question, ...]
    proofs: bool = False
    submission: Callable[[Choices], Any] | None = None

    @property
    def scored(self) -> bool:
        return any(q.answer for q in self.questions)


class Fields:
    """One row of a data file; what is missing or of another type is a ``ValueError`` that names it."""

    def __init__(self, row: Any) -> None:
        if not isinstance(row, Mapping):
            raise ValueError("not a JSON object")
        self.row = row

    def has(self, name: str) -> bool:
        return self.row.get(name) is not None

    def text(self, *names: str, default: str | None = None) -> str:
        """The first of ``names`` that is there; whole numbers become text."""
        for name in names:
            value = self.row.get(name)
            if isinstance(value, str):
                return value
            if isinstance(value, int) and not isinstance(value, bool):
                return str(value)
            if value is not None:
                raise ValueError(f"'{name}' must be a text")
        if default is None:
            raise ValueError(f"'{names[0]}' is missing")
        return default

    def items(self, *names: str) -> list[Any]:
        for name in names:
            value = self.row.get(name)
            if isinstance(value, list):
                return value
            if value is not None:
                raise ValueError(f"'{name}' must be a list")
        raise ValueError(f"'{names[0]}' is missing")

    def options(self, *names: str) -> tuple[str, ...]:
        """2 to 26 options without the letters that they begin with."""
        found = self.items(*names)
        if not all(isinstance(o, str | int | float) for o in found) or not 2 <= len(found) <= len(LETTERS):
            raise ValueError(f"'{names[0]}' must be a list of 2 to {len(LETTERS)} texts")
        return tuple(unlettered([str(o) for o in found]))

    def number(self, name: str) -> float:
        value = self.row.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"'{name}' must be a number")
        return float(value)


def letter(answer: str, options: Sequence[str]) -> str:
    """The letter ``answer`` (``B``, ``(B)``, ``b.``) where an option has it; ``ValueError`` otherwise."""
    found = answer.strip("() .:").upper()
    if len(found) != 1 or found not in LETTERS[: len(options)]:
        raise ValueError(f"'answer' is {one_line(ValueError(answer), 40)!r}, not the letter of one of the options")
    return found


def read_rows(path: Path) -> list[tuple[str, Any]]:
    """Every row of a JSON list, of JSON lines or of a Parquet file, with words that name its place.

    Raises :class:`UsageError` for a file that is none of these or holds no row.
    """
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            rows = [(f"row {i}", row) for i, row in enumerate(pq.read_table(path).to_pylist(), 1)]
        else:
            rows = _json(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: not UTF-8 text (byte {e.start}); name the file of questions") from e
    except OSError as e:  # pyarrow's errors are OSError or ValueError
        raise UsageError(f"{path}: {e.strerror or one_line(e)}") from e
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{path}: not a file of questions: {one_line(e, 200)}") from e
    if not rows:
        raise UsageError(f"{path}: holds no questions")
    return [(f"{path}: {where}", row) for where, row in rows]


def _json(text: str) -> list[tuple[str, Any]]:
    if text.lstrip().startswith("["):
        return [(f"row {i}", row) for i, row in enumerate(json.loads(text), 1)]
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    try:
        return [(f"line {i}", json.loads(line)) for i, line in lines]
    except ValueError as e:
        raise ValueError(f"neither a JSON list nor JSON lines ({e})") from e


class Identified(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=Identified)


def parsed(rows: Sequence[tuple[str, Any]], parse: Callable[[Fields], Row]) -> Iterator[Row]:
    """The rows as questions.

    Raises :class:`UsageError` that names the file, the row and what is wrong with it, also where an id comes twice.
    """
    ids: set[str] = set()
    for where, row in rows:
        try:
            found = parse(Fields(row))
            if found.id in ids:
                raise ValueError(f"the id '{found.id[:80]}' came before")
        except (ValueError, TypeError, KeyError) as e:
            raise UsageError(f"{where}: {one_line(e, 300)}") from e
        ids.add(found.id)
        yield found
