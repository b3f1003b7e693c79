"""What a question encodes: nothing that no stored row or picture is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from vidrag.query.answer.context import ContextOptions, merge
from vidrag.query.find.encoding import encode, own_request
from vidrag.query.types import Candidate, Request
from vidrag.query.understand.decouple import by_rules
from vidrag.store.encoders import EncoderSpec
from vidrag.store.vectors import Vectors, normalised
from vidrag_fakes import FakeImageTextEncoder, FakeImageTextEncoderOptions, FakeTextEncoder, FakeTextEncoderOptions

ASKED = "How many bottles are on the red table?"
OPTIONS = ("three", "four")


class Noting:
    """Fake encoders that keep what they encode."""

    def __init__(self) -> None:
        self.texts = FakeTextEncoder(FakeTextEncoderOptions())
        self.pictures = FakeImageTextEncoder(FakeImageTextEncoderOptions())
        self.encoded: list[str] = []
        for encoder in (self.texts, self.pictures):
            encoder.queries = self._noted(encoder.queries)  # type: ignore[method-assign]

    def _noted(self, queries: object) -> object:
        def noted(texts: Sequence[str]) -> Vectors:
            self.encoded += texts
            return queries(texts)  # type: ignore[operator, no-any-return]

        return noted

    @property
    def spec(self) -> EncoderSpec:
        return self.pictures.spec


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("looks", [False, True])
def test_only_what_is_compared_is_encoded(written: bool, looks: bool) -> None:
    to, request = Noting(), by_rules(ASKED)
    assert request.det and request.captions
    found = encode(ASKED, request, OPTIONS, to.texts, to.pictures, written, looks)
    things = request.det if written else ()
    looked = [*request.captions, "a photo of three", "a photo of four"] if looks else []
    assert to.encoded == [ASKED, *things, *looked]
    alone = FakeTextEncoder(FakeTextEncoderOptions()).queries([ASKED, *things])
    assert np.allclose(found.queries["speech"], alone[0])
    assert np.allclose(found.queries["text"], normalised(alone.mean(0)))
    assert found.captions.shape == (len(request.captions) if looks else 0, to.spec.dim)
    assert found.pictures.shape == (len(OPTIONS) if looks else 0, to.spec.dim)


def test_a_request_in_other_words_is_encoded() -> None:
    """One by rules is the question's own words; one that a model wrote says more."""
    question = "What does the speaker  say about the old mill?"
    assert by_rules(question).asr and own_request(question, by_rules(question)) == []
    assert own_request(question, Request()) == []
    other = Request(asr="the watermill was repaired")
    assert own_request(question, other) == ["the watermill was repaired"]
    to = Noting()
    found = encode(question, other, (), to.texts, to.pictures, written=False, looks=False)
    alone = FakeTextEncoder(FakeTextEncoderOptions()).queries([question, "the watermill was repaired"])
    assert np.allclose(found.queries["speech"], normalised(alone.mean(0)))
    assert np.allclose(found.queries["text"], alone[0])


@pytest.mark.parametrize("tokens", [60, 100, 200, 5000])
@pytest.mark.parametrize("rows", [2, 16])
def test_a_budget_that_is_ample_is_not_counted(tokens: int, rows: int) -> None:
    """The rows are the same as if every one had been counted."""
    told = [
        Candidate(
            kind="speech",
            video="a",
            name="a.mp4",
            start=float(i),
            end=i + 1.0,
            text="word " * (i % 3 * 9 + 1),
            score=1.0,
        )
        for i in range(9)
    ]
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return len(text.split())

    found = merge(told, ["a"], count, ContextOptions(tokens=tokens, rows=rows))
    left, wanted = tokens, []
    for c in told:
        if (cost := len(c.text.split()) + 24) <= left and len(wanted) < rows:
            wanted.append(c)
            left -= cost
    assert [c for _, c in found] == wanted
    assert bool(counted) == (tokens < 5000 and not (tokens == 200 and rows == 2))
