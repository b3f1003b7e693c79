"""Files of questions and of answers."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from vidrag.jobs.answers import batch
from vidrag.jobs.answers.batch import Asked
from vidrag.store.errors import StorageError, UsageError


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_lines_become_questions_in_order(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "question": "What?"},
        {"id": 7, "question": "Which?", "options": ["x", "y"], "video": "v.mp4"},
        {"question": "Where?", "options": None, "video": ["v.mp4", "w.mp4"]},
    ]
    text = "\n\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n"
    assert batch.read(written(tmp_path, text)) == [
        Asked("a", "What?"),
        Asked(7, "Which?", ("x", "y"), ("v.mp4",)),
        Asked("line 5", "Where?", (), ("v.mp4", "w.mp4")),
    ]


def test_a_json_array_is_read_as_well(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps([{"id": "a", "question": "What?", "more": 1}, 5]))
    first, second = batch.read(path)
    assert first == Asked("a", "What?")
    assert "not a JSON object" in second.problem


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", "line 2: not valid JSON"),
        ("5", "line 2: not a JSON object"),
        ("[" * 100_000, "line 2: not valid JSON"),
        ('{"id": "x"}', "'question' must be a text"),
        ('{"question": 5}', "'question' must be a text"),
        ('{"question": "q", "options": "ab"}', "'options' must be a list of texts"),
        ('{"question": "q", "options": [1, 2]}', "'options' must be a list of texts"),
        ('{"question": "q", "video": 5}', "'video' must be"),
        ('{"question": "q", "video": []}', "'video' must be"),
        ('{"question": "q", "video": [5]}', "'video' must be"),
    ],
)
def test_a_broken_line_is_a_question_with_a_problem(line: str, problem: str, tmp_path: Path) -> None:
    """The lines around it stay as they are, and the problem says where and what."""
    good = '{"id": 1, "question": "What?"}'
    before, bad, after = batch.read(written(tmp_path, f"{good}\n{line}\n{good}"))
    assert before == after == Asked(1, "What?")
    assert problem in bad.problem
    assert "\n" not in bad.problem
    assert len(bad.problem) < 400


def test_line_separators_within_a_text_are_no_line_ends(tmp_path: Path) -> None:
    """JSON allows U+2028 and U+0085 inside a text; only a newline ends a line."""
    rows = [{"id": i, "question": f"What is{c}this?"} for i, c in enumerate("\u2028\u2029\u0085")]
    found = batch.read(written(tmp_path, "\n".join(json.dumps(r, ensure_ascii=False) for r in rows)))
    assert [(f.problem, f.question) for f in found] == [("", r["question"]) for r in rows]


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    found = batch.read(
        written(tmp_path, b'\xef\xbb\xbf{"id": 1, "question": "What?"}\r\n{"id": 2, "question": "x?"}\r\n')
    )
    assert found == [Asked(1, "What?"), Asked(2, "x?")]


@pytest.mark.parametrize(
    ("text", "named"),
    [(b"", "holds no questions"), (b"\n \n", "holds no questions"), (b"[1,", "not valid JSON"), (b"\xff\xfe", "UTF-8")],
)
def test_a_file_without_questions_is_refused(text: bytes, named: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=named) as caught:
        batch.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=str(tmp_path / name)):
        batch.read(tmp_path / name)


def test_questions_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"id": 1, "question": "What?"}\n'))
    assert batch.read(Path("-")) == [Asked(1, "What?")]


TOLD = [
    {"id": 1, "answer": "ONE"},
    {"id": 2, "error": {"type": "UsageError", "message": "line 2: bad"}},
    {"id": None, "answer": "VIER 飞机"},
]


@pytest.mark.parametrize(
    ("answer", "options", "right"),
    [
        ("B", ("x", "y"), "B"),
        ("y", ("x", "y"), "B"),
        (" B ", ("x", "y"), "B"),
        ("A", ("B", "A"), "B"),
        ("C", ("x", "y"), None),
        ("AB", ("x", "y"), None),
        ("", ("x", "y"), None),
        ("x", None, None),
        (1, ("x", "y"), None),
        (None, ("x", "y"), None),
    ],
)
def test_the_right_answer_is_a_letter_or_a_text(
    answer: object, options: tuple[str, ...] | None, right: str | None, tmp_path: Path
) -> None:
    """What is neither is no right answer, and no reason not to ask."""
    row = {"question": "What?", "options": options, "answer": answer}
    (found,) = batch.read(written(tmp_path, json.dumps(row)))
    assert (found.right, found.problem) == (right, "")


def test_answers_come_in_order(tmp_path: Path) -> None:
    target, done = tmp_path / "answers.jsonl", []
    batch.answer_all(iter(TOLD), len(TOLD), target, lambda n, eta: done.append(n))
    assert [json.loads(line) for line in target.read_text("utf-8").splitlines()] == TOLD
    assert done == [1, 2, 3]
    batch.answer_all(iter(TOLD), len(TOLD), None, lambda n, eta: done.append(n))
    assert done == [1, 2, 3, 1, 2, 3]


def test_answers_appear_only_when_they_are_complete(tmp_path: Path) -> None:
    """What stood in the file before stays until then; nothing else is left behind."""
    target = tmp_path / "answers.jsonl"
    target.write_text("before")

    def stop(done: int, eta: float) -> None:
        assert target.read_text() == "before"
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch.answer_all(iter(TOLD), len(TOLD), target, stop)
    assert target.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["answers.jsonl"]


def test_answers_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    batch.answer_all(iter(TOLD[:1]), 1, Path("-"), lambda done, eta: None)
    assert json.loads(capsys.readouterr().out)["answer"] == "ONE"


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder before anything is asked."""
    with pytest.raises(UsageError, match=str(tmp_path)):
        batch.check_output(tmp_path)
    with pytest.raises(StorageError, match=str(tmp_path / "missing")) as caught:
        batch.answer_all(iter(TOLD), 1, tmp_path / "missing" / "answers.jsonl", lambda done, eta: None)
    assert "\n" not in str(caught.value)
