"""Every text encoder keeps the promises of ``TextEncoder``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_tools import loaded, names
from vidrag.store import engines
from vidrag.store.encoders import EncoderSpec, TextEncoder, check_space
from vidrag.store.errors import SpaceMismatch

TEXTS = (
    "The lockers are next to the blue staircase.",
    "a cat",
    "",
    " \t\n",
    "飞机在跑道上",
    "naïve café 🎬🚀",
    "\x00\x1b[31m",
    "\ud800 half a pair \udfff",
    "word " * 2000,
)
EXACT = 1e-5  # between the same text in different company


@pytest.fixture(scope="module", params=names("text_encoder"))
def engine(request: pytest.FixtureRequest) -> Any:
    return loaded("text_encoder", request.param)


@pytest.fixture(params=["documents", "queries"])
def encode(request: pytest.FixtureRequest, engine: Any) -> Any:
    return getattr(engine, request.param)


def test_the_built_in_and_the_fake_are_there() -> None:
    """The suite runs over the engine of the default profile, the one before it and the plugin."""
    assert {"e5", "minilm", "fake"} <= set(names("text_encoder"))


def test_keeps_the_protocol(engine: Any) -> None:
    assert isinstance(engine, TextEncoder)


def test_vectors_have_the_promised_form(engine: TextEncoder, encode: Any) -> None:
    """float32, one row a text, norm 1: also for empty, odd and very long texts."""
    rows = encode(TEXTS)
    assert rows.dtype == np.float32
    assert rows.shape == (len(TEXTS), engine.spec.dim)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("empty", [[], ()])
def test_no_texts_no_rows(engine: TextEncoder, encode: Any, empty: Any) -> None:
    rows = encode(empty)
    assert rows.shape == (0, engine.spec.dim)
    assert rows.dtype == np.float32


def test_the_same_text_has_the_same_vector(encode: Any) -> None:
    """Whatever stands beside it, and in whatever order."""
    rows = encode(TEXTS)
    assert np.array_equal(encode(TEXTS), rows)
    assert np.allclose(encode(TEXTS[::-1])[::-1], rows, atol=EXACT)
    for text, row in zip(TEXTS, rows, strict=True):
        assert np.allclose(encode([text])[0], row, atol=EXACT)


def test_likeness_is_inner_product(engine: TextEncoder) -> None:
    """A question is nearer to what it is about than to something else."""
    told = engine.documents(["the lockers are next to the blue staircase", "the annual tax report was late"])
    near, far = (engine.queries(["where are the lockers, near which staircase"]) @ told.T)[0]
    assert near > far + 0.1


def test_counts_tokens_without_cutting(engine: TextEncoder) -> None:
    """No special tokens, no truncation."""
    assert engine.count_tokens("") == 0
    once = engine.count_tokens("lockers")
    assert once >= 1
    assert engine.count_tokens("lockers " * 1000) == 1000 * once


@pytest.mark.parametrize(
    "text", ["", "a", ".", "?!…", "x y z", "İstanbul ﷺ ﬃ ½", "한국어", "日本語 1 2 3", "é" * 50, "👩‍👩‍👧", "\u0000\t"]
)
def test_no_text_has_more_tokens_than_bytes(engine: TextEncoder, text: str) -> None:
    """Within one: some tokenizers begin a text with a token of their own."""
    assert engine.count_tokens(text) <= len(text.encode()) + 1


def test_the_spec_names_the_space(engine: TextEncoder) -> None:
    """The spec goes to the manifest as JSON and comes back; another encoder's vectors are refused."""
    told = engine.spec.as_json()
    assert EncoderSpec(**told) == engine.spec
    check_space(told, engine.spec, "x")
    for other in ({**told, "space": "another"}, {**told, "dim": engine.spec.dim + 1}, None):
        with pytest.raises(SpaceMismatch, match="x was embedded with .*vidrag embed"):
            check_space(other, engine.spec, "x")


@pytest.mark.parametrize(
    "name, option", [("fake", {"salt": 1}), ("minilm", {"max_tokens": 64}), ("e5", {"max_tokens": 64})]
)
def test_options_that_change_vectors_change_the_space(name: str, option: dict[str, Any]) -> None:
    """Threads do not; what changes a vector does."""
    plain, same, other = (loaded("text_encoder", name, o).spec.space for o in ({}, {"threads": 2}, option))
    assert plain == same != other
    assert engines.identity("text_encoder", name, {}) == engines.identity("text_encoder", name, {"threads": 2})
