"""What a large cluster would do: a small discrete simulation over measured costs.

Workers of one core take the two parts of a video (sound, pictures) from one driver, as :mod:`vidrag.jobs.runs.pool`
hands them out: one after the other, longest first.  Nodes fail; what was in flight on them is done again.
"""

from __future__ import annotations

import heapq
import math
import random
from typing import Any

from pydantic import Field

from ...store.options import Options
from ..runs.estimate import CPU

SOUND = ("speech", "speech_vectors")


class ClusterOptions(Options):
    """``nodes`` of ``cores`` each.  ``hours``: of video.  ``mean_minutes``: of one video (log-normal, ``sigma``).

    ``dispatch_ms``: the driver's time for one task.  ``start_s``: of a worker, engines included.  ``node_days``: mean
    time between failures of one node; ``repair_s``: until it is back.  ``requests``: writing requests of one video to
    the store.  ``requests_per_s``: what the store takes (S3 documents 3,500 writes a second for each prefix).
    """

    nodes: int = Field(1000, ge=1, le=100_000)
    cores: int = Field(32, ge=1, le=1024)
    hours: float = Field(1_000_000, gt=0)
    mean_minutes: float = Field(30, gt=0)
    sigma: float = Field(1.0, ge=0, le=3)
    dispatch_ms: float = Field(1.0, ge=0)
    start_s: float = Field(10.0, ge=0)
    node_days: float = Field(30.0, gt=0)
    repair_s: float = Field(600.0, ge=0)
    requests: int = Field(24, ge=0)
    requests_per_s: float = Field(3500.0, gt=0)
    sample: int = Field(400_000, ge=1000)
    seed: int = 1


def simulate(options: ClusterOptions) -> dict[str, Any]:
    """Hours until all is indexed, and where the time goes.

    Where there are more tasks than ``sample``, nodes and videos are scaled down together, and the driver's and the
    store's rates with them; the answer is that of the whole cluster.
    """
    videos = max(1, round(options.hours * 60 / options.mean_minutes))
    scale = max(1.0, 2 * videos / options.sample)
    count = max(1, round(videos / scale))
    workers = max(1, round(options.nodes * options.cores / scale))
    rng = random.Random(options.seed)
    mu = math.log(options.mean_minutes * 60) - options.sigma**2 / 2
    seconds = sorted((min(rng.lognormvariate(mu, options.sigma), 24 * 3600.0) for _ in range(count)), reverse=True)
    sound = sum(CPU[s] for s in SOUND)
    pictures = sum(CPU.values()) - sound
    dispatch = options.dispatch_ms / 1000 * scale
    gap = max(dispatch, options.requests / 2 / options.requests_per_s * scale)
    rate = 1 / (options.node_days * 86400)
    free = [options.start_s] * workers
    heapq.heapify(free)
    clock = busy = lost = 0.0
    failures = 0
    last = first_idle = 0.0
    for length in seconds:
        for cost in (length * pictures, length * sound):
            while True:
                at = heapq.heappop(free)
                clock = max(clock + gap, at)
                fails = rng.expovariate(rate)
                if fails < cost:  # the node goes down under it
                    lost += fails
                    failures += 1
                    heapq.heappush(free, clock + fails + options.repair_s)
                    continue
                busy += cost
                last = max(last, clock + cost)
                heapq.heappush(free, clock + cost)
                break
    first_idle = min(free)
    ideal = busy / workers
    tasks = 2 * videos
    return {
        "bench": "cluster",
        "options": options.model_dump(),
        "videos": videos,
        "scaled_down_by": round(scale, 2),
        "cpu_hours": round(busy * scale / 3600),
        "hours": round(last / 3600, 2),
        "ideal_hours": round(ideal / 3600, 2),
        "efficiency": round(ideal / last, 3),
        "tail_hours": round((last - first_idle) / 3600, 2),
        "tasks_lost_to_failures": round(failures * scale),
        "cpu_hours_lost": round(lost * scale / 3600, 1),
        "driver_busy": round(options.dispatch_ms / 1000 * tasks / last, 3),
        "store_writes_per_s": round(options.requests * videos / last, 1),
        "store_busy": round(options.requests * videos / last / options.requests_per_s, 3),
        "ledger_rows": len(CPU) * videos,
        "gap_is": "driver" if dispatch >= gap else "store",
    }
