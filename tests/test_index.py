"""The index over an archive against the shards: whatever has happened, a search finds what an exact one finds."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chapter_tools import FAKE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_tools import JPEG, ask, build, put, same, searcher, sentences, source_of
from store_tools import SPEC, rows_of_norm_1
from vidrag.query.find import frames
from vidrag.query.find.results import Lister, thumbnails
from vidrag.query.find.retrieve import RetrieveOptions
from vidrag.query.find.rows import RowSet
from vidrag.query.text.words import terms
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders import EncoderSpec
from vidrag.store.encoders.e5 import E5, E5Options
from vidrag.store.errors import NoSuchVideo, SpaceMismatch, UsageError
from vidrag.store.index import coverage, index
from vidrag.store.index.postings import Postings, StoredLists, Writer, bm25, length

OTHER = EncoderSpec("another", "fedcba9876543210", 8)


def three(archive: Archive) -> list[str]:
    return [put(archive, f"{n}.mp4", sentences(6, s), sentences(3, s + 50), 4, seed=s) for s, n in enumerate("abc", 1)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 4), st.integers(1, 9)),
        st.tuples(st.just("remove"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("index"), st.just(0), st.integers(0, 1)),
    ),
    max_size=8,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_life(steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Videos come, are replaced and go, an index is made, brought up to date or made anew, in any order."""
    archive = Archive.create(tmp_path_factory.mktemp("life") / "archive")
    for at, (what, number, more) in enumerate(steps):
        if what == "put":
            frames = more % 3
            said, written = sentences(more, 10 * at), sentences(more // 2, 10 * at + 1)
            put(archive, f"{number}.mp4", said, written, frames, at + 1, doubtful=(0,), version=str(more))
        elif what == "remove":
            archive.discard(source_of(f"{number}.mp4").sha256[:16])
        else:
            build(archive, rebuild=bool(more))
        same(archive, ["locker", "blue", "4719"], seed=at)
        same(archive, ["cake"], seed=at, doubtful=True)


def test_bm25_is_that_of_bm25s(archive: Archive) -> None:
    """The same scores as an index of all rows in memory, for rows in the index and beside it."""
    ids = three(archive)
    build(archive)
    ids.append(put(archive, "d.mp4", sentences(9, 7), sentences(2, 8), seed=9))
    rows = RowSet([archive.shard(v) for v in ids], SPEC)
    for words in (["locker"], ["blue", "rocket", "cake"], ["nothing"], [t for w in rows.rows for t in terms(w.text)]):
        truth = {
            (ids[r.shard], r.kind, r.row): s for r, s in zip(rows.rows, rows.lexical(words)[0], strict=True) if s > 0
        }
        by = searcher(archive)
        found = {tuple(p): s for s, p in by.lexical(by.view(), words, 1000)}
        assert found.keys() == truth.keys()
        for place, score in found.items():
            assert score == pytest.approx(truth[place], rel=1e-4)


def test_a_large_archive(archive: Archive) -> None:
    """Of 6,000 rows the ten best of nearly every question are found, with nearly their scores."""
    for n in range(13):
        put(archive, f"{n}.mp4", sentences(500, n), seed=n + 1)
        if n in (8, 12):
            assert build(archive).how == ("built" if n == 8 else "appended")
    archive.discard(source_of("3.mp4").sha256[:16])
    by, exact, hits = searcher(archive), searcher(archive, indexed=False), 0
    view, all_of_it = by.view(), exact.view()
    assert view.index is not None and all_of_it.index is None
    for query in rows_of_norm_1(50, seed=99):
        truth = {p: s for s, p in exact.nearest(all_of_it, "speech", query, 10)}
        found = by.nearest(view, "speech", query, 10)
        hits += sum(p in truth for _, p in found)
        assert all(s == pytest.approx(truth[p], abs=0.02) for s, p in found if p in truth)
    assert hits >= 0.95 * 500


def test_what_is_new_is_found_before_it_is_in_the_index(archive: Archive) -> None:
    """And what was replaced or removed is not, by a searcher that has been open all the time."""
    a, b, _ = three(archive)
    build(archive)
    by = searcher(archive)
    ask(by)
    put(archive, "a.mp4", ["zebra crossing"], seed=8, version="2")
    put(archive, "new.mp4", ["zebra in the zoo"], seed=9)
    archive.discard(b)
    view, hits = ask(by, ["zebra"])
    found = {h.place for h in hits if h.lexical}
    assert found == {(a, "speech", 0), (source_of("new.mp4").sha256[:16], "speech", 0)}
    assert all(h.place.video != b for h in hits)
    assert all(h.place.row == 0 for h in hits if h.place.video == a and h.place.kind == "speech")
    assert view.index is not None
    same(archive, ["zebra", "locker"])


def test_an_update_adds_only_what_is_new(archive: Archive) -> None:
    for n in range(6):
        put(archive, f"{n}.mp4", sentences(20, n), frames=1, seed=n + 1)
    assert build(archive).how == "built"
    before = {p.name: p.read_bytes() for p in Path(archive.location, "index").iterdir()}
    assert build(archive).how == "unchanged"
    assert {p.name: p.read_bytes() for p in Path(archive.location, "index").iterdir()} == before
    put(archive, "new.mp4", sentences(10, 20), seed=30)
    made = build(archive)
    assert (made.how, made.added, made.dropped, made.rows) == ("appended", 1, 0, 130)
    archive.discard(source_of("0.mp4").sha256[:16])
    made = build(archive)
    assert (made.how, made.added, made.dropped, made.rows) == ("appended", 0, 1, 110)
    same(archive, ["locker"])
    for n in (1, 2):
        archive.discard(source_of(f"{n}.mp4").sha256[:16])
    made = build(archive)
    assert (made.how, made.videos, made.rows) == ("built", 4, 70)  # more than a quarter had gone
    same(archive, ["locker"])
    for n in range(8):
        put(archive, f"more {n}.mp4", sentences(20, 40 + n), seed=40 + n)
    assert build(archive).how == "built"  # more than twice of what the lists were laid out for
    same(archive, ["locker"])


def test_a_new_name_alone_reads_no_rows_again(archive: Archive) -> None:
    """A version that changes no rows costs one look at its manifest, and none once the index knows it."""
    three(archive)
    build(archive)
    video = source_of("a.mp4").sha256[:16]
    archive.publish(source_of("a.mp4"), {}, {})
    archive.drop(video, lambda c: False)
    put(archive, "a.mp4", sentences(6, 1), sentences(3, 51), 4, seed=1)  # the same rows
    cover = coverage.coverage(archive, index.newest(archive, []))
    assert cover.fresh == {}
    same(archive, ["locker"])


def test_candidates_open_no_video(archive: Archive) -> None:
    """They are right though every file of every video is gone; and they are in the order of the best rows."""
    ids = three(archive)
    build(archive)
    by, query = searcher(archive, videos=2), dict.fromkeys(index.KINDS, rows_of_norm_1(1, seed=5)[0])
    _, truth = searcher(archive, indexed=False).rank(query, ["locker"])
    for path in Path(archive.location).glob("videos/*/*.*"):
        if not path.name.startswith("manifest"):
            path.write_bytes(b"")
    found = by.candidates(query, ["locker"])
    assert found is not None and found.notes == () and found.of == len(ids)
    assert list(found.videos) == list(dict.fromkeys(p.video for p in truth))[:2]
    assert searcher(archive, indexed=False).candidates(query, ["locker"]) is None


def test_candidates_of_an_option_have_room_beside_those_of_the_question(archive: Archive) -> None:
    """The only video that holds the words of an option is opened, though a hundred others match the question better."""
    for i in range(6):
        put(archive, f"{i}.mp4", ["the locker is blue"] * 3, seed=i)
    only = put(archive, "only.mp4", ["an aardvark ate it"], seed=9)
    build(archive)
    query = dict.fromkeys(index.KINDS, rows_of_norm_1(1, seed=5)[0])
    by = searcher(archive, videos=3, depth=4)
    alone = by.candidates(query, ["locker"])
    both = by.candidates(query, ["locker"], [["aardvark"], ["locker"]])
    assert alone is not None and both is not None
    assert len(alone.videos) == len(both.videos) == 3
    assert only in both.videos and both.videos[0] == alone.videos[0]


def test_doubtful_speech_is_found_only_where_asked(archive: Archive) -> None:
    video = put(archive, "a.mp4", ["zebra one", "zebra two"], seed=1, doubtful=[0])
    put(archive, "b.mp4", sentences(5, 3), seed=2)
    for _ in range(2):
        assert {h.place.row for h in same(archive, ["zebra"]) if h.place.video == video} == {1}
        assert {h.place.row for h in same(archive, ["zebra"], doubtful=True) if h.place.video == video} == {0, 1}
        build(archive)


def test_rows_without_vectors_are_found_by_their_words(archive: Archive) -> None:
    three(archive)
    of = source_of("bare.mp4")
    put(archive, "bare.mp4", ["a lonely zebra"], seed=3)
    archive.drop(of.sha256[:16], lambda c: c.stage == "speech_vectors")
    build(archive)
    (hit,) = [h for h in same(archive, ["zebra"]) if h.place.video == of.sha256[:16]]
    assert hit.dense is None and hit.lexical is not None


def test_vectors_of_another_encoder_are_not_compared(archive: Archive) -> None:
    """Neither in the index nor beside it; what was embedded anew is searched with the new one."""
    three(archive)
    build(archive)
    with pytest.raises(SpaceMismatch, match="vidrag embed"):
        ask(searcher(archive, spec=OTHER))
    put(archive, "odd.mp4", sentences(2, 9), seed=9, spec=OTHER)
    for _ in range(2):
        with pytest.raises(SpaceMismatch, match=r"odd\.mp4"):
            ask(searcher(archive))
        build(archive)
    for s, n in enumerate("abc", 1):
        put(archive, f"{n}.mp4", sentences(6, s), sentences(3, s + 50), 4, seed=s, spec=OTHER, version="2")
    assert ask(searcher(archive, spec=OTHER))[1]
    assert build(archive).how == "built"
    view, _ = ask(searcher(archive, spec=OTHER))
    assert view.index is not None and len(view.cover.live) == 10 and view.cover.fresh == {}


def test_two_jobs_at_once_both_get_through(archive: Archive) -> None:
    three(archive)
    done: list[str] = []
    jobs = [threading.Thread(target=lambda: done.append(build(archive).how)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(done) == 3
    same(archive, ["locker"])


def test_searches_side_by_side(archive: Archive) -> None:
    """Threads share a searcher while videos come and the index is renewed; none is ever told of damage."""
    three(archive)
    by, wrong = searcher(archive), list[object]()
    stop = threading.Event()

    def work(seed: int) -> None:
        while not stop.is_set():
            view, hits = ask(by, ["locker", "blue"], seed)
            if view.notes or not hits:
                wrong.append(view.notes)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(6)]
    for t in threads:
        t.start()
    for n in range(6):
        put(archive, f"{n % 3}.mp4", sentences(4, n), frames=2, seed=n + 20, version=str(n))
        build(archive)
    stop.set()
    for t in threads:
        t.join()
    assert wrong == []


def test_lists_grow_in_steps_as_in_one(tmp_path: Path) -> None:
    rows = [terms(t) for t in sentences(200, 3)]
    one, parts = Writer(tmp_path / "one", []), tmp_path / "parts"
    for i, row in enumerate(rows):
        one.add(i, row, 0)
    one.close()
    for first in range(0, 200, 40):
        step = Writer(parts, [])
        for i in range(first, first + 40):
            step.add(i, rows[i], 0)
        step.close()
    a, b, c = StoredLists(tmp_path / "one", [], 200), StoredLists(parts, [], 200), Postings()
    for i, row in enumerate(rows):
        c.add(i, row, 0)
    for term in {t for row in rows for t in row}:
        assert a.get(term).tolist() == b.get(term).tolist() == c.get(term).tolist()
    assert len(a.get("nothing")) == 0
    total = sum(length(r) for r in rows)
    assert (bm25(a.get(rows[0][0]), 200, total) > 0).all()


class Pictures:
    """An encoder to which all texts are vectors at random, as stored frames are."""

    spec = SPEC

    def queries(self, texts: list[str]) -> np.ndarray:
        return rows_of_norm_1(len(texts), seed=5)


def lister(archive: Archive, **more: Any) -> Lister:
    """One that finds rows by the words of the fake encoder, and any frame at random."""
    found = searcher(archive, spec=FAKE.spec, **more)
    found.specs["frames"] = SPEC
    return Lister(found, FAKE, Pictures(), RetrieveOptions())  # type: ignore[arg-type]


def test_what_is_told(archive: Archive, tmp_path: Path) -> None:
    """Texts, neighbours, and the frame on screen then."""
    with pytest.raises(NoSuchVideo, match="no videos yet"):
        lister(archive).search("cake", ["speech"], 3)
    said = ["one is the first", "two lockers are in the hall", "three is the last"]
    video = put(archive, "a.mp4", said, ["written"], 3, seed=4, encoder=FAKE)
    by = lister(archive)
    told = by.search("lockers in the hall", ["speech"], 1)
    (one,) = told.found
    assert (one.video, one.kind, one.text, one.before, one.after) == (video, "speech", said[1], said[0], said[2])
    assert (one.start, one.frame, told.videos, told.rows, told.more) == (2.0, 0, 1, 4, False)
    json.dumps(one.as_json())
    (path,) = thumbnails(by.searcher, told.found, tmp_path / "pictures").values()
    assert Path(path).read_bytes() == JPEG + bytes([0])
    for text in ("", " ?! ", "x" * 10_001):
        with pytest.raises(UsageError):
            by.search(text, ["speech"], 1)
    with pytest.raises(UsageError, match="'smell'"):
        by.search("locker", ["smell"], 1)  # type: ignore[list-item]
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        thumbnails(by.searcher, told.found, tmp_path / "file")


def test_of_frames_close_together_the_best_alone(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only those that fit."""
    put(archive, "a.mp4", ["a"], frames=6, encoder=FAKE)  # 0-20, 20-40, 40-60 and so on
    by = lister(archive)

    def listed(*fits: float) -> list[int | None]:
        monkeypatch.setattr(frames, "fit", lambda *_: np.array([fits], np.float32))
        return [f.frame for f in by.search("locker", ["frames"], 9).found]

    assert listed(5, 9, 4, 3, 6, 8) == [1, 5, 3]
    assert listed(0, 1, 9, 1, 0, 0) == [2]
    assert listed(0, 1, 2, 2.1, 0, 0) == []


def test_a_page_goes_on_where_the_one_before_ended(archive: Archive) -> None:
    put(archive, "a.mp4", [f"the locker of room {i} is red" for i in range(7)], encoder=FAKE)
    pages = [lister(archive).search("red locker", ["speech"], 3, page) for page in (1, 2, 3, 4)]
    assert [[f.rank for f in p.found] for p in pages] == [[1, 2, 3], [4, 5, 6], [7], []]
    assert [p.more for p in pages] == [True, True, False, False]
    assert len({f.text for p in pages for f in p.found}) == 7


def test_nothing_is_listed_that_does_not_match(archive: Archive) -> None:
    e5 = E5(E5Options())
    put(archive, "a.mp4", ["the lockers are in the hall", "bread is made of flour and water"], encoder=e5)
    by = Lister(searcher(archive, spec=e5.spec), e5, None, RetrieveOptions())
    assert by.search("zebra crossing", ["speech"]).found == ()
    assert [f.text for f in by.search("lockers", ["speech"]).found] == ["the lockers are in the hall"]
