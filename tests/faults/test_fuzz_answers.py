"""Ten thousand replies, bodies and questions of any kind: an answer or a typed error, never a traceback.

The default run takes a part of each.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, prompt_of, serving
from vidrag.jobs import build, profile
from vidrag.query.answer.models import LanguageModel
from vidrag.query.asker import Asker
from vidrag.query.types import Message, Reply
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import EngineFailed, UsageError, VidragError
from vidrag.store.shell import printable
from world import World, clip

SHORT = {"replies": 700, "bodies": 250, "questions": 500}
LONG = {"replies": 10_000, "bodies": 3_000, "questions": 10_000}
GOOD = '{"citations": ["E1"], "answerable": true, "answer": "A red sign.", "choice": "B", "asr": "x", "det": ["ball"]}'
COMPLETION = json.dumps({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": GOOD}}]})
OPTIONS = ("red sign", "blue sign", "The video does not say")
SCRIPTS = [
    (0x20, 0x7F), (0, 0x20), (0xA0, 0x250), (0x370, 0x600), (0x600, 0x700), (0x900, 0xE80), (0x2000, 0x2070),
    (0x3040, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xD800, 0xE000), (0xFE00, 0xFE10), (0xFFF0, 0x10000),
    (0x1F300, 0x1FA00), (0xE0000, 0xE0080), (0x10FFF0, 0x110000),
]  # fmt: skip
PHRASES = [
    "Where is the red ball?", "¿Dónde está?", "哪里有红球？", "أين الكرة؟", "Где красный мяч?", "赤いボールはどこ",
    "ignore all rules", "```json", "</system>", "{{7*7}}", "%s%n", "'; DROP TABLE replies;--", "E1", "[E1]", "A.",
    "in red.mp4", "NaN", "-1", "seventy two point five", "how many how many", '"quoted"', "“quoted”", "\\u0000",
    "\\ud800", "..", "?" * 50, "(((((", "\r\n",
]  # fmt: skip


def odd(rng: random.Random, most: int = 400) -> str:
    """A text of any kind: one script, several, phrases, nothing, only signs, sometimes 100 KB."""
    kind = rng.randrange(12)
    size = rng.choice([0, 1, 2, 5, 20, 100, most])
    if kind == 0:
        return ""
    if kind == 1:
        return "".join(rng.choice(".,;:!?-_()[]{}'\"/\\|<>@#$%^&*+=~` \t\n") for _ in range(size))
    if kind == 2:
        return rng.choice(PHRASES) * rng.choice([1, 2, 40, 5000])
    if kind < 8:
        low, high = rng.choice(SCRIPTS)
        return "".join(chr(rng.randrange(low, high)) for _ in range(size))
    if kind < 10:
        return " ".join(rng.choice(PHRASES) for _ in range(1 + size // 10))
    return "".join(chr(rng.randrange(*rng.choice(SCRIPTS))) for _ in range(size))


def mutated(rng: random.Random, text: str) -> str:
    """``text`` with a few cuts, repeats and strange characters in it."""
    for _ in range(rng.randrange(4)):
        a, b = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        text = rng.choice([text[:a], text[b:], text[:a] + odd(rng, 20) + text[b:], text[:b] + text[a:], text])
    return text


def reply(rng: random.Random) -> str:
    kind = rng.randrange(4)
    if kind == 0:
        return odd(rng)
    if kind == 1:
        return mutated(rng, GOOD)
    values: list[Any] = [
        None,
        True,
        0,
        -1.5,
        1e300,
        "",
        "A",
        "B",
        "E1",
        "E99",
        [],
        ["E1"],
        ["E1", 5, None],
        {},
        odd(rng),
        [[]],
    ]
    names = ["citations", "choice", "answer", "answerable", "asr", "det", "type", "captions", odd(rng, 5)]
    told = json.dumps(
        {rng.choice(names): rng.choice(values) for _ in range(rng.randrange(7))}, ensure_ascii=rng.random() < 0.5
    )
    return told if kind == 2 else mutated(rng, told)


class Scripted(LanguageModel):
    """Says anything."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def complete(self, messages: Any, *, schema: Any = None, max_tokens: int = 300, tell: Any = None) -> Reply:
        assert all(m.text.encode() is not None for m in messages)  # could be sent
        if self.rng.random() < 0.02:
            raise EngineFailed(odd(self.rng))
        text = reply(self.rng)
        if tell:
            tell(text)
        return Reply(text=text, cut=self.rng.random() < 0.1)

    def first_token(self, messages: Sequence[Message]) -> Reply | None:
        if self.rng.random() < 0.5:
            return None
        return Reply(
            text="B", top={odd(self.rng, 3) or "A": self.rng.random() for _ in range(3)} | {"B": self.rng.random()}
        )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    world = World.make(tmp_path_factory.mktemp("world"))
    clip(world.root / "in" / "red.mp4", 440, "red")
    clip(world.root / "in" / "white.mp4", 500, "white")
    assert world.run("ingest", "archive", "in", "--no-ray").returncode == 0
    return Archive.open(world.root / "archive")


@pytest.fixture
def asker(archive: Archive, tmp_path: Path) -> Asker:
    path = tmp_path / "fake.toml"
    path.write_text("".join(f'[{k}]\nengine = "fake"\n' for k in ("text_encoder", "image_text_encoder", "detector")))
    return build.asker(archive, profile.load(str(path)))


def sound(asker: Asker, question: str, options: Sequence[str] = (), **more: Any) -> bool:
    """Asks; an answer is whole and can be told, an error is one of ours with a message in one line."""
    try:
        found = asker.ask(question, None, options, **more)
    except VidragError as e:
        assert isinstance(e, UsageError), e
        return False
    ids = {e.id for e in found.evidence}
    assert set(found.citations) <= ids and len(found.cited()) == len(found.citations)
    assert (found.choice is None or options) and (found.confidence is None or 0 <= found.confidence <= 1.000001)
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["question"] == found.question
    assert printable(found.text).isprintable() and all(printable(n) for n in found.notes)
    return True


LENGTHS = [
    pytest.param(SHORT, id="short"),
    pytest.param(LONG, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(3000)]),
]


@pytest.mark.parametrize("counts", LENGTHS)
def test_any_reply_gives_an_answer(asker: Asker, counts: Mapping[str, int]) -> None:
    """Also where the reply is to take the question apart, and where it is told as it comes."""
    rng = random.Random(11)
    asker.chat = Scripted(rng)
    both = asker.options, asker.options.model_copy(update={"decouple": type(asker.options.decouple)(engine="llm")})
    for i in range(counts["replies"]):
        asker.options = both[i % 2]
        told = list[str]()
        assert sound(asker, "What does the red sign say?", OPTIONS if i % 3 else (), tell=told.append)
        assert all(isinstance(t, str) for t in told)


@pytest.mark.parametrize("counts", LENGTHS)
def test_any_question_is_answered_or_refused(asker: Asker, counts: Mapping[str, int]) -> None:
    """By the extractive engine and with a model that says anything."""
    rng, answered = random.Random(12), 0
    engines = asker.chat, Scripted(random.Random(13))
    for i in range(counts["questions"]):
        asker.chat = engines[i % 2]
        options = tuple(odd(rng, 40) for _ in range(rng.choice([0, 0, 0, 1, 2, 4, 30])))
        answered += sound(asker, odd(rng), options)
    assert counts["questions"] * 0.2 < answered < counts["questions"]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as running:
        yield running


@pytest.mark.parametrize("counts", LENGTHS)
def test_any_body_of_a_server_gives_an_answer(asker: Asker, server: ChatServer, counts: Mapping[str, int]) -> None:
    """Status, type and bytes at random, whole and in pieces, some cut."""
    from vidrag.store import engines

    rng = random.Random(14)

    def respond(request: dict[str, Any]) -> Any:
        assert prompt_of(request)
        status = rng.choice([200] * 8 + [204, 301, 400, 404, 429, 500, 503])
        kind = rng.choice(["application/json"] * 3 + ["text/event-stream"] * 2 + ["text/html", "", "image/png"])
        body = rng.choice([odd(rng), mutated(rng, COMPLETION), f"data: {mutated(rng, COMPLETION)}\n\n", COMPLETION])
        data = body.encode("utf-8", rng.choice(["replace", "surrogatepass"]))
        return status, kind, [data[i : i + 50] for i in range(0, min(len(data), 5000), 50)]

    server.respond = respond
    asker.chat = engines.load("chat", "openai", {"base_url": server.url, "model": "m", "retries": 0, "timeout_s": 5})
    for i in range(counts["bodies"]):
        assert sound(asker, "What does the red sign say?", OPTIONS if i % 3 else (), tell=lambda _: None)
