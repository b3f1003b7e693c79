"""A long video shared out among workers has the rows that it has anyway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_files import TONE, X264, ffmpeg, lavfi
from vidrag.ingest import media, shares
from vidrag.ingest.conduct import Conduct
from vidrag.ingest.media import MediaOptions
from vidrag.ingest.pipeline import Engines, answers_of, ingest_or_share, ingest_video
from vidrag.ingest.shares import Answers, digest_of
from vidrag.ingest.sources import Location
from vidrag.jobs import profile
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import StorageError
from world import World

LENGTH = 8
SHARE = 2.5


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of other colours and tones, with a cut every second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    colours = ("red", "white", "blue", "yellow", "black", "green", "white", "red")
    shown = [w for c in colours for w in lavfi(f"color={c}:s=320x240:r=10:d=1")]
    joined = "".join(f"[{i}:v]" for i in range(LENGTH)) + f"concat=n={LENGTH}[v]"
    streams = ["-filter_complex", joined, "-map", "[v]", "-map", f"{LENGTH}:a"]
    ffmpeg(*shown, *lavfi(f"{TONE}:duration={LENGTH}"), *streams, *X264, "-g", "10", path)
    return path


def files(archive: Archive) -> dict[str, Any]:
    """What is stored of its one video, times apart."""
    status = archive.shard(archive.ids()[0]).status()
    return {
        stage: (c.status, [(f.kind, f.sha256, f.rows) for f in c.files], c.data, c.extent)
        for stage, c in status.items()
    }


@pytest.fixture
def engines(fake_profile: Path) -> Engines:
    return Engines(profile.load(str(fake_profile), ["speech.piece_s=10"]).ingest)


def test_rows_are_the_same_and_no_engine_is_asked_twice(film: Path, engines: Engines, tmp_path: Path) -> None:
    whole, shared = Archive.create(tmp_path / "whole"), Archive.create(tmp_path / "shared")
    ingest_video(film, whole, engines)
    location, conduct = Location.of(film), Conduct(share_s=SHARE)
    for group in ("visual", "sound"):
        found = ingest_or_share(location, shared, engines, group, conduct, None)
        assert isinstance(found, tuple) and [(s.start, s.end) for s in found] == [
            (0, 2),
            (2, 4),
            (4, 6),
            (6, float("inf")),
        ]
        given = Answers()
        for share in found:
            given.add(answers_of(location, engines, share, conduct))
        assert given.calls
        given.asked = 0
        ingest_video(film, shared, engines, group, conduct, given=given)
        assert given.asked == 0
    assert files(shared) == files(whole)
    left = ingest_or_share(location, shared, engines, "visual", conduct, None)
    assert isinstance(left, list) and all(o.status == "kept" for o in left)  # nothing is left to do


def test_answers_that_are_missing_cost_time_and_nothing_else(film: Path, engines: Engines, tmp_path: Path) -> None:
    whole, shared = Archive.create(tmp_path / "whole"), Archive.create(tmp_path / "shared")
    ingest_video(film, whole, engines)
    conduct = Conduct(share_s=SHARE)
    _, some, *_ = ingest_or_share(Location.of(film), shared, engines, "visual", conduct, None)
    given = answers_of(Location.of(film), engines, some, conduct)
    given.asked = 0
    ingest_video(film, shared, engines, given=given)
    assert given.asked > 0
    assert files(shared) == files(whole)


def test_workers_share_it(film: Path, tmp_path: Path) -> None:
    """The command with two workers, against one that has all of it; a broken video is told as ever."""
    world = World.make(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(film.read_bytes()[:3000])
    one = world.run("ingest", "one", film, "broken.mp4", "--no-ray", "--workers", "1")
    two = world.run("ingest", "two", film, "broken.mp4", "--no-ray", "--workers", "2", "--set", f"run.share_s={SHARE}")
    assert (one.returncode, two.returncode) == (3, 3), two.stderr
    assert files(Archive.open(tmp_path / "two")) == files(Archive.open(tmp_path / "one"))
    again = world.run("ingest", "two", film, "--no-ray", "--set", f"run.share_s={SHARE}")
    assert again.returncode == 0 and "up to date" in again.stdout


def test_what_is_wrong_with_a_machine_is_raised_and_with_a_video_is_not(
    film: Path, engines: Engines, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    location, conduct = Location.of(film), Conduct(share_s=SHARE)
    share, *_ = ingest_or_share(location, archive, engines, "visual", conduct, None)
    assert not answers_of(Location(str(film.with_name("gone.mp4"))), engines, share, conduct).calls

    def full(*_: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(shares, "answers", full)
    with pytest.raises(StorageError):
        answers_of(location, engines, share, conduct)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts", "film.avi"])
def test_frames_from_a_second_on_are_those_of_the_whole(name: str, film: Path, tmp_path: Path) -> None:
    """Also of a transport stream of two clocks, which cannot be sought in."""
    path, options = tmp_path / name, MediaOptions()
    ffmpeg("-i", film, "-c", "copy", path)
    if name.endswith(".ts"):
        path.write_bytes(path.read_bytes() * 2)
    info = media.probe(path, options)
    whole = {f.time: f.picture for f in media.frames(path, info, options, 2, 320)}
    late = {f.time: f.picture for f in media.frames(path, info, options, 2, 320, since=5.0)}
    assert late.keys() == {t for t in whole if t >= 5.0}
    assert all(np.array_equal(late[t], whole[t]) for t in late)


def test_digests_tell_what_is_asked_apart() -> None:
    a = np.zeros((2, 3), np.float32)
    asked = [a, a.reshape(3, 2), a.astype(np.int32), [a], [a, a], "a", None, 1, "1", ("a", None)]
    assert len({digest_of(x) for x in asked}) == len(asked)
    assert digest_of(a[:, ::-1]) == digest_of(a.copy())
