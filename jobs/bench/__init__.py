"""Measurements: each prints JSON, and each figure is a ratio against something run beside it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from ...store.vectors import Vectors


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {"cores": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median and maximum."""
    return {"min": round(min(values), 4), "median": round(median(values), 4), "max": round(max(values), 4)}


def cpu_each(work: Callable[[Any], Any], on: Sequence[Any] | Vectors) -> tuple[float, list[Any]]:
    """CPU seconds of the process for one item, and what came out."""
    began = time.process_time()
    found = [work(x) for x in on]
    return (time.process_time() - began) / len(on), found
