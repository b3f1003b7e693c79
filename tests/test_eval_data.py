"""Files of questions as benchmarks publish them become questions, and letters become what their scorers read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vidrag.jobs.evaluate import arms, score
from vidrag.jobs.evaluate.benchmarks import READERS, longvideobench, mlvu, videomme
from vidrag.jobs.evaluate.dataset import Dataset
from vidrag.store.errors import OptionError, UsageError

GIVEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "benchmarks"
LVB = {
    "video_id": "86CxyhFV9MI",
    "question": "In the room with a red lamp, a man in a vest is talking. What does he hold?",
    "question_wo_referring_query": "What does he hold?",
    "candidates": ["a cup", "a book", "a phone", "a key", "nothing"],
    "correct_choice": 1,
    "position": [854],
    "topic_category": "NP-News-Programs",
    "question_category": "S2A",
    "level": "L1-Perception",
    "id": "86CxyhFV9MI_0",
    "video_path": "86CxyhFV9MI.mp4",
    "subtitle_path": "86CxyhFV9MI_en.json",
    "duration_group": 600,
    "starting_timestamp_for_subtitles": 0,
    "duration": 190.16,
    "view_count": 259852,
}
CORPUS = {
    "id": "q1",
    "video": ["a.mp4", "b.mp4"],
    "kind": "said_once",
    "question": "What?",
    "options": ["A. one", "B. two"],
    "answer": "B",
    "evidence": [{"video": "a.mp4", "modality": "asr", "start_s": 1, "end_s": 2.5}],
}
MME = {
    "video_id": "001",
    "duration": "short",
    "domain": "Knowledge",
    "sub_category": "Law",
    "url": "https://www.youtube.com/watch?v=fFjv93ACGo8",
    "questions": [
        {
            "question_id": "001-1",
            "task_type": "OCR Problems",
            "question": "What?",
            "options": ["A. One.", "B. Two.", "C. Three.", "D. Four."],
            "answer": "C",
            "response": "",
        }
    ],
}
MLVU = {
    "video": "ego_1.mp4",
    "duration": 480.5,
    "question": "What?",
    "candidates": ["A cup", "A key"],
    "answer": "A key",
    "question_type": "ego",
}


def given(name: str) -> Path:
    """A question file as it was published; the test is skipped where it is not there."""
    path = GIVEN / name
    if not path.is_file():
        pytest.skip(f"../shared/data/benchmarks/{name} is not there (relative to the repository root)")
    return path


def written(path: Path, rows: Any) -> Path:
    path.write_text(json.dumps(rows), "utf-8")
    return path


def test_the_published_video_mme() -> None:
    found = videomme(given("videomme_questions.json"))
    assert len(found.questions) == 2700
    assert Counter(q.groups["duration"] for q in found.questions) == {"short": 900, "medium": 900, "long": 900}
    assert len({q.groups["task"] for q in found.questions}) == 12
    assert Counter(q.answer for q in found.questions) == {"B": 735, "C": 684, "A": 677, "D": 604}
    first = found.questions[0]
    assert first.options[0] == "Apples."
    assert first.videos == (("fFjv93ACGo8", "001"),)


def test_the_published_mlvu() -> None:
    found = mlvu(given("mlvu_dev_questions.json"))
    assert len(found.questions) == 2175
    assert Counter(q.groups["task"] for q in found.questions)["plotQA"] == 539
    raw = json.loads(given("mlvu_dev_questions.json").read_text("utf-8"))
    for row, q in zip(raw, found.questions, strict=True):
        assert q.answer and row["candidates"]["ABCDEFGH".index(q.answer)] == row["answer"]
    assert all(len(q.distinct()[0]) == len(set(q.distinct()[0])) for q in found.questions)


@pytest.mark.parametrize("name", ["videomme_questions.json", "mlvu_dev_questions.json"])
def test_right_letters_everywhere_make_a_full_submission(name: str) -> None:
    """A submission of nothing but right letters names every question once, with its right letter."""
    found = READERS[name.partition("_")[0]](given(name))
    assert found.submission
    told = found.submission({q.id: q.answer or "" for q in found.questions})
    if found.name == "videomme":
        assert len(told) == 900 and not any(v["missing"] for v in told)
        assert all(q["response"] == q["answer"] for v in told for q in v["questions"])
    else:
        assert {r["question_id"]: r["option"] for r in told} == {q.id: q.answer for q in found.questions}
        assert {*told[0]} == {"question_id", "question_type", "option"}


def test_longvideobench(tmp_path: Path) -> None:
    secret = {k: v for k, v in LVB.items() if k != "correct_choice"} | {"id": "86CxyhFV9MI_1", "duration_group": 15}
    found = longvideobench(written(tmp_path / "lvb_val.json", [LVB, secret]))
    first, second = found.questions
    assert (first.answer, second.answer) == ("B", None)
    assert first.videos == (("86CxyhFV9MI.mp4", "86CxyhFV9MI"),)
    assert first.groups == {
        "duration": "600 s",
        "category": "S2A",
        "topic": "NP-News-Programs",
        "level": "L1-Perception",
    }
    assert found.submission and found.submission({first.id: "B"}) == {"86CxyhFV9MI_0": "B", "86CxyhFV9MI_1": ""}


def test_longvideobench_as_a_table(tmp_path: Path) -> None:
    """The data set page's Parquet has a column for each candidate, N/A where there is none."""
    row = {k: v for k, v in LVB.items() if k not in ("candidates", "position")}
    row |= {f"option{i}": text for i, text in enumerate(["a cup", "a book", "a phone", "N/A", "N/A"])}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "val.parquet")
    (found,) = longvideobench(tmp_path / "val.parquet").questions
    assert (found.options, found.answer) == (("a cup", "a book", "a phone"), "B")


def test_video_mme_as_a_table(tmp_path: Path) -> None:
    """One question a row; the submission has the form of the list all the same."""
    (question,) = MME["questions"]  # type: ignore[misc]
    own = {k: v for k, v in MME.items() if k != "questions"} | {"videoID": "fFjv93ACGo8"}
    rows = [own | dict(question) | {"question_id": f"001-{i}"} for i in (1, 2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    found = videomme(tmp_path / "test.parquet")
    assert [q.id for q in found.questions] == ["001-1", "001-2"]
    assert found.submission
    (video,) = found.submission({"001-2": "C"})
    assert [q["response"] for q in video["questions"]] == ["", "C"]
    assert video["video_id"] == "001" and not video["missing"]


def test_names_under_which_a_video_of_video_mme_may_be_known(tmp_path: Path) -> None:
    (found,) = videomme(written(tmp_path / "q.json", [MME])).questions
    assert found.videos == (("fFjv93ACGo8", "001"),)


def test_a_folder_of_mlvu_with_its_open_questions(tmp_path: Path) -> None:
    """They have no options and a reference answer for a judge; letters are handed in without them."""
    written(tmp_path / "4_ego.json", [MLVU, MLVU | {"question": "Which?"}])
    summary = {k: v for k, v in MLVU.items() if k != "candidates"} | {"question_type": "summary"}
    written(tmp_path / "9_summary.json", [summary])
    found = mlvu(tmp_path)
    assert [q.id for q in found.questions] == ["ego_0", "ego_1", "summary_0"]
    assert [(bool(q.options), bool(q.answer), q.reference) for q in found.questions] == [
        (True, True, None),
        (True, True, None),
        (False, False, MLVU["answer"]),
    ]
    assert found.submission and [r["question_id"] for r in found.submission({"ego_0": "A"})] == ["ego_0", "ego_1"]
    assert score.chance(found.questions) == 1 / len(found.questions[0].options)


def test_repeated_and_empty_options_keep_the_letter_of_their_first_place(tmp_path: Path) -> None:
    rows = [MLVU | {"candidates": ["", "Blue", "Red ", "blue", "red"], "answer": "blue"}]
    (found,) = mlvu(written(tmp_path / "q.json", rows)).questions
    assert found.distinct() == (("(nothing)", "Blue", "Red"), "ABC")
    assert found.answer == "D"


def test_letters_are_taken_off_only_where_every_option_has_its_own(tmp_path: Path) -> None:
    rows = [MLVU | {"candidates": ["A. Lincoln", "The other"], "answer": "The other"}]
    (found,) = mlvu(written(tmp_path / "q.json", rows)).questions
    assert found.options == ("A. Lincoln", "The other")


def test_json_lines_are_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(json.dumps(CORPUS | {"id": i}) for i in ("a", "b")) + "\n")
    assert [q.id for q in READERS["corpus"](path).questions] == ["a", "b"]


def test_corpus_groups_and_proof(tmp_path: Path) -> None:
    found: Dataset = READERS["corpus"](written(tmp_path / "q.json", [CORPUS, CORPUS | {"id": "q2", "evidence": []}]))
    first, second = found.questions
    assert first.groups == {"kind": "said_once", "modality": "asr", "scope": "several videos"}
    assert (first.evidence[0].span.start, first.evidence[0].span.end) == (1.0, 2.5)
    assert second.modality == "none"


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("corpus", [CORPUS, CORPUS], "row 2: the id 'q1' came before"),
        ("corpus", [CORPUS | {"answer": "C"}], "row 1: 'answer' is 'C', not the letter"),
        ("corpus", [CORPUS | {"options": "ab"}], "row 1: 'options' must be a list"),
        ("corpus", [CORPUS | {"options": ["a"]}], "row 1: 'options' must be a list of 2 to 26"),
        ("corpus", [CORPUS | {"video": 5}], "row 1: 'video' must be"),
        ("corpus", [CORPUS | {"evidence": [5]}], "row 1: not a JSON object"),
        ("corpus", [CORPUS | {"evidence": [{"start_s": "x", "end_s": 1}]}], "row 1: 'start_s' must be a number"),
        ("corpus", [CORPUS | {"evidence": [{"start_s": 3, "end_s": 1}]}], "no interval"),
        ("corpus", [{"id": "x"}], "row 1: 'options' is missing"),
        ("corpus", [], "holds no questions"),
        ("corpus", {"id": "x"}, "line 1: 'options' is missing"),
        ("videomme", [MME, {"video_id": "002", "questions": 5}], "row 2: 'questions' must be a list"),
        ("videomme", [MME, MME], "row 2: the video '001' came before"),
        ("videomme", [MME | {"questions": [{"question_id": "x"}]}], "row 1, question 1: 'options' is missing"),
        ("videomme", [MME | {"questions": [5]}], "row 1, question"),
        ("videomme", ["x"], "row 1: not a JSON object"),
        ("mlvu", [MLVU | {"answer": "A fork"}], "row 1: 'answer' is none of the candidates"),
        ("mlvu", [{"question_type": "summary"}], "row 1: 'video' is missing"),
        ("mlvu", [MLVU | {"duration": "long"}], "row 1: 'duration' must be a number"),
        ("longvideobench", [LVB | {"correct_choice": 5}], "row 1: 'correct_choice' is 5; there are 5 candidates"),
        ("longvideobench", [LVB | {"correct_choice": "B"}], "row 1: 'correct_choice' must be a number"),
        ("longvideobench", [LVB | {"candidates": None}], "row 1: 'candidates' must be a list of 2"),
    ],
)
def test_a_row_that_does_not_fit_is_one_line(name: str, rows: Any, said: str, tmp_path: Path) -> None:
    """It names the file, the row and what is wrong."""
    path = written(tmp_path / "questions.json", rows)
    with pytest.raises(UsageError) as e:
        READERS[name](path)
    assert str(path) in str(e.value) and said in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [b"", b"{", b"[1", b"\xff\xfe", b"[" * 100_000, b"5", b"null"])
def test_a_file_that_is_none(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="questions.json"):
        READERS[name](path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for reader in READERS.values():
        with pytest.raises(UsageError, match="missing.json"):
            reader(tmp_path / "missing.json")
    with pytest.raises(UsageError, match="not a file of questions"):
        (tmp_path / "q.parquet").write_text("no table")
        videomme(tmp_path / "q.parquet")


BROKEN_ARMS: dict[str, tuple[str, str]] = {
    "not TOML": ("[arms", "not valid TOML"),
    "unknown section": ("[weapons.x]", "unknown section 'weapons'"),
    "unknown key": ("[arms.x]\ncolour = 'red'", "unknown option 'colour'"),
    "a name that is a path": ("[arms.'../x']", "is no name of an arm"),
    "not a list": ("[arms.x]\nset = 'a=b'", "arms.x.set"),
    "unknown control": ("[arms.x]\ncontrol = 'deaf'", "arms.x.control"),
}


@pytest.mark.parametrize("case", BROKEN_ARMS)
def test_a_broken_file_of_arms(case: str, tmp_path: Path) -> None:
    text, said = BROKEN_ARMS[case]
    (tmp_path / "more.toml").write_text(text)
    with pytest.raises(OptionError, match="more.toml") as e:
        arms.load(tmp_path / "more.toml")
    assert said in str(e.value)


def test_every_shipped_arm_fits_the_profile() -> None:
    from vidrag.jobs import profile

    known = arms.load()
    assert {"frames", "subtitles", "ours", "ours-subtitles", "blind", "form"} <= {*known}
    prints = {a.name: profile.load(overrides=a.options.set).fingerprint() for a in known.values()}
    changed = [n for n, a in known.items() if a.group == "ablations"]
    assert len({prints[n] for n in [*changed, "ours"]}) == len(changed) + 1, "an ablation changes nothing"


def test_arms_are_chosen_by_name_and_by_group(tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text("[ablations.mine]\nset = ['context.rows=2']\n[arms.ours]\ntitle = 'other'\n")
    known: Callable[..., Any] = arms.load
    mine = known(tmp_path / "more.toml")
    assert mine["ours"].title == "other"
    assert [a.name for a in arms.choose(mine, ["mine", "ours"])] == ["ours", "mine"]
    assert "mine" in [a.name for a in arms.choose(mine, ["ablations"])]
    with pytest.raises(UsageError, match="no arm 'theirs'; known: all, arms, ablations, form"):
        arms.choose(mine, ["theirs"])
