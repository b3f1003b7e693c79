"""``vidrag eval`` from the command line: the bundled sample through the real engines, under every kind of arm."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion, obliging, serving
from vidrag.jobs import build, profile
from vidrag.jobs.evaluate import moments, study
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import EngineMissing, ModelMissing
from world import World, until

pytestmark = pytest.mark.long

ARCHIVE, SUBTITLED = "made/talks/archive", "made/talks/subtitled"


def cue(seconds: float) -> str:
    return f"00:{int(seconds // 60):02}:{seconds % 60:06.3f}".replace(".", ",")


@pytest.fixture(scope="module")
def world(sample: Path, truth: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> World:
    """A study of the sample with subtitles made of what is said in it."""
    try:
        build.check(profile.load(), build.INGEST_KINDS)
    except (ModelMissing, EngineMissing) as e:
        pytest.skip(f"the engines of the embedded profile are not all installed: {e}")
    made = World.make(tmp_path_factory.mktemp("eval"))
    folder = made.root / "data" / "talks"
    folder.mkdir(parents=True)
    shutil.copy(sample, folder / "sample.mp4")
    shutil.copy(study.parts(None)[0].questions, folder / "questions.json")
    said = [s for shot in truth["shots"] for s in shot.get("speech", ())]
    cues = [f"{i}\n{cue(s['start'])} --> {cue(s['end'])}\n{s['text']}\n" for i, s in enumerate(said, 1)]
    (folder / "sample.en.srt").write_text("\n".join(cues))
    ran = made.run("eval", "study", "made", "--data", "data", "-a", "arms", "-a", "no-asr", fake=False, timeout=280)
    assert ran.returncode == 0, ran.stderr
    assert "every table: made/report.md" in ran.stdout
    return made


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as found:
        yield found


def questions(world: World) -> str:
    return str(world.root / "data" / "talks" / "questions.json")


def told(world: World, *arguments: str, code: int = 0, **env: str) -> dict[str, Any]:
    """What ``eval corpus ... --json`` prints."""
    ran = world.run("eval", "corpus", ARCHIVE, questions(world), *arguments, "--json", fake=False, **env)
    assert ran.returncode == code, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def traces(folder: Path, arm: str = "ours") -> list[dict[str, Any]]:
    return [json.loads(x) for x in (folder / "traces" / f"{arm}.jsonl").read_text("utf-8").splitlines()]


def results(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.root / "made/talks/results/results.json").read_text())
    return found


def test_every_arm_ran_and_evidence_beats_none(world: World) -> None:
    found = results(world)
    arms = {a["name"]: a for a in found["arms"]}
    assert [*arms] == ["form", "blind", "frames", "subtitles", "ours", "ours-subtitles", "no-asr"]
    assert not any(a["reason"] or a["failed"] or a["notes"] for a in arms.values())
    right = {n: a["table"][0]["right"]["value"] for n, a in arms.items()}
    assert right["ours"] >= 0.6
    assert right["ours"] > max(right["blind"], right["frames"], right["no-asr"])
    assert arms["no-asr"]["against"]["right"]["value"] == pytest.approx(right["no-asr"] - right["ours"], abs=1e-3)
    assert arms["ours"]["against"] is None
    assert arms["ours"]["table"][0]["any_at_5"]["value"] >= 0.9
    assert arms["blind"]["table"][0]["any_at_5"] is None
    modality = {r["group"]: r["questions"] for r in arms["ours"]["table"]}
    assert modality["modality: asr"] == 4 and modality["all"] == 15


def test_arms_use_the_rows_that_they_may(world: World) -> None:
    """And the arms on subtitles ask the archive whose speech came from them."""
    folder = world.root / "made/talks/results"
    kinds = {a: {e["kind"] for t in traces(folder, a) for e in t["answer"]["evidence"]} for a in
             ("frames", "subtitles", "no-asr", "ours", "blind")}  # fmt: skip
    assert kinds["frames"] == {"frame"}
    assert kinds["subtitles"] == {"speech", "frame"}
    assert "speech" not in kinds["no-asr"] and "text" in kinds["no-asr"]
    assert {"speech", "text"} <= kinds["ours"]
    assert kinds["blind"] == set()
    archive = Archive.open(world.root / SUBTITLED)
    (shard,) = archive.shards()
    speech = shard.manifest.cell("speech")
    assert speech and speech.data["source"] == "sidecar"
    assert all(t["archive"].endswith("subtitled") for t in traces(folder, "ours-subtitles"))
    rows = [e for t in traces(folder, "subtitles") for e in t["answer"]["evidence"] if e["kind"] == "speech"]
    assert len(rows) >= 15 * 20  # all of them, for every question


def test_a_trace_tells_everything(world: World) -> None:
    (first, *_) = traces(world.root / "made/talks/results")
    assert {"id", "arm", "fingerprint", "seed", "overrides", "videos", "right", "groups", "answer"} <= {*first}
    assert {"evidence", "request", "notes", "timings", "fingerprints", "choice", "citations"} <= {*first["answer"]}
    assert first["videos"][0]["name"] == "sample.mp4" and first["videos"][0]["version"] >= 1


def test_the_report_has_every_table(world: World) -> None:
    report = (world.root / "made/report.md").read_text("utf-8")
    for part in ("## Right options", "### Arms", "### Ablations", "'ours' by group", "What the arms set", "seed 0"):
        assert part in report


def test_a_finished_study_asks_nothing_again(world: World) -> None:
    before = (world.root / "made/talks/results/traces/ours.jsonl").read_bytes()
    ran = world.run("eval", "study", "made", "--data", "data", "-a", "arms", "-a", "no-asr", fake=False, timeout=200)
    assert ran.returncode == 0, ran.stderr
    assert (world.root / "made/talks/results/traces/ours.jsonl").read_bytes() == before
    assert {a["name"]: a["reused"] for a in results(world)["arms"]}["ours"] == 15
    assert "indexed" not in ran.stderr


def test_only_traces_of_the_same_profile_and_index_are_taken(world: World, tmp_path: Path) -> None:
    """A line that broke off counts as not asked; another option, and another index, ask all of them again."""
    out = tmp_path / "out"

    def reused(*arguments: str) -> int:
        return int(told(world, "-o", str(out), *arguments)["arms"][0]["reused"])

    assert reused() == 0
    file = out / "traces" / "ours.jsonl"
    whole = file.read_text("utf-8")
    file.write_text("".join(line + "\n" for line in whole.splitlines()[:6]) + whole.splitlines()[6][:50], "utf-8")
    assert reused() == 6
    assert [t["id"] for t in traces(out)] == [f"sample-{i:02}" for i in range(1, 16)]
    assert reused() == 15
    assert reused("-s", "retrieve.top_k=3") == 0
    assert reused("-s", "retrieve.top_k=3") == 15
    assert reused() == 0
    file.write_text(file.read_text("utf-8").replace('"content": "', '"content": "0'), "utf-8")
    assert reused() == 15  # what is compared is the fingerprint, not what the trace tells beside it
    ran = world.run("eval", "corpus", SUBTITLED, questions(world), "-o", str(out), "--json", fake=False)
    assert json.loads(ran.stdout)["arms"][0]["reused"] == 0


def test_a_killed_run_goes_on(world: World, server: ChatServer, tmp_path: Path) -> None:
    """Every question is asked of the model once, but for the one in flight when the run was killed."""

    def slow(request: dict[str, Any]) -> Answer:
        time.sleep(0.3)
        return obliging(request)

    server.respond = slow
    env = {"OPENAI_BASE_URL": server.url, "OPENAI_MODEL": "m"}
    out = tmp_path / "out"
    file = out / "traces" / "ours.jsonl"
    arguments = ["eval", "corpus", ARCHIVE, questions(world), "-o", str(out), "-s", "chat=openai"]
    process = world.start(*arguments, **env)
    try:
        until(lambda: file.exists() and file.read_text().count("\n") >= 4)
    finally:
        process.kill()
        process.communicate()
    ran = world.run(*arguments, fake=False, **env)
    assert ran.returncode == 0, ran.stderr
    asked = [t["answer"] for t in traces(out)]
    assert len(asked) == 15
    assert {a["choice"] for a in asked} == {"B"}
    assert 15 <= len(server.requests) <= 18  # and one question of each process whether it tells probabilities


def test_answers_without_the_model_are_not_those_of_the_arm(world: World, server: ChatServer, tmp_path: Path) -> None:
    """They are counted as failed (exit 3), and asked again when the model is back."""
    arguments = ("-o", str(tmp_path / "out"), "-s", "chat=openai", "-s", "chat.retries=0")
    env = {"OPENAI_BASE_URL": server.url, "OPENAI_MODEL": "m"}
    server.respond = lambda _: (500, "text/html", "<p>down")
    down = told(world, *arguments, "-a", "ours", "-a", "blind", code=3, **env)
    assert {a["name"]: a["failed"] for a in down["arms"]} == {"blind": 15, "ours": 15}
    server.respond = obliging
    up = told(world, *arguments, "-a", "ours", "-a", "blind", **env)
    assert {a["name"]: (a["failed"], a["reused"]) for a in up["arms"]} == {"blind": (0, 0), "ours": (0, 0)}
    assert told(world, *arguments, **env)["arms"][0]["reused"] == 15
    other = told(world, *arguments, **{**env, "OPENAI_MODEL": "another"})
    assert other["arms"][0]["reused"] == 0


def mme(video: str, url: str, question: str, options: list[str], answer: str) -> dict[str, Any]:
    asked = {"question_id": f"{video}-1", "task_type": "OCR Problems", "question": question, "response": ""}
    lettered = [f"{'ABCD'[i]}. {o}" for i, o in enumerate(options)]
    return {
        "video_id": video,
        "duration": "short",
        "domain": "Knowledge",
        "sub_category": "Law",
        "url": url,
        "questions": [asked | {"options": lettered, "answer": answer}],
    }


def test_video_mme_with_a_missing_video(world: World, tmp_path: Path) -> None:
    """It is told, not fatal; repeated options are asked once; the submission has the official form."""
    code = ["4719", "4719", "1120", "8.50"]
    rows = [
        mme("001", "sample", "What is the locker code?", code, "A"),
        mme("002", "nowhere1", "What?", ["one", "two", "three", "four"], "B"),
    ]
    (tmp_path / "mme.json").write_text(json.dumps(rows))
    out = tmp_path / "out"
    ran = world.run("eval", "videomme", ARCHIVE, str(tmp_path / "mme.json"), "-o", str(out), fake=False)
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False)
    assert "1 of 2 questions not asked: videos not in" in ran.stdout and "nowhere1" in ran.stdout
    told = json.loads((out / "submission" / "ours.json").read_text())
    assert [(v["video_id"], v["missing"]) for v in told] == [("001", False), ("002", True)]
    assert [v["questions"][0]["response"] for v in told] == ["A", ""]
    assert told[0]["questions"][0]["options"][3] == "D. 8.50"


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        (
            "mlvu",
            {"video": "sample.mkv", "duration": 93, "question": "What is the locker code?", "question_type": "ego",
             "candidates": ["1120", "4719"], "answer": "4719"},
            [{"question_id": "ego_0", "question_type": "ego", "option": "B"}],
        ),
        (
            "longvideobench",
            {"id": "s_0", "video_id": "sample", "video_path": "videos/sample.mp4", "duration_group": 60,
             "question": "What is the locker code?", "candidates": ["1120", "4719"], "correct_choice": 1},
            {"s_0": "B"},
        ),
    ],
)  # fmt: skip
def test_submissions(name: str, row: dict[str, Any], expected: Any, world: World, tmp_path: Path) -> None:
    """A video is found by its name, whatever folder or ending the data set gives it."""
    (tmp_path / "q.json").write_text(json.dumps([row]))
    ran = world.run("eval", name, ARCHIVE, str(tmp_path / "q.json"), "-o", str(tmp_path / "out"), fake=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "out" / "submission" / "ours.json").read_text()) == expected


def test_open_questions_of_mlvu_are_asked_and_kept_for_a_judge(
    world: World, server: ChatServer, tmp_path: Path
) -> None:
    """Controls leave them out; a judge that is named scores them, and a trace that it scored is not judged again."""
    row = {"video": "sample.mp4", "question": "What is the locker code?", "question_type": "ego"}
    options = {"candidates": ["1120", "4719"], "answer": "4719"}
    open_ended = {"question": "Where are the lockers?", "question_type": "sub/plot", "answer": "By the staircase."}
    (tmp_path / "q.json").write_text(json.dumps([row | options, row | open_ended]))
    out = tmp_path / "out"
    server.respond = lambda _: completion('{"score": 0.25}')
    judge = [f"--judge={o}" for o in ("engine=openai", f"base_url={server.url}", "model=m")]
    arguments = ("eval", "mlvu", ARCHIVE, str(tmp_path / "q.json"), "-o", str(out), "-a", "ours", "-a", "form")
    for _ in range(2):
        ran = world.run(*arguments, "--json", *judge, fake=False)
        assert ran.returncode == 0, ran.stderr
    ours, form = (next(a for a in json.loads(ran.stdout)["arms"] if a["name"] == n) for n in ("ours", "form"))
    assert (ours["reused"], form["table"][0]["questions"]) == (2, 1)
    letter, said = traces(out)
    silent = said["answer"]["abstained"]
    assert letter["reference"] is None and said["reference"] == "By the staircase."
    assert said["judged"] == ours["table"][0]["judged"]["value"] == (0 if silent else 0.25)
    assert len(server.requests) == (0 if silent else 1)
    assert [r["question_id"] for r in json.loads((out / "submission" / "ours.json").read_text())] == ["ego_0"]
    (kept,) = json.loads((out / "submission" / "ours.sub-plot.json").read_text())
    question, reference = "Where are the lockers?", "By the staircase."
    assert kept == {"video_name": "sample.mp4", "Q": question, "A": reference, "pred": said["answer"]["answer"]}


def test_an_arm_that_cannot_run_says_why_and_the_others_go_on(world: World, tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text("[arms.odd]\nset = ['retrieve.top_k=0']\n[arms.rows]\nset = ['context.rows=4']")
    arguments = ("--arms", str(tmp_path / "more.toml"), "-a", "odd", "-a", "rows", "-a", "subtitles")
    found = {a["name"]: a for a in told(world, *arguments, code=3)["arms"]}
    assert "retrieve.top_k" in found["odd"]["reason"] and "greater than or equal to 1" in found["odd"]["reason"]
    assert "--subtitled ARCHIVE" in found["subtitles"]["reason"]
    assert found["rows"]["reason"] is None and found["rows"]["table"][0]["questions"] == 15
    same = told(world, "-a", "ours", "-a", "subtitles", "--subtitled", ARCHIVE, code=3)
    assert "no speech from subtitles in it" in same["arms"][0]["reason"]
    assert told(world, "-a", "arms")["arms"], "only for want of subtitles: no failure"


MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "no such file": (["corpus", ARCHIVE, "missing.json"], 2, "missing.json: No such file"),
    "not questions": (["corpus", ARCHIVE, "fake.toml"], 2, "fake.toml: not a file of questions"),
    "another data set": (["mlvu", ARCHIVE, "data/talks/questions.json"], 2, "row 1: 'question_type' is missing"),
    "no archive": (["corpus", "nowhere", "data/talks/questions.json"], 2, "nowhere: no such archive"),
    "no second archive": (["corpus", ARCHIVE, "data/talks/questions.json", "--subtitled", "no"], 2, "no such archive"),
    "unknown arm": (["corpus", ARCHIVE, "data/talks/questions.json", "-a", "theirs"], 2, "no arm 'theirs'"),
    "no file of arms": (["corpus", ARCHIVE, "data/talks/questions.json", "--arms", "no.toml"], 2, "no.toml"),
    "a wrong option": (["corpus", ARCHIVE, "data/talks/questions.json", "-s", "retrieve.x=1"], 2, "option 'x'"),
    "results in a file": (["corpus", ARCHIVE, "data/talks/questions.json", "-o", "fake.toml"], 2, "is a file"),
    "results among others": (["corpus", ARCHIVE, "data/talks/questions.json", "-o", "data"], 2, "has other things"),
    "no videos of these": (["corpus", ARCHIVE, "other.json"], 2, "none of the 1 videos of other.json"),
    "a missing engine": (["corpus", ARCHIVE, "data/talks/questions.json", "-s", "chat=nope", "-o", "new"], 5, "nope"),
    "no data for a study": (["study", "new", "--data", "nowhere"], 2, "nowhere: no such folder"),
    "a study of nothing": (["study", "new", "--data", "made/talks/archive"], 2, "no questions.json"),
    "a study of bad questions": (["study", "new", "--data", "bad"], 2, "row 1: 'options' is missing"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(mistake: str, world: World) -> None:
    row = json.loads(Path(questions(world)).read_text())[0] | {"video": "other.mp4"}
    (world.root / "other.json").write_text(json.dumps([row]))
    (world.root / "bad").mkdir(exist_ok=True)
    (world.root / "bad" / "questions.json").write_text('[{"id": "x"}]')
    arguments, code, said = MISTAKES[mistake]
    ran = world.run("eval", *arguments, fake=False)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr.count("\n") == 1 and said in ran.stderr, ran.stderr
    assert not (world.root / "new").exists()


def test_two_runs_do_not_write_into_one_folder(world: World, tmp_path: Path) -> None:
    from vidrag.jobs.evaluate.traces import results_folder

    with results_folder(tmp_path / "out"):
        ran = world.run("eval", "corpus", ARCHIVE, questions(world), "-o", str(tmp_path / "out"), fake=False)
        assert (ran.returncode, "another run writes there" in ran.stderr) == (2, True)


def test_key_frame_methods_are_compared_at_equal_budgets(world: World) -> None:
    ran = world.run("eval", "keyframes", f"{ARCHIVE}={questions(world)}", "--json", fake=False)
    assert ran.returncode == 0, ran.stderr
    rows = [r for r in json.loads(ran.stdout) if r["modality"] == "all"]
    assert {r["method"] for r in rows} == {*moments.METHODS} and all(0 <= r["recall"]["value"] <= 1 for r in rows)
    for row in rows:
        base = next(r for r in rows if r["count"] == row["count"] and r["method"] == "uniform")
        gain = row["recall"]["value"] - base["recall"]["value"]
        assert row["recall"]["n"] == base["recall"]["n"] and row["over_uniform"]["value"] == pytest.approx(gain)
    shown = world.run("eval", "keyframes", f"{ARCHIVE}={questions(world)}", fake=False).stdout
    assert shown.count("\n") == len(rows) + 1
    ran = world.run("eval", "keyframes", ARCHIVE, fake=False)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1


def test_a_budget_counts_videos_that_have_more_frames() -> None:
    """Where every frame is taken no method is better than another."""
    long = {(m, c): m == "topk" for m in moments.METHODS for c in (8, 16)}
    short = dict.fromkeys(long, True)
    found = [moments.Moment("a", "ocr", 100, long), moments.Moment("b", "asr", 10, short)]
    rows = {(r["modality"], r["count"], r["method"]): r for r in moments.table(found, (8, 16))}
    assert rows["all", 8, "topk"]["recall"]["n"] == 2 and rows["all", 8, "uniform"]["recall"]["value"] == 0.5
    assert rows["all", 16, "topk"]["recall"]["n"] == 1 and rows["all", 16, "topk"]["over_uniform"]["value"] == 1
    assert ("asr", 16, "topk") not in rows and rows["ocr", 8, "paper"]["over_uniform"]["gained"] == 0


def test_the_arms_are_listed(world: World) -> None:
    ran = world.run("eval", "arms", fake=False)
    assert ran.returncode == 0
    assert "retrieve.method=bm25" in ran.stdout and "asks --subtitled" in ran.stdout


def test_a_video_site_s_id_is_not_taken_for_the_beginning_of_ours(world: World) -> None:
    from vidrag.jobs.evaluate.videos import Videos

    archive = Archive.open(world.root / ARCHIVE)
    (video,) = archive.ids()
    videos = Videos(archive)
    assert archive.find(video[:8]) == video
    assert videos.find((video[:8],)) is None
    assert videos.find(("nope", "SAMPLE/sample.webm")) == video == videos.find((video,))


def test_a_study_goes_on_without_a_video_that_is_none(world: World) -> None:
    """Exit 3 and its name; its questions are not asked, and the other folder is as if it were not there."""
    more = world.root / "two" / "broken"
    more.mkdir(parents=True)
    shutil.copytree(world.root / "data" / "talks", world.root / "two" / "talks")
    rows = json.loads(Path(questions(world)).read_text())
    (more / "questions.json").write_text(json.dumps([rows[0], rows[1] | {"id": "other", "video": "text.mp4"}]))
    (more / "text.mp4").write_text("This is not a video.")
    shutil.copy(world.root / "data" / "talks" / "sample.mp4", more / "sample.mp4")
    for part in ("talks", "broken"):  # what is indexed is not indexed again
        shutil.copytree(world.root / ARCHIVE, world.root / "both" / part / "archive")
    ran = world.run("eval", "study", "both", "--data", "two", "-a", "ours", fake=False, timeout=200)
    assert ran.returncode == 3, ran.stderr
    assert "not indexed: text.mp4: media" in ran.stdout and "could not index text.mp4" in ran.stderr
    report = (world.root / "both" / "report.md").read_text()
    assert "## broken: 1 question\n" in report and "## talks: 15 questions" in report
    assert "videos not in" in report and "(text.mp4)" in report
