"""An archive from elsewhere whose manifests and hashes hold, made by somebody who means harm."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from store_tools import SPEC, publish_speech, source
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.schema import to_table
from vidrag.store.archive.stored_files import stored
from vidrag.store.errors import ArchiveDamaged
from vidrag.store.records import Cell, Segment

VIDEO = source().sha256[:16]


def planted(archive: Archive, stage: str, kind: str, path: Path, rows: int) -> None:
    """Publishes a file as it is, with the hash that it has."""
    file, name = stored(kind, "9" * 16, path, rows)
    encoder = SPEC.as_json() if stage.endswith("vectors") else None
    archive.publish(source(), {stage: Cell(stage, "9" * 16, "ok", (file,), encoder=encoder)}, {name: path})


class Trap:
    """Opens a door when it is unpickled."""

    def __init__(self, door: Path) -> None:
        self.door = door

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.door),))


@pytest.mark.parametrize(("stage", "kind"), [("speech", "speech"), ("speech_vectors", "speech.faiss")])
def test_a_pickle_is_never_loaded(stage: str, kind: str, archive: Archive, tmp_path: Path) -> None:
    door = tmp_path / "door"
    (tmp_path / "trap").write_bytes(pickle.dumps([Trap(door)] * 3))
    planted(archive, stage, kind, tmp_path / "trap", 3)
    shard = Archive.open(archive.location).shard(VIDEO)
    with pytest.raises(ArchiveDamaged):
        _ = shard.speech if kind == "speech" else shard.vectors("speech", SPEC)
    assert not door.exists()
    pickle.loads((tmp_path / "trap").read_bytes()[:0] or pickle.dumps(Trap(door)))
    assert door.exists()  # the trap is one


READ = """
import resource, sys
from vidrag.store.archive.archive import Archive
from vidrag.store.errors import ArchiveDamaged
archive = Archive.open(sys.argv[1])
try:
    print(len(archive.shard(archive.ids()[0]).speech))
except ArchiveDamaged as e:
    print("refused:", e)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def test_a_small_parquet_file_that_unpacks_to_gigabytes(
    archive: Archive, tmp_path: Path, child_env: dict[str, str]
) -> None:
    """The same megabyte again and again: a dictionary makes it small in the file, and by its own footer."""
    one = to_table("speech", VIDEO, [Segment(0, 1, "x" * (1 << 20))])
    groups, each, bomb = 50, 40, tmp_path / "bomb"
    with pq.ParquetWriter(bomb, one.schema, compression="ZSTD", dictionary_pagesize_limit=4 << 20) as writer:
        for _ in range(groups):
            writer.write_table(one.take([0] * each))
    rows, promised = groups * each, pq.ParquetFile(bomb).metadata
    assert bomb.stat().st_size < 1 << 20
    assert sum(promised.row_group(i).total_byte_size for i in range(groups)) < 200 << 20
    planted(archive, "speech", "speech", bomb, rows)
    command = [sys.executable, "-c", READ, archive.location]
    ran = subprocess.run(
        command, env=child_env, capture_output=True, text=True, timeout=100, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-500:]
    told, megabytes = ran.stdout.strip().rsplit("\n", 1)
    assert told.startswith("refused:") and "unpacks to more than" in told, told
    print(f"bomb of {bomb.stat().st_size} bytes: {told[-60:]}, {megabytes} MB")
    assert int(megabytes) < 3000


@pytest.mark.parametrize("what", ["fifo", "device", "loop", "folder"])
@pytest.mark.timeout(20)
def test_a_manifest_that_is_no_file(what: str, archive: Archive) -> None:
    """A pipe that nobody writes to, a device without end: the version below is read, at once."""
    publish_speech(archive, source())
    path = Path(archive.location) / "videos" / VIDEO / "manifest-000009.json"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if what == "device" else path.name)
    found = Archive.open(archive.location).manifest(VIDEO)
    assert found is not None and found.version == 1
