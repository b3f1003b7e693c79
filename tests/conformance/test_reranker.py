"""Every re-ranker keeps the promises of ``Reranker``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_tools import loaded, names
from vidrag.query.find.rerankers import Reranker

TEXTS = ["the locker is blue", "", "4719", "the locker on the second floor has the code 4719", "日本語", "x " * 3000]
QUESTION = "What is the code of the locker?"


@pytest.fixture(scope="module", params=names("reranker"))
def engine(request: pytest.FixtureRequest) -> Any:
    return loaded("reranker", request.param)


def test_the_built_in_and_the_fake_are_there() -> None:
    assert {"none", "cross-encoder", "fake"} <= set(names("reranker"))


def test_it_is_a_reranker(engine: Any) -> None:
    assert isinstance(engine, Reranker)


def test_there_is_a_finite_score_for_each_text(engine: Any) -> None:
    found = engine.scores(QUESTION, TEXTS)
    assert found.shape == (len(TEXTS),) and found.dtype == np.float32 and np.isfinite(found).all()
    assert engine.scores(QUESTION, []).shape == (0,)
    assert engine.scores("", TEXTS[:1]).shape == (1,)


def test_the_same_texts_score_the_same(engine: Any) -> None:
    assert np.allclose(engine.scores(QUESTION, TEXTS), engine.scores(QUESTION, TEXTS), atol=1e-5)


def test_a_text_scores_by_itself(engine: Any) -> None:
    if not engine.identity:
        pytest.skip("ranks nothing again: keeps the order it is given")
    together, turned = engine.scores(QUESTION, TEXTS), engine.scores(QUESTION, TEXTS[::-1])
    assert np.allclose(together, turned[::-1], atol=1e-4)
