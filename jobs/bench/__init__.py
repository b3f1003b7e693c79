"""Measurements: each prints JSON, and each figure is a ratio against something run beside it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from statistics import median
from typing import Any


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {"cores": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median and maximum."""
    return {"min": round(min(values), 4), "median": round(median(values), 4), "max": round(max(values), 4)}
