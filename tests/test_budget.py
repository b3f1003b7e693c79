"""What commands that look at a whole archive cost in a bucket: requests grow with pages of a listing, not with videos.

5,000 videos lie in a bucket whose listings come in pages of a thousand keys, as those of S3 do; in the short run there
are 600 and pages of a hundred.  Every command that looks at all videos may list them once and make ``MORE`` other
requests; what it reads of a video is read once on a machine.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import s3_server
from fault_proxy import FaultProxy
from media_files import with_tone
from vidrag.jobs import profile
from vidrag.jobs.bench.made_up import add
from vidrag.query.find.search import TERMS_ID
from vidrag.query.text.words import terms
from vidrag.store import engines
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import Source, decode
from vidrag.store.index import build as index_build
from world import World

SIZES = [(600, 100), pytest.param((5000, 1000), marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
"""Videos, and keys in a page of a listing."""
KINDS = 8
"""A video says one of so many things."""
MORE = 40


@dataclass
class Bucket:
    """A full bucket, a counter of requests before it, the archive's address, and how many pages its videos take."""

    proxy: FaultProxy
    place: str
    videos: int
    pages: int

    def spent(self, work: Callable[[], object]) -> Counter[str]:
        """Requests of ``work``, by kind."""
        self.proxy.heal()
        began = time.monotonic()
        work()
        found = Counter("LIST" if r.lists is not None else r.method for r in self.proxy.seen)
        print(f"{dict(found)} in {time.monotonic() - began:.1f} s")
        return found

    def within(self, spent: Counter[str], listings: int = 1, reads: int = 0) -> None:
        """``reads``: of videos that were never read on this machine."""
        assert spent["LIST"] <= listings * self.pages + MORE, spent
        assert spent.total() - spent["LIST"] <= reads + MORE, spent


@pytest.fixture(scope="module", params=SIZES, ids=str)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """The archive in a folder, with an index: a few videos are published, the others are theirs under other names."""
    root = tmp_path_factory.mktemp("many") / "archive"
    archive = Archive.create(root)
    encoder, models = engines.load("text_encoder", "fake"), list[str]()
    for kind in range(KINDS):
        said = [f"thing number{kind} is said", "and more", "of it", f"the code is word{kind}"]
        models.append(add(archive, f"model {kind}".encode(), said, encoder.documents(said), encoder.spec))
    videos, page = request.param
    for number in range(videos - KINDS):
        video = f"{number:016x}"
        folder, model = root / "videos" / video, root / "videos" / models[number % KINDS]
        folder.mkdir()
        found = decode((model / "manifest-000001.json").read_bytes(), "")
        of = Source(video + found.source.sha256[16:], 1, (f"/films/{number}.mp4",))
        for file in model.iterdir():
            if file.suffix in (".parquet", ".faiss"):
                os.link(file, folder / file.name)
        manifest = type(found)(video, 1, of, found.cells, found.current, found.created, found.written_by)
        (folder / "manifest-000001.json").write_bytes(manifest.encode())
    world = World.make(tmp_path_factory.mktemp("world"))
    key = profile.load(str(world.root / "fake.toml")).key()
    built = index_build.update(archive.under(key), terms, TERMS_ID)
    assert (built.videos, built.rows, built.damaged) == (videos, 4 * videos, [])
    return root, videos, page


@pytest.fixture
def bucket(made: tuple[Path, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """The same in a bucket, for a machine that has never seen it."""
    root, videos, page = made
    keys = sum(1 for p in (root / "videos").rglob("*") if p.is_file())
    with s3_server.running(page, root.parent) as endpoint, FaultProxy(endpoint) as proxy:
        for key in [k for k in os.environ if k.startswith(("AWS_", "VIDRAG_OBJECT"))]:
            monkeypatch.delenv(key)
        for key, value in s3_server.environment(proxy.endpoint).items():
            monkeypatch.setenv(key, value)
        monkeypatch.setenv("VIDRAG_OBJECT_TIMEOUT", "60")
        own = tmp_path / "cache"
        shutil.copytree(
            os.environ["VIDRAG_CACHE"], own, symlinks=True, ignore=shutil.ignore_patterns("manifests", "objects")
        )
        monkeypatch.setenv("VIDRAG_CACHE", str(own))
        yield Bucket(proxy, "s3://full/archive", videos, -(-keys // page))


@pytest.mark.long
def test_every_command_stays_within_its_budget(bucket: Bucket, tmp_path: Path) -> None:
    """Search, ask, ls, index and ingest as a user types them, on a machine that is new to the archive, and again."""
    world, place, told = World.make(tmp_path), bucket.place, list[str]()
    indexed = ("--set", "search.index_rows=0")  # a real archive of so many videos has more rows

    def command(*arguments: str) -> Callable[[], object]:
        def work() -> None:
            print(" ".join(arguments), end=": ")
            ran = world.run(*arguments, timeout=300)
            assert ran.returncode == 0, ran.stderr
            told[:] = [ran.stdout]

        return work

    search, listed = command("search", place, "number3", "--json", *indexed), command("ls", place, "--json")
    bucket.within(bucket.spent(search), reads=200)
    found = told[0]
    bucket.within(bucket.spent(search))
    assert told[0] == found and "thing number3 is said" in found
    question = command("ask", place, "What is the code of number3?", "--json", *indexed)
    bucket.within(bucket.spent(question), reads=200)
    answer = json.loads(told[0])
    assert len({e["video"] for e in answer["evidence"]}) > 0
    assert f"asked of 32 videos that the archive's index found, of {bucket.videos}" in answer["notes"]
    bucket.within(bucket.spent(question))
    bucket.within(bucket.spent(listed), reads=bucket.videos)
    assert len(json.loads(told[0])) == bucket.videos
    bucket.within(bucket.spent(listed))
    assert len(json.loads(told[0])) == bucket.videos
    bucket.within(bucket.spent(command("index", place)))
    assert "up to date" in told[0], told
    for work, opened in ((search, 32), (question, 32), (listed, 0)):  # with a catalogue: by the videos that are opened
        spent = bucket.spent(work)
        assert spent["LIST"] <= opened + 6 and spent.total() - spent["LIST"] <= opened + 10, spent
    with_tone(tmp_path / "one.mp4", 1)
    time.sleep(2.1)  # a file that was just written is read again
    bucket.within(bucket.spent(command("ingest", place, "one.mp4", "--no-ray")), listings=0, reads=120)
    bucket.within(bucket.spent(command("ingest", place, "one.mp4", "--no-ray")), listings=0)
    assert "1 of them copies or up to date" in told[0]
    bucket.within(bucket.spent(command("index", place)), reads=20)
    bucket.within(bucket.spent(search), reads=20)
