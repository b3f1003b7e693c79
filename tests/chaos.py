"""A night in ten minutes: a folder is ingested while workers, drivers and a node are killed at random.

    python tests/chaos.py ARCHIVE FOLDER... --minutes 10 --profile fake.toml

Starts a Ray cluster of two nodes on this machine and runs ``vidrag ingest`` over it again and again until it comes to
its end by itself; until the minutes are over something is killed every few seconds.  Then a fresh process judges: every
video that can be indexed is, everything verifies, and no stage was computed twice but those in flight at a kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from ray_nodes import Nodes
from vidrag.ingest.stages import STAGES

VIDRAG = str(Path(sys.executable).with_name("vidrag"))


@dataclass
class Night:
    """What happened: kills by kind, and the exit codes of the runs."""

    nodes: Nodes
    command: list[str]
    env: dict[str, str]
    rng: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    codes: list[int] = field(default_factory=list)
    run: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.run = subprocess.Popen(self.command, env=self.env, stdout=subprocess.DEVNULL)

    def strike(self) -> None:
        """Kills something: mostly a worker, sometimes the driver or a whole node."""
        dice = self.rng.random()
        if dice < 0.6 and (found := self.nodes.workers()):
            os.kill(self.rng.choice(found), signal.SIGKILL)
            self.kills["worker"] += 1
        elif dice < 0.85 and self.run and self.run.poll() is None:
            os.kill(self.run.pid, signal.SIGKILL)
            self.kills["driver"] += 1
        elif self.nodes.nodes:
            self.nodes.kill(self.rng.choice(self.nodes.nodes))
            self.nodes.add()
            self.kills["node"] += 1

    def live(self, seconds: float, every: float) -> None:
        """Strikes for so many seconds, starts again what fell, then waits for the end of the last run."""
        end = time.monotonic() + seconds
        next_strike = time.monotonic() + every
        self.start()
        assert self.run
        while True:
            code = self.run.poll()
            if code is not None:
                self.codes.append(code)
                if code >= 0 and time.monotonic() >= end:
                    return
                self.start()
            if next_strike <= time.monotonic() < end:
                self.strike()
                next_strike = time.monotonic() + every * self.rng.uniform(0.5, 1.5)
            time.sleep(0.1)


def told(*arguments: str, env: dict[str, str]) -> Any:
    ran = subprocess.run(
        [VIDRAG, "--offline", *arguments, "--json"], env=env, capture_output=True, text=True, check=False
    )
    return json.loads(ran.stdout)


def repeats(archive: Path) -> tuple[int, int]:
    """Stage results of the ledgers that say 'ok' or 'none' and were computed: all, and those computed before."""
    import pyarrow.parquet as pq

    done: Counter[tuple[str, str, str]] = Counter()
    for path in sorted((archive / "runs").iterdir()):
        if path.suffix == ".parquet":
            rows = pq.read_table(path).to_pylist()
        elif path.suffix == ".jsonl":
            rows = [json.loads(x) for x in path.read_text().splitlines() if x.endswith("}")]
        else:
            continue
        done.update(
            (r["video"], r["stage"], r["fingerprint"]) for r in rows if r["status"] in ("ok", "none") and r["seconds"]
        )
    return sum(done.values()), sum(n - 1 for n in done.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=20, help="seconds between kills, on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", default="embedded")
    given = parser.parse_args()
    env = dict(os.environ)
    with Nodes(env) as nodes:
        for count in (1, 2):
            nodes.add()
            nodes.wait_for(count)
        env |= nodes.token
        command = [VIDRAG, "--offline", "ingest", str(given.archive), *given.folders, "--ray", nodes.address]
        command += ["--profile", given.profile, "--set=run.attempts=30"]
        night = Night(nodes, command, env, random.Random(given.seed))
        began = time.monotonic()
        night.live(given.minutes * 60, given.every)
        seconds = time.monotonic() - began
    report = told("report", str(given.archive), env=env)
    verified = told("verify", str(given.archive), env=env)
    computed, twice = repeats(given.archive)
    kills = sum(night.kills.values())
    print(
        json.dumps(
            {
                "minutes": round(seconds / 60, 1),
                "kills": dict(night.kills),
                "runs": len(night.codes),
                "last_code": night.codes[-1],
                "videos": report["videos"],
                "failed": report["failures"],
                "verified": verified,
                "stages_computed": computed,
                "computed_twice": twice,
            },
            indent=1,
        )
    )
    good = not verified["damage"] and twice <= len(STAGES) * 2 * kills and night.codes[-1] in (0, 3)
    print(f"chaos: {'passed' if good else 'FAILED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
