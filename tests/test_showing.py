"""Which stored frames an engine that looks is shown, and what becomes of a prompt that is too much."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vidrag.query.answer import prompts
from vidrag.query.answer.answering import draft_of
from vidrag.query.answer.models import LanguageModel, TooMuch
from vidrag.query.look.showing import shown
from vidrag.query.types import Candidate, Reply, Task
from vidrag.store.records import Evidence, Frame


def shard(name: str, frames: int) -> Any:
    """A video with a frame every ten seconds, whose picture is its name and number."""
    return SimpleNamespace(
        video=name,
        name=f"{name}.mp4",
        frames=[Frame(10.0 * i, 10.0 * i + 10, 640, 360, 0.5, True) for i in range(frames)],
        jpeg=lambda row: f"{name}{row}".encode(),
    )


def rows(*told: tuple[str, int | None]) -> list[tuple[Evidence, Candidate]]:
    """Evidence about a video, with the frame behind it; ranked as given."""
    out = []
    for i, (video, frame) in enumerate(told, 1):
        e = Evidence(f"E{i}", "frame", video, f"{video}.mp4", 0, 1, "cat", 1, i, frame)
        out.append(
            (
                e,
                Candidate(
                    kind="frame", video=video, name=f"{video}.mp4", start=0, end=1, text="cat", score=1, frame=frame
                ),
            )
        )
    return out


def test_frames_of_rows_are_shown_once_each() -> None:
    """In time order, under the row that matters most; and no others where none are wanted."""
    found = shown([shard("a", 9)], rows(("a", 7), ("a", 2), ("a", 7), ("a", None)), 0)
    assert found == (("E2", b"a2"), ("E1", b"a7"))


def test_the_rest_is_spread_over_the_video() -> None:
    found = shown([shard("a", 100)], rows(("a", 50)), 5)
    assert [data for _, data in found] == [b"a0", b"a33", b"a50", b"a66", b"a99"]
    assert [name for name, _ in found] == ["00:00", "05:30", "E1", "11:00", "16:30"]


def test_videos_of_the_evidence_are_shown_by_name() -> None:
    shards = [shard("a", 3), shard("b", 3), shard("c", 3)]
    found = shown(shards, rows(("c", 1), ("a", None)), 20)
    assert [data for _, data in found] == [b"a0", b"a1", b"a2", b"c0", b"c1", b"c2"]
    assert found[0][0] == '"a.mp4" 00:00' and found[4][0] == "E1"
    assert len(shown(shards, [], 4)) == 4 and shown([shard("a", 0)], [], 4) == ()


@given(st.integers(0, 40), st.lists(st.integers(0, 39), max_size=20), st.integers(1, 50))
def test_there_are_as_many_as_wanted_and_no_two_alike(frames: int, at: list[int], most: int) -> None:
    found = shown([shard("a", frames)], rows(*(("a", r) for r in at if r < frames)), most)
    assert len(found) == len({data for _, data in found}) == min(most, frames)


def test_the_prompt_says_what_the_pictures_are() -> None:
    evidence = tuple(e for e, _ in rows(("a", 1), ("a", 2)))
    told = [
        prompts.answer(Task(question="What?", evidence=evidence, pictures=tuple((n, b"") for n in names)))[-1].text
        for names in (("E1", "E2"), ("00:00", "E2"))
    ]
    assert "The pictures are those of rows E1, E2." in told[0]
    assert "The pictures, in order, are those of rows or of other times: 00:00, E2." in told[1]


class Small(LanguageModel):
    """Takes ``pictures`` pictures and ``lines`` rows."""

    def __init__(self, pictures: int, lines: int) -> None:
        self.takes, self.seen, self.notes = (pictures, lines), list[tuple[int, int]](), list[str]()

    def complete(self, messages: Any, *, schema: Any = None, max_tokens: int = 300, tell: Any = None) -> Reply:
        size = len(messages[1].images), messages[1].text.count("\n[E")
        self.seen.append(size)
        if size[0] > self.takes[0] or size[1] > self.takes[1]:
            raise TooMuch("9000 tokens")
        self.notes.append("the model is small")
        return Reply(text='{"citations": ["E1"], "answerable": true, "answer": "a cat"}')


@pytest.mark.parametrize(
    "takes, seen, note",
    [
        ((8, 8), [(8, 8)], ""),
        ((3, 8), [(8, 8), (4, 8), (2, 8)], "with 2 pictures"),
        ((0, 8), [(8, 8), (4, 8), (2, 8), (1, 8), (0, 8)], "without pictures"),
        ((0, 3), [(8, 8), (4, 8), (2, 8), (1, 8), (0, 8), (0, 4), (0, 2)], "with 2 rows"),
    ],
)
def test_a_prompt_that_is_too_much_is_halved(takes: tuple[int, int], seen: list[tuple[int, int]], note: str) -> None:
    """Pictures first, evenly; the note says what is left, beside what the model has to tell."""
    evidence = tuple(e for e, _ in rows(*(("a", i) for i in range(8))))
    model = Small(*takes)
    draft = draft_of(model, Task(question="What?", evidence=evidence, pictures=tuple((e.id, b"x") for e in evidence)))
    assert model.seen == seen and draft.text == "a cat"
    assert [n for n in draft.notes if "too much" in n] == [n for n in draft.notes if note and note in n]
    assert draft.notes[-1] == "the model is small"
    with pytest.raises(TooMuch):
        draft_of(Small(0, 0), Task(question="What?", evidence=evidence))
