"""The chat engine ``transformers``: real classes, processors and templates; models that say what they are told to."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import random_chat  # noqa: E402
from engine_tools import chained_chat, harmed  # noqa: E402
from random_chat import KINDS, SAID, SEEING  # noqa: E402
from vidrag.query.answer.answering import draft_of  # noqa: E402
from vidrag.query.answer.models import TooMuch  # noqa: E402
from vidrag.query.answer.models.remembered import RememberingModel, ReplyCache  # noqa: E402
from vidrag.query.answer.prompts import answer  # noqa: E402
from vidrag.query.types import Message, Task  # noqa: E402
from vidrag.store import engines  # noqa: E402
from vidrag.store.errors import EngineFailed, EngineMissing, ModelMissing, OptionError  # noqa: E402
from vidrag.store.records import Evidence  # noqa: E402
from vidrag.store.weights import models  # noqa: E402
from world import VIDRAG  # noqa: E402

ROWS = tuple(
    Evidence(f"E{i}", "speech", "0" * 16, "talk.mp4", i, i + 1, f"The lockers of floor {i} are blue.", 1, i)
    for i in range(1, 9)
)
OPTIONS = ("in the cafe", "next to the blue staircase", "on the roof")
JPEGS = [
    bytes(cv2.imencode(".jpg", np.random.default_rng(i).integers(0, 255, (90 + i, 160, 3), np.uint8))[1])
    for i in range(16)
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(models, "_offline", True)


def engine(kind: str = "qwen2_5_vl", **options: Any) -> Any:
    return engines.load("chat", "transformers", {"model": str(chained_chat(kind)), **options})


def asked(pictures: int = 0) -> list[Message]:
    return [
        Message(role="system", text="Be brief."),
        Message(role="user", text="What is this?", images=tuple(JPEGS[:pictures])),
    ]


def looking(pictures: int, rows: int = 2, options: Sequence[str] = ()) -> Task:
    shown = tuple((f"00:{i:02}", JPEGS[i]) for i in range(pictures))
    return Task(question="Where are the lockers?", options=tuple(options), evidence=ROWS[:rows], pictures=shown)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers(kind: str) -> None:
    """Pictures make the prompt longer where the model sees; the text comes whole and in pieces."""
    made, told = engine(kind), list[str]()
    assert made.looks is (kind in SEEING) and made.frames == 32
    blind, seeing = made.complete(asked()), made.complete(asked(3), tell=told.append)
    assert blind.text == seeing.text == "".join(told) == SAID and len(told) > 1
    assert (seeing.read > blind.read) is made.looks and seeing.written == 2 and not seeing.cut
    first = made.first_token(asked(1))
    assert first.top["B"] == pytest.approx(0.27, abs=0.03) and sum(first.top.values()) <= 1.001 and first.written == 1


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "llava_onevision", "llama"])
def test_an_answer_is_a_draft(kind: str) -> None:
    made = engine(kind)
    free = draft_of(made, looking(4))
    assert free.text == "Next to the blue staircase." and "E2" in free.citations and free.usage.calls == 1
    chosen = draft_of(made, looking(4, options=OPTIONS))
    assert chosen.scores and chosen.usage.calls >= 2 and chosen.choice is not None


def test_pictures_reach_the_model_as_they_are_stored() -> None:
    """One set of tensors a picture, in order, made smaller where they have too many pixels."""
    made = engine("qwen2_vl", max_pixels=160 * 100)
    read, count = made._read(asked(3), 10)
    assert count == 3 and len(read["image_grid_thw"]) == 3
    small, _ = engine("qwen2_vl", max_pixels=2048)._read(asked(3), 10)
    assert small["pixel_values"].shape[0] < read["pixel_values"].shape[0]
    other, _ = made._read([Message(role="user", text="What is this?", images=tuple(JPEGS[4:7]))], 10)
    assert not torch.equal(other["pixel_values"][:4], read["pixel_values"][:4])


@pytest.mark.parametrize("kind", SEEING)
def test_what_is_in_the_pictures_matters(kind: str, tmp_path: Path) -> None:
    """With random weights throughout: other pictures, or the same in another order, are other probabilities."""
    made = engines.load("chat", "transformers", {"model": str(random_chat.saved(tmp_path / "m", kind, live=True))})

    def shares(*pictures: bytes) -> dict[str, float]:
        found: dict[str, float] = made.first_token([Message(role="user", text="What is this?", images=pictures)]).top
        return found

    black = bytes(cv2.imencode(".jpg", np.zeros((90, 160, 3), np.uint8))[1])
    first = shares(JPEGS[0], black)
    assert first == shares(JPEGS[0], black)
    assert all(first != other for other in (shares(black, JPEGS[0]), shares(black, black), shares()))


def test_frames_become_one_video_where_the_model_was_taught_so() -> None:
    """LLaVA-OneVision: four tokens a frame here in place of seventeen; pictures of several sizes become alike."""
    as_video, _ = engine("llava_onevision")._read(asked(5), 10)
    as_images, _ = engine("llava_onevision", pictures="images")._read(asked(5), 10)
    assert as_video["pixel_values_videos"].shape[:2] == (1, 5) and "pixel_values" not in as_video
    assert len(as_images["pixel_values"]) == 5
    assert as_video["input_ids"].shape[1] < as_images["input_ids"].shape[1]
    assert engine("llava_onevision", pictures="images").complete(asked(5)).text == SAID
    assert engine("qwen2_vl", pictures="video").complete(asked(4)).text == SAID


def test_pictures_can_be_left_out_and_unreadable_ones_are() -> None:
    made = engine(images=False)
    assert not made.looks and made.complete(asked(3)).read == made.complete(asked()).read
    bad = [Message(role="user", text="What is this?", images=(b"\xff\xd8\xff\xd9", b"no picture", JPEGS[0]))]
    assert engine()._read(bad, 10)[1] == 1


def test_a_template_without_system_messages_gets_one_text(tmp_path: Path) -> None:
    folder = random_chat.saved(tmp_path / "gemma", "qwen2", system=False)
    made = engines.load("chat", "transformers", {"model": str(folder)})
    assert made.complete(asked()).text == SAID
    prompt = made._ready()[1].decode(made._read(asked(), 10)[0]["input_ids"][0])
    assert "user\nBe brief.\n\nWhat is this?" in prompt


def test_a_reply_at_its_limit_is_cut(tmp_path: Path) -> None:
    assert engine().complete(asked(), max_tokens=1).cut
    assert engine(max_new_tokens=1).complete(asked()).cut
    assert not engine().complete(asked(), max_tokens=2).cut


def test_a_prompt_that_is_too_long_loses_pictures_then_rows() -> None:
    """And says so; where a single row is too long the engine fails."""
    with pytest.raises(TooMuch, match="the model takes 512"):
        engine(n_ctx=512, max_new_tokens=20).complete([Message(role="user", text="word " * 600)])
    length = engine()._read(answer(looking(16)), 100)[0]["input_ids"].shape[1]
    assert draft_of(engine(n_ctx=length + 100, max_new_tokens=100), looking(16)).notes == ()
    draft = draft_of(engine(n_ctx=length + 99, max_new_tokens=100), looking(16))
    assert draft.text == "Next to the blue staircase."
    assert any("too much" in n and "answered with 8 pictures" in n for n in draft.notes)
    blind = engine("llama", n_ctx=2000, max_new_tokens=300)
    long = Task(question="Where?", evidence=tuple(_longer(r, 300) for r in ROWS))
    draft = draft_of(blind, long)
    assert any("answered with 2 rows" in n for n in draft.notes)
    with pytest.raises(TooMuch):
        draft_of(blind, Task(question="Where?", evidence=(_longer(ROWS[0], 3000),)))


def _longer(row: Evidence, size: int) -> Evidence:
    from dataclasses import replace

    return replace(row, text="word " * (size // 5))


def test_short_memory_halves_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For good, with a note; without a picture left the rows are halved, and with one row the engine fails."""
    made = engine()
    model, _ = made._ready()
    real, seen = model.generate, list[int]()

    def tight(most: int) -> Callable[..., Any]:
        def generate(**given: Any) -> Any:
            grid = given.get("image_grid_thw")
            seen.append(0 if grid is None else len(grid))
            if seen[-1] > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return real(**given)

        return generate

    monkeypatch.setattr(model, "generate", tight(3))
    draft = draft_of(made, looking(12))
    assert seen == [12, 6, 3] and made.frames == 3 and draft.text == "Next to the blue staircase."
    assert any("out of memory with 12 pictures" in n for n in draft.notes)
    assert any("answered with 3 pictures" in n for n in draft.notes)
    monkeypatch.setattr(model, "generate", tight(-1))
    with pytest.raises(EngineFailed, match="out of memory"):
        draft_of(made, looking(2))


def test_a_model_that_fails_or_is_late_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(timeout_s=1e-6)
    with pytest.raises(EngineFailed, match="time-out"):
        made.complete(asked())
    other = engine()

    def broken(**_: Any) -> Any:
        raise ValueError("shapes\ndo not fit")

    monkeypatch.setattr(other._ready()[0], "generate", broken)
    with pytest.raises(EngineFailed, match="the model failed: ValueError: shapes do not fit"):
        other.complete(asked(1))


@pytest.mark.parametrize("said", ["   ", "I cannot say.", '{"answer": 5}'])
def test_a_reply_that_is_no_answer_fails_as_with_any_model(said: str, tmp_path: Path) -> None:
    made = engines.load("chat", "transformers", {"model": str(random_chat.saved(tmp_path / "m", "llama", said))})
    with pytest.raises(EngineFailed, match="also when asked again"):
        draft_of(made, looking(0))


def test_threads_wait_for_each_other() -> None:
    made, replies = engine(), list[str]()
    working = [threading.Thread(target=lambda: replies.append(made.complete(asked(2)).text)) for _ in range(4)]
    for t in working:
        t.start()
    for t in working:
        t.join()
    assert replies == [SAID] * 4


def test_known_replies_load_no_model(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    first = draft_of(RememberingModel(engine(), cache), looking(4))
    made = engine()
    again = RememberingModel(made, cache)
    assert again.frames == 32 and draft_of(again, looking(4)).text == first.text and made._loaded is None
    changed = engine(max_pixels=2048)
    assert changed.identity != made.identity == engine(device="cpu", timeout_s=5, remember=False).identity


HARMS = ["short", "no weights", "pickle", "no config", "no template", "other", "code", "no tokenizer"]


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "llama"])
@pytest.mark.parametrize("harm", HARMS)
def test_damaged_folders_are_told_in_one_line(kind: str, harm: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(chained_chat(kind), folder)
    if harmed(folder, harm):
        pass
    elif harm == "no template":
        (folder / "chat_template.jinja").unlink()
    elif harm == "other":
        shutil.copy(chained_chat("qwen2_vl" if kind in SEEING else "qwen2") / "config.json", folder)
    else:
        (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelMissing) as caught:
        engines.load("chat", "transformers", {"model": str(folder)}).complete(asked())
    told = str(caught.value)
    assert str(folder) in told and "\n" not in told and len(told) < 700
    expected = {"pickle": "cannot load it", "other": "weights", "code": "remote_code", "no template": "chat"}
    assert expected.get(harm, "") in told


def test_devices_and_accelerate_that_are_not_there() -> None:
    with pytest.raises(EngineMissing, match="device 'cuda:7' is not there"):
        engine(device="cuda:7")
    with pytest.raises(OptionError, match="device_map"):
        engine(device_map="disk")
    try:
        import accelerate  # noqa: F401
    except ImportError:
        with pytest.raises(EngineMissing, match="pip install accelerate"):
            engine(device_map="auto").complete(asked())


def test_half_precision_on_the_cpu() -> None:
    assert engine(dtype="bfloat16").complete(asked(2)).text == SAID


@pytest.fixture(scope="module")
def indexed(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the bundled sample, made by the command."""
    archive = tmp_path_factory.mktemp("sample") / "archive"
    made = subprocess.run(
        [VIDRAG, "--offline", "ingest", archive, sample, "--no-ray"], capture_output=True, text=True, timeout=250
    )
    if made.returncode == 5:
        pytest.skip(f"the engines of the embedded profile are not all installed: {made.stderr}")
    assert made.returncode == 0, made.stderr
    return archive


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen2"])
def test_the_command_asks_the_model(kind: str, indexed: Path, no_network: None) -> None:
    """The whole way, with pictures from the archive, though the video could be gone."""
    options = [f"chat.model={chained_chat(kind)}", "chat.frames=12"]
    ran = subprocess.run(
        [VIDRAG, "--offline", "ask", indexed, "Where are the lockers?", "--json", "--set", "chat=transformers"]
        + [a for o in options for a in ("--set", o)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["answer"] == "Next to the blue staircase." and told["citations"]
    assert ran.stderr == "" and not any("evidence alone" in n for n in told["notes"])


def test_as_many_pictures_as_are_wanted_reach_the_model(indexed: Path) -> None:
    from vidrag.jobs import build, profile
    from vidrag.store.archive.archive import Archive

    for wanted in (0, 8, 14, 256):
        chosen = profile.load(
            "embedded", ["chat=transformers", f"chat.model={chained_chat('qwen2')}", f"chat.frames={wanted}"]
        )
        asker = build.asker(Archive.open(indexed), chosen)
        asker.chat.looks = True
        task = asker.prepare("Where are the lockers?").task
        stored = len(asker.archive.shard(asker.archive.find("sample.mp4")).frames)
        rows = {e.id for e in task.evidence if e.frame is not None}
        assert len(task.pictures) == min(wanted, stored) if wanted else len(task.pictures) <= len(rows)
        assert all(name in rows or ":" in name for name, _ in task.pictures)
