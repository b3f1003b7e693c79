"""Whatever else lies in an archive or a cache, and wherever a link leads, stays as it is: nothing but vidrag's own
files, in folders that are folders, is ever deleted, moved or written over.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import fault_child
import pytest
from fault_child import OTHER, VIDEO
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from store_tools import publish_speech, source_with_id
from vidrag.ingest.stages import readers
from vidrag.jobs.evaluate.traces import results_folder
from vidrag.store.archive import maintenance, upkeep
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import ArchiveDamaged, StorageError, VidragError
from vidrag.store.index.index import INDEX
from vidrag.store.storage.keys import is_deletable, is_known, is_scratch, is_staged
from vidrag.store.storage.objects.cache import ObjectCache
from vidrag.store.storage.open import open_backend
from world import World

ID, HASH = "0123456789abcdef", "0123456789ab"
OURS = [
    f"manifest-{9:06d}.json",
    f"speech-{ID}-{HASH}.parquet",
    f"catalogue-{ID}-{HASH}.sqlite",
    f"try-speech-{ID}-run.{ID[:8]}",
    f".tmp-{ID}",
    ID,
    f"{ID}-{ID}",
    f"20260101-000000-{HASH}.parquet",
    f"20260101-000000-{HASH}.jsonl",
    "replies.sqlite",
    "speech.parquet",
    "catalogue",
    "ab",
]
"""Names that vidrag gives to files or folders; links and folders (or files) of these names are still not its own."""
OTHERS = [
    "holiday.mp4",
    "thesis.tex",
    "manifest-1.json",
    f"speech-{ID}.parquet",
    ".tmp-holiday",
    f".tmp-{ID}x",
    "notes.sqlite",
    "20260101.parquet",
    "..data",
    "-rf",
    "a\nb",
    "ü",
    "Manifest-000001.json",
]
VIDEOS = [f"videos/{of.sha256[:16]}" for of in (VIDEO, OTHER)]
PLACES = [
    "",
    "videos",
    *VIDEOS,
    "names",
    "names/00",
    "index",
    "runs",
    "answers",
    "cache",
    "quarantine",
    f"runs/.tmp-{ID}",
    f"{VIDEOS[0]}/.tmp-{ID}",
    f"quarantine/{VIDEOS[0]}",
    f"videos/{ID}",
]
LINKS = ["folder", "file", "nowhere", "loop"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with everything that vidrag writes, one old version, one damaged file, leftovers of killed writers."""
    root = tmp_path_factory.mktemp("base") / "archive"
    fault_child.old_indexed(root)
    fault_child.ledger(root)
    fault_child.new(root)
    (file,) = (root / VIDEOS[1]).glob("speech-*")
    file.write_bytes(b"damaged")
    (root / "answers").mkdir()
    for place in ("", VIDEOS[0], "runs"):
        (root / place / f".tmp-{'f' * 16}").write_bytes(b"left")
    (root / VIDEOS[0] / f".tmp-{'e' * 16}").mkdir()
    (root / VIDEOS[0] / f".tmp-{'e' * 16}" / "speech.parquet").write_bytes(b"left")
    return root


def tempting(outside: Path) -> None:
    """What links lead to: files and folders with the names of vidrag's own."""
    for folder in (outside, outside / "inner", outside / f".tmp-{ID}"):
        folder.mkdir()
        for name in (*OURS[:4], *OURS[7:12], *OTHERS[:3]):
            (folder / name).write_text(f"{folder.name}/{name} is a thesis")


def tree(root: Path) -> dict[str, bytes | str]:
    """Everything below a folder: bytes of files, targets of links."""
    found: dict[str, bytes | str] = {}
    for folder, inner, names in os.walk(root):
        for name in (*inner, *names):
            path = Path(folder, name)
            key = str(path.relative_to(root))
            found[key] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
    return found


def plant(root: Path, outside: Path, place: str, name: str, what: str) -> str | None:
    """Puts something foreign into an archive; its key, or None where something is there already."""
    folder = root / place
    if any(p.is_symlink() for p in (folder, *folder.parents) if p != root and root in p.parents):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path, key = folder / name, f"{place}/{name}".lstrip("/")
    if os.path.lexists(path) or (what == "file" and (is_known(key, False) or is_staged(name))):
        return None
    if what == "file":
        path.write_text(f"foreign {key}")
    elif what == "folders":
        (path / "deep").mkdir(parents=True)
        (path / "film.mp4").write_bytes(b"film")
        (path / "deep" / "speech.txt").write_bytes(b"speech")
        (path / "out").symlink_to(outside)
    else:
        target = {"folder": outside, "file": outside / OURS[0], "nowhere": outside / "none", "loop": path}[what]
        path.symlink_to(target)
    return key


def gc(root: Path) -> None:
    fault_child.collected(root)


def dry(root: Path) -> None:
    before, archive = tree(root), Archive.open(root)
    found = maintenance.collect(archive, 0.0, dry_run=True)
    upkeep.collect(archive, INDEX, 0.0, True, found)
    assert tree(root) == before
    assert all(not (root / key).is_symlink() and is_deletable(key) for key in found.keys)


def verify(root: Path) -> None:
    archive = Archive.open(root)
    checked = [upkeep.verify(archive, INDEX), *maintenance.verify(archive, archive.ids(), 1)]
    damage = [d for c in (*checked, *maintenance.verify_answers(archive)) if c for d in c.damage]
    upkeep.set_aside(archive, INDEX, damage)
    maintenance.quarantine(archive, [d for d in damage if d.video != INDEX.folder], readers)


def remove(root: Path) -> None:
    for video in (VIDEO, OTHER):
        Archive.open(root).discard(video.sha256[:16])


def publish(root: Path) -> None:
    for of in (VIDEO, source_with_id(ID, "third.mp4")):
        publish_speech(Archive.create(root), of, "3" * 16, "more")


JOBS: list[Callable[[Path], None]] = [gc, dry, verify, remove, publish, fault_child.indexed, fault_child.ledger]
FOREIGN = st.tuples(
    st.sampled_from(PLACES), st.sampled_from(OURS + OTHERS), st.sampled_from(["file", "folders", *LINKS])
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(foreign=st.lists(FOREIGN, min_size=1, max_size=25), jobs=st.lists(st.sampled_from(JOBS), min_size=1, max_size=5))
def test_nothing_foreign_is_harmed(
    foreign: list[tuple[str, str, str]], jobs: list[Callable[[Path], None]], base: Path, tmp_path: Path
) -> None:
    work = tmp_path / secrets.token_hex(8)
    root, outside = work / "archive", work / "outside"
    shutil.copytree(base, root)
    tempting(outside)
    planted = [key for f in foreign if (key := plant(root, outside, *f))]
    theirs, before = tree(outside), tree(root)
    mine = {k: v for k, v in before.items() if any(k == p or k.startswith(f"{p}/") for p in planted)}
    for job in (*jobs, gc):
        try:
            job(root)
        except (VidragError, OSError) as e:
            note(f"{job.__name__}: {e}")
        now = tree(root)
        assert {k: now.get(k) for k in mine} == mine, job.__name__
        assert tree(outside) == theirs, job.__name__
    shutil.rmtree(work)


@pytest.mark.parametrize("name", ["videos", VIDEOS[0], "names", "index", "runs", "answers", "quarantine"])
def test_a_folder_that_is_a_link_is_named(name: str, base: Path, tmp_path: Path) -> None:
    """Nobody writes into what somebody else keeps behind it, nor takes anything out."""
    root, outside = tmp_path / "archive", tmp_path / "outside"
    shutil.copytree(base, root)
    if (root / name).exists():
        shutil.move(root / name, outside)
    outside.mkdir(exist_ok=True)
    (root / name).symlink_to(outside)
    before = tree(outside)
    gc(root)
    jobs = {"runs": fault_child.ledger, "index": fault_child.indexed, "quarantine": verify}
    if name == "answers":
        with pytest.raises(StorageError, match=rf"archive/{name}: is a link"):
            Archive.open(root).backend.journal(f"answers/20260101-000000-{HASH}.jsonl")
    else:
        job = jobs.get(name, publish)
        with pytest.raises((StorageError, ArchiveDamaged), match=rf"archive/{name}: is a link"):
            job(root)
    assert tree(outside) == before and (root / name).is_symlink()


def test_what_is_vidrags_goes(base: Path, tmp_path: Path) -> None:
    """The same collection without anything foreign: leftovers, the old version and what only it names."""
    root = tmp_path / "archive"
    shutil.copytree(base, root)
    found = maintenance.collect(Archive.open(root), 0.0)
    assert {f".tmp-{'f' * 16}", f"runs/.tmp-{'f' * 16}", f"{VIDEOS[0]}/.tmp-{'e' * 16}"} <= set(found.keys)
    assert any(k.startswith(f"{VIDEOS[0]}/speech-{'1' * 16}") for k in found.keys)
    assert found.foreign == [] and not list(root.rglob(".tmp-*"))


def test_gc_leaves_a_film_and_a_link(tmp_path: Path) -> None:
    """The command, with a folder of films beside the videos and a link to a thesis."""
    world = World.make(tmp_path)
    fault_child.old(tmp_path / "archive")
    films, thesis = tmp_path / "archive" / "videos" / "holiday", tmp_path / "thesis"
    films.mkdir()
    thesis.mkdir()
    (films / "beach.mp4").write_bytes(b"film")
    (thesis / "chapter.tex").write_bytes(b"text")
    (tmp_path / "archive" / "videos" / "work").symlink_to(thesis)
    for arguments in (("--dry-run",), ()):
        ran = world.run("gc", "archive", "--grace", "0", *arguments)
        assert ran.returncode == 0, ran.stderr
        assert "holiday" not in ran.stdout.splitlines()[0] and "beach" not in ran.stdout
        assert "2 things that vidrag did not write were left alone: videos/holiday, videos/work" in ran.stdout
    told = json.loads(world.run("gc", "archive", "--grace", "0", "--json").stdout)
    assert told["foreign"] == ["videos/holiday", "videos/work"] and told["removed"] == []
    assert (films / "beach.mp4").read_bytes() == b"film"
    assert (tmp_path / "archive" / "videos" / "work" / "chapter.tex").read_bytes() == b"text"


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    foreign=st.lists(
        st.tuples(
            st.sampled_from(
                [".tmp-holiday", "film.mp4", "film.mp4.lock", ID * 2 + "01234567", f".tmp-{ID}", "room.lockx"]
            ),
            st.sampled_from(["file", "folders", *LINKS]),
        ),
        max_size=6,
    ),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8),
)
def test_a_cache_evicts_only_copies(foreign: list[tuple[str, str]], sizes: list[int], tmp_path: Path) -> None:
    work = tmp_path / secrets.token_hex(8)
    folder, outside = work / "objects", work / "outside"
    folder.mkdir(parents=True)
    tempting(outside)
    planted = []
    for name, what in foreign:
        copy = len(name) == 40 or is_scratch(name)
        if not (what == "file" and copy) and (key := plant(folder, outside, "", name, what)):
            planted.append(key)
    mine = {k: v for k, v in tree(folder).items() if any(k == p or k.startswith(f"{p}/") for p in planted)}
    theirs, cache = tree(outside), ObjectCache(folder, limit=64, spare_s=0.0)
    for i, size in enumerate(sizes):
        with contextlib.suppress(StorageError):
            cache.path(f"object {i}", size, lambda out, size=size: out.write(bytes(size)) and None)
        cache.drop(f"object {i - 1}")
    now = tree(folder)
    assert {k: now.get(k) for k in mine} == mine and tree(outside) == theirs
    shutil.rmtree(work)


def test_a_results_folder_with_something_else_stays(tmp_path: Path) -> None:
    """An evaluation that asked nothing takes its new folder away, unless something has come into it."""
    for name in ("empty", "used"):
        with results_folder(tmp_path / name) as folder:
            if name == "used":
                (folder / "film.mp4").write_bytes(b"film")
    assert not (tmp_path / "empty").exists()
    assert (tmp_path / "used" / "film.mp4").read_bytes() == b"film"


def test_objects_of_others_under_the_prefix_stay(bucket: str) -> None:
    """The same in a bucket, where there are no links."""
    place = f"{bucket}/films"
    archive = Archive.create(place)
    publish_speech(archive, VIDEO, "1" * 16, "old")
    publish_speech(archive, VIDEO, "2" * 16, "new")
    publish_speech(archive, OTHER, "1" * 16, "other")
    objects, foreign = archive.backend.objects, dict[str, bytes]()  # type: ignore[attr-defined]
    for at, where in enumerate(PLACES):
        for name in (
            *OTHERS[:6],
            f"holiday-{at}/film.mp4",
            f".tmp-{ID}/film.mp4",
            f"speech-{ID}-{HASH}.parquet/film.mp4",
        ):
            key = f"films/{where}/{name}".replace("//", "/")
            if "\n" not in key:
                foreign[key] = key.encode()
                objects.put(key, key.encode())
    for key in (f"films/.tmp-{'f' * 16}", f"films/{VIDEOS[0]}/.tmp-{'f' * 16}"):
        objects.put(key, b"left")

    def now() -> set[str]:
        return {o.key for o in objects.below("films")}

    before, opened = now(), Archive.open(place)
    found = maintenance.collect(opened, 0.0, dry_run=True)
    assert now() == before and not {f"films/{k}" for k in found.keys} & foreign.keys()
    assert {f".tmp-{'f' * 16}", f"{VIDEOS[0]}/.tmp-{'f' * 16}"} <= set(found.keys)
    for job in (gc, verify, remove, gc):  # type: ignore[assignment]
        job(place)  # type: ignore[arg-type]
    left = now()
    assert foreign.keys() <= left and not any(f".tmp-{'f' * 16}" in k for k in left)
    assert all(objects.read(k) == data for k, data in foreign.items())


def test_only_one_module_deletes() -> None:
    """Any other call that takes files or folders away would be a second door."""
    import vidrag.store

    root = Path(vidrag.store.__file__).parents[1]
    calls = ("unlink(", "rmtree(", "rmdir(", "os.remove(", "removedirs(")
    found = {
        str(path.relative_to(root))
        for room in ("store", "query", "ingest", "jobs")
        for path in (root / room).rglob("*.py")
        if any(call in path.read_text("utf-8") for call in calls)
    }
    assert found == {"store/storage/owned.py"}


def test_a_name_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    backend = open_backend(tmp_path)
    for key in (
        "archive.json",
        "../thesis.tex",
        "videos",
        f"videos/{ID}",
        "/etc/passwd",
        f"videos/{ID}/../../x",
        "cache",
        f"videos/{ID}/manifest-000001.json/../x",
        f"x/.tmp-{ID}",
        f"videos/{ID}/a/.tmp-{ID}",
    ):
        for way in (backend.delete, backend.set_aside):
            with pytest.raises(StorageError, match="not a name that vidrag writes"):
                way(key)
