"""What the processes do that are killed, starved or judge: one job a process, forked from one that has imported all.

Run as a program it reads a JSON order a line and forks a child for it; the child arms the shim, does the job and
replies with JSON.  The reply of a child that was killed is the signal.  Nothing of the archive is ever known to the
parent, so each child sees what a fresh process sees.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss  # noqa: F401  (here, so that no child opens libraries)
import pyarrow.parquet  # noqa: F401
from store_tools import (
    RECORDS,
    SPEC,
    publish_all,
    publish_old_frames,
    publish_speech,
    rows_of_norm_1,
    source,
    source_with_id,
)
from vidrag.ingest.stages import readers
from vidrag.jobs.runs.ledger import Ledger
from vidrag.store.archive import maintenance, upkeep
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.catalogue import CATALOGUE
from vidrag.store.archive.migration import migrate
from vidrag.store.errors import ArchiveDamaged, NoSuchVideo, VidragError
from vidrag.store.index import build as index_build
from vidrag.store.index import coverage, index
from vidrag.store.index.index import INDEX

VIDEO = source()
OTHER = source_with_id("abcd", "other.mp4")


def other(archive: Path) -> None:
    publish_speech(Archive.create(archive), OTHER, "0" * 16, "the other video")


def old(archive: Path) -> None:
    other(archive)
    publish_speech(Archive.open(archive), VIDEO, "1" * 16, "the old version")


def new(archive: Path) -> None:
    publish_speech(Archive.create(archive), VIDEO, "2" * 16, "the new version")


def whole(archive: Path) -> None:
    publish_all(Archive.create(archive), VIDEO)


def old_frames(archive: Path) -> None:
    other(archive)
    publish_old_frames(Archive.open(archive), VIDEO)


def migrated(archive: Path) -> None:
    migrate(Archive.open(archive), VIDEO.sha256[:16])


def removed(archive: Path) -> None:
    Archive.open(archive).discard(VIDEO.sha256[:16])


def old_and_new(archive: Path) -> None:
    old(archive)
    new(archive)


def collected(archive: Path) -> None:
    opened = Archive.open(archive)
    found = maintenance.collect(opened, 0.0)
    for of in (INDEX, CATALOGUE):
        upkeep.collect(opened, of, 0.0, False, found)


def damaged(archive: Path) -> None:
    old_and_new(archive)
    (file,) = (archive / "videos" / VIDEO.sha256[:16]).glob(f"speech-{'2' * 16}-*")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")


def mended(archive: Path) -> None:
    opened = Archive.open(archive)
    damage = [d for c in maintenance.verify(opened, opened.ids(), 1) for d in c.damage]
    maintenance.quarantine(opened, damage, readers)


def ledger(archive: Path) -> None:
    from vidrag.ingest.pipeline import Outcome

    opened = Archive.create(archive)
    with Ledger(opened, f"20260101-000000-{os.getpid():04x}", sync_s=0.0) as book:
        for stage in ("media", "speech"):
            book.add([Outcome(VIDEO.sha256[:16], "/films/talk.mp4", stage, "f" * 16, "ok", seconds=1.0)])


def say(archive: Path, digit: str, option: str, name: str) -> None:
    """Publishes what a video says under an option."""
    publish_speech(Archive.open(archive), source_with_id(digit * 4, name), option * 16, f"{digit} says {option}")


def take_out(archive: Path, digit: str) -> None:
    Archive.open(archive).discard(source_with_id(digit * 4, "").sha256[:16])


def few_files(archive: Path, job: str, more: str) -> Any:
    """Does a job with so many file numbers to spare."""
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held, limit = set(map(int, os.listdir("/proc/self/fd"))), 0
    held = {n for n in held if os.path.lexists(f"/proc/self/fd/{n}")}  # without that of the listing
    while sum(n not in held for n in range(limit)) < int(more):
        limit += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        return JOBS[job](archive)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def indexed(archive: Path) -> None:
    """The index over the whole archive, made or brought up to date."""
    from vidrag.query.find.search import TERMS_ID
    from vidrag.query.text.words import terms

    opened = Archive.open(archive)
    made, notes = index_build.update(opened, terms, TERMS_ID), list[str]()
    if made.damaged or coverage.coverage(opened, index.newest(opened, notes)).changed or notes:
        raise ArchiveDamaged(f"not everything is in the index: {made} {notes}")


def old_indexed(archive: Path) -> None:
    old(archive)
    indexed(archive)
    whole(archive)


def catalogued(archive: Path) -> None:
    """The catalogue of the archive, made anew."""
    opened = Archive.open(archive)
    opened.update_catalogue(always=True)
    if opened.stored_catalogue() is None or upkeep.behind(opened):
        raise ArchiveDamaged("the catalogue is not what the manifests say")


def old_catalogued(archive: Path) -> None:
    old(archive)
    catalogued(archive)
    whole(archive)


def listed(archive: Path) -> list[list[Any]]:
    """What the catalogue tells of each video: the same, whatever its state."""
    found = Archive.open(archive).catalogue().entries()
    return [[e.video, list(e.names), e.seconds, e.counts, e.state] for e in found]


def searched(archive: Path) -> list[list[Any]]:
    """What a search finds: the same, whatever the state of the index."""
    from vidrag.query.find.search import Searcher, SearchOptions

    opened = Archive.open(archive)
    searcher = Searcher(opened, dict.fromkeys(index.KINDS, SPEC), SearchOptions(index_rows=0))
    asked = dict.fromkeys(index.KINDS, rows_of_norm_1(1, seed=5)[0])
    words = ["cue", "locker", "hello"]
    view, places = searcher.rank(asked, words)
    held = {p: s for s, p in searcher.lexical(view, words, searcher.options.depth)}
    assert view.notes == []
    return sorted([*p, round(held.get(p, 0), 5)] for p in places)


def nothing(archive: Path) -> None:
    pass


def look(archive: Path) -> dict[str, Any]:
    """Everything that a reader can see, read in full: by video, as a hash of its rows; ``error`` where it cannot be."""
    if not (archive / "archive.json").exists():
        return {}
    opened = Archive.open(archive)
    seen: dict[str, Any] = {}
    for video in opened.ids():
        try:
            shard = opened.shard(video)
            vectors = [shard.vectors(k, SPEC) for k in ("speech", "text", "frames")]  # type: ignore[arg-type]
            rows = [shard.speech, shard.text, shard.frames, list(shard.pictures()), shard.labels]
            digest = hashlib.sha256(repr([rows, [v.vectors().tolist() if v else None for v in vectors]]).encode())
            states = {s: (c.status, c.fingerprint) for s, c in sorted(shard.status().items())}
            seen[video] = [shard.name, states, digest.hexdigest()]
        except NoSuchVideo:  # its removal was cut short; every reader passes over it
            continue
        except VidragError as e:
            seen[video] = {"error": type(e).__name__}
    return seen


def verified(archive: Path) -> list[str]:
    """What ``verify`` finds damaged."""
    opened = Archive.open(archive)
    of_all = (upkeep.verify(opened, INDEX), upkeep.verify(opened, CATALOGUE), upkeep.behind(opened))
    found = [c for c in (*maintenance.verify(opened, opened.ids(), 1), *of_all) if c]
    return [f"{d.key}: {d.problem}" for c in found for d in c.damage]


def ingest(archive: Path) -> None:
    """A whole ingest of ``clip.mp4`` beside the archive, by engines that are quick."""
    from media_files import Local
    from vidrag.ingest.pipeline import ingest_video

    found = ingest_video(archive.parent / "clip.mp4", Archive.create(archive), Local())  # type: ignore[arg-type]
    assert {o.status for o in found} <= {"ok", "none", "kept"}, [o.message for o in found if o.status == "failed"]


def seen_stages(archive: Path) -> dict[str, Any]:
    """Like :func:`look` for what ``ingest`` makes, whose bytes hold times: rows of every stage of every video."""
    if not (archive / "archive.json").exists():
        return {}
    from media_files import SPEC as space

    out: dict[str, Any] = {}
    for shard in Archive.open(archive).shards():
        vectors = [shard.vectors(k, space) for k in ("speech", "text", "frames")]  # type: ignore[arg-type]
        rows = [shard.speech, shard.text, shard.frames, shard.labels]
        sizes = [len(r) for r in rows] + [v.rows if v else 0 for v in vectors]
        states = {s: c.status for s, c in sorted(shard.status().items())}
        out[shard.video] = [states, sizes]
    return out


JOBS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        few_files, nothing, say, take_out,
        other, old, new, whole, removed, old_and_new, collected, damaged, mended, ledger, look, verified,
        ingest, seen_stages, indexed, old_indexed, searched,
        catalogued, old_catalogued, listed, old_frames, migrated,
    )
}  # fmt: skip
assert RECORDS and dataclasses


def _child(order: dict[str, Any], out: int) -> None:
    libc = ctypes.CDLL(None)
    archive = Path(order["archive"])
    if fault := order.get("fault"):
        libc.vidrag_faults(
            order["archive"].encode(), fault["kinds"].encode(), ctypes.c_long(fault["nth"]), ord(fault["how"]),
            fault["errno"], fault.get("log", "").encode(), fault.get("shadow", "").encode(),
        )  # fmt: skip
    reply: dict[str, Any] = {}
    try:
        reply["value"] = JOBS[order["job"]](archive, *order.get("with", ()))
    except VidragError as e:
        reply |= {"error": type(e).__name__, "message": str(e)}
    except BaseException as e:
        import traceback

        reply |= {"error": type(e).__name__, "message": str(e), "untyped": traceback.format_exc()}
    reply["calls"] = libc.vidrag_faults_count() if order.get("fault") else 0
    libc.vidrag_faults(b"", b"", 0, 0, 0, b"", b"")
    os.write(out, json.dumps(reply).encode())
    os._exit(0)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        back, out = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(back)
            _child(order, out)
        os.close(out)
        with os.fdopen(back, "rb") as f:
            reply = json.loads(f.read() or b"{}")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({**reply, "exit": status}), flush=True)


if __name__ == "__main__":
    main()
