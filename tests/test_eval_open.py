"""``vidrag eval open``: sets are read with care, scored as worked out by hand, guarded and judged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import Answer, ChatServer, completion, obliging, prompt_of, serving
from vidrag.ingest import media
from vidrag.jobs import build, profile
from vidrag.jobs.evaluate import open_answers, open_sets
from vidrag.jobs.evaluate.dataset import Place
from vidrag.jobs.evaluate.judge import judge_of
from vidrag.jobs.evaluate.open_answers import Asked, guard, holds, score
from vidrag.jobs.evaluate.open_sets import OpenQuestion
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import EngineFailed, EngineMissing, ModelMissing, UsageError
from vidrag.store.records import Span
from world import World

POND = (
    "Good morning everybody.",
    "The pump of the pond stands behind the willow.",
    "We feed the carp at seven in the evening.",
    "Herons come in March and steal the small fish.",
)
KILN = (
    "Hello and welcome to the pottery.",
    "The kiln is fired to one thousand two hundred degrees.",
    "Glaze number KX-77 is blue and costs nine pounds.",
    "The course ends on a Friday with cake.",
)


def question(number: int, text: str, video: str, second: int, **more: Any) -> dict[str, Any]:
    place = {"video": f"{video}.mp4", "start_s": second, "end_s": second + 4}
    other = {"pond": "kiln", "kiln": "pond"}[video]
    told = {"id": f"x-{number}", "question": text, "kind": "fact", "lang": "en", "answerable": True}
    return {**told, "video": f"{video}.mp4", "elsewhere": f"{other}.mp4", "evidence": [place], **more}


QUESTIONS = [
    question(1, "Where is the pump of the pond?", "pond", 5, pattern="WILLOW", reference="Behind the willow."),
    question(2, "When do you feed the carp?", "pond", 10, answer=["at Seven"], kind="time"),
    question(3, "When do herons come?", "pond", 15, pattern="March"),
    question(4, "How hot is the kiln fired?", "kiln", 5, pattern="degrees"),
    question(5, "What does the blue glaze cost?", "kiln", 10, pattern="nine pounds"),
    {"id": "x-6", "question": "Who won the chess match?", "kind": "none", "lang": "de", "answerable": False},
]


def written(folder: Path, rows: Any = QUESTIONS) -> Path:
    """A set of two transcripts; sentences begin every five seconds and last four."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, head, mark, lines in (("pond.srt", "", ",", POND), ("kiln.vtt", "WEBVTT\n\n", ".", KILN)):
        cues = [f"00:00:{5 * i:02}{mark}000 --> 00:00:{5 * i + 4:02}{mark}000\n{s}\n" for i, s in enumerate(lines)]
        (folder / name).write_text(head + "\n".join(cues))
    (folder / "truth.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as found:
        yield found


# Reading


def test_a_set_is_read(tmp_path: Path) -> None:
    found = open_sets.read(str(written(tmp_path / "set")))
    first, second, *_, last = found.questions
    assert (found.name, [*found.transcripts], found.videos) == ("set", ["kiln.mp4", "pond.mp4"], {})
    assert first.places == (Place("pond.mp4", "any", Span(5, 9)),) and first.reference == "Behind the willow."
    assert (second.answers, second.kind, second.pattern) == (("at Seven",), "time", None)
    assert (last.answerable, last.places, last.video, last.lang) == (False, (), None, "de")


@pytest.mark.parametrize(
    "name, count, unanswerable, languages",
    [
        ("natural", 50, 10, {"en", "de", "zh"}),
        ("paraphrased", 61, 8, {"en", "de", "es", "fr"}),
        ("languages", 62, 12, {"hi", "th", "el", "tr", "vi", "ro"}),
    ],
)
def test_the_bundled_sets_are_whole(name: str, count: int, unanswerable: int, languages: set[str]) -> None:
    """Each over six videos; every place lies within its transcript."""
    found = open_sets.read(name)
    assert len(found.questions) == count and sum(not q.answerable for q in found.questions) == unanswerable
    assert len(found.transcripts) == 6 and {q.lang for q in found.questions} == languages
    ends = {name: open_sets.seconds(file) for name, file in found.transcripts.items()}
    assert all(p.span.end <= ends[p.video] + 0.1 for q in found.questions for p in q.places)
    asked = [q for q in found.questions if q.answerable]
    assert all(q.places and q.video and q.elsewhere != q.video for q in asked)
    assert name == "languages" or all(q.pattern for q in asked)


def test_a_video_of_the_same_name_takes_the_place_of_a_stand_in(tmp_path: Path) -> None:
    folder, clip = written(tmp_path / "set"), tmp_path / "clips" / "pond.mp4"
    clip.parent.mkdir()
    open_sets.make_stand_in(clip, 3.0, "a clip")
    found = open_sets.read(str(folder), [str(clip.parent)])
    assert found.videos == {"pond.mp4": clip} and {*found.transcripts} == {"pond.mp4", "kiln.mp4"}


def test_a_stand_in_is_a_silent_video_of_its_length(tmp_path: Path) -> None:
    """Two of the same length differ in content, as files with the same content are one video."""
    (tmp_path / "videos").mkdir()
    first, second = (tmp_path / "videos" / n for n in ("a.mp4", "b.mp4"))
    for path in (first, second):
        open_sets.make_stand_in(path, 21.5, path.stem)
    info = media.probe(first, media.MediaOptions())
    assert info.end == pytest.approx(21.5, abs=0.01) and not info.audio
    assert first.read_bytes() != second.read_bytes()
    assert {f.name for f in tmp_path.iterdir()} == {"videos"}


def test_questions_in_the_words_of_another_set(tmp_path: Path) -> None:
    german = [q | {"id": q["id"].replace("x-", "de-"), "question": f"Frage {q['id']}", "lang": "de"} for q in QUESTIONS]
    found, other = open_sets.read(str(written(tmp_path / "en"))), written(tmp_path / "de", german)
    asked = open_sets.in_words_of(found, str(other))
    assert [q.question for q in asked.questions] == [f"Frage x-{i}" for i in range(1, 7)]
    assert [q.id for q in asked.questions] == [q.id for q in found.questions]
    written(tmp_path / "de", german[1:])
    with pytest.raises(UsageError, match="has no question for 'x-1' of en"):
        open_sets.in_words_of(found, str(other))


ODD = QUESTIONS[0]
MISTAKES: dict[str, tuple[Any, str]] = {
    "empty": ([], "truth.json: holds no questions"),
    "no JSON": ("what?", "truth.json: row|line"),
    "no id": ([{"question": "x", "answerable": True}], "row 1: 'id' is missing"),
    "twice": ([ODD, ODD], "row 2: the id 'x-1' came before"),
    "answerable": ([ODD | {"answerable": "yes"}], "row 1: 'answerable' must be true or false"),
    "no interval": ([ODD | {"evidence": [{"video": "pond.mp4", "start_s": 5, "end_s": 5}]}], "row 1: evidence from 5"),
    "pattern": ([ODD | {"pattern": "(a"}], "row 1: 'pattern' is no regular expression"),
    "answers": ([ODD | {"answer": "seven"}], "row 1: 'answer' must be a list"),
    "no such video": ([ODD | {"video": "lake.mp4"}], "question 'x-1' names lake.mp4, which is not in the set"),
    "no such place": ([ODD | {"elsewhere": "lake.mp4"}], "question 'x-1' names lake.mp4, which is not in the set"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_set_that_does_not_fit_is_one_line(mistake: str, tmp_path: Path) -> None:
    rows, said = MISTAKES[mistake]
    with pytest.raises(UsageError, match=said) as caught:
        open_sets.read(str(written(tmp_path / "set", rows)))
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_folder_that_is_no_set_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"nowhere: no such folder, and no bundled set \(natural, paraphrased, languages\)"
    ):
        open_sets.read("nowhere")
    with pytest.raises(UsageError, match="holds no truth.json"):
        open_sets.read(str(tmp_path))
    (tmp_path / "truth.json").write_text(json.dumps(QUESTIONS[-1:]))
    with pytest.raises(UsageError, match="neither transcripts nor videos"):
        open_sets.read(str(tmp_path))


# Scores


def row(rank: int, name: str, start: float, end: float, kind: str = "speech", text: str = "") -> dict[str, Any]:
    return {"id": f"E{rank}", "rank": rank, "name": name, "start": start, "end": end, "kind": kind, "text": text}


ASKED = OpenQuestion(
    id="q",
    question="?",
    kind="fact",
    lang="en",
    answerable=True,
    places=(Place("a.mp4", "any", Span(10, 20)), Place("b.mp4", "any", Span(0, 5))),
    answers=("The Blue-Box",),
)
ROWS = [
    row(3, "b.mp4", 4.5, 9),  # meets the second place
    row(1, "b.mp4", 10, 20),  # the time of the other video's place
    row(2, "a.mp4", 4, 10.01),  # shares .01 s, which is rounding
    row(4, "a.mp4", 19, 30, "frame"),  # meets the first place
]


def test_figures_worked_out_by_hand() -> None:
    answer = {"answer": "in the  blue box.", "abstained": False, "citations": ["E1", "E4"], "evidence": ROWS}
    expected = {"hit@1": 0, "hit@5": 1, "hit@10": 1, "P@10": 0.2, "cited": 1, "first": 0, "holds": 1}
    assert score(ASKED, answer, "all") == {"silent": 0, "cited_picture": 1, **expected}
    silence = answer | {"abstained": True, "citations": ["E3"]}
    expected |= {"cited": 0, "first": 0, "holds": 0}
    assert score(ASKED, silence, "named") == {"silent": 1, "cited_picture": 0, **expected}
    assert score(ASKED, silence, "elsewhere") == {"silent": 1, "cited_picture": 0}
    assert score(ASKED, {}, "all")["hit@10"] == 0, "a question that failed finds nothing"


def test_the_tenth_row_counts_and_the_eleventh_does_not() -> None:
    far = [row(i, "c.mp4", 0, 5) for i in range(1, 10)]
    for rank, hit in ((10, 1.0), (11, 0.0)):
        found = score(
            ASKED, {"evidence": [*far, row(rank, "a.mp4", 12, 13)] + [row(10, "c.mp4", 1, 2)] * (rank > 10)}, "all"
        )
        assert (found["hit@5"], found["hit@10"], found["P@10"]) == (0, hit, hit / 10)


def test_what_a_text_holds() -> None:
    pattern = OpenQuestion(id="q", question="?", kind="-", lang="-", answerable=True, pattern=re.compile("a.c", re.I))
    none = OpenQuestion(id="q", question="?", kind="-", lang="-", answerable=True)
    assert [holds(pattern, "xABCx"), holds(pattern, "ac"), holds(none, "x")] == [True, False, None]


def asked(silent: bool, right: bool, hit: bool) -> Asked:
    scores = {"silent": float(silent), "cited": float(right), "holds": float(right)}
    found = row(1, "a.mp4", 12 if hit else 30, 40, text="the blue box")
    return Asked(ASKED, {}, scores, found)


def test_the_guard_counts_pairs_and_judges_silence_apart() -> None:
    done = [asked(False, True, True)] * 3 + [asked(False, False, True)] * 2 + [asked(True, False, True)] * 5
    found = guard(done, 0)
    answered, all_of_them = found["answered"], found["all"]
    assert (answered["ask"]["value"], answered["first_hit"]["value"]) == (0.6, 1.0)
    assert (answered["difference"]["value"], answered["difference"]["lost"]) == (-0.4, 2)
    assert (all_of_them["ask"]["value"], all_of_them["difference"]["value"]) == (0.3, -0.7)
    assert all_of_them["difference"]["high"] < 0 <= answered["difference"]["high"]
    assert guard([asked(True, False, True)], 0)["answered"]["difference"] is None
    wrong_text = Asked(ASKED, {}, {"silent": 0.0}, row(1, "a.mp4", 12, 13, text="a red box"))
    assert not wrong_text.hit_right and asked(False, True, True).hit_right and not asked(False, True, False).hit_right


def test_right_by_kind_and_what_is_asked_in_each_way(tmp_path: Path) -> None:
    questions = open_sets.read(str(written(tmp_path / "set"))).questions
    ways = {w: [q.id for q in open_answers.chosen(questions, w, 0)] for w in open_answers.WAYS}
    five = [f"x-{i}" for i in range(1, 6)]
    assert ways == {"named": five, "all": [*five, "x-6"], "elsewhere": five}
    assert [q.id for q in open_answers.chosen(questions, "named", 2)] == ["x-1", "x-4"]
    done = [Asked(q, {}, {"silent": 0.0, "cited": 1.0, "cited_picture": 0.0}) for q in questions]
    first, second = open_answers.tables("all", done, 0)
    assert {k: v["value"] for k, v in first["right"].items()} == {
        "all": pytest.approx(5 / 6, abs=1e-4),
        "kind: fact": 1,
        "kind: none": 0,
        "kind: time": 1,
        "language: de": 0,
        "language: en": 1,
    }
    assert (first["asked"], first["questions"], second["asked"]) == ("all", 5, "all, unanswerable")
    assert second["figures"]["silent"]["value"] == 0 and second["questions"] == 1


# The judge


def test_a_judge_scores_what_is_written(server: ChatServer, archive: Archive) -> None:
    """It is shown question, reference and answer; silence is not shown at all; replies are kept."""
    judge = judge_of(["engine=openai", f"base_url={server.url}", "model=m", "retries=0"], archive)
    assert judge
    server.respond = lambda _: completion('{"score": 0.75}')
    said = {"answer": "Near the willow.", "abstained": False}
    assert judge.score("Where is it?", "Behind the willow.", said) == 0.75
    (request,) = server.requests
    assert all(x in prompt_of(request) for x in ("Where is it?", "Behind the willow.", "Near the willow."))
    assert judge.score("Where is it?", "Behind the willow.", said) == 0.75
    assert judge.score("Where is it?", "Behind the willow.", said | {"abstained": True}) == 0
    assert len(server.requests) == 1
    for reply in ('{"score": 2}', '{"score": "good"}', '{"score": true}', "very good"):
        server.respond = lambda _, reply=reply: completion(reply)
        with pytest.raises(EngineFailed, match="no score from 0 to 1"):
            judge.score(reply, "Behind the willow.", said)


def test_no_judge_and_one_that_cannot_write(archive: Archive) -> None:
    assert judge_of([], archive) is None
    with pytest.raises(UsageError, match="--judge: 'extractive' is no language model"):
        judge_of(["engine=extractive"], archive)


# The command


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    try:
        build.check(profile.load(), build.INGEST_KINDS)
    except (ModelMissing, EngineMissing) as e:
        pytest.skip(f"the engines of the embedded profile are not all installed: {e}")
    made = World.make(tmp_path_factory.mktemp("open"))
    written(made.root / "set")
    return made


def told(world: World, *arguments: str, code: int = 0, **env: str) -> dict[str, Any]:
    ran = world.run("eval", "open", "out", "set", *arguments, "--json", fake=False, timeout=200, **env)
    assert ran.returncode == code, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found | {"stderr": ran.stderr}


@pytest.mark.long
def test_a_set_is_indexed_once_and_asked_in_three_ways(world: World) -> None:
    found = told(world)
    assert "indexed pond.mp4" in found["stderr"]
    assert [(t["asked"], t["questions"], t["errors"]) for t in found["tables"]] == [
        ("named", 5, 0),
        ("all", 5, 0),
        ("all, unanswerable", 1, 0),
        ("elsewhere", 5, 0),
    ]
    named = found["tables"][0]["figures"]
    assert named["hit@5"]["value"] == 1 and named["P@10"]["value"] >= 0.1 and "judged" not in named
    kept = [json.loads(x) for x in (world.root / "out/set/answers-all.jsonl").read_text("utf-8").splitlines()]
    assert [k["id"] for k in kept] == [f"x-{i}" for i in range(1, 7)]
    pump = kept[0]
    assert "willow" in pump["hit"]["text"] and pump["answer"]["evidence"] and pump["scores"]["hit@1"] == 1
    again = told(world, "--only", "all", "--most", "3")
    assert "indexed" not in again["stderr"] and [t["questions"] for t in again["tables"]] == [3]
    shown = world.run("eval", "open", "out", "set", fake=False)
    assert shown.returncode == 0 and re.search(r"^set +named +all +all, unanswerable +elsewhere$", shown.stdout, re.M)
    assert "against the first hit" in shown.stdout and "right, asked all" in shown.stdout


@pytest.mark.long
def test_the_guard_fails_where_a_model_cites_the_wrong_row(world: World, server: ChatServer) -> None:
    """The model cites the first row in time, which answers nothing; searches find the right ones."""
    server.respond = obliging
    settings = ("-s", "chat=openai", "-s", f"chat.base_url={server.url}", "-s", "chat.model=m")
    found = told(world, "--only", "all", *settings, code=1)
    guarded = found["tables"][0]["guard"]["answered"]
    assert guarded["difference"]["high"] < 0 and guarded["ask"]["value"] < guarded["first_hit"]["value"]
    lines = [x for x in found["stderr"].splitlines() if "does worse than quoting" in x]
    assert len(lines) == 1 and lines[0].startswith("set: 'ask' does worse than quoting its own search's first hit: -")


@pytest.mark.long
def test_reference_answers_are_judged_where_a_judge_is_named(world: World, server: ChatServer) -> None:
    def half(request: dict[str, Any]) -> Answer:
        return completion('{"score": 0.5}')

    server.respond = half
    judge = ("--judge", "engine=openai", "--judge", f"base_url={server.url}", "--judge", "model=judge")
    found = told(world, "--only", "named", *judge)
    judged = found["tables"][0]["figures"]["judged"]
    assert judged["n"] == 1 and judged["value"] in (0, 0.5)  # 0: it was silent
    server.respond = lambda _: (500, "text/html", "<p>down")
    lost = (
        "--judge",
        "engine=openai",
        "--judge",
        f"base_url={server.url}",
        "--judge",
        "model=x",
        "--judge",
        "retries=0",
    )
    if judged["value"]:
        found = told(world, "--only", "named", *lost, code=3)
        assert found["tables"][0]["errors"] == 1 and "judged" not in found["tables"][0]["figures"]
        assert found["tables"][0]["figures"]["hit@5"]["value"] == 1, "what was answered counts all the same"


@pytest.mark.long
def test_mistakes_are_one_line(world: World) -> None:
    (world.root / "bad").mkdir(exist_ok=True)
    for arguments, said in (
        (["new", "bad"], "bad: holds no truth.json"),
        (["new", "set", "--only", "some"], "--only some: ways to ask are named, all and elsewhere"),
        (["new", "set", "set"], "two sets have the same name"),
        (["new", "set", "--videos", "nowhere"], "nowhere"),
        (["new", "set", "-s", "retrieve.x=1"], "option 'x'"),
    ):
        ran = world.run("eval", "open", *arguments, fake=False)
        assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1) and said in ran.stderr, ran.stderr
    assert not (world.root / "new").exists()
    (world.root / "out" / "set" / "videos" / "odd.srt").write_text("")
    ran = world.run("eval", "open", "out", "set", fake=False)
    (world.root / "out" / "set" / "videos" / "odd.srt").unlink()
    assert ran.returncode == 2 and "holds odd.srt, which is not of the set 'set'" in ran.stderr
