"""Manifests and ledgers that nobody wrote like this: a project error or a correct reading, never a traceback.

Subtitle files have their own: ``tests/test_subtitles.py::test_any_bytes_for_a_long_time``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from media_files import Local, with_tone
from mutations import changed, damaged, doubled_key, places
from vidrag.ingest.pipeline import ingest_video
from vidrag.jobs.cli import archive_commands, upkeep_commands
from vidrag.jobs.runs import report
from vidrag.jobs.runs.estimate import rates
from vidrag.jobs.runs.ledger import Ledger, to_table
from vidrag.store.archive import maintenance
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.manifest import Manifest, decode
from vidrag.store.errors import VidragError
from vidrag.store.fingerprints import canonical
from world import World

RUN = "20260101-000000-abcd"


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """A hundred thousand of them are of no use."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of one real video, at one version, with the ledger of the run."""
    folder = tmp_path_factory.mktemp("indexed")
    archive = Archive.create(folder / "archive")
    outcomes = ingest_video(with_tone(folder / "clip.mp4", 1), archive, Local())  # type: ignore[arg-type]
    maintenance.collect(archive, 0.0)
    with Ledger(archive, RUN) as ledger:
        ledger.add(outcomes)
    return folder / "archive"


@pytest.fixture
def copied(indexed: Path, tmp_path: Path) -> Path:
    shutil.copytree(indexed, tmp_path / "archive")
    return tmp_path / "archive"


def manifest_of(archive: Path) -> Path:
    (path,) = archive.glob("videos/*/manifest-*")
    return path


def quietly(call: Callable[[], Any]) -> str:
    """What becomes of a command: the name of the project's error, or ``read``; every other error is a failure."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        try:
            call()
        except VidragError as e:
            assert str(e).strip()
            return type(e).__name__
    out.getvalue().encode("utf-8", "backslashreplace")
    return "read"


def all_commands(archive: Path, video: str) -> str:
    """Everything that lists or looks after an archive."""
    place = str(archive)
    told = [
        quietly(lambda: archive_commands.ls(place)),
        quietly(lambda: archive_commands.ls(place, as_json=True)),
        quietly(lambda: archive_commands.show(place, video)),
        quietly(lambda: archive_commands.show(place, video, as_json=True)),
        quietly(lambda: upkeep_commands.verify(place, read_only=True, threads=1)),
        quietly(lambda: upkeep_commands.gc(place, "0s", dry_run=True)),
    ]
    return told[2]


def fuzz_manifests(archive: Path, count: int, seed: int) -> Counter[str]:
    path = manifest_of(archive)
    sound, came = path.read_bytes(), Counter[str]()
    original, video = decode(sound, "x"), path.parent.name
    body = {k: v for k, v in json.loads(sound).items() if k != "checksum"}
    ways = places(body)
    for i in range(count):
        dice = random.Random(seed * 1_000_000 + i)
        kind = dice.choice(("bytes", "keys", "values", "values", "values"))
        if kind == "values":  # whoever wrote it knows how to sign
            new = json.loads(json.dumps(changed(body, dice, ways)))
            try:
                new["checksum"] = hashlib.sha256(canonical(new)).hexdigest()
            except ValueError:
                continue
            data = json.dumps(new).encode()
        else:
            data = damaged(sound, dice) if kind == "bytes" else doubled_key(sound, dice)
        try:
            found: Manifest | None = decode(data, "x")
        except VidragError as e:
            came[f"{kind}: {type(e).__name__}"] += 1
            found = None
        except Exception as e:
            raise AssertionError(f"mutation {i} of seed {seed}: {e!r}: {data[-500:]!r}") from e
        if found is not None and kind != "values":
            assert found == original, f"mutation {i} of seed {seed} is read as something else"
        if found is not None or i % 20 == 0:
            path.write_bytes(data)
            try:
                how = all_commands(archive, video)
            except Exception as e:
                raise AssertionError(f"mutation {i} of seed {seed}: {e!r}: {data[-3000:]!r}") from e
            came[f"{kind}: {how}" if found is not None else f"{kind}, by command: {how}"] += 1
    path.write_bytes(sound)
    print(f"manifests: {sum(came.values())}: {dict(sorted(came.items()))}")
    return came


def test_manifests(copied: Path) -> None:
    came = fuzz_manifests(copied, 250, 1)
    assert {"bytes: ArchiveDamaged", "values: ArchiveDamaged", "values: read"} <= set(came)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_very_many_manifests(copied: Path, seed: int) -> None:
    assert sum(fuzz_manifests(copied, 20_000, seed).values()) > 15_000


def fuzz_ledgers(archive: Path, count: int, seed: int) -> Counter[str]:
    """Journals of runs that were killed, and tables of runs that ended."""
    opened, came = Archive.open(archive), Counter[str]()
    table_path, lines_path = archive / "runs" / f"{RUN}.parquet", archive / "runs" / f"{RUN}.jsonl"
    table = table_path.read_bytes()
    rows = pq.read_table(table_path).to_pylist()
    lines = [{**r, "finished": r["finished"].isoformat()} for r in rows]
    text = "".join(json.dumps(r) + "\n" for r in lines).encode()
    ways = places(lines)
    for i in range(count):
        dice = random.Random(seed * 1_000_000 + i)
        kind = dice.choice(("bytes", "values", "keys", "table", "columns"))
        table_path.unlink(missing_ok=True)
        lines_path.unlink(missing_ok=True)
        if kind == "table":
            table_path.write_bytes(damaged(table, dice))
        elif kind == "columns":
            odd = to_table(lines).drop_columns([dice.choice(list(rows[0]))])
            if dice.random() < 0.5:
                odd = odd.append_column("extra", odd.column(0)).rename_columns(
                    [dice.choice([n, n, n, "seconds"]) for n in [*odd.column_names, "extra"]]
                )
            pq.write_table(odd, table_path)
        elif kind == "values":
            new = changed(lines, dice, ways)
            lines_path.write_bytes("".join(json.dumps(r) + "\n" for r in new).encode())
        else:
            lines_path.write_bytes(damaged(text, dice) if kind == "bytes" else doubled_key(text.split(b"\n")[0], dice))

        def told() -> None:
            (run,) = report.runs(opened)
            found = report.summary(run, report.rows(opened, run))
            report.text(found)
            json.dumps(found, allow_nan=False)

        try:
            came[f"{kind}: {quietly(told)}"] += 1
            if i % 20 == 0:
                quietly(lambda: upkeep_commands.runs(str(archive)))
                quietly(lambda: upkeep_commands.report(str(archive)))
                quietly(lambda: rates(opened))
        except Exception as e:
            left = lines_path if lines_path.exists() else table_path
            raise AssertionError(f"mutation {i} of seed {seed}: {e!r}: {left.read_bytes()[-2000:]!r}") from e
    print(f"ledgers: {sum(came.values())}: {dict(sorted(came.items()))}")
    return came


def test_ledgers(copied: Path) -> None:
    came = fuzz_ledgers(copied, 250, 1)
    assert {"bytes: read", "values: read", "table: ArchiveDamaged"} <= set(came)
    assert "values: ArchiveDamaged" not in came  # a journal is read as far as it goes


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [2, 3])
def test_very_many_ledgers(copied: Path, seed: int) -> None:
    assert sum(fuzz_ledgers(copied, 20_000, seed).values()) == 20_000


@pytest.mark.long
def test_the_command_over_an_archive_of_odd_files(copied: Path, tmp_path: Path) -> None:
    """The real command, in processes of its own: one line, a documented exit code; what is sound is still listed."""
    world = World.make(tmp_path)
    sound, dice = manifest_of(copied), random.Random(7)
    body = {k: v for k, v in json.loads(sound.read_bytes()).items() if k != "checksum"}
    for i in range(6):
        video = f"{i:x}" * 16
        new = {**changed({**body, "current": {}}, dice, places(body)), "video": video, "version": 1}
        new["checksum"] = hashlib.sha256(json.dumps(new, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        (copied / "videos" / video).mkdir()
        (copied / "videos" / video / "manifest-000001.json").write_text(json.dumps(new))
    table = (copied / "runs" / f"{RUN}.parquet").read_bytes()
    (copied / "runs" / "20260102-000000-0000.parquet").write_bytes(damaged(table, dice))
    (copied / "runs" / "20260103-000000-0000.jsonl").write_bytes(b'{"source": 7}\n[[[\n{"run": null}\n\xff\n')
    for command in ("ls", "verify", "runs", "report", "gc", "show"):
        more = [sound.parent.name] if command == "show" else ["--dry-run"] if command == "gc" else []
        ran = world.run(command, copied, *more)
        assert ran.returncode in (0, 4), (command, ran.stderr)
        if command in ("ls", "show"):
            assert "clip.mp4" in ran.stdout
        if command == "verify":
            assert ran.returncode == 4
