"""Ingests, kills, changed options, removals, damage, collections and readers, in any order Hypothesis thinks of.

A model says what must be visible after each step, and an archive opened anew is held against it.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from fault_child import say, take_out, verified
from fault_tools import Fault, Hands
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from store_tools import source_with_id
from vidrag.ingest.stages import readers
from vidrag.store.archive import maintenance, upkeep
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.catalogue import CATALOGUE
from vidrag.store.archive.shard import Shard
from vidrag.store.errors import ArchiveDamaged, NoSuchVideo

VIDEOS, OPTIONS, NAMES = st.sampled_from("abc"), st.sampled_from("12"), st.sampled_from(["x.mp4", "y.mp4"])
NTH = st.integers(1, 70)


def video_of(digit: str) -> str:
    return source_with_id(digit * 4, "").sha256[:16]


class Life(RuleBasedStateMachine):
    """One archive.  ``said`` is what each video must say; ``names`` what it may be asked for by."""

    hands: Hands

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vidrag-life-"))
        self.at = self.folder / "archive"
        Archive.create(self.at)
        self.said: dict[str, str] = {}
        self.names: dict[str, set[str]] = {}
        self.held: list[tuple[Shard, str]] = []
        self.server = Archive.open(self.at)  # one that is open all the time

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def _now_says(self, digit: str, option: str, name: str) -> None:
        if digit not in self.said:
            self.names[digit] = set()
        self.said[digit] = f"{digit} says {option}"
        self.names[digit].add(name)

    @rule(digit=VIDEOS, option=OPTIONS, name=NAMES)
    def ingest(self, digit: str, option: str, name: str) -> None:
        say(self.at, digit, option, name)
        self._now_says(digit, option, name)

    @rule(digit=VIDEOS, option=OPTIONS, name=NAMES, nth=NTH, how=st.sampled_from("ktfFa"))
    def an_ingest_fails(self, digit: str, option: str, name: str, nth: int, how: str) -> None:
        """It may have come through; then what it says is all there.  Nothing else changes."""
        error = errno.ENOSPC if how == "F" else errno.EIO
        reply = self.hands.do("say", self.at, Fault(how, nth, error), digit, option, name)
        assert "untyped" not in reply, reply
        found = Archive.open(self.at).manifest(video_of(digit))
        through = found is not None and found.current == {"speech": option * 16} and name in found.source.names
        if not reply.get("error") and reply["exit"] == 0:
            assert through
        if through:
            self._now_says(digit, option, name)

    @rule(digit=VIDEOS)
    def remove(self, digit: str) -> None:
        take_out(self.at, digit)
        self.said.pop(digit, None)

    @rule(digit=VIDEOS, nth=st.integers(1, 25), how=st.sampled_from("ktfa"))
    def a_removal_fails(self, digit: str, nth: int, how: str) -> None:
        reply = self.hands.do("take_out", self.at, Fault(how, nth), digit)
        assert "untyped" not in reply, reply
        if Archive.open(self.at).manifest(video_of(digit)) is None:
            self.said.pop(digit, None)
        else:
            assert reply.get("error") or reply["exit"]

    @rule(grace=st.sampled_from([0.0, 3600.0]))
    def collect(self, grace: float) -> None:
        opened = Archive.open(self.at)
        found = maintenance.collect(opened, grace)
        upkeep.collect(opened, CATALOGUE, grace, False, found)
        if grace == 0:
            left = [p for p in self.at.rglob("*") if p.name.startswith(".tmp-")]
            assert left == []

    @rule(nth=st.integers(1, 40), how=st.sampled_from("ktfa"))
    def a_collection_fails(self, nth: int, how: str) -> None:
        reply = self.hands.do("collected", self.at, Fault(how, nth))
        assert "untyped" not in reply, reply

    @rule(digit=VIDEOS, at=st.integers(0, 10_000))
    def a_bit_flips(self, digit: str, at: int) -> None:
        """Found, set aside, and the video goes on without it until it is ingested again."""
        found = Archive.open(self.at).manifest(video_of(digit))
        cell = found.cell("speech") if found else None
        if cell is None:
            return
        path = self.at / "videos" / video_of(digit) / cell.files[0].name
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= 1
        path.write_bytes(data)
        opened = Archive.open(self.at)
        with pytest.raises(ArchiveDamaged):
            opened.shard(video_of(digit)).speech  # noqa: B018
        damage = [d for c in maintenance.verify(opened, opened.ids(), 1) for d in c.damage]
        assert [d.key.rsplit("/")[-1] for d in damage] == [path.name]
        maintenance.quarantine(opened, damage, readers)
        self.said[digit] = ""

    @rule(digit=VIDEOS)
    def a_reader_comes(self, digit: str) -> None:
        try:
            self.held.append((self.server.shard(video_of(digit)), self.said[digit]))
        except NoSuchVideo:
            assert digit not in self.said

    @rule()
    def readers_read(self) -> None:
        """What they opened, or an error where it has been collected or removed since; never another version."""
        for shard, said in self.held:
            try:
                assert [s.text for s in shard.speech] == ([said] if said else [])
            except ArchiveDamaged:
                continue
        self.held.clear()

    @invariant()
    def a_fresh_look_sees_the_model(self) -> None:
        if not hasattr(self, "at"):
            return
        archive = Archive.open(self.at)
        seen = {s.video: "".join(r.text for r in s.speech) for s in archive.shards()}
        assert seen == {video_of(d): said for d, said in self.said.items()}
        for digit in self.said:
            found = archive.manifest(video_of(digit))
            assert found and self.names[digit] <= set(found.source.names)
        for name in {n for d in self.said for n in self.names[d]}:
            own = [d for d in self.said if name in self.names[d]]
            if len(own) == 1:
                assert archive.find(name) == video_of(own[0])
        assert verified(self.at) == []


COMMON = {"suppress_health_check": list(HealthCheck)}


def test_some_lives(hands: Hands) -> None:
    Life.hands = hands
    run_state_machine_as_test(Life, settings=settings(max_examples=12, stateful_step_count=12, **COMMON))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_lives(hands: Hands) -> None:
    Life.hands = hands
    run_state_machine_as_test(Life, settings=settings(max_examples=400, stateful_step_count=40, **COMMON))  # type: ignore[arg-type]


def test_a_video_that_came_back_is_not_taken_for_the_earlier_one(tmp_path: Path) -> None:
    """Once all of it is collected its versions begin anew: the second of now may be that it was taken out."""
    at = tmp_path / "archive"
    Archive.create(at)
    server = Archive.open(at)
    for option in "12":
        say(at, "a", option, "x.mp4")
    assert server.shard(video_of("a")).manifest.version == 2
    take_out(at, "a")
    maintenance.collect(Archive.open(at), 0.0)
    say(at, "a", "1", "x.mp4")
    take_out(at, "a")
    assert Archive.open(at).versions(video_of("a"))[0] == 2
    with pytest.raises(NoSuchVideo):
        server.shard(video_of("a"))
