"""Intervals, paired tests, the guesser that sees no video, the scores of single questions, and the curve of silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from vidrag.jobs.answers.compare import mcnemar
from vidrag.jobs.evaluate import score, stats
from vidrag.jobs.evaluate.controls import FormGuesser
from vidrag.jobs.evaluate.dataset import Place, Question
from vidrag.jobs.evaluate.fit import WITHHELD, Example, fit, report, silence
from vidrag.query.find.retrieve import SURE, likely
from vidrag.query.types import Grounds
from vidrag.store.records import Span


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 5, 1.0),
        (8, 1, 0.0390625),
        (1, 8, 0.0390625),
        (10, 0, 2 / 1024),
        (3, 9, 0.14599609),
    ],
)
def test_mcnemar(gained: int, lost: int, p: float) -> None:
    """Against binomial tails worked out by hand."""
    assert mcnemar(gained, lost) == pytest.approx(p)


def test_mcnemar_of_many() -> None:
    assert 0 < mcnemar(1500, 1200) < 1e-8


def test_the_interval_is_that_of_plain_resampling() -> None:
    values = [1.0] * 37 + [0.0] * 23
    rng = np.random.default_rng(5)
    plain = rng.choice(values, (20_000, len(values))).mean(1)
    found = stats.mean(values)
    assert found and found.value == pytest.approx(37 / 60)
    assert (found.low, found.high) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.018)


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    rng, held = np.random.default_rng(1), 0
    for i in range(300):
        found = stats.mean([float(x) for x in rng.random(80) < 0.7], seed=i)
        held += bool(found and found.low <= 0.7 <= found.high)
    assert 0.9 <= held / 300 <= 0.99


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    assert stats.mean(values, 3) == stats.mean(values, 3)
    assert stats.median([0.1, 0.5, 2.0, 4.0], 3) == stats.median([0.1, 0.5, 2.0, 4.0], 3)


def test_all_right_is_not_certain() -> None:
    """8 of 8: the exact 95 % bound is 0.631."""
    all_right, all_wrong = stats.mean([1.0] * 8), stats.mean([0.0] * 8)
    assert all_right and all_wrong
    assert (all_right.low, all_right.high) == pytest.approx((0.6306, 1.0), abs=1e-4)
    assert (all_wrong.low, all_wrong.high) == pytest.approx((0.0, 0.3694), abs=1e-4)


def test_nothing_has_no_estimate() -> None:
    assert stats.mean([]) is stats.median([]) is stats.paired([], []) is None


def test_a_paired_difference() -> None:
    found = stats.paired([1, 1, 1, 0, 1, 0], [1, 0, 0, 1, 0, 0])
    assert found and (found.value, found.gained, found.lost, found.n) == (pytest.approx(2 / 6), 3, 1, 6)
    assert found.low < 0 < found.high and found.p == pytest.approx(0.625)
    assert (other := stats.paired([0.25], [0.5])) and other.p is None


def question(i: int, options: list[str], right: int, evidence: tuple[Place, ...] = ()) -> Question:
    return Question(f"q{i}", "What?", tuple(options), "ABCD"[right], None, {}, evidence)


def guessed(questions: list[Question]) -> float:
    guesser = FormGuesser(questions)
    return float(np.mean([guesser.guess(q)["choice"] == q.answer for q in questions]))


def made_up(seed: int, right: str, n: int = 300) -> list[Question]:
    """Random options of which the right one is random, or the longest."""
    rng, out = np.random.default_rng(seed), []
    for i in range(n):
        lengths = rng.permutation([3, 9, 17, 28])
        at = int(np.argmax(lengths)) if right == "longest" else int(rng.integers(4))
        out.append(question(i, ["x" * int(n) for n in lengths], at))
    return out


def test_the_guesser_finds_a_bias_of_length() -> None:
    assert guessed(made_up(0, "longest")) > 0.97


def test_the_guesser_finds_nothing_where_nothing_is() -> None:
    shares = [guessed(made_up(seed, "random")) for seed in range(5)]
    assert 0.18 < np.mean(shares) < 0.3


def test_the_guesser_finds_that_not_said_is_never_right() -> None:
    rng, out = np.random.default_rng(2), []
    for i in range(200):
        options = ["one thing", "two thing", "the videos do not say", "six thing"]
        order = rng.permutation(4).tolist()
        right = int(rng.choice([j for j in range(4) if order[j] != 2]))
        out.append(question(i, [options[k] for k in order], right))
    guesser = FormGuesser(out)
    assert not any("not say" in guesser.guess(q)["answer"] for q in out)


def test_no_question_learns_from_its_own_answer() -> None:
    """Whatever its right letter is, the guess is the same."""
    questions = made_up(3, "random", 40)
    for letter in range(4):
        changed = [question(0, list(questions[0].options), letter), *questions[1:]]
        guess = FormGuesser(changed).guess(changed[0])["choice"]
        assert guess == FormGuesser(questions).guess(questions[0])["choice"]


def row(i: int, name: str, start: float, end: float, rank: int) -> dict[str, Any]:
    return {"id": f"E{i}", "name": name, "start": start, "end": end, "rank": rank}


PLACES = (Place("a.mp4", "asr", Span(10, 12)), Place("b.mp4", "ocr", Span(5, 8)))


def answer(choice: str | None, cited: list[str], rows: list[dict[str, Any]], abstained: bool = False) -> dict[str, Any]:
    return {"answer": {"choice": choice, "abstained": abstained, "citations": cited, "evidence": rows}}


def test_a_scored_answer() -> None:
    """The row of the second video is only the sixth best; the cited one starts half a second early."""
    rows = [row(1, "a.mp4", 9.5, 11, 1), *(row(i, "c.mp4", 0, 1, i) for i in range(2, 6)), row(6, "b.mp4", 0, 5.1, 6)]
    found = score.score(question(1, ["one", "two"], 0, PLACES), answer("A", ["E1"], rows), True)
    assert found == {
        "right": 1.0,
        "any_at_5": 1.0,
        "all_at_5": 0.0,
        "start_error_s": 0.5,
        "not_said_precision": None,
        "not_said_recall": None,
        "videos_cited": 0.0,
        "videos_at_5": 0.0,
        "judged": None,
        "seconds": None,
        "tokens": None,
    }
    timed = answer("A", [], rows)
    timed["answer"] |= {"timings": {"total": 0.25}, "tokens": 300}
    told = score.score(question(1, ["one", "two"], 0, PLACES), timed, True)
    assert (told["seconds"], told["tokens"]) == (0.25, 300)
    both = score.score(question(1, ["one", "two"], 0, PLACES), answer("A", ["E1", "E6"], rows), True)
    assert (both["videos_cited"], both["start_error_s"]) == (1.0, 0.5)


def test_rows_that_only_touch_the_proof_do_not_count() -> None:
    found = score.score(question(1, ["x", "y"], 0, PLACES[:1]), answer("B", [], [row(1, "a.mp4", 12, 14, 1)]), True)
    assert (found["any_at_5"], found["right"], found["videos_cited"]) == (0.0, 0.0, None)


def test_not_said() -> None:
    """Recall counts questions without proof, precision answers that say so; an abstention without a choice counts."""
    options = ["one", "the videos do not say"]
    no_proof, proof = question(1, options, 1), question(2, options, 0, PLACES[:1])
    kinds = ("not_said_precision", "not_said_recall")
    for of, told, expected in (
        (no_proof, answer("B", [], []), [1.0, 1.0]),
        (no_proof, answer("A", [], []), [None, 0.0]),
        (no_proof, answer(None, [], [], abstained=True), [1.0, 1.0]),
        (proof, answer("B", [], []), [0.0, None]),
        (proof, answer("A", [], []), [None, None]),
    ):
        found = score.score(of, told, True)
        assert [found[k] for k in kinds] == expected


def test_an_error_is_a_wrong_answer_without_evidence() -> None:
    found = score.score(question(1, ["x", "y"], 0, PLACES[:1]), {"error": {"type": "x", "message": "y"}}, True)
    assert (found["right"], found["any_at_5"], found["start_error_s"]) == (0.0, 0.0, None)


def asked(near: float, held: float, answerable: bool, of: str = "a", way: str = "", few: float = 0.0) -> Example:
    way = way or ("named" if answerable else "elsewhere")
    grounds = Grounds(near=near, held=held, few=few)
    return Example(set=of, way=way, grounds=grounds, answerable=answerable)  # type: ignore[arg-type]


def changed(data: list[Example], **by: Callable[[Grounds], float]) -> list[Example]:
    """The same questions on other grounds."""
    return [replace(e, grounds=replace(e.grounds, **{k: f(e.grounds) for k, f in by.items()})) for e in data]


def questions_of(seed: int, n: int = 100, of: str = "a") -> list[Example]:
    """As many whose rows lie near and hold their words as others whose rows do neither."""
    rng = np.random.default_rng(seed)
    right = [asked(rng.normal(3.5, 0.5), rng.uniform(0.6, 1), True, of) for _ in range(n)]
    return right + [asked(rng.normal(1.5, 0.5), rng.uniform(0, 0.4), False, of) for _ in range(n)]


def test_the_curve_tells_what_is_answered_from_what_is_not() -> None:
    near, held, few, offset = curve = fit(questions_of(0))
    assert few == SURE[2] and near > 0 and held > 0 and offset < 0
    told = silence(curve, questions_of(1))
    assert told["named"] <= 0.02 and told["elsewhere, right"] >= 0.98


def test_nearness_and_words_never_speak_against_an_answer() -> None:
    """Whatever the data say: what would have a negative weight has none."""
    turned = changed(questions_of(0), near=lambda g: -g.near)
    near, held, *_ = fit(turned)
    assert near == 0 and held > 0
    turned = changed(questions_of(0), held=lambda g: -g.held)
    near, held, *_ = fit(turned)
    assert near > 0 and held == 0
    near, held, _, offset = fit(changed(questions_of(0), near=lambda g: -g.near, held=lambda g: -g.held))
    assert near == held == 0 and offset == pytest.approx(np.log(WITHHELD), abs=1e-3)


def test_what_does_not_differ_has_no_weight() -> None:
    near, held, *_ = fit(changed(questions_of(0), held=lambda g: 0.5))
    assert near > 0 and held == 0


def test_every_set_and_side_weighs_the_same() -> None:
    """A set that is asked ten times as often, or has ten times as many answers, moves the curve hardly any further."""
    few, many = overlapping(2, "a", 0.0), overlapping(3, "b", 2.0)
    plain = fit([*few, *many])
    assert fit([*few, *many * 10]) == pytest.approx(plain, rel=0.03)
    assert fit(many) != pytest.approx(plain, rel=0.1)
    answers = [g for g in few if g.answerable]
    assert fit([*few, *answers * 9]) == pytest.approx(fit(few), rel=0.03)


def overlapping(seed: int, of: str, higher: float) -> list[Example]:
    """Questions that no curve tells apart: all that it can do is to lie in the middle."""
    rng = np.random.default_rng(seed)
    return [
        asked(rng.normal(2 + higher + right, 1), rng.normal(0.4 + 0.2 * right, 0.3), bool(right), of)
        for right in (0, 1)
        for _ in range(200)
    ]


def test_silence_is_told_by_way() -> None:
    """Where it is wrong, by how the question was asked, and where it is right."""
    data = [
        asked(1, 0, True),
        asked(3, 0, True),
        asked(1, 0, True, way="all"),
        asked(1, 0, False),
        asked(3, 0, False),
        asked(1, 0, False, way="all"),
    ]
    assert silence((1.0, 0.0, 0.0, -2.0), data) == {
        "named": 0.5, "all": 1.0, "elsewhere, right": 0.5, "left out, right": 1.0
    }  # fmt: skip


def test_every_set_is_told_with_the_curve_of_the_others() -> None:
    sets = {name: questions_of(seed, 30, name) for seed, name in enumerate("abc")}
    told = report(sets)
    assert [(r["set"], r["curve"]) for r in told] == [
        *((name, curve) for name in "abc" for curve in ("shipped", "without it")), ("all", "of all")
    ]  # fmt: skip
    assert told[1]["values"] == pytest.approx(fit([*sets["b"], *sets["c"]]), abs=1e-3)
    assert all(r["values"] == SURE for r in told if r["curve"] == "shipped")
    assert [r["curve"] for r in report({"a": sets["a"]})] == ["shipped", "of all"]


def test_few_rows_speak_for_an_answer_as_the_shipped_curve_says() -> None:
    """What they tell is not fitted, but taken off what is."""
    told = silence((1.0, 0.0, 2.0, -2.0), [asked(1, 0, True, few=0.4), asked(1, 0, True, few=0.6)])
    assert told == {"named": 0.5}
    plain, few = fit(overlapping(2, "a", 0.0)), fit(changed(overlapping(2, "a", 0.0), few=lambda g: 2.0))
    assert few[:3] == pytest.approx(plain[:3], rel=0.01)
    assert few[3] == pytest.approx(plain[3] - 2 * SURE[2], rel=0.01)


def test_the_shipped_curve_needs_both() -> None:
    """Rows that are near and hold the words answer; of those that have neither none does, however few they are."""
    assert min(SURE[:3]) > 0
    assert likely(Grounds()) < likely(Grounds(few=5)) < 0.01 < 0.5 < likely(Grounds(near=3, held=1))
