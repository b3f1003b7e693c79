"""Batches of answers kept in the archive: stored, asked again, compared, checked."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from chat_server import ChatServer, completion, knowing, serving
from hypothesis import given
from hypothesis import strategies as st
from vidrag.jobs import profile as profiles
from vidrag.jobs.answers import asking, compare
from vidrag.jobs.answers import log as answer_log
from vidrag.jobs.answers import run as batch_run
from vidrag.jobs.answers.batch import Asked
from vidrag.jobs.runs.ledger import new_run
from vidrag.store.archive import maintenance
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import ArchiveDamaged, UsageError
from world import World, clip

ASKED = [
    Asked("a", "What does the red sign say?", ("red sign 37", "blue sign 4", "The videos do not say"), right="A"),
    Asked(7, "What is said with the beep?", (), ("red.mp4",)),
    Asked(None, "How many red balls are shown?", ("one", "two", "none of these"), right="B"),
    Asked("bad", problem="line 4: not valid JSON"),
    Asked("gone", "What?", (), ("nope.mp4",)),
    Asked("odd", "¿飞机 🎬?"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    world = World.make(root)
    clip(root / "in" / "red.mp4", 440, "red")
    clip(root / "in" / "white.mp4", 500, "white")
    assert world.run("ingest", "archive", "in", "--no-ray").returncode == 0
    return world


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """An archive of two videos, to change at will."""
    shutil.copytree(made.root / "archive", tmp_path / "archive")
    shutil.copy(made.root / "fake.toml", tmp_path)
    return World(tmp_path, made.env)


@pytest.fixture
def archive(world: World) -> Archive:
    return Archive.open(world.root / "archive")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as running:
        running.respond = knowing("red sign 37")
        yield running


def nothing(done: int, eta_s: float) -> None:
    return


def ask(archive: Archive, world: World, *changes: str, asked: list[Asked] = ASKED) -> batch_run.Ended:
    table = profiles.table(str(world.root / "fake.toml"), ["chat=extractive", *changes])
    return batch_run.batch(archive, table, asked, None, nothing)


def again(archive: Archive, run: str, *changes: str) -> batch_run.Ended:
    return batch_run.rerun(archive, run, changes, None, nothing)


def counted(ended: batch_run.Ended) -> tuple[int, int, int]:
    return ended.counts.kept, ended.counts.asked, ended.counts.failed


def test_a_batch_is_kept_with_all_that_it_was(archive: Archive, world: World) -> None:
    """Questions, settings, answers, evidence, request, notes, timings, fingerprints; errors too."""
    ended = ask(archive, world, "retrieve.threshold=0.2")
    head, rows = answer_log.read(archive, ended.run)
    assert (head.command, head.questions, head.parent) == ("batch", 6, "")
    assert head.profile["retrieve"] == {"threshold": 0.2} and head.profile["chat"] == {"engine": "extractive"}
    assert asking.questions(rows) == ASKED
    assert [r["error_type"] for r in rows] == [None, None, None, "UsageError", "NoSuchVideo", None]
    first = rows[0]
    assert first["evidence"] and {e["id"] for e in first["evidence"]} >= set(first["citations"])
    told = asking.told(first)
    assert told["id"] == "a" and told["answer"] == first["answer"] and told["fingerprints"]["detector"]
    assert {t["step"] for t in first["timings"]} >= {"encode", "find", "answer"}
    assert json.loads(first["request"]).keys() >= {"asr", "det"}
    assert asking.told(rows[3]) == {
        "id": "bad", "question": "", "error": {"type": "UsageError", "message": "line 4: not valid JSON"}
    }  # fmt: skip
    assert os.listdir(world.root / "archive" / "answers") == [f"{ended.run}.parquet"]
    duck = pq.read_table(world.root / "archive" / "answers" / f"{ended.run}.parquet")
    assert duck.num_rows == 6


def test_nothing_changed_and_nothing_is_asked(archive: Archive, world: World) -> None:
    """Apart from what failed.  The chain of runs names the one that answered."""
    first = ask(archive, world)
    second = again(archive, first.run)
    third = again(archive, second.run)
    assert counted(second) == counted(third) == (4, 2, 2)
    assert {r["kept_from"] for r in answer_log.read(archive, third.run)[1]} == {first.run, ""}
    before, after = (answer_log.read(archive, r)[1] for r in (first.run, third.run))
    assert [asking.told(r) for r in before] == [asking.told(r) for r in after]
    assert answer_log.read(archive, third.run)[0].parent == second.run


@pytest.mark.parametrize("change", ["retrieve.threshold=0.05", "chat.quotes=1", "context.rows=1", "keyframes.count=2"])
def test_a_change_that_matters_asks_again(archive: Archive, world: World, change: str) -> None:
    """With what was detected taken from the cache."""
    first = ask(archive, world)
    second = again(archive, first.run, change)
    assert counted(second) == (0, 6, 2)
    assert second.counts.detected == 0 or change == "keyframes.count=2"


def test_a_change_of_ingest_asks_nothing_again(archive: Archive, world: World) -> None:
    """Answers depend on what is indexed, not on how more would be."""
    first = ask(archive, world)
    assert counted(again(archive, first.run, "sampling.rate=3", "run.attempts=9")) == (4, 2, 2)


def test_what_was_asked_of_one_video_does_not_depend_on_others(archive: Archive, world: World) -> None:
    """A video more or less changes what was asked of all of them."""
    first = ask(archive, world)
    archive.discard(archive.find("white.mp4"))
    assert counted(again(archive, first.run)) == (1, 5, 2)


def test_other_code_asks_again(archive: Archive, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(archive, world)
    monkeypatch.setattr(asking, "code", lambda: "another")
    assert counted(again(archive, first.run))[0] == 0


def test_replies_of_a_model_are_asked_for_once(archive: Archive, world: World, server: ChatServer) -> None:
    """Where a change does not reach the prompt, the answer is made anew from the reply that is kept."""
    model = ("chat=openai", f"chat.base_url={server.url}", "chat.model=m", "chat.retries=0")
    first = ask(archive, world, *model)
    asked = len(server.requests)
    assert asked == first.counts.calls > 4 and first.counts.cached == 0
    assert counted(again(archive, first.run)) == (4, 2, 2)
    second = again(archive, first.run, "search.rrf_k=61")
    assert len(server.requests) == asked
    assert second.counts.calls == second.counts.cached == asked
    more = again(archive, first.run, "chat.rotations=3")
    assert (more.counts.calls - more.counts.cached) == len(server.requests) - asked == 2


def test_an_answer_without_the_model_is_not_kept(archive: Archive, world: World, server: ChatServer) -> None:
    """It was asked for a model's; when the model is back the answer is its own."""
    server.respond = lambda _: (500, "text/plain", "no")
    first = ask(archive, world, "chat=openai", f"chat.base_url={server.url}", "chat.model=m", "chat.retries=0")
    assert sum(bool(r["degraded"]) for r in answer_log.read(archive, first.run)[1]) == 4
    server.respond = knowing("red sign 37")
    second = again(archive, first.run)
    assert counted(second) == (0, 6, 2) and second.counts.calls > 4
    found = compare.compare(*(answer_log.read(archive, r)[1] for r in (first.run, second.run)))
    assert {c.why for c in found.changes} <= {"the model failed before"}


def test_a_stopped_batch_leaves_what_it_had(archive: Archive, world: World) -> None:
    """Listed as not finished; its answers can be read and asked again."""

    def stop(done: int, eta_s: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    table = profiles.table(str(world.root / "fake.toml"), ["chat=extractive"])
    with pytest.raises(KeyboardInterrupt):
        batch_run.batch(archive, table, ASKED, None, stop)
    ((run, finished),) = answer_log.runs(archive)
    path = world.root / "archive" / "answers" / f"{run}.jsonl"
    path.write_bytes(path.read_bytes() + b'{"position": 3, "id"')
    head, rows = answer_log.read(archive, run)
    assert (finished, head.questions, len(rows)) == (False, 6, 3)
    assert counted(again(archive, run)) == (3, 0, 0)


def test_an_archive_that_cannot_be_written_answers_all_the_same(archive: Archive, world: World) -> None:
    (world.root / "archive" / "answers").write_text("in the way")
    ended = ask(archive, world)
    assert counted(ended) == (0, 6, 2)
    assert ended.run == "" and "answers" in ended.problem
    assert maintenance.collect(archive, 0.0, dry_run=True) is not None


def test_a_run_of_others_is_not_believed(archive: Archive, world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A copy of an archive, or a table of answers that somebody has changed: every question is asked again."""
    run = ask(archive, world).run
    assert answer_log.is_own(archive, run)
    shutil.copytree(archive.location, world.root / "from elsewhere")
    foreign = Archive.open(world.root / "from elsewhere")
    again = batch_run.rerun(foreign, run, (), None, nothing)
    assert again.counts.kept == 0 and again.counts.asked > 0
    assert "none of its answers is taken over" in caplog.text
    once_more = batch_run.rerun(foreign, again.run, (), None, nothing)
    assert once_more.counts.kept > 0
    table = Path(archive.location) / "answers" / f"{run}.parquet"
    forged = pq.read_table(table)
    pq.write_table(forged, table)
    assert not answer_log.is_own(archive, run)
    assert batch_run.rerun(archive, run, (), None, nothing).counts.kept == 0


@pytest.mark.parametrize(
    "setting",
    [
        "chat.base_url=http://evil.example/v1",
        "chat.api_key_env=AWS_SECRET_ACCESS_KEY",
        "detector.url=http://evil.example",
        "reranker.remote_code=true",
        "detector.token_env=HOME",
    ],
)
def test_settings_of_others_lead_nowhere(setting: str, archive: Archive, world: World) -> None:
    """Before any engine is made: no prompt and no secret goes to whom a stranger has named, and no code of his runs."""
    section, _, rest = setting.partition(".")
    option, _, value = rest.partition("=")
    run = ask(archive, world).run
    head, rows = answer_log.read(archive, run)
    profile = {**head.profile, section: {**head.profile.get(section, {}), option: value}}
    other = dataclasses.replace(head, run=new_run(), profile=profile)
    with answer_log.AnswerLog(archive, other) as made:
        for row in rows:
            made.add(row)
    shutil.copytree(archive.location, world.root / "from elsewhere")
    foreign = Archive.open(world.root / "from elsewhere")
    with pytest.raises(UsageError, match=rf"not made here by you, and its {section}.{option} is") as e:
        batch_run.rerun(foreign, other.run, (), None, nothing)
    assert "\n" not in str(e.value) and value in str(e.value)


def test_runs_are_found_by_their_beginning(archive: Archive, world: World) -> None:
    with pytest.raises(UsageError, match="vidrag batch"):
        answer_log.find(archive, "last")
    run = ask(archive, world, asked=ASKED[:1]).run
    assert answer_log.find(archive, run[:10]) == answer_log.find(archive, "last") == run
    with pytest.raises(UsageError, match=run):
        answer_log.find(archive, "1999")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["cut", "noise", "text", "another table"])
def test_damaged_answers_are_named_and_set_aside(archive: Archive, world: World, kind: str) -> None:
    good, bad = ask(archive, world).run, ask(archive, world).run
    path = world.root / "archive" / "answers" / f"{bad}.parquet"
    data = path.read_bytes()
    if kind == "another table":
        pq.write_table(pq.read_table(path).drop_columns(["told", "id"]), path)
    else:
        middle = data[:600] + bytes(b ^ 0x55 for b in data[600:700]) + data[700:]
        path.write_bytes({"cut": data[:-50], "noise": middle, "text": b"x" * 99}[kind])
    with pytest.raises(ArchiveDamaged, match=bad):
        answer_log.read(archive, bad)
    ran = world.run("answers", "archive", fake=False)
    assert (ran.returncode, ran.stderr.count("\n")) == (4, 1) and bad in ran.stderr and good in ran.stdout
    ran = world.run("verify", "archive", fake=False)
    assert ran.returncode == 4 and f"damaged: answers/{bad}.parquet" in ran.stdout
    assert (world.root / "archive" / "quarantine" / "answers" / f"{bad}.parquet").exists()
    assert world.run("verify", "archive", fake=False).returncode == 0
    assert world.run("answers", "archive", fake=False).returncode == 0


def test_gc_takes_what_writers_left(archive: Archive, world: World) -> None:
    """And no answers."""
    run = ask(archive, world, asked=ASKED[:1]).run
    (world.root / "archive" / "answers" / f".tmp-{'0123' * 4}").mkdir()
    maintenance.collect(archive, 0.0)
    assert os.listdir(world.root / "archive" / "answers") == [f"{run}.parquet"]


def test_answers_in_object_storage(made: World, bucket: str, tmp_path: Path) -> None:
    """The same there: kept, asked again, checked."""
    from vidrag.jobs import export
    from vidrag.store.archive.archive import video_ids

    local = Archive.open(made.root / "archive")
    export.FORMATS["archive"](local, video_ids(local, None), f"{bucket}/copy")
    archive, world = Archive.open(f"{bucket}/copy"), World(made.root, made.env)
    first = ask(archive, world)
    assert counted(again(archive, first.run)) == (4, 2, 2)
    assert [c.damage for c in maintenance.verify_answers(archive)] == [(), ()]
    assert [f for _, f in answer_log.runs(archive)] == [True, True]


# Comparing


def row(name: str, **more: Any) -> dict[str, Any]:
    base = {
        "id": json.dumps(name), "question": "q", "options": ["x", "y"], "videos": None, "right": "A", "choice": "A",
        "answer": "x", "abstained": False, "error_type": None, "error": None, "request": "{}", "evidence": [],
        "degraded": False, "replies": [],
    }  # fmt: skip
    return base | more


E1 = {"video": "v", "kind": "speech", "start": 1.0, "end": 2.0, "text": "x"}


@pytest.mark.parametrize(
    "more, why",
    [
        ({"choice": "B"}, "another choice from the same rows"),
        ({"choice": "B", "replies": ["B"]}, "another way of answering"),
        ({"choice": "B", "evidence": [E1]}, "other rows (1 new, 0 gone)"),
        ({"choice": "B", "evidence": [E1], "request": '{"asr": "x"}'}, "another request"),
        ({"choice": "B", "degraded": True}, "the model failed after"),
        ({"error_type": "NoSuchVideo", "error": "no video"}, "failed: no video"),
    ],
)
def test_the_first_step_that_differs_is_named(more: dict[str, Any], why: str) -> None:
    found = compare.compare([row("a")], [row("a", **more)])
    assert [c.why for c in found.changes] == [why]
    assert found.changes[0].right == (True, False)
    assert found.right == (0, 1, 0, 0)


def test_the_same_answer_is_no_change() -> None:
    """Whatever led to it."""
    found = compare.compare([row("a")], [row("a", evidence=[E1], replies=["A"])])
    assert (found.changes, found.pairs, found.single, found.p) == ((), 1, 0, 1.0)


def test_questions_are_matched_by_what_they_are() -> None:
    """In any order, also those that repeat; the others are counted."""
    before = [row("a"), row("b"), row("a"), row("c")]
    after = [row("c"), row("a", choice="B"), row("d"), row("a"), row("b", question="another")]
    found = compare.compare(before, after)
    assert (found.pairs, found.single, [c.id for c in found.changes]) == (3, 3, ["a"])


@pytest.mark.parametrize("b, c, p", [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (10, 2, 0.03857421875), (3, 3, 1.0)])
def test_mcnemars_exact_test(b: int, c: int, p: float) -> None:
    """Against values of the binomial distribution worked out by hand."""
    assert compare.mcnemar(b, c) == compare.mcnemar(c, b) == pytest.approx(p, abs=1e-12)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_is_a_probability(b: int, c: int) -> None:
    assert 0 <= compare.mcnemar(b, c) <= 1


# The commands


@pytest.mark.long
def test_the_commands(world: World, server: ChatServer) -> None:
    """batch, answers, rerun and compare as a user runs them; rerun needs no profile file any more."""
    lines = [
        {"id": "a", "question": ASKED[0].question, "options": list(ASKED[0].options), "answer": "A"},
        {"id": "b", "question": "What is seen?"},
    ]
    (world.root / "q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    ran = world.run("batch", "archive", "q.jsonl", "-o", "out.jsonl", "--set", "chat=extractive")
    assert ran.returncode == 0 and "answers: 0 kept, 2 asked (0 failed)" in ran.stderr
    (world.root / "fake.toml").unlink()
    ran = world.run("rerun", "archive", "last", "-o", "again.jsonl", fake=False)
    assert ran.returncode == 0 and "answers: 2 kept, 0 asked" in ran.stderr, ran.stderr
    assert (world.root / "again.jsonl").read_text() == (world.root / "out.jsonl").read_text()
    ran = world.run(
        "rerun", "archive", "last", "--set", "chat=openai", "--set", f"chat.base_url={server.url}", "--set",
        "chat.model=m", fake=False,
    )  # fmt: skip
    assert ran.returncode == 0 and "answers: 0 kept, 2 asked" in ran.stderr, ran.stderr
    told = json.loads(world.run("answers", "archive", "--json", fake=False).stdout)
    assert [(t["command"], t["kept"], t["answers"], t["known"]) for t in told] == [
        ("batch", 0, 2, 1), ("rerun", 2, 2, 1), ("rerun", 0, 2, 1)
    ]  # fmt: skip
    rows = world.run("answers", "archive", told[0]["run"], fake=False).stdout
    assert [json.loads(line)["id"] for line in rows.splitlines()] == ["a", "b"]
    ran = world.run("compare", "archive", told[0]["run"], "last", fake=False)
    assert ran.returncode == 0 and "McNemar" in ran.stdout and "2 questions in both runs" in ran.stdout
    found = json.loads(world.run("compare", "archive", told[0]["run"], "last", "--json", fake=False).stdout)
    assert found["pairs"] == 2 and sum(found["right"]) == 1
    ran = world.run("rerun", "archive", "last", "--set", "retrieve.nope=1", fake=False)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    ran = world.run("compare", "archive", "last", "nope", fake=False)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1


def test_runs_sort_by_their_beginning() -> None:
    """Also those of one second: ``last`` is the one that began last."""
    names = [new_run() for _ in range(500)]
    assert names == sorted(names) and len(set(names)) == len(names)


def test_a_model_that_is_not_there_ends_a_batch(world: World) -> None:
    """No other question would fare better.  Nothing is written but what was asked before."""
    pytest.importorskip("xllamacpp")
    (world.root / "model.gguf").write_bytes(b"GGUF" + b"\0" * 1000)
    (world.root / "q.jsonl").write_text('{"question": "What is said?"}\n')
    ran = world.run("batch", "archive", "q.jsonl", "-o", "out.jsonl", "-s", "chat=local", "-s", "chat.model=model.gguf")
    assert (ran.returncode, ran.stderr.count("\n")) == (5, 1) and "model.gguf" in ran.stderr
    assert not (world.root / "out.jsonl").exists()


def test_half_a_reply_is_no_answer_of_a_batch(archive: Archive, world: World, server: ChatServer) -> None:
    """Every question gets an answer from its evidence, and says why."""
    server.respond = lambda _: completion('{"answer": "half of')
    ended = ask(
        archive,
        world,
        "chat=openai",
        f"chat.base_url={server.url}",
        "chat.model=m",
        "chat.retries=0",
        "chat.logprobs=false",
    )
    rows = answer_log.read(archive, ended.run)[1]
    assert all("no JSON object, also when asked again" in r["notes"][-1] for r in rows if not r["error_type"])
