"""A question about the whole of a video gets rows of all its chapters, and works where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from chapter_tools import FAKE, TOPICS, publish, slides, talk
from vidrag.ingest.chapters import ChapterOptions
from vidrag.jobs import build, profile
from vidrag.jobs.cli import archive_commands
from vidrag.jobs.export import to_jsonl
from vidrag.query.find.outline import Outline, outline
from vidrag.query.find.rows import RowSet
from vidrag.query.types import Answer
from vidrag.store.archive import Archive
from vidrag.store.records import Chapter, Moment
from vidrag.store.shard import Shard

ALL = list(TOPICS)
QUESTION = "What is this video about?"


def asked(archive: Archive, fake_profile: Path, *settings: str, question: str = QUESTION) -> Answer:
    return build.asker(archive, profile.load(str(fake_profile), settings)).ask(question)


def covered(answer: Answer, shard: Shard) -> int:
    """How many chapters have a row among the evidence."""
    return sum(any(c.start <= e.start < c.end for e in answer.evidence) for c in shard.chapters)


@pytest.mark.parametrize("question", [QUESTION, "Which topics are covered?", "What is the main topic of the talk?"])
def test_every_chapter_is_covered(question: str, archive: Archive, fake_profile: Path) -> None:
    """By its title and its best sentence, which are rows with times of their own."""
    shard = publish(archive, talk(ALL, each=30), slides(ALL, 150), chapters=ChapterOptions())
    assert len(shard.chapters) == len(ALL)
    answer = asked(archive, fake_profile, question=question)
    told = {(e.kind, e.start, e.end) for e in answer.evidence}
    for chapter in shard.chapters:
        assert {(m.kind, m.start, m.end) for m in chapter.moments[:1]} <= told
        assert any(e.kind == "speech" and chapter.start <= e.start < chapter.end for e in answer.evidence)
    titles = [e.text.split(" / ")[0] for e in answer.evidence if e.kind == "text"]
    assert [t for t in titles if t.startswith("All about")] == [f"All about {t}" for t in ALL]


def test_forty_chapters_share_the_budget(archive: Archive, fake_profile: Path) -> None:
    """More rows than other questions get; where the tokens do not last, those left out are spread evenly."""
    options = ChapterOptions(shortest_s=30, penalty=0.1, longest_s=40)
    shard = publish(archive, talk(ALL * 8), slides(ALL * 8, 60), chapters=options)
    assert len(shard.chapters) == 40
    assert covered(asked(archive, fake_profile), shard) == 40
    tight = asked(archive, fake_profile, "context.tokens=700")
    starts = [0.0, *sorted(e.start for e in tight.evidence), 2400.0]
    assert 10 <= len(tight.evidence) <= 25
    assert np.diff(starts).max() <= 400


def test_other_questions_are_as_before(archive: Archive, fake_profile: Path) -> None:
    publish(archive, talk(ALL, each=30), slides(ALL, 150), chapters=ChapterOptions())
    one = "What do the queen and the hive need?"
    with_them = asked(archive, fake_profile, question=one)
    assert with_them.evidence == asked(archive, fake_profile, "retrieve.chapters=0", question=one).evidence


def test_without_chapters_rows_are_spread_evenly(archive: Archive, fake_profile: Path) -> None:
    """In archives from before, and where the option is zero."""
    rows = talk(ALL, each=30), slides(ALL, 150)
    publish(archive, *rows)
    old = asked(archive, fake_profile)
    assert old.evidence
    publish(archive, *rows, chapters=ChapterOptions())
    assert asked(archive, fake_profile, "retrieve.chapters=0").evidence == old.evidence


def test_rows_of_chapters_are_found_again_or_replaced(archive: Archive) -> None:
    """Speech was indexed anew and the chapters are still those of the old rows: the first row inside steps in."""
    shard = publish(archive, talk(["bread"], each=6))
    shard.chapters = [  # type: ignore[misc]
        Chapter(0, 10, "kept", "speech", (), (Moment("speech", 5.0, 9.7),)),
        Chapter(10, 20, "gone", "speech", (), (Moment("speech", 12.0, 13.0), Moment("text", 10.0, 20.0))),
        Chapter(21, 24, "empty"),
        Chapter(24, 30, "untitled"),
    ]
    rows = RowSet([shard], FAKE.spec)
    usable = np.ones(len(rows.rows), bool)
    assert sorted(outline(rows, usable, 40).heads) == [1, 2, 5]
    assert outline(rows, usable, 40).more == ()
    assert len(outline(rows, usable, 2).heads) == 2
    usable[1] = False
    assert sorted(outline(rows, usable, 40).heads) == [0, 2, 5]
    assert outline(rows, usable, 0) == outline(rows, np.zeros(6, bool), 40) == Outline()


def test_show_and_export_tell_them(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = publish(archive, talk(ALL), slides(ALL, 60), chapters=ChapterOptions())
    archive_commands.show(archive.location, "talk.mp4")
    shown = capsys.readouterr().out.split("\nChapters\n")[1].split("\n\n")[0].splitlines()
    assert [x.split("  (")[0] for x in shown] == [
        f"  {i:02d}:00-{f'{i + 1:02d}:00'}  All about {t}" for i, t in enumerate(ALL)
    ]
    archive_commands.show(archive.location, "talk.mp4", as_json=True)
    told = json.loads(capsys.readouterr().out)["chapters"]
    assert [c["title"] for c in told] == [c.title for c in shard.chapters]
    to_jsonl(archive, [shard.video], str(tmp_path / "rows"))
    rows = [json.loads(x) for x in (tmp_path / "rows" / "talk.jsonl").read_text().splitlines()]
    chapters = [r for r in rows if r["kind"] == "chapter"]
    assert [(c["start"], c["title"]) for c in chapters] == [(c.start, c.title) for c in shard.chapters]
    assert chapters[0]["moments"][0]["kind"] == "text"
